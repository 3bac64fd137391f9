"""Sample ethanol geometries by GFN2-xTB molecular dynamics.

Usage: python ethanol_sample.py sampled.xyz

Langevin dynamics at three temperatures, started from the trans and the gauche
conformer; every trajectory has its own seed and belongs to one part only.
Frames are written interleaved over the trajectories, so that any leading piece
of the file is a balanced sample.
"""

import sys

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.optimize import BFGS
from tblite.ase import TBLite

TEMPERATURES = (300, 600, 1000)  # K
REPLICAS = {"train": (1, 2), "test": (3,)}
N_FRAMES = {"train": 28, "test": 17}  # per trajectory
TIMESTEP = 0.5  # fs
N_EQUILIBRATION = 2000  # steps, 1 ps
N_INTERVAL = 200  # steps between saved frames, 100 fs
FRICTION = 0.01  # 1/fs


def start_geometry(conformer):
    """Return the relaxed trans or gauche conformer."""
    atoms = molecule("CH3CH2OH")  # trans
    symbols = np.array(atoms.get_chemical_symbols())
    distances = atoms.get_all_distances()
    oxygen = int(np.flatnonzero(symbols == "O")[0])
    carbons = np.flatnonzero(symbols == "C")
    c_near, c_far = carbons[np.argsort(distances[oxygen, carbons])]
    hydrogens = np.flatnonzero(symbols == "H")
    hydroxyl = hydrogens[np.argmin(distances[oxygen, hydrogens])]
    if conformer == "gauche":
        atoms.set_dihedral(
            int(c_far), int(c_near), oxygen, int(hydroxyl), 60, indices=[int(hydroxyl)]
        )
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.01)
    return atoms


def bond_list(atoms):
    """Return index pairs closer than 1.5 times a typical bond length."""
    typical = {"CC": 1.53, "CO": 1.42, "CH": 1.10, "HO": 0.97}
    pairs = []
    symbols = atoms.get_chemical_symbols()
    distances = atoms.get_all_distances()
    for i in range(len(atoms)):
        for j in range(i):
            key = "".join(sorted((symbols[i], symbols[j])))
            if distances[i, j] < 1.5 * typical.get(key, 0.0):
                pairs.append((j, i))
    return sorted(pairs)


def run_trajectory(conformer, temperature, seed, n_frames):
    """Return the frames of one Langevin trajectory."""
    atoms = start_geometry(conformer)
    bonds = bond_list(atoms)
    rng = np.random.RandomState(seed)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    Stationary(atoms)
    dynamics = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=temperature,
        friction=FRICTION / units.fs,
        fixcm=False,
        rng=rng,
    )
    dynamics.run(N_EQUILIBRATION)
    frames = []
    for _ in range(n_frames):
        dynamics.run(N_INTERVAL)
        if bond_list(atoms) != bonds:
            raise RuntimeError("a bond has broken")
        frame = Atoms(atoms.get_chemical_symbols(), atoms.positions)
        frame.positions -= frame.get_center_of_mass()
        frames.append(frame)
    return frames


def main(path):
    trajectories = []
    for part, replicas in REPLICAS.items():
        for temperature in TEMPERATURES:
            for number, conformer in enumerate(("trans", "gauche")):
                for replica in replicas:
                    group = f"md-{temperature}K-{conformer}-{replica}"
                    seed = 10 * temperature + 5 * number + replica
                    frames = run_trajectory(conformer, temperature, seed, N_FRAMES[part])
                    for frame in frames:
                        frame.info = {
                            "config_type": f"md_{temperature}K",
                            "group": group,
                            "part": part,
                        }
                    trajectories.append(frames)
                    print(group, len(frames), flush=True)
    order = []
    for k in range(max(N_FRAMES.values())):
        order += [frames[k] for frames in trajectories if k < len(frames)]
    for number, frame in enumerate(order):
        frame.info["frame"] = number
    write(path, order, format="extxyz")


if __name__ == "__main__":
    main(sys.argv[1])
