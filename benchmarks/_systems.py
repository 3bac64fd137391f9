"""Structures the benchmarks run on, built the same way every time."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

# The begin of a script of LAMMPS: nx × ny × nz cells of silicon and a model.
LAMMPS_SILICON = """
units metal
lattice diamond 5.43
region box block 0 {nx} 0 {ny} 0 {nz}
create_box 1 box
create_atoms 1 box
mass 1 28.0855
pair_style skpot {model}
pair_coeff * * Si
"""
# Its end: some steps whose time counts, after one that does not.
LAMMPS_TIMED = """\
velocity all create 300 1
fix motion all nve
neighbor 1.0 bin
run 1
run {steps}
"""


def silicon(repeat=3, seed=0):
    """Diamond silicon, 8 repeat^3 atoms (or 8 times the product of three), rattled."""
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=seed)
    return atoms


def copper(repeat=4, seed=0):
    """Face-centered copper, 4 repeat^3 atoms (or 4 times the product of three), rattled."""
    atoms = bulk("Cu", "fcc", a=3.61, cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=seed)
    return atoms


def water(repeat=4, seed=0):
    """3 repeat^3 atoms of water at 1 g/cm^3, molecules turned at random on a lattice."""
    rng = np.random.default_rng(seed)
    length = 3.105  # Å, edge of the cube of one molecule
    atoms = Atoms(cell=[repeat * length] * 3, pbc=True)
    for corner in np.ndindex(repeat, repeat, repeat):
        one = molecule("H2O")
        one.rotate(rng.uniform(0.0, 360.0), rng.normal(size=3), center="COM")
        one.translate((np.array(corner) + 0.5) * length - one.get_center_of_mass())
        atoms += one
    atoms.rattle(0.05, seed=seed)
    return atoms


def molecules(number=100, seed=0):
    """Copies of benzene stacked on methyl formate, rattled: 20 atoms of C, H and O."""
    ring, ester = molecule("C6H6"), molecule("HCOOCH3")
    ester.translate([0.0, 0.0, 3.3] - ester.get_center_of_mass())
    frames = []
    for k in range(number):
        atoms = ring + ester
        atoms.rattle(0.05, seed=seed + k)
        frames.append(atoms)
    return frames


def load(folder=None, quick=False):
    """Return {name: list[Atoms]}: built here, or all *.xyz of a folder."""
    if folder:
        from ase.io import read

        return {path.stem: read(path, ":") for path in sorted(Path(folder).glob("*.xyz"))}
    if quick:
        return {"silicon8": [silicon(1)], "molecules2": molecules(2)}
    return {
        "silicon216": [silicon()],
        "water192": [water()],
        "copper256": [copper()],
        "molecules100": molecules(),
    }


def silicon_potential(references, quick=False):
    """Return a potential of silicon with this many references, fitted to built structures."""
    from sklearn.pipeline import make_pipeline

    import skpot

    X, y = labeled_silicon(*((4, 1) if quick else (30, 2)))
    soap = skpot.SOAP(cutoff=5.0, n_max=8, l_max=6, sigma=0.5)
    return make_pipeline(soap, skpot.SparseGPR(n_sparse=references)).fit(X, y)


def labeled_silicon(n_frames=100, repeat=2, seed=0):
    """Return rattled, strained silicon with energy, forces and stress of a pair potential.

    The labels only have to be consistent: cost does not depend on them.
    """
    import skpot
    from skpot.core.pairs import scatter
    from skpot.data import as_batch

    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n_frames):
        atoms = silicon(repeat, seed=seed + k)
        atoms.rattle(rng.uniform(0.02, 0.15), seed=seed + n_frames + k)
        strain = rng.normal(scale=0.02, size=(3, 3))
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        frames.append(atoms)
    batch = as_batch(frames)
    graph = batch.neighbors(5.0)
    r = np.linalg.norm(graph.pairs.vector, axis=1)
    pair_energy = 10.0 * np.exp(-2.0 * r) * (5.0 - r) ** 2  # smooth at 5 Å, shared by two atoms
    slope = -2.0 * pair_energy - 20.0 * np.exp(-2.0 * r) * (5.0 - r)
    gradient = (slope / r)[:, None] * graph.pairs.vector
    forces, virials = np.zeros((graph.n_atoms, 3)), np.zeros((len(graph), 6))
    scatter(graph.pairs, graph.atom_structure(), gradient, forces, virials)
    energy = np.add.reduceat(pair_energy, graph.pairs.start[batch.offsets[:-1]])
    stress = -virials / batch.volumes()[:, None]
    return frames, skpot.Targets(energy, np.split(forces, batch.offsets[1:-1]), stress)
