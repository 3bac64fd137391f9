"""quippy's side of gap.py and descriptors.py; see _work.py. Needs a Python with quippy-ase."""

import sys

from _work import emit, potential_step, read_systems, report, rmse, size_of


def predict(path, test, system, rounds):
    """Test errors of a GAP, and its cost per atom on a system."""
    import numpy as np
    from ase.io import read
    from quippy.potential import Potential

    potential = Potential("", param_filename=path)
    energy, forces, stress = [], [], []
    labels = dict.fromkeys(("energy", "forces", "stress"), 0)
    for atoms in read(test, ":"):
        bare = atoms.copy()
        bare.info.clear()
        potential.calculate(bare, ["energy", "forces", "stress"])
        found = potential.results
        voigt = np.asarray(found["stress"])
        expected = -np.reshape(atoms.info["dft_virial"], (3, 3)) / atoms.get_volume()
        energy.append((found["energy"] - atoms.info["dft_energy"]) / len(atoms))
        forces.append(found["forces"] - atoms.arrays["dft_forces"])
        stress.append(voigt[[0, 5, 4, 5, 1, 3, 4, 3, 2]] - expected.ravel())
        for kind, count in zip(labels, (1, 3 * len(atoms), 6), strict=True):
            labels[kind] += count
    emit(
        {
            "quantity": "errors",
            "labels": labels,
            "energy_meV_atom": 1e3 * rmse(energy),
            "forces_eV_A": rmse(forces),
            "stress_GPa": 160.21766 * rmse(stress),
        }
    )
    frames = next(iter(read_systems(system).values()))

    def evaluate(atoms):
        potential.calculate(atoms, ["energy", "forces", "stress"])

    step = potential_step(frames[0].copy(), evaluate)
    report("energy+forces+stress", frames[:1], step, int(rounds))


def soap(folder, rounds):
    """Values and position gradients of SOAP on all systems."""
    import numpy as np
    from quippy.descriptors import Descriptor

    for name, frames in read_systems(folder).items():
        species = sorted({int(z) for atoms in frames for z in atoms.numbers})
        listed = "{" + " ".join(map(str, species)) + "}"
        descriptor = Descriptor(
            "soap cutoff=5.0 cutoff_transition_width=0.5 atom_sigma=0.5 n_max=8 l_max=6 "
            f"n_species={len(species)} species_Z={listed} n_Z={len(species)} Z={listed}"
        )

        def values(frames=frames, descriptor=descriptor):
            for atoms in frames:
                descriptor.calc_descriptor(atoms)

        def gradients(frames=frames, descriptor=descriptor):
            for atoms in frames:
                descriptor.calc(atoms, grad=True)

        size = size_of(np.concatenate([descriptor.calc_descriptor(atoms) for atoms in frames]))
        report("values", frames, values, int(rounds), system=name, **size)
        report("values+gradients", frames, gradients, min(3, int(rounds)), system=name, **size)


def version():
    import importlib.metadata

    found = importlib.metadata.version("quippy-ase")
    emit({"quantity": "version", "name": "quippy-ase", "version": found})


if __name__ == "__main__":
    {"predict": predict, "soap": soap, "version": version}[sys.argv[1]](*sys.argv[2:])
