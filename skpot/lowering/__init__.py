"""A fitted pipeline as one function from pairs to energies, which all drivers share."""

from ._compiled import (
    CompiledPotential,
    Errors,
    compile,
    evaluation_by_steps,
    fitted_pipeline,
    predict_with,
    transformed,
)

__all__ = [
    "CompiledPotential",
    "Errors",
    "compile",
    "evaluation_by_steps",
    "fitted_pipeline",
    "predict_with",
    "transformed",
]
