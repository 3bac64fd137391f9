"""Products of B-splines of the sides of triangles of atoms as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._sklearn import StrOptions
from ..core import triplet_basis as kernels
from ..data.elements import SYMBOLS
from ._base import PairDerivatives, PairDescriptor
from ._hypers import HYPERS, spline_hypers
from ._limits import LENGTH, LENGTH_OR_ZERO, count, refuse_width
from ._splines import ABSENT, OPEN, difference_penalty, knot_spacing, second_differences

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from skpot.typing import Species


class TripletBasisDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `TripletBasis`."""

    kernels = kernels
    smallest = 32


class TripletBasis(PairDescriptor):
    r"""Products of cubic B-splines of the sides of triangles: a linear three-body potential.

    There is a column for each species a of the center, unordered pair of species b, c of two
    neighbors, and splines l, m, n of the three distances:

    .. math::

        q_i^{(a, bc)lmn} = \sum_{j<k} B_l(r_{ij}) B_m(r_{ik}) B_n(r_{jk}), \qquad
        \sum_i w \cdot q_i = \sum_i \sum_{j<k} V_{a, bc}(r_{ij}, r_{ik}, r_{jk})

    where :math:`V = \sum_{lmn} w_{lmn} B_l B_m B_n`. For like neighbors, w is symmetric in l and
    m, and the two products share a column. Columns that would need a triangle with one side longer
    than the others together are left out. Each triangle of atoms counts once for each of its
    atoms that is within the cutoff of the two others.

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
        Number of columns.
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
    _chosen = ("cutoff", "n_splines", "r_min")
    _block = "triplet_basis"

    _parameter_constraints = {
        "cutoff": LENGTH,
        "n_splines": count(4, 64),
        "r_min": LENGTH_OR_ZERO,
        "hypers": [StrOptions(set(HYPERS)), None],
        "species": ["array-like", None],
        "cache": ["boolean"],
    }

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
        self.cutoff = cutoff
        self.n_splines = n_splines
        self.r_min = r_min
        self.hypers = hypers
        self.species = species
        self.cache = cache

    def _learn(self, batch, index):
        """Give every column its place."""
        self.spacing_ = knot_spacing(self.hypers_)
        n, n_splines = len(self.species_), self.hypers_["n_splines"]
        # Two thirds of the pairs of sides allow so many third ones, those of like neighbors half.
        refuse_width(n * n**2 / 2 * n_splines**3 / 2, f"n_splines={n_splines} and {n} species")
        allowed = kernels.allowed_runs(
            float(self.hypers_["cutoff"]), float(self.hypers_["r_min"]), self.hypers_["n_splines"]
        )
        self.runs_, self.center_start_ = kernels.triplet_runs(allowed, len(self.species_))
        self.n_features_out_ = int(self.center_start_[-1])

    def _rules(self, preset, scales, given):
        return spline_hypers(preset, scales, given, n_body=3)

    def _tables(self):
        base = np.ascontiguousarray(self.runs_[..., 0]).ravel()
        return kernels.TripletTables(
            float(self.hypers_["r_min"]),
            self.spacing_,
            self.hypers_["n_splines"],
            base,
            self.center_start_,
        )

    def _columns(self, a, b, c):
        """Return the column of each (l, m, n), `ABSENT` where no triangle has it."""
        runs = self.runs_[a, b, c]
        n = np.arange(runs[..., 2].max() + 1)
        held = (n >= runs[..., 1:2]) & (n <= runs[..., 2:3])
        return np.where(held, runs[..., :1] + n, ABSENT)

    def smoothness_penalty(self, *, to_cutoff: bool = False) -> csr_array:
        r"""Return the matrix P of the roughness w' P w of a three-body potential.

        w' P w is the sum of squares of all second differences of the coefficients
        :math:`w_{lmn}` along l, m and n, as far as the columns exist; the coefficients of
        like neighbors count as the symmetric array they stand for. See
        `PairBasis.smoothness_penalty`.

        Parameters
        ----------
        to_cutoff : bool, default=False
            Also count the zero coefficients of the splines of l and m left out at the cutoff.

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
        >>> from skpot import TripletBasis
        >>> TripletBasis().fit([bulk("Si")]).smoothness_penalty().shape
        (231, 231)
        """
        check_is_fitted(self, "n_features_out_")
        n, groups = len(self.species_), []
        for a, b in np.ndindex(n, n):
            for c in range(b, n):
                columns = self._columns(a, b, c)
                for axis in range(3):
                    along = columns
                    if to_cutoff and axis < 2:
                        beyond = [(0, 3) if other == axis else (0, 0) for other in range(3)]
                        along = np.pad(columns, beyond, constant_values=OPEN)
                    groups.append(second_differences(along, axis))
        return difference_penalty(groups, self.n_features_out_)

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
