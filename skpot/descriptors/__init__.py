"""Transformers from structures to `AtomicFeatures`."""

from ._base import PairDescriptor
from ._cache import DescriptorCache, descriptor_cache
from ._coulomb_matrix import CoulombMatrix
from ._inverse_distances import InverseDistances
from ._pair_basis import PairBasis
from ._soap import SOAP
from ._symmetry_files import read_n2p2, read_simple_nn
from ._symmetry_functions import SymmetryFunctions
from ._symmetry_sets import SymmetryFunction
from ._triplet_basis import TripletBasis
from ._zbl import ZBL

__all__ = [
    "CoulombMatrix",
    "DescriptorCache",
    "InverseDistances",
    "PairBasis",
    "PairDescriptor",
    "SOAP",
    "SymmetryFunction",
    "SymmetryFunctions",
    "TripletBasis",
    "ZBL",
    "descriptor_cache",
    "read_n2p2",
    "read_simple_nn",
]
