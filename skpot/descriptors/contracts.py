"""What descriptors ask of their compiled functions, and `SOAP` of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from skpot.core.density import DensityTables
    from skpot.core.pairs import Pairs
    from skpot.data import StructureBatch
    from skpot.descriptors._soap_basis import DensitySetting
    from skpot.typing import FloatArray, IntArray

__all__ = ["Channels", "DescriptorKernels", "RadialBasis", "Spectrum"]


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
        self, lo: int, hi: int, pairs: Pairs, species: IntArray, tables: Any, out: FloatArray, /
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


@runtime_checkable
class RadialBasis(Protocol):
    """A basis of radial functions for `SOAP`; `skpot.descriptors._soap_basis` has them."""

    def n_tabulated(self, setting: DensitySetting, /) -> int:
        """Return how many functions of each degree are tabulated, for a bound on the memory."""
        ...

    def tables(self, setting: DensitySetting, batch: StructureBatch, /) -> DensityTables:
        """Tabulate the functions, which may be learned from the structures of the batch."""
        ...


@runtime_checkable
class Channels(Protocol):
    """What the density is mixed to before `SOAP` takes products.

    `skpot.descriptors._soap_channels` has them. Before the mixture there is one channel for each
    species and radial function.
    """

    adds_species: bool  # whether densities of species are added up, which needs like functions
    setting: Any  # the parameters that the channels depend on

    @property
    def count(self) -> int:
        """Number of channels."""
        ...

    def problems(self) -> list[str]:
        """Return in a list what is wrong with the parameters."""
        ...

    def mixing(
        self, tables: DensityTables, species: IntArray, batch: StructureBatch, /
    ) -> FloatArray | None:
        """Return the matrix (l_max + 1, count, n_species * n_max), or None to mix nothing.

        `species` are the indices of the species of the batch's atoms.
        """
        ...

    def names(self) -> list[str]:
        """Return the name of each channel."""
        ...


@runtime_checkable
class Spectrum(Protocol):
    """The products of channels that are the features of `SOAP`."""

    channels: Channels
    degree: int  # number of factors in a product

    def expected_width(self, l_max: int, /) -> float:
        """Return about how many features there are, for a bound on the memory."""
        ...

    def terms(self, l_max: int, /) -> dict[str, Any]:
        """Return the arrays that `product` takes by name, which are stored with the descriptor."""
        ...

    def product(self, l_max: int, /, **terms: Any) -> Any:
        """Return the named tuple of `skpot.core.invariants` for the compiled functions."""
        ...

    def names(self, l_max: int, /) -> list[str]:
        """Return the name of each feature."""
        ...
