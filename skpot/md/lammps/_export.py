"""Fitted models as libraries that LAMMPS loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ... import __version__
from ...core import aot, evaluation, leverage
from ...data import as_batch
from ...data.elements import SYMBOLS
from ...lowering import CompiledPotential, compile, evaluation_by_steps, fitted_pipeline
from ...progress import step
from ._build import TOLERANCE, reference_structures, refuse_differences, write_library

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import PathLike

_SINGLE = 1e-3  # relative tolerance; features of a pipeline may be rounded to single precision


def export(
    model: Any, path: PathLike, cpu: str = "portable", grades: bool = False
) -> CompiledPotential:
    """Write a fitted potential as a library for ``pair_style skpot`` of LAMMPS.

    The library holds compiled code and the numbers of the model, and does not need Python. Any
    program can call it; skpot/core/model.c describes its C functions. Before it is written, the
    compiled model is compared with the pipeline, and the library with the compiled model, on a few
    structures.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or CompiledPotential
        The fitted model; see `skpot.compile`.
    path : str or Path
        The file. An existing one is replaced, but only if everything succeeds.
    cpu : str, default="portable"
        The processors to compile for. "portable" is x86-64-v2, -v3 and -v4, that is Intel and AMD
        since about 2009, 2013 and 2017, in one library, or all of 64-bit ARM; when the library is
        loaded, it takes the newest that runs there. "host" is this machine's processor alone,
        "aarch64" 64-bit ARM on Linux, which needs a cross compiler elsewhere and is not compared
        with the model there. Other names, such as "x86-64-v3" and "znver4", are those of LLVM.
    grades : bool, default=False
        Whether the library can compute extrapolation grades of atoms, see `skpot.compile`. LAMMPS
        gets them by ``fix grade all pair 10 skpot grade 1``.

    Returns
    -------
    potential : CompiledPotential
        The compiled model.

    Raises
    ------
    NotCompilableError
        If a step of the pipeline has no compiled form.
    OSError
        If there is no C compiler, or the file cannot be written.
    ValueError
        If the processor is unknown.
    RuntimeError
        If the results of the library differ from those of the model.
    """
    ready = isinstance(model, CompiledPotential)
    step("  translating the model to one function")
    potential = model if ready else compile(model, grades=grades)
    unknown = np.isnan(potential.potential.e0)
    if not ready:
        step("  comparing the translation with the model")
        batch = as_batch(reference_structures(potential.species[~unknown]))
        other = evaluation_by_steps(model)(batch)
        refuse_differences("compiled form", potential.evaluate(batch), other, _SINGLE)
    source = aot.Source(
        evaluation.evaluate,
        evaluation.work_size,
        potential.potential,
        potential.cutoff,
        potential.species.tolist(),
        ["" if u else SYMBOLS[z] for z, u in zip(potential.species, unknown, strict=True)],
        f"skpot {__version__}, {_outline(model)}",
    )
    if potential.graded is not None:
        source = source._replace(
            evaluate=leverage.evaluate,
            work_size=leverage.work_size,
            model=potential.graded,
            grade=leverage.grade,
            grade_size=leverage.grade_size,
        )
    # Processors round sums in single precision differently.
    tolerance = _SINGLE if potential.dtype == "float32" else TOLERANCE
    write_library(source, path, lambda batch: _results(potential, batch), cpu, tolerance)
    return potential


def _outline(model):
    """Return the names of the steps of a model."""
    if isinstance(model, CompiledPotential):
        return "compiled potential"
    return " + ".join(type(step).__name__ for _, step in fitted_pipeline(model).steps)


def _results(potential, batch):
    """Return energies, forces, virials and, if the potential has them, grades of structures."""
    results = potential.evaluate(batch)
    if potential.graded is None:
        return results
    pairs = batch.neighbors(potential.cutoff).pairs
    return *results, potential.grade_pairs(pairs, potential.species_index(batch.numbers))
