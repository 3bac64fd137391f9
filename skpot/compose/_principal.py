"""Leading directions of the features, species by species."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh, qr
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._sklearn import Interval, _fit_context
from ..data import SpeciesMap
from ..data.elements import SYMBOLS
from ..data.order import environment_order
from ..exceptions import InputError
from ..solvers import gram, rows_times, serial_blas
from ._rows import FeatureStep

if TYPE_CHECKING:
    from typing import Any, Self

    from skpot.data import AtomicFeatures
    from skpot.typing import FeatureNames, RandomState

_FEW = 500  # rows or columns more than asked for, up to which all directions are found
_MORE, _STEPS = 10, 5  # columns beyond those asked for, and iterations, of a random projection
_RANK = 1e-12  # of the largest eigenvalue; directions below are rounding


class PrincipalComponents(FeatureStep):
    r"""Project environments on the leading directions of their own species.

    For each species of the center, rows are multiplied by the leading right singular vectors of
    the training rows, and by a factor that makes their mean squared length 1: a length scale of
    1 then suits a Gaussian kernel. Rows are not centered, so that no neighbors still means no
    features. Environments of different species end in different spaces, which is right where only
    those of one species are compared, as all kernel models here do. For one map for all
    species, take ``PerAtom(PCA(n))``.

    Parameters
    ----------
    n_components : int, default=300
        Number of directions, or as many as there are features. Species with fewer independent rows
        have columns of zeros.
    rest : float, default=0.0
        Share of the variance that may be left out: each species has as few directions as keep the
        others, and the widest sets the number. The variance is that about the mean, which kernels
        of distances do not see.
    random_state : int, RandomState or None, default=0
        Seed of the random projection by which the directions of many features are found.

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending; 0 for rows of whole structures.
    matrices_ : ndarray of shape (n_species, n_features_in, n_features_out)
        Directions times factor.
    kept_ : ndarray of shape (n_species,)
        Share of the squared length of the training rows that the directions keep.
    n_features_in_, n_features_out_ : int
        Number of features before and after.
    origin_ : tuple of (str, bool), or None
        Digest of the step and of what made its features, if that is known, and whether rows of
        atoms without neighbors are zero. Features of another origin are refused.

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
        "rest": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, n_components: int = 300, *, rest: float = 0.0, random_state: RandomState = 0
    ) -> None:
        self.n_components = n_components
        self.rest = rest
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: AtomicFeatures, y: Any = None) -> Self:
        """Find the directions.

        Parameters
        ----------
        X : AtomicFeatures
            Features.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self : PrincipalComponents
        """
        self._begin(X)
        most = min(int(self.n_components), X.shape[1])
        self.species_ = np.unique(X.species)
        rng = check_random_state(self.random_state)
        order = environment_order(X)  # so that sums have one order, whatever that of the data
        found = [
            _scaled_directions(np.asarray(X.values[rows], float), most, self.rest, rng)
            for rows in (order[X.species[order] == z] for z in self.species_)
        ]
        self.kept_ = np.array([kept for _, kept in found])
        widest = max(1, *(directions.shape[1] for directions, _ in found))
        self.n_features_out_ = widest if self.rest else most
        self.matrices_ = np.zeros((len(found), X.shape[1], self.n_features_out_))
        for matrix, (directions, _) in zip(self.matrices_, found, strict=True):
            matrix[:, : directions.shape[1]] = directions
        self._set_origin(X, self.species_, self.matrices_)
        return self

    def transform(self, X: AtomicFeatures) -> AtomicFeatures:
        """Project the rows.

        Parameters
        ----------
        X : AtomicFeatures
            Features.

        Returns
        -------
        AtomicFeatures
            Of the same environments, with the map appended to the derivative chain.

        Raises
        ------
        ValueError
            If a species was not seen in `fit`.
        """
        check_is_fitted(self, "matrices_")
        self._accept(X)
        unknown = np.setdiff1d(X.species, self.species_)
        if len(unknown):
            raise InputError(
                f"species {', '.join(SYMBOLS[z] for z in unknown)} did not occur in fit; this "
                f"{type(self).__name__} knows {', '.join(SYMBOLS[z] for z in self.species_)}. Fit "
                "it on data that has them."
            )
        kinds = np.searchsorted(self.species_, X.species)
        chain = X.derivatives
        if chain is not None:
            chain = SpeciesMap(chain, kinds, self.matrices_, X.offsets)
        values = np.empty((len(X.values), self.n_features_out_))
        order = environment_order(X)
        # The last bits of a product depend on where in it a row stands.
        for kind, matrix in enumerate(self.matrices_):
            rows = order[kinds[order] == kind]
            values[rows] = rows_times(X.values[rows], matrix)
        return X.mapped(values, chain, origin=self._origin())

    def fit_transform(self, X: Any, y: Any = None) -> AtomicFeatures:
        """Find the directions and project the same rows; see `fit` and `transform`."""
        return self.fit(X, y).transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> FeatureNames:
        """Return numbered names.

        Parameters
        ----------
        input_features : ignored
            For the scikit-learn interface.
        """
        check_is_fitted(self, "matrices_")
        return np.array([f"principal{k}" for k in range(self.n_features_out_)], dtype=object)


def _scaled_directions(rows, n, rest, rng):
    """Return directions times their factor, as columns, and the share of squares they keep."""
    squares, directions = _leading(rows, n, rng)
    total = float(np.sum(rows**2))
    if rest:
        variance = total - float(np.sum(rows.sum(axis=0) ** 2)) / len(rows)
        enough = 1 + np.count_nonzero(total - np.cumsum(squares) > rest * variance)
        squares, directions = squares[:enough], directions[:, :enough]
    kept = float(squares.sum())
    return (directions * np.sqrt(len(rows) / kept), kept / total) if kept else (directions, 1.0)


def _leading(rows, n, rng):
    """Return squared singular values, descending, and right singular vectors as columns."""
    if min(rows.shape) > 2 * n + _FEW:
        squares, vectors = _leading_at_random(rows, n, rng)
    else:
        squares, vectors = _leading_exactly(rows, n)
    keep = squares > _RANK * max(squares[0], np.finfo(float).tiny)
    squares, vectors = squares[keep], vectors[:, keep]
    if vectors.shape[1]:
        largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
        vectors = vectors * np.sign(largest)  # else LAPACK chooses the signs
    return squares, vectors


def _leading_exactly(rows, n):
    short = len(rows) < rows.shape[1]
    products = gram(rows.T if short else rows)
    squares, vectors = _last_eigenvectors(products, n)
    if short:
        vectors = rows.T @ (vectors / np.sqrt(np.maximum(squares, np.finfo(float).tiny)))
    return squares, vectors


def _leading_at_random(rows, n, rng):
    """Do the same by subspace iteration from a random projection, n_rows n_features n per step."""
    basis = rng.normal(size=(rows.shape[1], n + _MORE))
    for _ in range(_STEPS):
        basis = rows_times(rows.T, rows_times(rows, basis))
        with serial_blas():
            basis, _ = qr(basis, mode="economic")
    squares, turned = _last_eigenvectors(gram(rows_times(rows, basis)), n)
    return squares, basis @ turned


def _last_eigenvectors(matrix, n):
    with serial_blas():
        size = len(matrix)
        squares, vectors = eigh(matrix, subset_by_index=[max(0, size - n), size - 1])
    return squares[::-1], vectors[:, ::-1]
