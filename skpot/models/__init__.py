"""Regressors from atomic features to energies, forces and stress."""

from ._auto_gpr import AutoGPR
from ._gpr import GPR, KernelRidge
from ._linear_ridge import LinearRidge
from ._sparse_gpr import SparseGPR
from ._sparse_gpr_cv import SparseGPRCV
from ._symmetric_gpr import SymmetricGPR

__all__ = [
    "AutoGPR",
    "GPR",
    "KernelRidge",
    "LinearRidge",
    "SparseGPR",
    "SparseGPRCV",
    "SymmetricGPR",
]
