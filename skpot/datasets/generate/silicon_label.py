"""Label silicon frames with PBE energies, forces and stress by GPAW (plane waves).

Usage: python silicon_label.py sampled.xyz labeled/ [--reverse]
       python silicon_label.py --check sampled.xyz

One file per frame is written to the directory ``labeled``; frames that are there are
not computed again, so a run can be interrupted, continued, or shared between two
processes (one of them with ``--reverse``). ``--check`` compares forces and stress of
one rattled frame with finite differences of the energy and with finer settings instead.
"""

import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from gpaw import GPAW, PW, Davidson, FermiDirac, KohnShamConvergenceError, Mixer

CUTOFF = 300  # eV
KPOINTS = (4, 4, 4)  # Monkhorst-Pack: 32 points after time reversal
WIDTH = 0.05  # eV, Fermi-Dirac
ATOM_BOX = (10.0, 10.6, 11.3)  # Angstrom


def calculator(cutoff=CUTOFF, kpoints=KPOINTS):
    """Return the calculator used for all periodic frames."""
    return GPAW(
        # "estimate" corrects the stress for the finite, fixed cutoff, so that it is
        # the derivative of the stored energies.
        mode=PW(cutoff, dedecut="estimate"),
        xc="PBE",
        kpts=kpoints,
        nbands=20,
        occupations=FermiDirac(WIDTH),
        symmetry={"point_group": False},
        eigensolver=Davidson(1),
        mixer=Mixer(0.5, 8, 1),
        convergence={"density": 5e-5},
        maxiter=120,
        txt=None,
    )


def label(atoms, **settings):
    """Return the free energy, the forces and the stress."""
    atoms = atoms.copy()
    atoms.calc = calculator(**settings)
    # force_consistent: the free energy, of which the forces are the derivative.
    energy = atoms.get_potential_energy(force_consistent=True)
    return energy, atoms.get_forces(), atoms.get_stress()


def label_atom(atoms):
    """Return the energy of the spin-polarized isolated atom."""
    atoms = atoms.copy()
    atoms.set_cell(ATOM_BOX)
    atoms.center()
    atoms.calc = GPAW(
        mode=PW(CUTOFF),
        xc="PBE",
        hund=True,
        occupations={"name": "fermi-dirac", "width": 0.0, "fixmagmom": True},
        maxiter=300,
        txt=None,
    )
    return atoms.get_potential_energy(force_consistent=True), np.zeros((1, 3)), None


def energy_of(atoms):
    """Return the free energy alone."""
    atoms.calc = calculator()
    return atoms.get_potential_energy(force_consistent=True)


def check(source, step=0.01, strain=0.01):
    """Print convergence and analytic against central-difference labels of a rattled frame."""
    frame = next(f for f in read(source, ":") if f.info["group"] == "rattled-0.10-train")
    energy, forces, stress = label(frame)
    for settings in ({"cutoff": 400}, {"kpoints": (6, 6, 6)}):
        e, f, s = label(frame, **settings)
        print(
            f"{settings}: energy {1e3 * (e - energy) / len(frame):+.2f} meV/atom, "
            f"forces {abs(f - forces).max():.5f}, stress {abs(s - stress).max():.6f}",
            flush=True,
        )
    for i, c in ((0, 0), (2, 1), (5, 2), (7, 0)):
        energies = []
        for sign in (1, -1):
            moved = frame.copy()
            moved.positions[i, c] += sign * step
            energies.append(energy_of(moved))
        numerical = -(energies[0] - energies[1]) / (2 * step)
        print(f"force {i} {c}: {forces[i, c]:.5f} numerical {numerical:.5f}", flush=True)
    for k, (p, q) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        energies = []
        for sign in (1, -1):
            deformation = np.eye(3)
            deformation[p, q] += sign * strain / 2
            deformation[q, p] += sign * strain / 2
            moved = frame.copy()
            moved.set_cell(moved.cell @ deformation, scale_atoms=True)
            energies.append(energy_of(moved))
        numerical = (energies[0] - energies[1]) / (2 * strain) / frame.get_volume()
        print(f"stress {k}: {stress[k]:.6f} numerical {numerical:.6f}", flush=True)


def main(source, directory, reverse=False):
    directory = Path(directory)
    directory.mkdir(exist_ok=True)
    info = {"config_type": "isolated_atom", "group": "isolated_atom", "part": "train"}
    frames = read(source, ":")
    frames.append(Atoms("Si", info={**info, "frame": len(frames)}))
    for frame in reversed(frames) if reverse else frames:
        path = directory / f"frame_{frame.info['frame']:04d}.xyz"
        if path.exists():
            continue
        start, cpu = time.time(), time.process_time()
        try:
            energy, forces, stress = (label_atom if len(frame) == 1 else label)(frame)
        except KohnShamConvergenceError:
            print(path.name, "not converged, dropped", flush=True)
            continue
        results = {"energy": energy, "forces": forces}
        if stress is not None:
            results["stress"] = stress
        frame.calc = SinglePointCalculator(frame, **results)
        frame.info["cpu_seconds"] = round(time.process_time() - cpu, 2)
        if not path.exists():
            write(path, frame, format="extxyz")
        print(path.name, frame.info["group"], energy, round(time.time() - start, 1), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(sys.argv[2])
    else:
        main(sys.argv[1], sys.argv[2], "--reverse" in sys.argv)
