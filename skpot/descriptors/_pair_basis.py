"""B-splines of interatomic distances as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core import pair_basis as kernels
from ..data.elements import SYMBOLS
from ._base import PairDerivatives
from ._splines import OPEN, SplineDescriptor, second_differences

if TYPE_CHECKING:
    from skpot.typing import Species


class PairBasisDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `PairBasis`."""

    kernels = kernels
    smallest = 512


class PairBasis(SplineDescriptor):
    r"""Cubic B-splines of the distances to neighbors: a pair potential, linear in its features.

    There is a column for each unordered pair of species and each spline:

    .. math::

        q_i^{(ab)n} = \tfrac12 \sum_j B_n(r_{ij}), \qquad
        \sum_i w \cdot q_i = \sum_{i<j} \phi_{ab}(r_{ij}), \quad
        \phi_{ab}(r) = \sum_n w_{(ab)n} B_n(r)

    The sum goes over those neighbors j whose species makes the pair (ab) with that of i; columns of
    pairs without the species of i are 0. With the factor of one half, the sum over atoms counts
    each pair once.

    Knots are equidistant, a distance h = (cutoff - r_min) / n_splines apart. The three splines that
    do not vanish at the cutoff together with their first two derivatives are left out, so that
    :math:`\phi` goes to zero there smoothly. Below `r_min`, :math:`\phi` is a straight line, which
    begins with continuous second derivatives. Where training data have no distances, only the
    penalty of the fit determines the potential: `smoothness_penalty` continues it in a straight
    line, while an ordinary ridge pulls it to zero.

    Parameters
    ----------
    cutoff : float, default=6.0
        Radius in Å.
    n_splines : int, default=20
        Number of splines for each pair of species, at least 4.
    r_min : float, default=0.5
        Distance in Å below which the potential is a straight line. It is best somewhat below the
        shortest distance of the data.
    hypers : {"auto", "fast", "default", "accurate"}, optional
        Choose cutoff, n_splines and r_min in `fit` from the distances of the training structures.
        The presets are those of `SOAP`.
    species, cache : as in `SOAP`

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    hypers_ : dict
        The numbers in use: cutoff, n_splines, r_min.
    n_features_out_ : int
        n_splines n_species (n_species + 1) / 2.
    origin_ : tuple of (str, bool)
        Identifies what was fitted, as in `SOAP`.
    spacing_ : float
        Distance h of the knots in Å.
    penalty_ : dict of str to ndarray
        Arrays of ``smoothness_penalty(to_cutoff=True)``, which `LinearRidge` finds in the features.

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
    _block = "pair_basis"
    _n_body = 2

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
        super().__init__(
            cutoff, n_splines, r_min=r_min, hypers=hypers, species=species, cache=cache
        )

    def _lay_out(self):
        n = len(self.species_)
        self.n_features_out_ = self.hypers_["n_splines"] * n * (n + 1) // 2

    def tables(self) -> kernels.PairTables:
        """Return what the compiled functions need to know of the fitted descriptor."""
        n = len(self.species_)
        column = np.zeros((n, n), dtype=np.int64)
        upper = np.triu_indices(n)
        column[upper] = self.hypers_["n_splines"] * np.arange(len(upper[0]))
        column = np.maximum(column, column.T)
        return kernels.PairTables(*self._knots(), column, self.n_features_out_)

    def _straight_lines(self, to_cutoff):
        """Return the columns of each three splines that follow each other."""
        columns = np.arange(self.n_features_out_).reshape(-1, self.hypers_["n_splines"])
        if to_cutoff:
            columns = np.pad(columns, ((0, 0), (0, 3)), constant_values=OPEN)
        return [second_differences(columns, axis=1)]

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
