"""Regressors from atomic features to energies, forces and stress."""

from ..processes.draws import Draws, posterior_draws
from ..processes.expansion import Expansion, expand_together
from ..processes.linear_terms import LinearForms
from ..processes.networks import Networks
from ..rows.blocks import as_targets
from ..rows.features import as_features, refuse_others
from ..rows.finite import refuse_features
from ._atomic_mlp import AtomicMLP
from ._auto_gpr import AutoGPR
from ._gpr import GPR
from ._kernel_potential import KernelPotential
from ._linear_ridge import LinearRidge
from ._potential import Potential, check_return_std
from ._sparse_gpr import SparseGPR
from ._sparse_gpr_cv import SparseGPRCV
from ._symmetric_gpr import SymmetricGPR

__all__ = [
    "AtomicMLP",
    "AutoGPR",
    "Draws",
    "Expansion",
    "GPR",
    "KernelPotential",
    "LinearForms",
    "LinearRidge",
    "Networks",
    "Potential",
    "SparseGPR",
    "SparseGPRCV",
    "SymmetricGPR",
    "as_features",
    "as_targets",
    "check_return_std",
    "expand_together",
    "posterior_draws",
    "refuse_features",
    "refuse_others",
]
