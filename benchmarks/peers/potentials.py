"""Energy, forces and stress of whole potentials, per atom and step, beside the peers in one run.

Silicon, 216 atoms, one thread. skpot is fitted to <name>_train100.xyz of --data with n_max 8, l_max
6, cutoff 5 Å, 1000 references and zeta 4, and runs as ASE calculator (float64 and float32) and in
LAMMPS (the exported model). GAP is quippy's with a model file of the same sizes; LAMMPS runs its
own SNAP (2J = 8); NEP has random numbers. Rounds of all programs alternate; medians of CPU times.

The plugin of LAMMPS must have been built (`skpot lammps build-plugin`).
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from _common import arguments, emit, json_lines, machine, run_child, versions  # noqa: E402
from peers._work import refuse_other_facts  # noqa: E402

OPTIONS = arguments(
    __doc__,
    data=("", "folder with the training and test files"),
    name=("Si", "which files"),
    references=(1000, "sparse points"),
    system=("", "folder whose first .xyz is evaluated"),
    peer_python=("", "Python of an environment with quippy-ase and calorine"),
    gap=("", "model file of GAP"),
    repeats=(3, "runs of every program"),
)
HERE = Path(__file__).resolve().parent
SNAP = "Si_Zuo_JPCA2020"


def jobs(folder):
    """Return the command of each program."""
    rounds = OPTIONS.rounds
    train, test = (f"{OPTIONS.data}/{OPTIONS.name}_{kind}.xyz" for kind in ("train100", "test"))
    ours = [sys.executable, HERE / "_worker_skpot.py"]
    run_child([*ours, "fit", train, OPTIONS.references, folder / "model.joblib"])
    run_child([*ours, "export", folder / "model.joblib", folder / "model.so"])
    styles = [
        f"skpot in LAMMPS:skpot {folder / 'model.so'}:Si",
        f"SNAP linear:snap:@{SNAP}.snapcoeff @{SNAP}.snapparam Si",
        f"SNAP quadratic:snap:@{SNAP}.quadratic.snapcoeff @{SNAP}.quadratic.snapparam Si",
    ]
    system = OPTIONS.system
    out = {
        "skpot": [*ours, "compiled", folder / "model.joblib", system, rounds],
        "lammps": [sys.executable, HERE / "_worker_lammps.py", system, rounds, *styles],
    }
    if OPTIONS.peer_python:
        python = OPTIONS.peer_python
        out["calorine"] = [python, HERE / "_worker_calorine.py", system, rounds, 6, 5]
        if OPTIONS.gap:
            worker = [python, HERE / "_worker_quippy.py", "predict", OPTIONS.gap, test]
            out["GAP"] = [*worker, system, min(5, rounds)]
    return out


def check_alike(records):
    """Stop unless all programs had the same atoms, and skpot and its library the same energy."""
    ours = records["skpot"]
    for name, record in records.items():
        refuse_other_facts(ours, record, name)
    difference = records["skpot in LAMMPS"]["energy"] - ours["energy"]
    if abs(difference) > 1e-6:
        sys.exit(f"the exported model's energy differs by {difference} eV per atom")
    emit({"bench": "potentials", "quantity": "energy per atom", "difference": difference})


def main(folder):
    found, records = {}, {}
    commands = jobs(folder)
    for _ in range(1 if OPTIONS.quick else OPTIONS.repeats):
        for name, command in commands.items():
            for record in json_lines(run_child(command, OPTIONS.threads)[0]):
                if "us_per_atom" in record:
                    quantity = "GAP" if name == "GAP" else record["quantity"]
                    found.setdefault(quantity, []).append(record["us_per_atom"])
                    records[quantity] = record
    check_alike(records)
    figures = {name: median(values) for name, values in found.items()}
    ours = figures["skpot"]
    emit(
        {
            "bench": "potentials",
            "us_per_atom": figures,
            "over_skpot": {name: value / ours for name, value in figures.items()},
            "references": OPTIONS.references,
            "threads": OPTIONS.threads,
        }
        | machine()
        | versions("skpot", "numpy", "numba", "lammps"),
        OPTIONS.out,
    )


if __name__ == "__main__":
    if not (OPTIONS.data and OPTIONS.system):
        sys.exit("name the folders with --data and --system")
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch))
