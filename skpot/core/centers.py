"""Any descriptor, one center at a time, in compiled code that allocates nothing.

Which descriptor is meant is decided by the type of its tables, at compilation. `pairs` may hold
more than a descriptor's own cutoff: what is beyond adds nothing.
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
    """Return a module's function; a descriptor without one of its own needs no scratch."""
    return getattr(module, name, getattr(_no_scratch, name, None))


def _of_each(name):
    return variants({kind: function_of(module, name) for kind, module in _MODULES.items()})


@_of_each("scratch_size")
def scratch_size(tables, n_neighbors):
    """Return how many numbers `scratch` cuts."""


@_of_each("scratch")
def scratch(tables, n_neighbors, arena):
    """Cut scratch for centers of up to `n_neighbors` pairs."""


@_of_each("kept_size")
def kept_size(tables):
    """Return how many numbers a center keeps between its values and its pull-back."""


@_of_each("center_values")
def center_values(tables, i, pairs, species, scratch, kept, row):
    """Write the features of center i to row (n_features,), what is to be kept to `kept`."""


@_of_each("center_pull_back")
def center_pull_back(tables, i, pairs, species, scratch, kept, g, pair_gradient):
    """Add dE_i/dr_ij to the pairs of center i, given g = dE_i/d(its features) and `kept`."""
