"""Build the silicon frames to be labeled: strained, rattled, thermal, liquid-like, ...

Usage: python silicon_sample.py sampled.xyz

Only ASE and numpy are needed. Molecular dynamics uses the Stillinger-Weber potential
written out below. Train and test frames come from different random streams and
different trajectories. The frames are written in a shuffled order, so that any
leading piece of the file is a balanced sample.
"""

import sys

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import neighbor_list

LATTICE = 5.469  # Angstrom, PBE
SEEDS = {"train": 20250, "test": 90417}

# Numbers of frames (train, test)
EQUATION_OF_STATE = (12, 0)  # a smooth curve: a test frame would have near train neighbors
RATTLED = {0.02: (4, 1), 0.05: (6, 2), 0.10: (8, 2), 0.15: (8, 2), 0.20: (6, 2), 0.25: (4, 1)}
STRAINED = {"shear": (12, 2), "uniaxial": (10, 2)}
VACANCY = (10, 2)
# temperature: (frames in each train trajectory, frames in the test trajectory)
MD = {300: (10, 4), 600: (7, 3), 1000: (7, 3), 1500: (6, 3)}
LIQUID = (6, 4)


class StillingerWeber(Calculator):
    """Energy and forces of silicon, Phys. Rev. B 31, 5262 (1985)."""

    implemented_properties = ["energy", "forces"]
    A, B, p, a = 7.049556277, 0.6022245584, 4, 1.80
    lam, gamma, sigma, eps = 21.0, 1.20, 2.0951, 2.1683

    @classmethod
    def for_lammps(cls):
        """Return the file that LAMMPS reads for its pair style sw."""
        three = cls.eps, cls.sigma, cls.a, cls.lam, cls.gamma, -1 / 3
        numbers = " ".join(map(repr, (*three, cls.A, cls.B, float(cls.p), 0.0, 0.0)))
        return f"Si Si Si {numbers}\n"

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate pair and angle terms."""
        super().calculate(atoms, properties, system_changes)
        cutoff = self.a * self.sigma * (1 - 1e-9)
        i, j, r, vec = neighbor_list("ijdD", self.atoms, cutoff)
        x = r / self.sigma
        unit = vec / r[:, None]
        tail = np.exp(1 / (x - self.a))
        pair = self.A * (self.B * x**-self.p - 1) * tail
        slope = -self.A * self.p * self.B * x ** (-self.p - 1) * tail - pair / (x - self.a) ** 2
        energy = 0.5 * self.eps * pair.sum()
        pull = 0.5 * self.eps / self.sigma * slope[:, None] * unit  # d energy / d vec
        screen = np.exp(self.gamma / (x - self.a))
        dscreen = -self.gamma / (x - self.a) ** 2 * screen / self.sigma
        for atom in range(len(self.atoms)):
            pairs = np.flatnonzero(i == atom)
            m, n = (pairs[k] for k in np.triu_indices(len(pairs), 1))
            cosine = (unit[m] * unit[n]).sum(1)
            angle = cosine + 1 / 3
            factor = self.eps * self.lam
            energy += factor * (angle**2 * screen[m] * screen[n]).sum()
            both = 2 * factor * angle * screen[m] * screen[n]
            for one, two in ((m, n), (n, m)):
                radial = factor * angle**2 * dscreen[one] * screen[two]
                turn = both / r[one]
                gradient = radial[:, None] * unit[one]
                gradient += turn[:, None] * (unit[two] - cosine[:, None] * unit[one])
                np.add.at(pull, one, gradient)
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, pull)
        np.add.at(forces, j, -pull)
        self.results = {"energy": energy, "forces": forces}


def cell(scale=1.0):
    """Return the cubic 8-atom diamond cell with the lattice constant scaled."""
    return bulk("Si", "diamond", LATTICE * scale, cubic=True)


def strained(atoms, strain):
    """Apply a 3 x 3 strain to cell and atoms."""
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def shortest(atoms):
    """Return the shortest interatomic distance, periodic images included."""
    return neighbor_list("d", atoms, 3.0).min()


def rattle(atoms, amplitude, rng, minimum=1.9):
    """Displace the atoms by normal deviates, again until none are too close."""
    while True:
        moved = atoms.copy()
        moved.positions += rng.normal(0, amplitude, moved.positions.shape)
        if shortest(moved) >= minimum:
            return moved


def volume_scale(rng):
    """Return the length scale of a uniform draw of the volume, -10 to +12 percent."""
    return (1 + rng.uniform(-0.10, 0.12)) ** (1 / 3)


def dynamics(atoms, temperature, rng, n_steps, timestep=2.0):
    """Prepare Stillinger-Weber Langevin dynamics and equilibrate it."""
    atoms.calc = StillingerWeber()
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    run = Langevin(
        atoms,
        timestep * units.fs,
        temperature_K=temperature,
        friction=0.01 / units.fs,
        rng=rng,
        fixcm=False,
    )
    run.run(n_steps)
    return run


def bare(atoms):
    """Return a copy without momenta and calculator."""
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def frames_of(part):
    """Yield (config_type, group, frame) of one part."""
    which = 0 if part == "train" else 1
    yield from perfect(part, which)
    yield from displaced(part, which)
    yield from deformed(part, which)
    yield from with_vacancy(part, which)
    replicas = (1, 2) if part == "train" else (3,)
    yield from thermal(part, which, replicas)
    yield from liquid(part, which, replicas)


def perfect(part, which):
    for volume in np.linspace(-0.10, 0.12, EQUATION_OF_STATE[which]):
        yield "eos", f"eos-{part}", cell((1 + volume) ** (1 / 3))


def displaced(part, which):
    for k, (amplitude, counts) in enumerate(RATTLED.items()):
        rng = np.random.default_rng([SEEDS[part], 1, k])
        for _ in range(counts[which]):
            frame = rattle(cell(volume_scale(rng)), amplitude, rng)
            yield "rattled", f"rattled-{amplitude:.2f}-{part}", frame


def deformed(part, which):
    for k, (kind, counts) in enumerate(STRAINED.items()):
        rng = np.random.default_rng([SEEDS[part], 2, k])
        for _ in range(counts[which]):
            strain = np.zeros((3, 3))
            if kind == "shear":
                upper = np.triu_indices(3, 1)
                strain[upper] = rng.uniform(-0.05, 0.05, 3)
                strain += strain.T
            else:
                axis = rng.integers(3)
                strain[axis, axis] = rng.uniform(-0.08, 0.08)
            frame = rattle(strained(cell(), strain), rng.uniform(0.01, 0.06), rng)
            yield kind, f"{kind}-{part}", frame


def with_vacancy(part, which):
    rng = np.random.default_rng([SEEDS[part], 3])
    for _ in range(VACANCY[which]):
        frame = cell(volume_scale(rng) ** 0.5)
        del frame[int(rng.integers(8))]
        yield "vacancy", f"vacancy-{part}", rattle(frame, rng.uniform(0.03, 0.12), rng)


def thermal(part, which, replicas):
    """Yield frames of trajectories, each of a cell of its own volume."""
    for temperature, counts in MD.items():
        for replica in replicas:
            rng = np.random.RandomState(SEEDS[part] + 10 * temperature + replica)
            atoms = cell((1 + rng.uniform(-0.02, 0.04)) ** (1 / 3))
            run = dynamics(atoms, temperature, rng, 1000)
            for _ in range(counts[which]):
                run.run(100)
                yield f"md_{temperature}K", f"md-{temperature}K-{replica}", bare(atoms)


def liquid(part, which, replicas):
    """Yield frames of cells melted at 6000 K from a random start, then kept at 2500 K."""
    for replica in replicas:
        rng = np.random.RandomState(SEEDS[part] + 777 + replica)
        scale = (1 - rng.uniform(0.0, 0.10)) ** (1 / 3)
        atoms = rattle(cell(scale), 0.25, np.random.default_rng([SEEDS[part], 4, replica]))
        run = dynamics(atoms, 6000, rng, 3000, timestep=1.0)
        run.set_temperature(temperature_K=2500)
        run.run(1000)
        saved = 0
        while saved < LIQUID[which]:
            run.run(300)
            if shortest(atoms) >= 1.9:
                saved += 1
                yield "liquid", f"liquid-{replica}", bare(atoms)


def main(path):
    frames = []
    for part in ("train", "test"):
        for config_type, group, frame in frames_of(part):
            frame.info = {"config_type": config_type, "group": group, "part": part}
            frames.append(frame)
    order = np.random.default_rng(1).permutation(len(frames))
    frames = [frames[k] for k in order]
    for number, frame in enumerate(frames):
        frame.info["frame"] = number
    write(path, frames, format="extxyz")


if __name__ == "__main__":
    main(sys.argv[1])
