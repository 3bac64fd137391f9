"""Descriptors of skpot beside those of a peer: values, and values with gradients, per atom.

Both run in child processes, in alternation, on the same structures. SOAP: n_max 8, l_max 6, cutoff
5 Å (switch 0.5 Å), atom width 0.5 Å; symmetry functions: 8 G2 for each species and 8 G4 for each
pair of species. skpot's gradients are its dense Jacobian rows of positions and strain. Its
pull-back to forces and virial, which is what one force evaluation needs, stands beside the peer's
gradients, which are what the peer needs for it. Peers: featomic (strain too where periodic),
dscribe (positions, open systems only; symmetry functions without gradients), quippy
(positions). Ratios are of CPU time, peer over skpot.

Without --peer-python only skpot runs.
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
    descriptor=("soap", "soap or symmetry_functions"),
    peer=("featomic", "featomic, dscribe or quippy"),
    peer_python=(None, "Python of an environment with the peer"),
    systems=("", "folder of .xyz files instead of the built structures"),
    turns=(3, "processes of each program, in alternation"),
)
HERE = Path(__file__).resolve().parent
# What the peer computes where skpot does something else for the same end; dscribe's symmetry
# functions have no gradients.
COUNTERPARTS = {
    "soap": {"values+pull-back": "values+gradients"},
    "symmetry_functions": {"values+pull-back": "values"},
}
# Columns of SOAP for s species: pairs of channels, each once; featomic has both orders within a
# species, in place of a factor of the root of two, and quippy a last column of its own.
N_FEATURES = {
    "skpot": lambda s: 7 * 8 * s * (8 * s + 1) // 2,
    "dscribe": lambda s: 7 * 8 * s * (8 * s + 1) // 2,
    "quippy": lambda s: 7 * 8 * s * (8 * s + 1) // 2 + 1,
    "featomic": lambda s: 7 * 64 * s * (s + 1) // 2,
}
# Peers whose values are skpot's but for factors. quippy's basis is another one and normalized, and
# dscribe's SOAP has no cutoff function: it counts atoms beyond the cutoff too.
SAME_VALUES = {("soap", "featomic"), ("symmetry_functions", "dscribe")}


def check_alike(ours, peer, what):
    """Stop unless skpot and a peer computed the same functions of the same atoms."""
    refuse_other_facts(ours, peer, what)
    for name, record in {"skpot": ours, OPTIONS.peer: peer}.items():
        s = record["n_species"]
        wanted = 8 * s + 8 * s * (s + 1) // 2
        if OPTIONS.descriptor == "soap":
            wanted = N_FEATURES[name](s)
        if record["n_features"] != wanted:
            sys.exit(f"{what}: {name} has {record['n_features']} features instead of {wanted}")
    if (OPTIONS.descriptor, OPTIONS.peer) in SAME_VALUES:
        ratio = peer["norm"] / ours["norm"]
        if abs(ratio - 1.0) > 1e-5:
            sys.exit(f"{what}: the peer's values are {ratio} times as large, others are computed")


def run(python, worker, folder):
    """Return {(system, quantity): record} of one process."""
    command = [python, HERE / worker, OPTIONS.descriptor, folder, OPTIONS.rounds]
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
        other = COUNTERPARTS[OPTIONS.descriptor].get(quantity, quantity)
        for name, results in runs.items():
            key = system, quantity if name == "skpot" else other
            if key in results[0]:
                if name != "skpot":
                    check_alike(runs["skpot"][0][system, quantity], results[0][key], system)
                figures[name] = median(r[key]["us_per_atom"] for r in results)
        record = {"bench": f"{OPTIONS.descriptor} peers", "system": system, "quantity": quantity}
        record["us_per_atom"] = figures
        own = median(r[system, "values"]["us_per_atom"] for r in runs["skpot"])
        record["over_own_values"] = figures["skpot"] / own
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
