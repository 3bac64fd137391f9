"""Leading directions of the features, species by species."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

from .._sklearn import Interval
from ..data import SpeciesMap
from ..data.elements import SYMBOLS
from ..data.order import environment_order
from ..data.tasks import results_of_groups, task_groups
from ..exceptions import InputError
from ..models import refuse_features
from ..solvers import Products, directions_of_products, leading_directions, rows_times
from ._rows import FeatureStep

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray, RandomState

_PRODUCT_BYTES = 3e8  # that products of columns may take, for several species at a time
_COLUMNS = 500  # beyond which groups have more structures, since products take time to send


class PrincipalComponents(FeatureStep):
    r"""Project environments on the leading directions of their own species.

    For each species of the center, rows are multiplied by the leading right singular vectors of
    the training rows, and by a factor that makes their mean squared length 1: a length scale of
    1 then suits a Gaussian kernel. Rows are not centered, so that atoms without neighbors keep
    features of zero. Each species has directions of its own, so that rows of different species
    cannot be compared; the kernel models of skpot compare only environments of one species. For
    one map for all species, use ``PerAtom(PCA(n))``.

    Parameters
    ----------
    n_components : int, default=300
        Number of directions, or the number of features if that is smaller. Species with fewer
        independent rows have columns of zeros.
    max_lost_variance : float, default=0.0
        Largest share of the variance about the mean that may be lost. Each species keeps as few
        directions as this allows, `n_components` at most, and the species with most directions
        sets `n_features_out_`. 0 keeps `n_components`. The mean does not count, because kernels
        of distances do not depend on it.
    random_state : int, RandomState or None, default=0
        Seed of the random projection by which the directions of many features are found.

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending; 0 for rows of whole structures.
    matrices_ : ndarray of shape (n_species, n_features_in, n_features_out)
        Directions times factor.
    kept_share_ : ndarray of shape (n_species,)
        Share of the sum of squares of the training rows that the directions keep.
    n_features_in_, n_features_out_, origin_
        See `PerAtom`.

    References
    ----------
    N. Halko et al., SIAM Rev. 53, 217 (2011), for the random projection.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from sklearn.pipeline import make_pipeline
    >>> from skpot import SOAP, PrincipalComponents
    >>> soap = SOAP(cutoff=3.0, n_max=4, l_max=3, normalize=False)
    >>> make_pipeline(soap, PrincipalComponents(5)).fit_transform([molecule("CH3CH2OH")])
    AtomicFeatures(1 structures, 9 environments, 5 features, with derivatives)
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "max_lost_variance": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, n_components: int = 300, max_lost_variance: float = 0.0, random_state: RandomState = 0
    ) -> None:
        self.n_components = n_components
        self.max_lost_variance = max_lost_variance
        self.random_state = random_state

    def _fit(self, features, y):
        most = min(int(self.n_components), features.shape[1])
        self.species_ = np.unique(features.species)
        rng = check_random_state(self.random_state)
        found = [
            _scaled_directions(rows, most, self.max_lost_variance, rng)
            for rows in _rows_of_species(features, self.species_)
        ]
        self.kept_share_ = np.array([kept for _, kept in found])
        widest = max(1, *(directions.shape[1] for directions, _ in found))
        self.n_features_out_ = widest if self.max_lost_variance else most
        self.matrices_ = np.zeros((len(found), features.shape[1], self.n_features_out_))
        for matrix, (directions, _) in zip(self.matrices_, found, strict=True):
            matrix[:, : directions.shape[1]] = directions
        self._set_origin(features, self.species_, self.matrices_)

    def _transform(self, features):
        unknown = np.setdiff1d(features.species, self.species_)
        if len(unknown):
            raise InputError(
                f"species {', '.join(SYMBOLS[z] for z in unknown)} did not occur in fit; this "
                f"{type(self).__name__} knows {', '.join(SYMBOLS[z] for z in self.species_)}. Fit "
                "it on data that has them."
            )
        kinds = np.searchsorted(self.species_, features.species)
        chain = features.derivatives
        if chain is not None:
            chain = SpeciesMap(chain, kinds, self.matrices_, features.offsets)
        values = np.empty((len(features.values), self.n_features_out_))
        # The last bits of a row of a product depend on the position of the row in it.
        order = environment_order(features)
        for kind, matrix in enumerate(self.matrices_):
            rows = order[kinds[order] == kind]
            values[rows] = rows_times(features.values[rows], matrix)
        return features.mapped(values, chain, origin=self._origin())

    def _feature_names(self, input_features):
        return [f"principal{k}" for k in range(self.n_features_out_)]


