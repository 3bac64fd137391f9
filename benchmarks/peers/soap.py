"""SOAP of skpot beside that of a peer: values, and values with gradients, per atom.

Both run in child processes, in alternation, on the same structures, with n_max 8, l_max 6, cutoff
5 Å (switch 0.5 Å), atom width 0.5 Å. skpot's gradients are its dense Jacobian rows of positions and
strain; its pull-back, which is all that prediction needs, is given beside. Peers: featomic (strain
too where periodic), dscribe (positions, open systems only), quippy (positions). Ratios are of CPU
time, peer over skpot.

Without --peer-python only skpot runs.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from _common import arguments, emit, json_lines, machine, run_child, versions  # noqa: E402

OPTIONS = arguments(
    __doc__,
    peer=("featomic", "featomic, dscribe or quippy"),
    peer_python=(None, "Python of an environment with the peer"),
    systems=("", "folder of .xyz files instead of the built structures"),
    turns=(3, "processes of each program, in alternation"),
)
HERE = Path(__file__).resolve().parent


def run(python, worker, folder):
    """Return {(system, quantity): record} of one process."""
    command = [python, HERE / worker, "soap", folder, OPTIONS.rounds]
    records = json_lines(run_child(command, OPTIONS.threads)[0])
    return {(r["system"], r["quantity"]): r for r in records}


def version(python, worker):
    record = json_lines(run_child([python, HERE / worker, "version"])[0])[-1]
    return {record["name"]: record["version"]}


def main(folder):
    programs = {"skpot": (sys.executable, "_worker_skpot.py")}
    if OPTIONS.peer_python:
        programs[OPTIONS.peer] = (OPTIONS.peer_python, f"_worker_{OPTIONS.peer}.py")
    runs = {name: [] for name in programs}
    for _ in range(1 if OPTIONS.quick else OPTIONS.turns):
        for name, program in programs.items():
            runs[name].append(run(*program, folder))
    about = machine() | {"threads": OPTIONS.threads} | versions("skpot", "numpy", "numba")
    if OPTIONS.peer_python:
        about |= version(*programs[OPTIONS.peer])
    for system, quantity in runs["skpot"][0]:
        figures = {}
        for name, results in runs.items():
            if (system, quantity) in results[0]:
                figures[name] = median(r[system, quantity]["us_per_atom"] for r in results)
        record = {"bench": "soap peers", "system": system, "quantity": quantity}
        record["us_per_atom"] = figures
        if len(figures) == 2:
            record["peer"] = OPTIONS.peer
            record["peer_over_skpot"] = figures[OPTIONS.peer] / figures["skpot"]
        emit(record | about, OPTIONS.out)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        SYSTEMS = OPTIONS.systems
        if not SYSTEMS:
            SYSTEMS = Path(scratch)
            names = ["quick"] if OPTIONS.quick else []
            run_child([sys.executable, HERE / "_write_systems.py", SYSTEMS, *names])
        main(SYSTEMS)
