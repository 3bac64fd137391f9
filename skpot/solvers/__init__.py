"""Linear algebra on rows that arrive in blocks, or on products alone."""

from ._conjugate_gradients import DivergenceError, LowRankInverse, conjugate_gradients, gram_factor
from ._directions import directions_of_products, leading_directions
from ._evidence import Evidence, maximize_evidence
from ._gram import Products, gram, rows_times
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
    "Products",
    "TriangularFactor",
    "best_noise",
    "conjugate_gradients",
    "directions_of_products",
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
