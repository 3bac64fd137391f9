"""Products of B-splines of the sides of triangles of atoms as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core import triplet_basis as kernels
from ..data.elements import SYMBOLS
from ._base import PairDerivatives
from ._limits import count, refuse_width
from ._splines import ABSENT, OPEN, SplineDescriptor, second_differences

if TYPE_CHECKING:
    from skpot.typing import Species


class TripletBasisDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `TripletBasis`."""

    kernels = kernels
    smallest = 32


class TripletBasis(SplineDescriptor):
    r"""Products of cubic B-splines of the sides of triangles: a linear three-body potential.

    There is a column for each species a of the center, unordered pair of species b, c of two
    neighbors, and splines l, m, n of the three distances:

    .. math::

        q_i^{(a, bc)lmn} = \sum_{j<k} B_l(r_{ij}) B_m(r_{ik}) B_n(r_{jk}), \qquad
        \sum_i w \cdot q_i = \sum_i \sum_{j<k} V_{a, bc}(r_{ij}, r_{ik}, r_{jk})

    where :math:`V = \sum_{lmn} w_{lmn} B_l B_m B_n`. For like neighbors, w is symmetric in l and
    m, and the two products share a column. There are no columns for triangles that cannot exist,
    with one side longer than the two others together. Each triangle of atoms counts once for each
    of its atoms that is within the cutoff of the two others.

    Knots are equidistant, a distance h = (cutoff - r_min) / n_splines apart, up to twice the cutoff
    for :math:`r_{jk}`. As with `PairBasis`, splines that do not vanish smoothly at the cutoff
    are left out of the distances to the center, and below `r_min` the splines go on as straight
    lines. The number of columns grows as the third power of `n_splines` and of the number
    of species.

    Parameters
    ----------
    cutoff : float, default=4.0
        Radius in Å.
    n_splines : int, default=6
        Number of splines of the distances to the center, at least 4.
    r_min : float, default=0.5
        Distance in Å below which splines go on as straight lines; best somewhat below the
        shortest distance of the data.
    hypers, species, cache : as in `PairBasis`

    Attributes
    ----------
    n_features_out_ : int
        Number of columns.
    species_, hypers_, origin_, spacing_, penalty_ : as in `PairBasis`

    See Also
    --------
    PairBasis : The same for pairs of atoms; `FeatureUnion` puts the two side by side.

    References
    ----------
    S. R. Xie, M. Rupp, R. G. Hennig, npj Comput. Mater. 9, 162 (2023).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from skpot import TripletBasis
    >>> basis = TripletBasis()
    >>> basis.fit_transform([bulk("Si"), bulk("Si", cubic=True)])
    AtomicFeatures(2 structures, 10 environments, 231 features, with derivatives)
    >>> basis.get_feature_names_out()[70]
    'Si (Si Si) 1 3 2'
    """

    _derivatives = TripletBasisDerivatives
    _block = "triplet_basis"
    _n_body = 3
    _parameter_constraints = SplineDescriptor._parameter_constraints | {"n_splines": count(4, 64)}

    def __init__(
        self,
        cutoff: float = 4.0,
        n_splines: int = 6,
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
        n, n_splines = len(self.species_), self.hypers_["n_splines"]
        # An estimate: n^2 / 2 pairs of neighbors, and about half of the triples of splines.
        refuse_width(n * n**2 / 2 * n_splines**3 / 2, f"n_splines={n_splines} and {n} species")
        allowed = kernels.allowed_runs(
            float(self.hypers_["cutoff"]), float(self.hypers_["r_min"]), self.hypers_["n_splines"]
        )
        self.runs_, self.center_start_ = kernels.triplet_runs(allowed, len(self.species_))
        self.n_features_out_ = int(self.center_start_[-1])

    def tables(self) -> kernels.TripletTables:
        """Return what the compiled functions need to know of the fitted descriptor."""
        base = np.ascontiguousarray(self.runs_[..., 0]).ravel()
        return kernels.TripletTables(*self._knots(), base, self.center_start_)

    def _columns(self, a, b, c):
        """Return the column of each (l, m, n), `ABSENT` where no triangle has it."""
        runs = self.runs_[a, b, c]
        n = np.arange(runs[..., 2].max() + 1)
        held = (n >= runs[..., 1:2]) & (n <= runs[..., 2:3])
        return np.where(held, runs[..., :1] + n, ABSENT)

    def _straight_lines(self, to_cutoff):
        """Return the columns of each three splines that follow each other, along l, m and n.

        The coefficients of like neighbors count as the symmetric array that they stand for.
        """
        n, groups = len(self.species_), []
        for a, b in np.ndindex(n, n):
            for c in range(b, n):
                columns = self._columns(a, b, c)
                for axis in range(3):
                    along = columns
                    if to_cutoff and axis < 2:  # the third distance may exceed the cutoff
                        beyond = [(0, 3) if other == axis else (0, 0) for other in range(3)]
                        along = np.pad(columns, beyond, constant_values=OPEN)
                    groups.append(second_differences(along, axis))
        return groups

    def _feature_names(self):
        """Return names such as "Si (O O) 1 2 5": the center, its neighbors, and l m n."""
        symbols = [SYMBOLS[z] for z in self.species_]
        names = np.empty(self.n_features_out_, dtype=object)
        for a, b in np.ndindex(len(symbols), len(symbols)):
            for c in range(b, len(symbols)):
                columns = self._columns(a, b, c)
                for l, m, n in np.argwhere(columns != ABSENT):
                    if b < c or l <= m:
                        of = f"{symbols[a]} ({symbols[b]} {symbols[c]})"
                        names[columns[l, m, n]] = f"{of} {l} {m} {n}"
        return names
