"""featomic's side of descriptors.py; see _work.py.

Needs a Python with featomic, metatensor and ase.
"""

import math
import sys

from _work import emit, read_systems, report, size_of

WIDTH = 0.5  # Å


def soap(folder, rounds):
    """Values as one dense array, and gradients by positions and strain, of all systems."""
    from featomic import SoapPowerSpectrum

    calculator = SoapPowerSpectrum(
        cutoff={"radius": 5.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
        density={"type": "Gaussian", "width": WIDTH},
        basis={
            "type": "TensorProduct",
            "max_angular": 6,
            "radial": {"type": "Gto", "max_radial": 7},
        },
    )
    for name, frames in read_systems(folder).items():
        periodic = frames[0].pbc.all()

        def values(frames=frames):
            blocks = calculator.compute(frames).keys_to_samples("center_type")
            return blocks.keys_to_properties(["neighbor_1_type", "neighbor_2_type"])

        def gradients(frames=frames, by=["positions", "strain"] if periodic else ["positions"]):
            for atoms in frames:  # one frame at a time: all at once would be held in memory
                calculator.compute([atoms], gradients=by)

        size = size_of(values().block().values)
        size["norm"] *= (math.pi * WIDTH**2) ** 1.5  # its Gaussians integrate to one
        report("values", frames, values, int(rounds), system=name, **size)
        report("values+gradients", frames, gradients, min(3, int(rounds)), system=name, **size)


def version():
    import importlib.metadata

    found = importlib.metadata.version("featomic")
    emit({"quantity": "version", "name": "featomic", "version": found})


if __name__ == "__main__":
    {"soap": soap, "version": version}[sys.argv[1]](*sys.argv[2:])
