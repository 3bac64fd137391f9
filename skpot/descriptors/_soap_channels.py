"""How `SOAP` combines the densities of the species: channels, and spectra made of them.

Channels are what the density is mixed to before products are taken: those of each species, of
pseudo-elements, random mixtures and so on. A spectrum multiplies channels to invariant features.
`spectrum_of` has the table of which go together. What both offer is written down in
`skpot.descriptors.contracts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ..core.bispectrum import bispectrum_terms
from ..core.invariants import Bispectrum, Diagonal, Linear, Rectangle, Triangle
from ..data.elements import SYMBOLS, alchemical_coordinates
from ._soap_basis import covariances, leading

if TYPE_CHECKING:
    from collections.abc import Callable

    from skpot.core.density import DensityTables
    from skpot.data import StructureBatch
    from skpot.descriptors.contracts import Channels, Spectrum
    from skpot.typing import FloatArray, IntArray


class ChannelSetting(NamedTuple):
    """Parameters of `SOAP` on which the channels depend."""

    species: np.ndarray  # (n_species,) atomic numbers
    n_max: int
    n_channels: int | None
    alchemical_width: float
    random_state: Any

    @property
    def n_densities(self) -> int:
        """Number of channels before they are mixed: one for each species and radial function."""
        return len(self.species) * self.n_max


class _Channels:
    """What most channels have in common: the parameters, and that nothing can be wrong."""

    adds_species = False

    def __init__(self, setting: ChannelSetting) -> None:
        self.setting = setting

    @property
    def count(self) -> int:
        """Number of channels."""
        return self.setting.n_densities

    def problems(self) -> list[str]:
        """Return in a list what is wrong with the parameters."""
        return []


class SpeciesChannels(_Channels):
    """One channel for each species and radial function, without any mixing."""

    def mixing(
        self, tables: DensityTables, species: IntArray, batch: StructureBatch
    ) -> FloatArray | None:
        """Return None, since nothing is mixed."""
        return None

    def names(self) -> list[str]:
        """Return names such as "Si0"."""
        return [f"{SYMBOLS[z]}{n}" for z in self.setting.species for n in range(self.setting.n_max)]


class TotalsChannels(SpeciesChannels):
    """The channels of the species, and behind them their sums over the species."""

    adds_species = True

    @property
    def count(self) -> int:
        """Number of channels."""
        return self.setting.n_densities + self.setting.n_max

    def mixing(self, tables: DensityTables, species: IntArray, batch: StructureBatch) -> FloatArray:
        """Return the matrix that appends the sums."""
        sums = np.tile(np.eye(tables.n_max), tables.n_species)
        both = np.vstack([np.eye(self.setting.n_densities), sums])
        return np.tile(both, (tables.l_max + 1, 1, 1))

    def names(self) -> list[str]:
        """Return names such as "Si0" and "total0"."""
        return super().names() + [f"total{n}" for n in range(self.setting.n_max)]


class PseudoElementChannels(_Channels):
    """One channel for each pseudo-element, a mixture of species that are alike, and function."""

    adds_species = True
    default = 2

    @property
    def n_elements(self) -> int:
        """Number of pseudo-elements."""
        return int(self.setting.n_channels or min(self.default, len(self.setting.species)))

    @property
    def count(self) -> int:
        """Number of channels."""
        return self.n_elements * self.setting.n_max

    def problems(self) -> list[str]:
        """Return in a list what is wrong with the parameters."""
        n_species = len(self.setting.species)
        if self.n_elements <= n_species:
            return []
        return [f"n_channels={self.n_elements} pseudo-elements are more than {n_species} species"]

    def mixing(self, tables: DensityTables, species: IntArray, batch: StructureBatch) -> FloatArray:
        """Return the matrix that mixes species and leaves radial functions apart."""
        width = float(self.setting.alchemical_width)
        weights = alchemical_weights(self.setting.species, self.n_elements, width)
        return np.tile(np.kron(weights.T, np.eye(tables.n_max)), (tables.l_max + 1, 1, 1))

    def names(self) -> list[str]:
        """Return names such as "pseudo0:3"."""
        n_max = self.setting.n_max
        return [f"pseudo{e}:{n}" for e in range(self.n_elements) for n in range(n_max)]


class RandomChannels(_Channels):
    """Random mixtures of all species and radial functions."""

    default = 64

    @property
    def count(self) -> int:
        """Number of channels."""
        return int(self.setting.n_channels or self.default)

    def mixing(self, tables: DensityTables, species: IntArray, batch: StructureBatch) -> FloatArray:
        r"""Return a random matrix, Gaussian with variance :math:`k^{-1/2}` for k channels.

        Then lengths of features do not depend on k. The same numbers for all degrees would do as
        well; different ones mix less.
        """
        rng = np.random.default_rng(self.setting.random_state)
        shape = (tables.l_max + 1, self.count, self.setting.n_densities)
        return rng.normal(scale=self.count**-0.25, size=shape)

    def names(self) -> list[str]:
        """Return names such as "mixture0"."""
        return [f"mixture{k}" for k in range(self.count)]


class ContractedChannels(_Channels):
    """The leading principal components of all species and radial functions, degree by degree."""

    default = 4

    @property
    def count(self) -> int:
        """Number of channels."""
        return int(self.setting.n_channels or self.default)

    def problems(self) -> list[str]:
        """Return in a list what is wrong with the parameters."""
        if self.count <= self.setting.n_densities:
            return []
        return [
            f"n_channels={self.count} are more than the {self.setting.n_densities} channels of all "
            "species and radial functions"
        ]

    def mixing(self, tables: DensityTables, species: IntArray, batch: StructureBatch) -> FloatArray:
        """Return the matrix of the components, which are learned from the batch."""
        joint = covariances(tables, species, batch, of_blocks=False).sum(axis=0)
        return np.swapaxes(leading(joint, self.count), 1, 2)

    def names(self) -> list[str]:
        """Return the numbers of the channels."""
        return [f"{k}" for k in range(self.count)]


class _Spectrum:
    """What most spectra have in common: their channels, and that there is nothing to tabulate."""

    degree = 2
    kind: ClassVar[Callable[..., Any]]  # one of the named tuples of `skpot.core.invariants`

    def __init__(self, channels: Channels) -> None:
        self.channels = channels

    def terms(self, l_max: int) -> dict[str, FloatArray]:
        """Return the arrays that `product` takes, by name."""
        return {}

    def product(self, l_max: int, **terms: FloatArray) -> Any:
        """Return what tells the compiled functions which products to take."""
        return self.kind(self.channels.count, l_max, **terms)


class RadialSpectrum(_Spectrum):
    """Body order 2: the coefficients of degree 0."""

    degree = 1
    kind = Linear

    def expected_width(self, l_max: int) -> float:
        """Return about how many features there are."""
        return self.channels.count

    def names(self, l_max: int) -> list[str]:
        """Return names such as "Si0"."""
        return self.channels.names()


class PowerSpectrum(_Spectrum):
    """Body order 3: the products of all pairs of channels."""

    kind = Triangle

    def expected_width(self, l_max: int) -> float:
        """Return about how many features there are."""
        return (l_max + 1) * self.channels.count**2 / 2

    def names(self, l_max: int) -> list[str]:
        """Return names such as "Si0 Si3 l2"."""
        names, degrees = self.channels.names(), range(l_max + 1)
        return [f"{a} {b} l{l}" for l in degrees for k, a in enumerate(names) for b in names[k:]]


class TotalsSpectrum(_Spectrum):
    """Body order 3: the products of channels of species with the sums over species."""

    def expected_width(self, l_max: int) -> float:
        """Return the number of features."""
        return (l_max + 1) * self._n_species() * (self.channels.count - self._n_species())

    def product(self, l_max: int, **terms: FloatArray) -> Rectangle:
        """Return what tells the compiled functions which products to take."""
        return Rectangle(self.channels.count, l_max, self._n_species())

    def names(self, l_max: int) -> list[str]:
        """Return names such as "Si0 total3 l2"."""
        names, degrees = self.channels.names(), range(l_max + 1)
        of_species, totals = names[: self._n_species()], names[self._n_species() :]
        return [f"{a} {b} l{l}" for l in degrees for a in of_species for b in totals]

    def _n_species(self):
        """Return the number of channels that are those of species."""
        return self.channels.setting.n_densities


class DiagonalSpectrum(_Spectrum):
    """Body order 3: the product of each channel with itself."""

    kind = Diagonal

    def expected_width(self, l_max: int) -> float:
        """Return the number of features."""
        return (l_max + 1) * self.channels.count

    def names(self, l_max: int) -> list[str]:
        """Return names such as "mixture3 l2"."""
        return [f"{a} l{l}" for l in range(l_max + 1) for a in self.channels.names()]


class BispectrumOfChannels(_Spectrum):
    """Body order 4: the invariant products of three channels."""

    degree = 3
    kind = Bispectrum

    def expected_width(self, l_max: int) -> float:
        """Return about how many features there are."""
        return (self.channels.count * (l_max + 1)) ** 3 / 12

    def terms(self, l_max: int) -> dict[str, FloatArray]:
        """Return the arrays that `product` takes, by name."""
        _, first, index, weight = bispectrum_terms(self.channels.count, l_max)
        return {"first": first, "index": index, "weight": weight}

    def names(self, l_max: int) -> list[str]:
        """Return names such as "0l1 0l1 2l2"."""
        names = self.channels.names()
        labels = bispectrum_terms(self.channels.count, l_max)[0]
        return [" ".join(f"{names[k]}l{l}" for k, l in label) for label in labels]


_PARTS: dict[tuple[int, str | None], tuple[Any, Any]] = {  # by body order and compression
    (2, None): (RadialSpectrum, SpeciesChannels),
    (2, "alchemical"): (RadialSpectrum, PseudoElementChannels),
    (3, None): (PowerSpectrum, SpeciesChannels),
    (3, "alchemical"): (PowerSpectrum, PseudoElementChannels),
    (3, "totals"): (TotalsSpectrum, TotalsChannels),
    (3, "tensor"): (DiagonalSpectrum, RandomChannels),
    (4, None): (BispectrumOfChannels, ContractedChannels),
}
COMPRESSIONS = {compression for _, compression in _PARTS}


def spectrum_of(body_order: int, compression: str | None, setting: ChannelSetting) -> Spectrum:
    """Return the spectrum that parameters stand for; see `spectrum_problems`."""
    spectrum, channels = _PARTS[body_order, compression]
    return spectrum(channels(setting))


def spectrum_problems(
    body_order: int, compression: str | None, setting: ChannelSetting
) -> list[str]:
    """Return in a list what is wrong with the parameters of a spectrum."""
    if (body_order, compression) in _PARTS:
        return spectrum_of(body_order, compression, setting).channels.problems()
    orders = " or ".join(str(order) for order, name in _PARTS if name == compression)
    return [f'compression="{compression}" takes body_order={orders}, not {body_order}']


def alchemical_weights(species: IntArray, k: int, width: float = 1.0) -> FloatArray:
    r"""Return the weights (n_species, k) of pseudo-elements from similarity in the periodic table.

    :math:`\kappa_{ab} = \exp(-(\chi_a - \chi_b)^2/2 w^2 - (r_a - r_b)^2/2 w^2 s^2)` with Pauling
    electronegativities and covalent radii, s = 0.5 Å and the width w; its k leading eigenvectors
    times the roots of their eigenvalues (Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20,
    29661 (2018)). With k = n_species dot products of power spectra are those of the kernel with
    coupling kappa; with fewer the squares of a species' weights add up to less than one.
    """
    coordinates = alchemical_coordinates(species) / width
    kappa = np.exp(-0.5 * np.sum((coordinates[:, None] - coordinates) ** 2, axis=-1))
    vectors = leading(kappa, k)
    values = np.einsum("ae,ab,be->e", vectors, kappa, vectors)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def pseudo_elements_needed(species: IntArray, width: float, kept: float) -> int:
    """Return how many pseudo-elements keep the part `kept` of each species' squared length."""
    squares = alchemical_weights(species, len(species), width) ** 2
    enough = (np.cumsum(squares, axis=1) >= kept).all(axis=0)
    return int(np.argmax(enough)) + 1 if enough.any() else len(species)
