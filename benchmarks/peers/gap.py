"""skpot beside gap_fit and quippy: one fit on the same structures, then the same predictions.

The folder --data holds <name>_train100.xyz and <name>_test.xyz with dft_energy, dft_forces and
dft_virial. Both programs run in child processes, in alternation, on one thread, with the same
hyperparameters: n_max 8, l_max 6, cutoff 5 Å (switch 0.5 Å), atom width 0.5 Å, zeta 4, noise 2
meV/atom and 0.1 eV/Å. gap_fit's 0.05 eV virial noise per atom is matched by skpot's default stress
noise. CPU and peak memory are those of whole processes, start and reading included; skpot compiles
in an extra fit before the first one that counts. Both must have read all labels of the training
file, of each kind: a program that does not stops the comparison.

Without --peer-python only skpot runs.
"""

import re
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from _common import arguments, emit, json_lines, machine, run_child, usual, versions  # noqa: E402
from peers._work import refuse_other_facts  # noqa: E402

OPTIONS = arguments(
    __doc__,
    **usual(data="", references=1000),
    peer_python=(None, "Python of an environment with quippy-ase"),
    name=("Si", "which files"),
    system=("", "folder whose first .xyz the prediction is timed on"),
    peer_fits=(1, "fits by gap_fit"),
    fits=(3, "fits by skpot"),
)
HERE = Path(__file__).resolve().parent
DATA = Path(OPTIONS.data).resolve()
TRAIN, TEST = DATA / f"{OPTIONS.name}_train100.xyz", DATA / f"{OPTIONS.name}_test.xyz"


