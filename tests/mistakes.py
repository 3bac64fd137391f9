"""Mistakes that people make with labels, each with the name that a check should give it."""

import numpy as np

from skpot import Targets

KCAL, KJ, HARTREE, RYDBERG = 23.060548, 96.485332, 1.0 / 27.211386, 1.0 / 13.605693
BOHR, GPA = 0.529177211, 160.2176634


class Labeled:
    """Structures and labels that mistakes are made with.

    Parameters
    ----------
    X : list[Atoms]
        Structures, each with energy and forces, without free atoms.
    y : Targets
        Their labels.
    seed : int
        Of what is drawn at random.
    """

    def __init__(self, X, y, seed=3):
        self.X = list(X)
        self.y = y
        self.n_atoms = np.array([len(atoms) for atoms in X])
        self.rng = np.random.default_rng(seed)
        sizes = [0.0 if f is None else np.sqrt(np.mean(f**2)) for f in y.forces]
        usable = [i for i in range(len(X)) if len(X[i]) > 3 and sizes[i] > 0.1]
        self.some = usable
        self.one = usable[len(usable) // 3]
        self.alike = {}
        for i, atoms in enumerate(X):
            self.alike.setdefault(tuple(sorted(atoms.numbers)), []).append(i)

    def with_labels(self, energy=None, forces=None, stress=None):
        """Return the structures with some kinds of labels replaced."""
        y = self.y
        return self.X, Targets(
            y.energy if energy is None else energy,
            y.forces if forces is None else forces,
            y.stress if stress is None else stress,
            groups=y.groups,
        )

    def with_all_forces(self, change):
        """Return the structures with the forces of each changed."""
        return self.with_labels(forces=[None if f is None else change(f) for f in self.y.forces])

    def with_one_of_forces(self, change, which=None):
        """Return the structures with the forces of one, or of some, changed."""
        forces = list(self.y.forces)
        for i in [self.one] if which is None else which:
            forces[i] = change(forces[i].copy())
        return self.with_labels(forces=forces)


def energies_of_next(data):
    """Give each structure the energy of the next one."""
    return data.with_labels(energy=np.roll(data.y.energy, -1))


def energies_shuffled(data):
    """Exchange energies between structures of one composition."""
    energy = data.y.energy.copy()
    for members in data.alike.values():
        energy[members] = data.y.energy[data.rng.permutation(members)]
    return data.with_labels(energy=energy)


def one_energy_off(data):
    """Add 50 eV to the energy of one structure."""
    energy = data.y.energy.copy()
    energy[data.one] += 50.0
    return data.with_labels(energy=energy)


def two_zeros(data):
    """Give the second half of the structures another zero of energy, 0.5 eV per atom higher."""
    second = np.arange(len(data.X)) >= len(data.X) // 2
    return data.with_labels(energy=data.y.energy + 0.5 * second * data.n_atoms)


def forces_of_next(data):
    """Give each structure the forces of the next one of its composition."""
    forces = list(data.y.forces)
    for members in data.alike.values():
        for one, other in zip(members, members[1:] + members[:1], strict=True):
            forces[one] = data.y.forces[other]
    return data.with_labels(forces=forces)


def shifted_by_one(forces):
    """Give each atom the force of the one before it."""
    return np.roll(forces, 1, axis=0)


def spiked(forces):
    """Add 8 eV/Å to one component."""
    forces[1, 0] += 8.0
    return forces


def zeroed(forces):
    """Set the forces of a quarter of the atoms to zero, as constraints do."""
    forces[: max(2, len(forces) // 4)] = 0.0
    return forces


def atoms_moved_together(data):
    """Move an atom to 0.5 Å from another, and leave the labels."""
    X = [atoms.copy() for atoms in data.X]
    direction = data.rng.normal(size=3)
    atoms = X[data.one]
    atoms.positions[1] = atoms.positions[0] + 0.5 * direction / np.linalg.norm(direction)
    return X, data.with_labels()[1]


def labeled_twice(data):
    """Add a copy of a structure with another energy."""
    one, y = data.one, data.y
    energy = np.append(y.energy, y.energy[one] + 0.3 * data.n_atoms[one])
    stress = None if y.stress is None else np.concatenate([y.stress, y.stress[[one]]])
    groups = None if y.groups is None else np.append(y.groups, y.groups[one])
    labels = Targets(energy, [*y.forces, y.forces[one]], stress, groups=groups)
    return [*data.X, data.X[one].copy()], labels


def as_virial(data):
    """Give virials, minus the stress times the volume, for stress."""
    volumes = [a.cell.volume if a.cell.rank == 3 else np.nan for a in data.X]
    return data.with_labels(stress=-data.y.stress * np.array(volumes)[:, None])


def scaled(energy=1.0, forces=1.0, stress=1.0):
    """Return the mistake of labels in other units or of the other sign."""

    def mistake(data):
        y = data.y
        return data.with_labels(
            energy * y.energy,
            [None if f is None else forces * f for f in y.forces],
            None if y.stress is None else stress * y.stress,
        )

    return mistake


def forces_changed(change):
    """Return the mistake of forces that are changed in every structure."""
    return lambda data: data.with_all_forces(change)


def permuted_everywhere(data):
    """Exchange the forces of the atoms of each structure at random."""
    return data.with_all_forces(lambda f: f[data.rng.permutation(len(f))])


def one_changed(change):
    """Return the mistake of forces that are changed in one structure."""
    return lambda data: data.with_one_of_forces(change)


def zeroed_in_some(data):
    """Set forces to zero on some atoms of about eight structures."""
    return data.with_one_of_forces(zeroed, data.some[:: max(1, len(data.some) // 8)])


# By a short name: what makes the mistake, and what it is to be called.
COMMON = {
    "energies in kcal/mol": (scaled(energy=KCAL), "unit of energies"),
    "energies in Hartree": (scaled(energy=HARTREE), "unit of energies"),
    "energies per atom": (
        lambda data: data.with_labels(energy=data.y.energy / data.n_atoms),
        "energies per atom",
    ),
    "energies of the other sign": (scaled(energy=-1.0), "sign of energies"),
    "energies of the next frame": (energies_of_next, "energies of other frames"),
    "energies shuffled": (energies_shuffled, "energies of other frames"),
    "one energy 50 eV off": (one_energy_off, "single energies"),
    "two zeros of energy": (two_zeros, "zero of energies"),
    "forces in kcal/mol/Å": (scaled(forces=KCAL), "unit of forces"),
    "forces in Hartree/Bohr": (scaled(forces=HARTREE * BOHR), "unit of forces"),
    "gradients for forces": (scaled(forces=-1.0), "sign of forces"),
    "forces of the next frame": (forces_of_next, "forces of other frames"),
    "forces in another order of atoms": (permuted_everywhere, "order of atoms"),
    "one frame in another order of atoms": (one_changed(shifted_by_one), "order of atoms"),
    "forces of one frame times 10": (one_changed(lambda f: 10.0 * f), "scale of single forces"),
    "forces in other axes": (forces_changed(lambda f: f[:, [1, 2, 0]]), "axes of forces"),
    "one force component 8 eV/Å off": (one_changed(spiked), "single forces"),
    "forces of fixed atoms set to zero": (zeroed_in_some, "forces of zero"),
    "all in kcal/mol": (scaled(energy=KCAL, forces=KCAL), "unit of energies"),
    "two atoms 0.5 Å apart": (atoms_moved_together, "atoms too close"),
}
OF_MOLECULES = {
    "energies in kJ/mol": (scaled(energy=KJ), "unit of energies"),
    "energies in Rydberg": (scaled(energy=RYDBERG), "unit of energies"),
    "forces in Rydberg/Bohr": (scaled(forces=RYDBERG * BOHR), "unit of forces"),
    "all in Hartree": (scaled(energy=HARTREE, forces=HARTREE * BOHR), "unit of energies"),
    "one structure labeled twice": (labeled_twice, "contradicting labels"),
}
OF_STRESS = {
    "stress in GPa": (scaled(stress=GPA), "unit of stress"),
    "pressure for stress": (scaled(stress=-1.0), "sign of stress"),
    "virial for stress": (as_virial, "virial for stress"),
    "shear stress in another order": (
        lambda data: data.with_labels(stress=data.y.stress[:, [0, 1, 2, 5, 3, 4]]),
        "order of stress",
    ),
    "stress in kbar as VASP prints it": (scaled(stress=-10.0 * GPA), "unit of stress"),
}


def mistakes_for(y):
    """Return the 25 mistakes that can be made with such labels."""
    return COMMON | (OF_STRESS if y.has_stress.any() else OF_MOLECULES)
