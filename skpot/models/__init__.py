"""Regressors from atomic features to energies, forces and stress."""

from ._gpr import GPR, KernelRidge
from ._sparse_gpr import SparseGPR

__all__ = ["GPR", "KernelRidge", "SparseGPR"]
