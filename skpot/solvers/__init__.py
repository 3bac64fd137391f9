"""Linear algebra on rows that arrive in blocks, or on products alone."""

from ._conjugate_gradients import DivergenceError, LowRankInverse, conjugate_gradients, gram_factor
from ._directions import leading_directions
from ._evidence import Evidence, maximize_evidence
from ._gram import gram, rows_times
from ._marginal_likelihood import (
    DenseLikelihood,
    FactorLikelihood,
    best_noise,
    maximize_likelihood,
)
from ._pivoted_cholesky import pivoted_columns
from ._threads import serial_blas, tile_threads
from ._triangular import TriangularFactor, inverse_diagonal, jittered_cholesky, refuse_not_finite

__all__ = [
    "DenseLikelihood",
    "DivergenceError",
    "Evidence",
    "FactorLikelihood",
    "LowRankInverse",
    "TriangularFactor",
    "best_noise",
    "conjugate_gradients",
    "gram",
    "gram_factor",
    "inverse_diagonal",
    "jittered_cholesky",
    "leading_directions",
    "maximize_evidence",
    "maximize_likelihood",
    "pivoted_columns",
    "refuse_not_finite",
    "rows_times",
    "serial_blas",
    "tile_threads",
]
