"""Any descriptor, one center at a time, in compiled code that allocates nothing.

The type of the tables decides at compilation which descriptor is computed. `pairs` may hold pairs
beyond the cutoff of a descriptor: these add nothing.
"""

from . import _no_scratch, pair_basis, repulsion, soap, symmetry_functions, triplet_basis
from ._jit import variants
from .symmetry_tables import SymmetryTables

_MODULES = {
    soap.SoapTables: soap,
    SymmetryTables: symmetry_functions,
    pair_basis.PairTables: pair_basis,
    triplet_basis.TripletTables: triplet_basis,
    repulsion.RepulsionTables: repulsion,
}


def function_of(module, name):
    """Return a function of a module, by default that of descriptors that need no scratch."""
    return getattr(module, name, getattr(_no_scratch, name, None))


def _of_each(name):
    return variants({kind: function_of(module, name) for kind, module in _MODULES.items()})


@_of_each("scratch_size")
def scratch_size(tables, n_neighbors):
    """Return how many numbers of the arena `scratch` takes."""


@_of_each("scratch")
def scratch(tables, n_neighbors, arena):
    """Cut scratch for centers with up to `n_neighbors` pairs from the arena."""


@_of_each("kept_size")
def kept_size(tables):
    """Return how many numbers `center_values` keeps of a center for `center_pull_back`."""


@_of_each("center_values")
def center_values(tables, i, pairs, species, scratch, kept, row):
    """Write the features of center i to row (n_features,), and what is kept to `kept`."""


@_of_each("center_pull_back")
def center_pull_back(tables, i, pairs, species, scratch, kept, g, pair_gradient):
    """Add dE_i/dr_ij to the pairs of center i, given g = dE_i/d(features of i) and `kept`."""
