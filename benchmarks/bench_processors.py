"""What newer processors gain from an exported model, and what exporting costs.

Silicon with one library for several generations of processors, each of which is made to run here.
"""

import tempfile
from pathlib import Path

from _common import arguments, emit, measure, report_machine

OPTIONS = arguments(__doc__, references=(1000, "n_sparse"))

import _systems  # noqa: E402
import numpy as np  # noqa: E402

from skpot.data import as_batch  # noqa: E402
from skpot.md.lammps import export  # noqa: E402
from skpot.md.lammps._library import Library  # noqa: E402


def exports(model, folder):
    """Export for all processors and for this one; return the library for all."""
    for cpu in ("portable", "host"):
        path = Path(folder) / f"{cpu}.so"
        _, spent = measure(lambda: export(model, path, cpu), 1, warm_up=1)  # noqa: B023
        mb = path.stat().st_size / 1e6
        emit({"bench": "lammps export", "cpu": cpu, **spent, "mb": mb}, OPTIONS.out)
    return Path(folder) / "portable.so"


def processors(path):
    """Measure the code for each processor that runs here."""
    library = Library(path)
    atoms = _systems.silicon(5)
    pairs = as_batch([atoms]).neighbors(library.cutoff).pairs
    species = np.zeros(len(atoms), dtype=np.int64)
    for variant, lacking in library.variants.items():
        if lacking is not None:
            continue
        library.choose(variant)
        _, spent = measure(lambda: library.evaluate(pairs, species), OPTIONS.rounds)
        cost = spent["cpu_s"] / len(atoms) * 1e6
        record = {"bench": "lammps processors", "variant": variant, "us_per_atom": cost}
        emit(record | {"atoms": len(atoms), "rounds": OPTIONS.rounds}, OPTIONS.out)


def main():
    report_machine(OPTIONS, "lammps", rates=False)
    model = _systems.silicon_potential(OPTIONS.references, OPTIONS.quick)
    with tempfile.TemporaryDirectory() as folder:
        processors(exports(model, folder))


if __name__ == "__main__":
    main()