def labels_given(path):
    """Count the labels of a file by their kind."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = dict.fromkeys(("energy", "forces", "stress"), 0)
    row = 0
    while row < len(lines):
        n_atoms, header = int(lines[row]), lines[row + 1]
        found["energy"] += "dft_energy=" in header
        found["forces"] += 3 * n_atoms * (":dft_forces:R:3" in header)
        found["stress"] += 6 * ("dft_virial=" in header)
        row += n_atoms + 2
    return found


def labels_of_gap_fit(output):
    """Return the numbers of labels that gap_fit reports to have read."""
    names = {"energy": "energies", "forces": "forces", "stress": "virials"}
    pattern = r"Number of target {} .*found:\s*(\d+)"
    found = {kind: re.search(pattern.format(name), output) for kind, name in names.items()}
    return {kind: int(match.group(1)) if match else None for kind, match in found.items()}


def check_labels(program, read, path):
    """Stop if a program learns from, or is tested on, other labels than a file has."""
    given = labels_given(path)
    about = {"bench": "gap", "program": program, "quantity": "labels", "file": path.name}
    emit(about | {"read": read, "given": given})
    if read != given:
        sys.exit(
            f"{program} has read {read} of {path.name}, which has {given}: this is no comparison "
            "of like with like"
        )


def gap_fit(model):
    program = Path(OPTIONS.peer_python).parent / "gap_fit"
    soap = (
        "soap l_max=6 n_max=8 atom_sigma=0.5 cutoff=5.0 cutoff_transition_width=0.5 zeta=4 "
        f"covariance_type=dot_product n_sparse={OPTIONS.references} sparse_method=cur_points "
        "delta=1.0 add_species=T"
    )
    command = [
        program,
        f"at_file={TRAIN}",
        f"gap={{{soap}}}",
        "default_sigma={0.002 0.1 0.05 0.0}",
        "e0_method=average",
        "energy_parameter_name=dft_energy",
        "force_parameter_name=dft_forces",
        "virial_parameter_name=dft_virial",
        "config_type_parameter_name=none",
        "do_copy_at_file=F",
        "sparse_separate_file=T",
        f"gp_file={model}",
        "rnd_seed=1",
    ]
    output, used = run_child(command, OPTIONS.threads, cwd=model.parent)
    check_labels("gap_fit", labels_of_gap_fit(output), TRAIN)
    return used


def skpot_fit(model):
    worker = [sys.executable, HERE / "_worker_skpot.py", "fit"]
    output, used = run_child([*worker, TRAIN, OPTIONS.references, model], OPTIONS.threads)
    inside = json_lines(output)[-1]
    check_labels("skpot", inside["labels"], TRAIN)
    return used | {"fit_call_cpu_s": inside["cpu_s"], "before_mb": inside["before_mb"]}


def predictions(python, worker, model, rounds):
    command = [python, HERE / worker, "predict", model, TEST, SYSTEM, rounds]
    found = {r.pop("quantity"): r for r in json_lines(run_child(command, OPTIONS.threads)[0])}
    check_labels(worker, found["errors"].pop("labels"), TEST)
    return found


def version(python, worker):
    record = json_lines(run_child([python, HERE / worker, "version"])[0])[-1]
    return {record["name"]: record["version"]}


def middle(runs):
    """Return the median of each figure."""
    return {key: median(run[key] for run in runs) for key in runs[0]}


def ratio(peer, ours, *keys):
    for key in keys:
        peer, ours = peer[key], ours[key]
    return peer / ours


def main(folder):
    if not OPTIONS.quick:
        skpot_fit(folder / "warm.joblib")
    ours, theirs = [], []
    for k in range(max(OPTIONS.fits, OPTIONS.peer_fits if OPTIONS.peer_python else 0)):
        if k < OPTIONS.fits:
            ours.append(skpot_fit(folder / "skpot.joblib"))
            emit({"bench": "gap", "program": "skpot", "quantity": "fit", **ours[-1]})
        if OPTIONS.peer_python and k < OPTIONS.peer_fits:
            theirs.append(gap_fit(folder / "gap.xml"))
            emit({"bench": "gap", "program": "gap_fit", "quantity": "fit", **theirs[-1]})
    about = machine() | {"threads": OPTIONS.threads} | versions("skpot", "numpy", "numba")
    skpot = predictions(sys.executable, "_worker_skpot.py", folder / "skpot.joblib", OPTIONS.rounds)
    skpot["fit"] = middle(ours)
    record = {"bench": "gap", "data": OPTIONS.name, "references": OPTIONS.references, **about}
    if not OPTIONS.peer_python:
        emit(record | {"skpot": skpot}, OPTIONS.out)
        return
    rounds = min(5, OPTIONS.rounds)
    gap = predictions(OPTIONS.peer_python, "_worker_quippy.py", folder / "gap.xml", rounds)
    gap["fit"] = middle(theirs)
    evaluation = "energy+forces+stress"
    refuse_other_facts(skpot[evaluation], gap[evaluation], "quippy")
    ratios = {
        "fit CPU": ratio(gap, skpot, "fit", "cpu_s"),
        "fit memory": ratio(gap, skpot, "fit", "peak_mb"),
        "prediction": ratio(gap, skpot, evaluation, "us_per_atom"),
        "energy error": ratio(gap, skpot, "errors", "energy_meV_atom"),
        "forces error": ratio(gap, skpot, "errors", "forces_eV_A"),
        "stress error": ratio(gap, skpot, "errors", "stress_GPa"),
    }
    record |= version(OPTIONS.peer_python, "_worker_quippy.py")
    emit(record | {"skpot": skpot, "gap_fit": gap, "peer_over_skpot": ratios}, OPTIONS.out)


if __name__ == "__main__":
    if not OPTIONS.data:
        sys.exit("name the folder that holds the training and test files with --data")
    with tempfile.TemporaryDirectory() as scratch:
        SYSTEM = OPTIONS.system
        if not SYSTEM:
            SYSTEM = Path(scratch) / "system"
            names = ["quick", "silicon8"] if OPTIONS.quick else ["silicon216"]
            run_child([sys.executable, HERE / "_write_systems.py", SYSTEM, *names])
        main(Path(scratch))
