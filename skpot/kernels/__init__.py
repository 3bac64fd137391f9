"""Covariance functions between atomic environments."""

from ._kernels import RBF, DotProduct

__all__ = ["RBF", "DotProduct"]
