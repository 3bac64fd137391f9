"""Linear algebra on rows that arrive in blocks, or on products alone."""

from ._conjugate_gradients import DivergenceError, LowRankInverse, conjugate_gradients
from ._evidence import Evidence, maximise_evidence
from ._triangular import TriangularFactor, jittered_cholesky

__all__ = [
    "DivergenceError",
    "Evidence",
    "LowRankInverse",
    "TriangularFactor",
    "conjugate_gradients",
    "jittered_cholesky",
    "maximise_evidence",
]
