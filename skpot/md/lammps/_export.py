"""Fitted models as libraries that LAMMPS loads."""

import numpy as np

from ... import __version__
from ...core import aot, evaluation
from ...data._elements import SYMBOLS
from .._compiled import CompiledPotential, compile, fitted_pipeline, transformed
from ._build import write_library


def export(model, path, cpu="host"):
    """Write a fitted potential as a library for ``pair_style skpot`` of LAMMPS.

    The library holds compiled code and the model's numbers and needs nothing of Python. Any program
    can call it: skpot/core/model.c describes its C functions. It is compared with the model on a
    few structures before it is written.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or CompiledPotential
        Fitted; see `skpot.compile`.
    path : str or Path
        The file; an existing one is replaced, and left alone if anything goes wrong.
    cpu : str, default="host"
        The processor it is for: this machine's, or a name such as "x86-64-v3" or "znver4".

    Returns
    -------
    symbols : list of str
        The elements it knows.
    cutoff : float
        In Å.

    Raises
    ------
    NotCompilableError
        If a step of the pipeline has no compiled form.
    OSError
        If there is no C compiler, or the file cannot be written.
    ValueError
        If the processor is unknown.
    """
    potential = model if isinstance(model, CompiledPotential) else compile(model)
    known = ~np.isnan(potential.potential.e0)
    symbols = [SYMBOLS[z] if k else "" for z, k in zip(potential.species, known)]
    elements = [symbol for symbol in symbols if symbol]
    source = aot.Source(
        evaluation.evaluate,
        evaluation.work_size,
        potential.potential,
        potential.cutoff,
        potential.species.tolist(),
        symbols,
        f"skpot {__version__}, {_outline(model)}, compiled for {cpu}",
    )
    write_library(source, path, _reference(model), cpu)
    return elements, potential.cutoff


def _outline(model):
    """Return what a model is made of, in a few words."""
    if isinstance(model, CompiledPotential):
        return "compiled potential"
    return " + ".join(type(step).__name__ for _, step in fitted_pipeline(model).steps)


def _reference(model):
    """Return the function that evaluates structures by the steps of a pipeline themselves."""
    if isinstance(model, CompiledPotential):
        return model.evaluate
    regressor = fitted_pipeline(model)[-1]
    return lambda batch: regressor.evaluate(transformed(model, batch))
