"""SOAP vectors as a transformer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import StrOptions
from ..core import borrow, give_back, projection, soap
from ..core.density import DensityTables
from ..core.harmonics import legendre_coefficients
from ..core.invariants import n_features as n_invariants
from ..core.pairs import count_entries
from ..data import JacobianBlock, block_ranges
from ..data.elements import SYMBOLS
from ..exceptions import ParameterError
from ._base import PairDerivatives, PairDescriptor
from ._hypers import HYPERS, soap_hypers
from ._limits import COMMON, LENGTH, between, count, refuse_width
from ._soap_basis import (
    RADIAL_BASES,
    DensitySetting,
    density_tables,
    neighbor_weights,
    pair_cutoffs,
    scaling_problems,
)
from ._soap_channels import COMPRESSIONS, ChannelSetting, spectrum_of, spectrum_problems

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from skpot.typing import FloatArray, IntArray, RandomState, Species

_MOVES_BYTES = 16e6  # of densities' derivatives that are held at a time
_KEPT_BYTES = 32e6  # most that densities of a batch may take until their pull-back
_LEAST_CENTRAL = (
    0.05  # with a smaller weight, unit vectors turn within a tiny distance of the cutoff
)
_LEAST_MIXED = 0.01  # share of a species' density that mixtures keep, relative to the best kept one


class SoapDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `SOAP`."""

    kernels = soap

    def fill(self, values: FloatArray) -> None:
        """Write the features of all atoms to `values`; keep their densities for `pull_back`."""
        self.tables = soap.keeping(self.tables, len(values), _KEPT_BYTES)
        weakref.finalize(self, give_back, self.tables.kept)
        super().fill(values)

    def projected_jacobian(
        self, centers: IntArray, kinds: IntArray, matrices: FloatArray
    ) -> JacobianBlock | None:
        """Return the `JacobianBlock` of some centers times matrices; None if this saves no time.

        Parameters
        ----------
        centers : ndarray of int of shape (n_centers,)
            Which centers.
        kinds : ndarray of int of shape (n_centers,)
            Which matrix belongs to each.
        matrices : ndarray of shape (n_kinds, n_features, n_columns)
            What their rows are multiplied by.
        """
        density, n = self.tables.density, len(centers)
        marker = np.empty(self.graph.n_atoms, dtype=np.int64)
        start = count_entries(centers, self.graph.pairs, marker)
        n_columns, n_entries = matrices.shape[2], int(start[-1])
        if not projection.saves(self.tables, n_columns, n_entries, n):
            return None
        block = JacobianBlock(
            start,
            np.empty(n_entries, dtype=np.int64),
            np.empty((n_entries, 3, n_columns)),
            np.empty((n, 6, n_columns)),
        )
        order = np.argsort(kinds, kind="stable")
        sizes = 8.0 * projection.row_counts(density, start) * projection.row_length(density)
        for lo, hi in block_ranges(sizes[order], _MOVES_BYTES):
            self._project(centers, order[lo:hi], kinds, matrices, block)
        return block

    def _project(self, centers, some, kinds, matrices, block):
        """Write rows of some of the centers of a block, times the matrices of their kinds."""
        density, n = self.tables.density, len(some)
        rows = [slice(block.start[k], block.start[k + 1]) for k in some]
        start = np.cumsum([0, *(row.stop - row.start for row in rows)])
        atom = np.empty(start[-1], dtype=np.int64)
        first = np.empty((n, density.n_species + 1), dtype=np.int64)
        c = np.empty((n, (density.l_max + 1) ** 2, density.n_species * density.n_max))
        n_rows = int(projection.row_counts(density, start).sum())
        moves = borrow((n_rows, projection.row_length(density)))
        own = centers[some], self.graph.pairs, self.species, density, start, atom, first, c, moves
        self._run(projection.density_moves, n, *own)
        for k, row in enumerate(rows):
            block.atom[row] = atom[start[k] : start[k + 1]]
        for kind in np.unique(kinds[some]):
            mine = np.flatnonzero(kinds[some] == kind)
            out = [(block.values[rows[k]], block.strain[some[k]]) for k in mine]
            projection.project(density, (start, first), c, moves, matrices[kind], mine, out)
        give_back(moves)

    def take(self, structures: IntArray) -> Self:
        """Return the leaf of some structures."""
        return self._forget(super().take(structures))

    @classmethod
    def concatenate(cls, chains: Sequence[Any]) -> Self:
        """Return the leaf of several batches."""
        return cls._forget(super().concatenate(chains))

    def __getstate__(self):
        return vars(self) | {"tables": soap.keeping(self.tables, 0, 0)}

    @staticmethod
    def _forget(leaf):
        leaf.tables = soap.keeping(leaf.tables, 0, 0)
        return leaf


