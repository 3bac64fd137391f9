"""Libraries of compiled potentials, compared with the potential before they are written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from ..._paths import file_name
from ...core import aot
from ...core.pairs import scatter
from ...data import as_batch
from ...exceptions import EngineError, FileError, InputError
from ...persistence import whole_file
from ...progress import step
from ._library import UNFIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from skpot.typing import IntArray, PathLike

TOLERANCE = 1e-9  # of energies, forces and virials, relative to the largest of each
_RUN = "import sys; from skpot.md.lammps._library import run_files; run_files(*sys.argv[1:])"
_PACKAGES = str(Path(__file__).parents[3])


def write_library(
    source: Any,
    path: PathLike,
    reference: Callable[..., Any],
    cpu: str = "portable",
    tolerance: float = TOLERANCE,
) -> None:
    """Compile a library, compare it with the model, and write it to a file.

    What this machine cannot run, such as code for newer processors, is not compared.

    Parameters
    ----------
    source : core.aot.Source
        The functions and numbers of the library.
    path : str or Path
        The file. An existing one is replaced, but only if everything succeeds.
    reference : callable
        ``reference(batch)`` returns the results that the library must have: energies of atoms,
        forces, virials of structures, and extrapolation grades if the library has them.
    cpu : str
        The processors, see `core.aot.build`.
    tolerance : float, default=1e-9
        Largest difference from the results of the model, relative to the largest of each.

    Raises
    ------
    OSError
        If there is no C compiler, or `path` cannot be written.
    RuntimeError
        If the library crashes or its results differ from the reference.
    ValueError
        If this machine cannot run code for the processor that was named, or the name is unknown.
    """
    path = Path(file_name(path))
    if path.is_dir():
        raise FileError(f"{path} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise FileError(f"the folder {path.parent} for {path.name} does not exist.")
    known = [z for z, symbol in zip(source.numbers, source.symbols, strict=True) if symbol]
    batch = as_batch(reference_structures(known))
    with tempfile.TemporaryDirectory() as folder:
        step(f"  compiling the library, {cpu}")
        made = aot.build(source, folder, cpu)
        if not aot.is_foreign(made):
            step("  comparing the library with the model")
            results = _evaluated(made, source, batch, cpu)
            expected = reference(batch)
            for own in results:
                refuse_differences("library", own, expected, tolerance)
        with whole_file(path) as file:
            file.write(Path(made).read_bytes())


def refuse_differences(what: str, own: Any, reference: Any, tolerance: float) -> None:
    """Refuse energies, forces, virials or grades that differ from the reference."""
    names = ("energies", "forces", "virials", "grades")[: len(own)]
    for name, a, b in zip(names, own, reference, strict=True):
        error, scale = np.abs(a - b).max(), np.abs(b).max()
        if not error <= tolerance * max(scale, 1.0):  # also if it is NaN
            raise EngineError(
                f"the {name} of the {what} differ by {error:.3g} from those of the model, which go "
                f"up to {scale:.3g}; nothing was written. This is a defect of skpot or of a "
                "compiler: please report it."
            )


def reference_structures(numbers: Sequence[int] | IntArray) -> list[Atoms]:
    """Return structures with all these species: a crystal, a cluster and an isolated atom."""
    rng = np.random.default_rng(0)
    size = max(2, int(np.ceil((2 * len(numbers)) ** (1 / 3))))
    grid = np.indices((size,) * 3).reshape(3, -1).T
    numbers = rng.permutation(np.resize(numbers, len(grid)))
    spacing = 2.2 * covalent_radii[numbers].mean()
    positions = spacing * (grid + rng.uniform(-0.1, 0.1, grid.shape))
    cell = spacing * (size * np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
    return [
        Atoms(numbers, positions, cell=cell, pbc=True),
        Atoms(numbers, positions),
        Atoms(numbers[:1], positions[:1]),
    ]


def _evaluated(library, source, batch, cpu):
    """Return the results of all code of a library that runs here.

    They are from a process of its own, since the library might crash.
    """
    graph = batch.neighbors(source.cutoff)
    pairs = graph.pairs
    index = np.full(max(source.numbers) + 1, -1)
    index[list(source.numbers)] = np.arange(len(source.numbers))
    given, found = library.with_name("given.npz"), library.with_name("found.npz")
    np.savez(given, **pairs._asdict(), species=index[batch.numbers])
    _run(library, given, found, cpu)
    results = []
    with np.load(found) as arrays:
        variants = zip(*(arrays[k] for k in ("energies", "gradient", "grades")), strict=True)
        for energies, gradient, grades in variants:
            forces, virials = np.zeros((graph.n_atoms, 3)), np.zeros((len(graph), 6))
            scatter(pairs, graph.atom_structure(), gradient, forces, virials)
            results.append((energies, forces, virials, *([grades] if source.grade else [])))
    return results


def _run(library, given, found, cpu):
    """Run a library in a process of its own."""
    path = os.pathsep.join([_PACKAGES, os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", _RUN, library, given, found],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode in (-signal.SIGILL, UNFIT) and cpu != "host":
        raise InputError(
            f"this machine cannot run code for {cpu}, so the library cannot be compared with the "
            "model; nothing was written. Export on such a machine, or without naming a processor."
        )
    if result.returncode:
        problem = result.stderr.strip().splitlines()[-1:] or [f"signal {-result.returncode}"]
        raise EngineError(f"the library crashes: {problem[0]}. Nothing was written.")
