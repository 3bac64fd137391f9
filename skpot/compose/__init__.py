"""Ordinary scikit-learn steps between a descriptor and a regressor."""

from ._jacobians import register_jacobian
from ._per_atom import PerAtom
from ._per_structure import PerStructure

__all__ = ["PerAtom", "PerStructure", "register_jacobian"]
