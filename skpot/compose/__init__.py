"""Ordinary scikit-learn steps between a descriptor and a regressor."""

from ._jacobians import register_jacobian
from ._per_atom import PerAtom

__all__ = ["PerAtom", "register_jacobian"]
