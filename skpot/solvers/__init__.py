"""Linear algebra on rows that arrive in blocks."""

from ._triangular import TriangularFactor, jittered_cholesky

__all__ = ["TriangularFactor", "jittered_cholesky"]
