"""What a descriptor of neighbors within a radius asks of its compiled functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from skpot.core.pairs import Pairs
    from skpot.typing import FloatArray, IntArray

__all__ = ["DescriptorKernels"]


@runtime_checkable
class DescriptorKernels(Protocol):
    """A module of `skpot.core` with the formula of a descriptor; `PairDerivatives` calls it.

    The compiled functions treat the atoms lo ... hi and write to arrays of the caller. `species`
    are indices of the atoms' species and `tables` what the fitted descriptor knows, a named tuple.
    A module may also have `push_forward(lo, hi, pairs, species, tables, moves, out)`, which writes
    the change of the features when pair vectors change by `moves`.
    """

    def n_features(self, tables: Any, /) -> int:
        """Return the number of columns."""
        ...

    def values(
        self,
        lo: int,
        hi: int,
        pairs: Pairs,
        species: IntArray,
        tables: Any,
        out: FloatArray,
        /,
    ) -> None:
        """Write the features of the atoms to rows of `out`."""
        ...

    def pull_back(
        self,
        lo: int,
        hi: int,
        pairs: Pairs,
        species: IntArray,
        tables: Any,
        g: FloatArray,
        pair_gradient: FloatArray,
        /,
    ) -> None:
        """Write dE/d(vector) of the pairs of the atoms from g = dE/d(features)."""
        ...

    def jacobian(
        self,
        lo: int,
        hi: int,
        centers: IntArray,
        pairs: Pairs,
        species: IntArray,
        tables: Any,
        start: IntArray,
        atom: IntArray,
        jacobian: FloatArray,
        strain: FloatArray,
        /,
    ) -> None:
        """Write the rows of the `JacobianBlock` of `centers[lo:hi]`."""
        ...
