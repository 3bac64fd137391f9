"""What the descriptors made of B-splines share: parameters, knots and penalties on roughness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from .._sklearn import StrOptions
from ..exceptions import ParameterError
from ._base import PairDescriptor
from ._hypers import HYPERS, spline_hypers
from ._limits import COMMON, LENGTH, LENGTH_OR_ZERO, count

if TYPE_CHECKING:
    from typing import Any

    from scipy.sparse import csr_array

    from skpot.typing import IntArray, Species

_CSR = "data", "indices", "indptr"  # the arrays of a sparse matrix
ABSENT, OPEN = -2, -1  # stand for a column that does not exist, and for a coefficient of zero

_CLOSEST = 1e-3  # Å between knots; splines between closer ones would be steps


class SplineDescriptor(PairDescriptor):
    """Descriptor whose features are products of B-splines of distances.

    A subclass gives the first two parameters defaults of its own, names its body order, and defines
    `_lay_out` and `_straight_lines`.
    """

    _chosen = ("cutoff", "n_splines", "r_min")
    _n_body: int  # how many atoms a term depends on

    _parameter_constraints = COMMON | {
        "cutoff": LENGTH,
        "n_splines": count(4, 1000),
        "r_min": LENGTH_OR_ZERO,
        "hypers": [StrOptions(set(HYPERS)), None],
    }

    def __init__(
        self,
        cutoff: float,
        n_splines: int,
        *,
        r_min: float = 0.5,
        hypers: str | None = None,
        species: Species | None = None,
        cache: bool = True,
    ) -> None:
        self.cutoff = cutoff
        self.n_splines = n_splines
        self.r_min = r_min
        self.hypers, self.species = hypers, species
        self.cache = cache

    def _rules(self, preset, scales, given):
        return spline_hypers(preset, scales, given, self._n_body)

    def _learn(self, batch, index):
        """Give every column its place, and find the penalty on rough potentials."""
        self.spacing_ = knot_spacing(self.hypers_)
        self._lay_out()
        penalty = self.smoothness_penalty(to_cutoff=True)
        self.penalty_ = {name: getattr(penalty, name) for name in _CSR}

    def _penalties(self):
        arrays = tuple(self.penalty_[name] for name in _CSR)
        n = self.n_features_out_
        return {self._block: sp.csr_array(arrays, shape=(n, n))}

    def _lay_out(self):
        """Set `n_features_out_`, and the arrays that give each spline its column."""
        raise NotImplementedError

    def _knots(self) -> tuple[float, float, int]:
        """Return the first knot and the distance of knots, both in Å, and the number of splines."""
        return float(self.hypers_["r_min"]), self.spacing_, self.hypers_["n_splines"]

    def _straight_lines(self, to_cutoff):
        """Return a list of arrays (n, 3) of columns whose coefficients should follow a line."""
        raise NotImplementedError

    def smoothness_penalty(self, *, to_cutoff: bool = False) -> csr_array:
        r"""Return the matrix P of the roughness w' P w of the potential with coefficients w.

        The roughness is the sum of the squares of all second differences of the coefficients of
        neighboring splines, such as :math:`w_n - 2 w_{n+1} + w_{n+2}`. In a ridge regression it
        takes the place of the unit matrix. Coefficients that the data do not determine then
        continue the others in a straight line instead of going to zero.

        Parameters
        ----------
        to_cutoff : bool, default=False
            Also count the zero coefficients of the splines left out at the cutoff.

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
        return difference_penalty(self._straight_lines(to_cutoff), self.n_features_out_)


def knot_spacing(hypers: dict[str, Any]) -> float:
    """Return the distance of the knots in Å; refuse a range that is empty."""
    cutoff, r_min, n_splines = (hypers[name] for name in ("cutoff", "r_min", "n_splines"))
    if r_min >= cutoff:
        raise ParameterError(
            f"r_min={r_min} Å is not below cutoff={cutoff} Å; "
            "choose it near the shortest distance between atoms."
        )
    spacing = (float(cutoff) - float(r_min)) / int(n_splines)
    if spacing < _CLOSEST:
        raise ParameterError(
            f"n_splines={n_splines} between r_min={r_min} Å and cutoff={cutoff} Å put knots "
            f"{spacing:.2g} Å apart; they must be at least {_CLOSEST} Å apart. Lower n_splines."
        )
    return spacing


def second_differences(columns: IntArray, axis: int) -> IntArray:
    """Return all three columns that follow each other along an axis, shape (n_differences, 3).

    `columns` is an array with the column of each coefficient, or `ABSENT` or `OPEN` instead.
    """
    length = columns.shape[axis]
    shifted = [np.take(columns, range(k, length - 2 + k), axis).ravel() for k in range(3)]
    triples = np.stack(shifted, axis=1)
    return triples[(triples != ABSENT).all(axis=1) & (triples >= 0).any(axis=1)]


def difference_penalty(groups: list[IntArray], n_features: int) -> csr_array:
    """Return D' D of the second differences of coefficients, as a CSR array."""
    triples = np.concatenate(groups)
    weights = np.tile([1.0, -2.0, 1.0], (len(triples), 1))
    rows = np.repeat(np.arange(len(triples)), 3).reshape(-1, 3)
    held = triples >= 0
    difference = sp.csr_array(
        (weights[held], (rows[held], triples[held])), shape=(len(triples), n_features)
    )
    return sp.csr_array(difference.T @ difference)
