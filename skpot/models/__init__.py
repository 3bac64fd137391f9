"""Regressors from atomic features to energies, forces and stress."""

from ..processes.expansion import Expansion
from ..rows.blocks import as_targets
from ..rows.features import as_features, refuse_others
from ..rows.finite import refuse_features
from ._auto_gpr import AutoGPR
from ._gpr import GPR, KernelRidge
from ._linear_ridge import LinearRidge
from ._potential import KernelPotential, check_return_std
from ._sparse_gpr import SparseGPR
from ._sparse_gpr_cv import SparseGPRCV
from ._symmetric_gpr import SymmetricGPR

__all__ = [
    "AutoGPR",
    "Expansion",
    "GPR",
    "KernelPotential",
    "KernelRidge",
    "LinearRidge",
    "SparseGPR",
    "SparseGPRCV",
    "SymmetricGPR",
    "as_features",
    "as_targets",
    "check_return_std",
    "refuse_features",
    "refuse_others",
]
