"""Steps between a descriptor and a regressor, and models that are made of other models."""

from ._calibrated import CalibratedPotential
from ._committee import Committee
from ._delta import DeltaRegressor
from ._distill import distill
from ._jacobians import register_jacobian
from ._make_potential import make_potential
from ._per_atom import PerAtom
from ._per_structure import PerStructure
from ._principal import PrincipalComponents
from ._species_coupling import SpeciesCoupling

__all__ = [
    "CalibratedPotential",
    "Committee",
    "DeltaRegressor",
    "PerAtom",
    "PerStructure",
    "PrincipalComponents",
    "SpeciesCoupling",
    "distill",
    "make_potential",
    "register_jacobian",
]
