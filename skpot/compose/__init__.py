"""Ordinary scikit-learn steps between a descriptor and a regressor."""

from ._jacobians import register_jacobian
from ._make_potential import make_potential
from ._per_atom import PerAtom
from ._per_structure import PerStructure
from ._principal import PrincipalComponents

__all__ = ["PerAtom", "PerStructure", "PrincipalComponents", "make_potential", "register_jacobian"]
