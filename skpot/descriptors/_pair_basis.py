"""B-splines of interatomic distances as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._sklearn import StrOptions
from ..core import pair_basis as kernels
from ..data.elements import SYMBOLS
from ._base import PairDerivatives, PairDescriptor
from ._hypers import HYPERS, spline_hypers
from ._limits import LENGTH, LENGTH_OR_ZERO, count
from ._splines import OPEN, difference_penalty, knot_spacing, second_differences

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from skpot.typing import Species


class PairBasisDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `PairBasis`."""

    kernels = kernels
    smallest = 512


class PairBasis(PairDescriptor):
    r"""Cubic B-splines of the distances to neighbors: a pair potential, linear in its features.

    There is a column for each unordered pair of species and each spline:

    .. math::

        q_i^{(ab)n} = \tfrac12 \sum_j B_n(r_{ij}), \qquad
        \sum_i w \cdot q_i = \sum_{i<j} \phi_{ab}(r_{ij}), \quad
        \phi_{ab}(r) = \sum_n w_{(ab)n} B_n(r)

    over neighbors j that together with i make the pair of species; columns of pairs without the
    species of i are 0. The half makes the sum over atoms count each pair once.

    Knots are equidistant, a distance h = (cutoff - r_min) / n_splines apart. The three splines that
    would not vanish at the cutoff with two derivatives are left out, so :math:`\phi` goes to zero
    there smoothly. Below `r_min` it goes on as a straight line, twice differentiable where the
    line begins. Where training data have no distances, only `smoothness_penalty` determines
    the potential: it too continues it in a straight line, while an ordinary ridge pulls it to zero.

    Parameters
    ----------
    cutoff : float, default=6.0
        Radius in Å.
    n_splines : int, default=20
        Number of splines for each pair of species, at least 4.
    r_min : float, default=0.5
        Distance in Å below which the potential is a straight line; best somewhat below the shortest
        distance of the data.
    hypers : {"auto", "fast", "default", "accurate"}, optional
        Choose cutoff, n_splines and r_min in `fit` from the distances of the training structures.
        A parameter that differs from its default in the signature is kept. "auto" is "default";
        None takes parameters as given.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers of all species that may occur. By default those seen
        in `fit`.
    cache : bool, default=True
        Look up structures in `skpot.descriptors.descriptor_cache` (at most 256 MB a process).

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    hypers_ : dict
        The numbers in use: cutoff, n_splines, r_min.
    n_features_out_ : int
        n_splines n_species (n_species + 1) / 2.
    origin_ : tuple of (str, bool)
        Digest of all that determines the features, and whether those of an atom without neighbors
        are zero. Regressors refuse features of another origin than those they have learned from.
    spacing_ : float
        Distance h of the knots in Å.
    penalty_ : dict of str to ndarray
        Arrays of ``smoothness_penalty(to_cutoff=True)``, which goes with the features: for
        `LinearRidge`.

    See Also
    --------
    TripletBasis : The same for triplets of atoms.

    References
    ----------
    S. R. Xie, M. Rupp, R. G. Hennig, npj Comput. Mater. 9, 162 (2023).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from skpot import PairBasis
    >>> basis = PairBasis(cutoff=5.0, n_splines=12)
    >>> basis.fit_transform([bulk("Si"), bulk("Si", cubic=True)])
    AtomicFeatures(2 structures, 10 environments, 12 features, with derivatives)
    >>> basis.get_feature_names_out()[:3].tolist()
    ['Si-Si 0', 'Si-Si 1', 'Si-Si 2']
    """

    _derivatives = PairBasisDerivatives
    _chosen = ("cutoff", "n_splines", "r_min")
    _block = "pair_basis"

    _parameter_constraints = {
        "cutoff": LENGTH,
        "n_splines": count(4, 1000),
        "r_min": LENGTH_OR_ZERO,
        "hypers": [StrOptions(set(HYPERS)), None],
        "species": ["array-like", None],
        "cache": ["boolean"],
    }

    def __init__(
        self,
        cutoff: float = 6.0,
        n_splines: int = 20,
        *,
        r_min: float = 0.5,
        hypers: str | None = None,
        species: Species | None = None,
        cache: bool = True,
    ) -> None:
        self.cutoff = cutoff
        self.n_splines = n_splines
        self.r_min = r_min
        self.hypers = hypers
        self.species = species
        self.cache = cache

    def _learn(self, batch, index):
        """Give every column its place."""
        self.spacing_ = knot_spacing(self.hypers_)
        n = len(self.species_)
        self.n_features_out_ = self.hypers_["n_splines"] * n * (n + 1) // 2

    def _rules(self, preset, scales, given):
        return spline_hypers(preset, scales, given, n_body=2)

    def _tables(self):
        n = len(self.species_)
        column = np.zeros((n, n), dtype=np.int64)
        upper = np.triu_indices(n)
        column[upper] = self.hypers_["n_splines"] * np.arange(len(upper[0]))
        column = np.maximum(column, column.T)
        return kernels.PairTables(
            float(self.hypers_["r_min"]),
            self.spacing_,
            self.hypers_["n_splines"],
            column,
            self.n_features_out_,
        )

    def smoothness_penalty(self, *, to_cutoff: bool = False) -> csr_array:
        r"""Return the matrix P of the roughness w' P w of a pair potential.

        .. math::

            w^T P w = \sum_{ab} \sum_n (w_{(ab)n} - 2 w_{(ab)n+1} + w_{(ab)n+2})^2

        It takes the place of the unit matrix in a ridge regression, whose coefficients then tend
        to a straight line for each pair of species: to more than its data say.

        Parameters
        ----------
        to_cutoff : bool, default=False
            Also count the zero coefficients of the splines left out at the cutoff: the straight
            line then is zero, and P positive definite.

        Returns
        -------
        penalty : scipy.sparse.csr_array of shape (n_features, n_features)
            Symmetric, positive semidefinite.

        References
        ----------
        P. H. C. Eilers, B. D. Marx, Stat. Sci. 11, 89 (1996).

        Examples
        --------
        >>> from ase.build import bulk
        >>> from skpot import PairBasis
        >>> penalty = PairBasis(n_splines=10).fit([bulk("Si")]).smoothness_penalty()
        >>> float(range(10) @ penalty @ range(10))
        0.0
        """
        check_is_fitted(self, "n_features_out_")
        columns = np.arange(self.n_features_out_).reshape(-1, self.hypers_["n_splines"])
        if to_cutoff:
            columns = np.pad(columns, ((0, 0), (0, 3)), constant_values=OPEN)
        return difference_penalty([second_differences(columns, axis=1)], self.n_features_out_)

    def _feature_names(self):
        """Return names such as "O-Si 3"."""
        symbols = [SYMBOLS[z] for z in self.species_]
        names = [
            f"{a}-{b} {n}"
            for k, a in enumerate(symbols)
            for b in symbols[k:]
            for n in range(self.hypers_["n_splines"])
        ]
        return names
