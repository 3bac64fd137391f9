"""Label ethanol geometries with PBE/def2-SVP energies and forces by PySCF.

Usage: python ethanol_label.py sampled.xyz labeled.xyz
       python ethanol_label.py --check sampled.xyz

Every labeled frame is appended at once; a restart continues after the last one.
``--check`` compares forces with finite differences of the energy instead.
"""

import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.units import Bohr, Hartree
from pyscf import dft, gto

GRID_LEVEL = 3
CONV_TOL = 1e-9  # Hartree
ATOM_SPIN = {"H": 1, "C": 2, "O": 2}  # unpaired electrons of the ground state


def solve(atoms, spin=0):
    """Return a converged Kohn-Sham object, or None if it did not converge."""
    mol = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)),
        basis="def2-svp",
        spin=spin,
        verbose=0,
    )
    density = fit = None
    for level, tolerance in ((0, 1e-4), (GRID_LEVEL, CONV_TOL)):  # a coarse start saves time
        ks = (dft.UKS if spin else dft.RKS)(mol, xc="pbe").density_fit()
        if fit is not None:
            ks.with_df = fit
        ks.grids.level = level
        ks.conv_tol = tolerance
        ks.kernel(density)
        density, fit = ks.make_rdm1(), ks.with_df
    return ks if ks.converged else None


def label(atoms):
    """Return (energy, forces) in eV and eV/Angstrom, or None."""
    ks = solve(atoms)
    if ks is None:
        return None
    gradient = ks.nuc_grad_method()
    gradient.grid_response = True
    return ks.e_tot * Hartree, -gradient.kernel() * Hartree / Bohr


def check(atoms, step=0.001):
    """Print the largest force error against central differences, all 27 components."""
    forces = label(atoms)[1]
    numerical = np.zeros_like(forces)
    for i, c in np.ndindex(forces.shape):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, c] += sign * step
            numerical[i, c] -= sign * solve(moved).e_tot * Hartree / (2 * step)
    error = numerical - forces
    print(f"forces: max error {abs(error).max():.2e}, rms {np.sqrt((error**2).mean()):.2e} eV/A")
    print(f"largest force {abs(forces).max():.3f} eV/A, net force {abs(forces.sum(0)).max():.1e}")


def main(source, target):
    atoms_frames = []
    for symbol in ATOM_SPIN:
        info = {"config_type": "isolated_atom", "group": "isolated_atom", "part": "train"}
        atoms_frames.append(Atoms(symbol, positions=[[0, 0, 0]], info=info))
    frames = read(source, ":")
    for number, frame in enumerate(atoms_frames):
        frame.info["frame"] = len(frames) + number
    done = {f.info["frame"] for f in read(target, ":")} if Path(target).exists() else set()
    for frame in atoms_frames + frames:
        if frame.info["frame"] in done:
            continue
        start = time.process_time()
        if len(frame) == 1:
            ks = solve(frame, ATOM_SPIN[frame.get_chemical_symbols()[0]])
            result = None if ks is None else (ks.e_tot * Hartree, np.zeros((1, 3)))
        else:
            result = label(frame)
        seconds = time.process_time() - start
        if result is None:
            print(frame.info["frame"], "not converged, dropped", flush=True)
            continue
        frame.calc = SinglePointCalculator(frame, energy=result[0], forces=result[1])
        frame.info["cpu_seconds"] = round(seconds, 2)
        write(target, frame, format="extxyz", append=True)
        print(frame.info["frame"], frame.info["group"], result[0], round(seconds, 1), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(read(sys.argv[2], "40"))
    else:
        main(*sys.argv[1:])
