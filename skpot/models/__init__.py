"""Regressors from atomic features to energies, forces and stress."""

from ._sparse_gpr import SparseGPR

__all__ = ["SparseGPR"]
