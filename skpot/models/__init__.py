"""Regressors from atomic features to energies, forces and stress."""

from ._auto_gpr import AutoGPR
from ._gpr import GPR, KernelRidge
from ._sparse_gpr import SparseGPR

__all__ = ["AutoGPR", "GPR", "KernelRidge", "SparseGPR"]
