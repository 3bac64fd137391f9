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
from ._feature_trees import FeatureTree
from ._regressors import register_regressor
from ._simple_nn import simple_nn_text
from ._steps import register_step

__all__ = [
    "CompiledPotential",
    "Errors",
    "FeatureTree",
    "compile",
    "evaluation_by_steps",
    "fitted_pipeline",
    "predict_with",
    "register_regressor",
    "register_step",
    "simple_nn_text",
    "transformed",
]