class _Rows:
    """Rows of one species: themselves while they are fewer than columns, else their products."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self.n = n_rows
        self.are_few = n_rows < n_columns
        self._few: list[FloatArray] = []
        self._total: tuple[FloatArray, FloatArray] | None = None  # products, and sums

    def add(self, found: Any) -> None:
        """Take in what `_of_group` has found."""
        if self.are_few:
            self._few.append(found)
        elif self._total is None:
            self._total = found
        else:
            for array, more in zip(self._total, found, strict=True):
                array += more

    def directions(self, n: int, rng: Any) -> tuple[FloatArray, FloatArray, float, float]:
        """Return the squares and the n leading directions, all squares, and those of the mean."""
        if self._total is None:
            rows = np.concatenate(self._few)
            total, sums = float(np.sum(rows**2)), rows.sum(axis=0)
            squares, directions = leading_directions(rows, n, rng)
        else:
            products, sums = self._total
            total = float(np.trace(products))
            squares, directions = directions_of_products(products, n, rng)
        return squares, directions, total, float(np.sum(sums**2)) / self.n


def _rows_of_species(features, species):
    """Yield the `_Rows` of each species; features of files are gone through once for several."""
    refuse_features(features)
    n = features.shape[1]
    together = max(1, int(_PRODUCT_BYTES / (8.0 * n**2)))
    of_rows = features.species
    order = np.argsort(features.info.keys, kind="stable")
    groups = task_groups(order, features.n_atoms, max(1.0, n / _COLUMNS))
    for begin in range(0, len(species), together):
        some = species[begin : begin + together]
        sums = [_Rows(np.count_nonzero(of_rows == z), n) for z in some]
        shared = (dict(zip(some.tolist(), [rows.are_few for rows in sums], strict=True)),)
        for found in results_of_groups(_of_group, features, groups, shared):
            for rows, more in zip(sums, found, strict=True):
                rows.add(more)
        yield from sums


def _of_group(features, group, are_few):
    """Return the rows of each species of a group of structures, or the total of their products."""
    found = [[] if few else Products(features.shape[1]) for few in are_few.values()]
    for _, part in features.in_parts(group):
        refuse_features(part)
        # Sums in one order of rows do not depend on the order of the structures.
        order = environment_order(part)
        for z, rows in zip(are_few, found, strict=True):
            own = np.asarray(part.values[order[part.species[order] == z]], float)
            (rows.append if are_few[z] else rows.add)(own)
    return [
        np.concatenate(rows) if few else rows.total()
        for rows, few in zip(found, are_few.values(), strict=True)
    ]


def _scaled_directions(rows, n, max_lost_variance, rng):
    """Return directions times their factor, as columns, and the share of squares they keep.

    `n` is the largest number of directions.
    """
    squares, directions, total, of_mean = rows.directions(n, rng)
    if max_lost_variance:
        least = max_lost_variance * (total - of_mean)
        enough = 1 + np.count_nonzero(total - np.cumsum(squares) > least)
        squares, directions = squares[:enough], directions[:, :enough]
    kept = float(squares.sum())
    return (directions * np.sqrt(rows.n / kept), kept / total) if kept else (directions, 1.0)