class SOAP(PairDescriptor):
    r"""Smooth overlap of atomic positions: invariants of the smeared neighbor density.

    Every neighbor within the cutoff is a Gaussian of width sigma. The density of each species
    around each atom is expanded in radial functions and spherical harmonics, and the power spectrum
    of the coefficients is invariant under rotation, translation and exchange of like atoms:

    .. math::

        c_{nlm}^a = \sum_{j \in a} f_c(r_{ij}) R_{nl}(r_{ij}) Y_{lm}(\hat r_{ij}), \qquad
        p_{(an)(bn')l} = \frac{1}{\sqrt{2l+1}} \sum_m c_{nlm}^a c_{n'lm}^b

    Forces and stress come from the analytic derivatives of the same spline that gives the values.
    Several length scales are a `FeatureUnion` of several `SOAP`.

    Parameters
    ----------
    cutoff : float, default=5.0
        Radius of the environment in Å.
    n_max : int, default=8
        Number of radial functions.
    l_max : int, default=6
        Highest degree of the spherical harmonics.
    sigma : float, default=0.5
        Width of the Gaussians in Å; 0.3 suits systems with hydrogen.
    body_order : {2, 3, 4}, default=3
        2 is the radial spectrum :math:`c_{n00}^a`, 3 the power spectrum, and 4 the bispectrum
        (`skpot.core.bispectrum`) of `n_channels` contracted channels, which are the leading
        principal components of each degree. For the bispectrum an l_max of 2 to 4 is enough.
    radial_basis : {"gto", "bessel", "optimal"}, default="gto"
        "gto" are Gaussian-type orbitals, "bessel" the Laplacian's eigenstates in a sphere
        (`skpot.core.radial`). "optimal" functions are, for every pair of species and degree, the
        n_max leading principal components of the density around the atoms seen in `fit`
        (Goscinski et al.); neighbors whose species are mixed share the same functions.
    radial_scaling : tuple of (float, float) or None, default=None
        r0 (Å) and exponent m of the weight 1/(1 + (r/r0)^m) that plays down far neighbors.
    cutoff_width : float, default=0.5
        Width in Å of the cosine that takes a neighbor to zero at the cutoff.
    pair_cutoffs : dict of tuple to float, optional
        Cutoffs of some pairs of species, as in ``{("H", "O"): 4.0}``, in either order.
    central_weight : float, default=1.0
        Weight of the density of the center itself.
    species_weights : dict of str to float, optional
        Weights of some species' densities, 1 for the others, as in ``{"H": 0.6}``.
    compression : {"totals", "alchemical", "tensor"}, optional
        How the number of features is kept from growing with the square of the number of species.
        "totals" pairs each channel with the sum over species (Darby, Kermode, Csányi).
        "alchemical" mixes species into `n_channels` pseudo-elements by similarity in the periodic
        table (Willatt, Musil, Ceriotti); with as many pseudo-elements as species it keeps all
        features, and similar species learn from each other. "tensor" pairs each of `n_channels`
        random mixtures of channels with itself (Darby et al.).
    n_channels : int, optional
        See compression and body_order. By default 2 pseudo-elements, 64 random mixtures or 4
        contracted channels.
    alchemical_width : float, default=1.0
        Distance in the periodic table at which species are no longer similar for "alchemical". A
        difference of one unit of electronegativity, or of 0.5 Å in the covalent radius, is 1.
    random_state : int, RandomState instance or None, default=0
        Seed of the random mixtures.
    hypers : {"auto", "fast", "default", "accurate"}, optional
        Choose cutoff, n_max, l_max, sigma, radial_basis, radial_scaling, cutoff_width,
        species_weights, compression, n_channels and alchemical_width in `fit`, from the bonds and
        species of the training structures (`skpot.descriptors._hypers`). A parameter that differs
        from its default in the signature is kept, so that a search over n_max is possible; the
        default itself, such as n_max=8, counts as not given. "auto" is the same as "default"; None
        takes all parameters as given.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur; by default those seen in `fit`.
    normalize : bool, default=True
        Scale each atom's features to unit length.
    dtype : {"float64", "float32"}, default="float64"
        Type of the features; derivatives are float64.
    cache : bool, default=True
        Keep the features of structures in `skpot.descriptors.descriptor_cache`, which takes at most
        256 MB in a process, and look them up there.

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    hypers_ : dict
        The values in use of the parameters that `hypers` may choose.
    mix_ : ndarray of shape (l_max + 1, n_mixed, n_species * n_max), or None
        How channels of species and radial functions are mixed.
    n_features_out_ : int
        (l_max + 1) K (K + 1) / 2 with K = n_species n_max, unless compressed.
    origin_ : tuple of (str, bool)
        Identifies what was fitted: a digest of all that determines the features, and whether an
        atom without neighbors has a row of zeros. Regressors and steps refuse features of another
        origin than those they have learned from.

    Notes
    -----
    Every pair of unlike channels is there once, times :math:`\sqrt 2`. Numbers of other programs,
    with ``normalize=False`` here: featomic's power spectrum is this one times
    :math:`(\pi\sigma^2)^{-3/2} (-1)^l`, with the :math:`\sqrt 2` between unlike species only, its
    radial spectrum this one times :math:`(\pi\sigma^2)^{-3/4}`, and its max_radial n_max - 1.
    dscribe's is this one times :math:`\pi\sqrt 8`, but it has no cutoff function and counts atoms
    beyond the cutoff, whose Gaussians reach inside. "gto" and quippy integrate the density over the
    half line, "bessel" ends at the cutoff: converged kernels differ by 2e-3 to 6e-3. Eight radial
    functions of quippy are another basis, with errors of the kernel of 1e-2 where these have 3e-3;
    errors of models then differ by about 5 %.

    References
    ----------
    A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 87, 184115 (2013).
    F. Musil et al., J. Chem. Phys. 154, 114109 (2021), for Gaussian-type orbitals.
    A. Goscinski et al., J. Chem. Phys. 155, 104106 (2021), for optimal radial functions.
    J. P. Darby, J. R. Kermode, G. Csányi, npj Comput. Mater. 8, 166 (2022), for totals.
    M. J. Willatt, F. Musil, M. Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018), for radial
    scaling and pseudo-elements.
    J. P. Darby et al., Phys. Rev. Lett. 131, 028001 (2023), for random mixtures.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from skpot import SOAP
    >>> SOAP(n_max=4, l_max=3).fit_transform([bulk("Si"), bulk("Si", cubic=True)])
    AtomicFeatures(2 structures, 10 environments, 40 features, with derivatives)
    >>> soap = SOAP(hypers="auto").fit([bulk("Si"), bulk("Si", cubic=True)])
    >>> soap.hypers_["sigma"], soap.hypers_["radial_scaling"]
    (0.47, (3.76, 4.0))
    """

    _derivatives = SoapDerivatives
    _block = "soap"
    _chosen = (
        "cutoff", "n_max", "l_max", "sigma", "radial_basis", "radial_scaling",
        "cutoff_width", "species_weights", "compression", "n_channels", "alchemical_width",
    )  # fmt: skip

    _parameter_constraints = COMMON | {
        "cutoff": LENGTH,
        "n_max": count(1, 100),
        "l_max": count(0, 15),
        "sigma": between(0.01, 10),
        "body_order": count(2, 4),
        "radial_basis": [StrOptions(set(RADIAL_BASES))],
        "radial_scaling": [tuple, list, None],
        "cutoff_width": between(0.01, 100),
        "pair_cutoffs": [dict, None],
        "central_weight": between(0, 1000),
        "species_weights": [dict, None],
        "compression": [StrOptions(COMPRESSIONS - {None}), None],
        "n_channels": [*count(1, 10_000), None],
        "alchemical_width": between(1e-3, 1e3),
        "random_state": ["random_state"],
        "hypers": [StrOptions(set(HYPERS)), None],
        "normalize": ["boolean"],
        "dtype": [StrOptions({"float64", "float32"})],
    }

    def __init__(
        self,
        cutoff: float = 5.0,
        n_max: int = 8,
        l_max: int = 6,
        sigma: float = 0.5,
        *,
        body_order: int = 3,
        radial_basis: str = "gto",
        radial_scaling: tuple[float, float] | None = None,
        cutoff_width: float = 0.5,
        pair_cutoffs: dict[tuple[str, str], float] | None = None,
        central_weight: float = 1.0,
        species_weights: dict[str, float] | None = None,
        compression: str | None = None,
        n_channels: int | None = None,
        alchemical_width: float = 1.0,
        random_state: RandomState = 0,
        hypers: str | None = None,
        species: Species | None = None,
        normalize: bool = True,
        dtype: str = "float64",
        cache: bool = True,
    ) -> None:
        self.cutoff = cutoff
        self.n_max = n_max
        self.l_max = l_max
        self.sigma = sigma
        self.body_order = body_order
        self.radial_basis = radial_basis
        self.radial_scaling = radial_scaling
        self.cutoff_width = cutoff_width
        self.pair_cutoffs = pair_cutoffs
        self.central_weight = central_weight
        self.species_weights = species_weights
        self.compression = compression
        self.n_channels = n_channels
        self.alchemical_width = alchemical_width
        self.random_state = random_state
        self.hypers, self.species = hypers, species
        self.normalize = normalize
        self.dtype = dtype
        self.cache = cache

    def __getstate__(self):
        state = super().__getstate__()
        if isinstance(self.pair_cutoffs, dict):  # files take no tuples for keys
            state["pair_cutoffs"] = [[list(k), v] for k, v in self.pair_cutoffs.items()]
        return state

    def __setstate__(self, state):
        state = dict(state)
        if isinstance(state["pair_cutoffs"], list):
            state["pair_cutoffs"] = {tuple(k): v for k, v in state["pair_cutoffs"]}
        super().__setstate__(state)

    def _learn(self, batch, index):
        """Tabulate the radial functions and learn what is to be learned."""
        used = self._used()
        self.body_order_ = int(self.body_order)
        self.normalized_ = bool(self.normalize)
        setting = self._density_setting()
        spectrum, l_max = self._spectrum(), setting.l_max
        refuse_width(
            spectrum.expected_width(l_max),
            f"n_max={used.n_max}, l_max={l_max} and {len(self.species_)} species",
        )
        tables = density_tables(RADIAL_BASES[used.radial_basis], setting, batch)
        self.radial_tables_ = tables.radial
        self.table_of_pair_ = tables.of_pair
        self.table_cutoffs_ = tables.cutoff
        self.center_ = tables.center
        self.spacing_ = tables.spacing
        self.l_max_ = l_max
        self.mix_ = spectrum.channels.mixing(tables, index, batch)
        self.terms_ = spectrum.terms(l_max)
        self.n_features_out_ = soap.n_features(self.tables())
        if self.normalized_:
            self._refuse_jump()

    def _refuse_jump(self):
        """Raise if unit length would make features jump where the last neighbor leaves."""
        weights = neighbor_weights(self._used().species_weights, self.species_)
        least = float(self.central_weight) * float(weights.min())
        if least < _LEAST_CENTRAL:
            raise ParameterError(
                f"normalize=True takes the density of a center itself, but central_weight="
                f"{self.central_weight} (times the species' own weight) makes it {least:.3g}: the "
                "features of an atom would jump where its last neighbor leaves the cutoff, as "
                "nothing has no direction. Choose normalize=False, or a central_weight of at least "
                f"{_LEAST_CENTRAL} for all species."
            )
        tables = self.tables()
        tables = tables._replace(mixing=tables.mixing._replace(normalize=False))
        lengths = np.abs(self._lone_rows(tables)).max(axis=1) ** (1.0 / self._spectrum().degree)
        if lengths.min() < _LEAST_MIXED * lengths.max():
            symbol = SYMBOLS[self.species_[lengths.argmin()]]
            raise ParameterError(
                f"the mixed channels keep next to nothing of {symbol}, so that with "
                "normalize=True the features of such an atom would jump where its last neighbor "
                "leaves the cutoff. Raise n_channels, or choose normalize=False."
            )

    def _rules(self, preset, scales, given):
        pair_cutoffs(scales.bond, self.pair_cutoffs, self.species_)  # refuses what is none
        return soap_hypers(preset, scales, given, self.body_order, self.pair_cutoffs)

    def _density_setting(self):
        """Check what parameters must agree on; return those of the density."""
        used = self._used()
        cutoffs = pair_cutoffs(used.cutoff, self.pair_cutoffs, self.species_)
        problems = spectrum_problems(*self._channel_parameters())
        problems += scaling_problems(used.radial_scaling)
        if used.cutoff_width > cutoffs.min():
            problems.append(
                f"cutoff_width={used.cutoff_width} Å exceeds cutoff={cutoffs.min()} Å; use at most "
                "the cutoff itself"
            )
        if problems:
            raise ParameterError("; ".join(problems) + ".")
        return DensitySetting(
            used.n_max,
            0 if self.body_order_ == 2 else used.l_max,
            float(used.sigma),
            float(used.cutoff_width),
            used.radial_scaling,
            float(self.central_weight),
            self.species_,
            cutoffs,
            neighbor_weights(used.species_weights, self.species_),
            self._spectrum().channels.adds_species,
        )

    def _channel_parameters(self):
        """Return body order, compression and what else determines the channels."""
        used = self._used()
        setting = ChannelSetting(
            self.species_, used.n_max, used.n_channels, used.alchemical_width, self.random_state
        )
        return self.body_order_, used.compression, setting

    def _spectrum(self):
        """Return what makes features of the densities of the species."""
        return spectrum_of(*self._channel_parameters())

    def tables(self) -> soap.SoapTables:
        """Return what the compiled functions need to know of the fitted descriptor."""
        used = self._used()
        density = DensityTables(
            self.radial_tables_,
            self.table_of_pair_,
            self.table_cutoffs_,
            float(used.cutoff_width),
            self.spacing_,
            self.center_,
            legendre_coefficients(self.l_max_),
            used.n_max,
            self.l_max_,
            len(self.species_),
        )
        mix = np.empty((0, 0, 0)) if self.mix_ is None else np.ascontiguousarray(self.mix_)
        back = np.ascontiguousarray(np.swapaxes(mix, 1, 2))
        mixing = soap.Mixing(mix, back, self.normalized_)
        product = self._spectrum().product(self.l_max_, **self.terms_)
        n_features = int(n_invariants(product))
        return soap.SoapTables(density, mixing, product, n_features, np.empty((0, 0)))

    def radius(self) -> float:
        """Return how far neighbors matter to the fitted descriptor, in Å."""
        return float(self.table_cutoffs_.max())

    def _feature_names(self):
        """Return names such as "Si0 Si3 l2"."""
        return self._spectrum().names(self.l_max_)
