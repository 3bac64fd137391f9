"""Test kit for descriptors and potentials, also those written outside skpot.

`check_descriptor` and `check_potential` raise an `AssertionError` that says which property failed,
for which structure and by how much.
"""

from ._descriptor import check_descriptor
from ._finite_difference import (
    finite_difference_forces,
    finite_difference_stress,
    finite_difference_virial,
)
from ._potential import check_potential
from ._structures import sample_structures

__all__ = [
    "check_descriptor",
    "check_potential",
    "finite_difference_forces",
    "finite_difference_stress",
    "finite_difference_virial",
    "sample_structures",
]
