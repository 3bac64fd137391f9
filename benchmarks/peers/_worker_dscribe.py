"""dscribe's side of descriptors.py; see _work.py. Needs a Python with dscribe.

Its analytic gradients exist for open boundaries only, so periodic systems have values alone.
"""

import sys

from _work import emit, read_systems, report, size_of


def soap(folder, rounds):
    """Values, and gradients by positions of systems without periodic boundaries."""
    import numpy as np
    from dscribe.descriptors import SOAP

    for name, frames in read_systems(folder).items():
        species = sorted({s for atoms in frames for s in atoms.get_chemical_symbols()})
        periodic = bool(frames[0].pbc.any())
        descriptor = SOAP(
            species=species, periodic=periodic, r_cut=5.0, n_max=8, l_max=6, sigma=0.5, rbf="gto"
        )

        def values(frames=frames, descriptor=descriptor):
            for atoms in frames:
                descriptor.create(atoms)

        def gradients(frames=frames, descriptor=descriptor):
            for atoms in frames:
                descriptor.derivatives(atoms, method="analytical", attach=True)

        size = size_of(np.concatenate([descriptor.create(atoms) for atoms in frames]))
        report("values", frames, values, int(rounds), system=name, **size)
        if not periodic:
            rounds_ = min(3, int(rounds))
            report("values+gradients", frames, gradients, rounds_, system=name, **size)


def symmetry_functions(folder, rounds):
    """Values of 8 G2 for each species and 8 G4 for each pair of species."""
    import numpy as np
    from _work import G2, G4
    from dscribe.descriptors import ACSF

    for name, frames in read_systems(folder).items():
        species = sorted({s for atoms in frames for s in atoms.get_chemical_symbols()})
        descriptor = ACSF(
            species=species, periodic=bool(frames[0].pbc.any()), r_cut=5.0, g2_params=G2,
            g4_params=G4,
        )  # fmt: skip

        def values(frames=frames, descriptor=descriptor):
            for atoms in frames:
                descriptor.create(atoms)

        rows = np.concatenate([descriptor.create(atoms) for atoms in frames])
        # It has G1 too, before the G2 of each species.
        rows = np.delete(rows, np.arange(len(species)) * (1 + len(G2)), axis=1)
        report("values", frames, values, int(rounds), system=name, **size_of(rows))


def version():
    import importlib.metadata

    found = importlib.metadata.version("dscribe")
    emit({"quantity": "version", "name": "dscribe", "version": found})


if __name__ == "__main__":
    jobs = {"soap": soap, "symmetry_functions": symmetry_functions, "version": version}
    jobs[sys.argv[1]](*sys.argv[2:])
