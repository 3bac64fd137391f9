"""Environments of different species that learn from each other."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._sklearn import Interval, _fit_context
from ..data import AtomicFeatures, PadColumns
from ..data.elements import SYMBOLS, alchemical_coordinates, by_number
from ..exceptions import InputError
from ._rows import FeatureStep

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike

    from skpot.typing import FeatureNames


class SpeciesCoupling(FeatureStep):
    r"""Let kernels compare environments of different species.

    Kernel models compare environments whose centers are of one species. After this step they
    compare all of them, and the rows have further columns, the block "species", with a place
    :math:`e_s` of the center's species s. A kernel of both,

    .. math:: k\big((x, s), (q, t)\big) = B_{st}\, k(x, q)

    is the product of one on the other columns and one on the block: with a Gaussian
    :math:`B_{st} = \exp(-|e_s - e_t|^2 / 2\ell^2)`, with ``DotProduct(1)`` it is
    :math:`e_s \cdot e_t`, any coupling that is positive semi-definite. Its length scale is a
    hyperparameter as any other: small ones give back species that are apart.

    Columns must mean the same for all species: no `PrincipalComponents` before this step but
    ``PerAtom(PCA(n))``; none after it either, which would mix the places with the rest.

    Parameters
    ----------
    places : dict of str to array-like of shape (n_dimensions,), or None, default=None
        The place of each species, by symbol or atomic number. None takes Pauling's
        electronegativity and the covalent radius over 0.5 Å.
    scale : float, default=1.0
        Factor of all places.

    Attributes
    ----------
    places_ : dict of int to ndarray of shape (n_dimensions,)
        Places times factor, by atomic number, of the species of the training set or, if given, all.
    n_features_in_, n_features_out_ : int
        Number of features before and after.
    origin_ : tuple of (str, bool), or None
        Digest of the step and of what made its features, if that is known, and whether rows of
        atoms without neighbors are zero. Features of another origin are refused.

    Notes
    -----
    `skpot.compile` takes it as the last step before a kernel that is a product of one on the block
    "species" and one on other blocks. Each species then has a copy of all references.

    References
    ----------
    S. De, A. P. Bartók, G. Csányi, M. Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016), sec. 3;
    M. J. Willatt, F. Musil, M. Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018).

    Examples
    --------
    >>> import skpot
    >>> from skpot.kernels import RBF
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_ethanol(return_X_y=True)
    >>> kernel = RBF().on("soap") * RBF(2.0).on("species")
    >>> soap = skpot.SOAP(hypers="fast")
    >>> model = make_pipeline(soap, skpot.SpeciesCoupling(), skpot.GPR(kernel, sigma_forces=0.02))
    >>> model.fit(X[:10], y[:10]).predict(X_test[:2]).forces_flat.shape
    (18, 3)
    """

    _parameter_constraints = {
        "places": [dict, None],
        "scale": [Interval(Real, 1e-6, 1e6, closed="both")],
    }

    def __init__(self, places: dict[str, Any] | None = None, *, scale: float = 1.0) -> None:
        self.places = places
        self.scale = scale

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: AtomicFeatures, y: Any = None) -> Self:
        """Find the places of the species.

        Parameters
        ----------
        X : AtomicFeatures
            Features, one row for each atom.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self : SpeciesCoupling

        Raises
        ------
        ValueError
            If rows are those of whole structures, a species has no place or two, or places are not
            finite or differ in length.
        """
        _refuse_structures(X)
        self._begin(X)
        kinds = np.unique(X.numbers)
        places = self.places
        if places is None:
            places = dict(zip(kinds.tolist(), alchemical_coordinates(kinds), strict=True))
        places = {z: _as_place(z, e) for z, e in by_number("places", places).items()}
        vectors = list(places.values())
        if len({e.shape for e in vectors}) > 1 or any(e.ndim != 1 or not e.size for e in vectors):
            raise InputError("places must be vectors of one length for all species.")
        if not np.isfinite(vectors).all():
            raise InputError("places must be finite numbers.")
        missing = [SYMBOLS[z] for z in kinds if z not in places]
        if missing:
            raise InputError(
                f"places has none of {', '.join(missing)}; add them to the dictionary."
            )
        self.places_ = {z: float(self.scale) * e for z, e in places.items()}
        self.n_features_out_ = X.shape[1] + self._n_dimensions()
        apart = all(e.any() for e in self.places_.values())
        self._set_origin(X, self.places_, zero_stays=not apart)
        return self

    def transform(self, X: AtomicFeatures) -> AtomicFeatures:
        """Append the places.

        Parameters
        ----------
        X : AtomicFeatures
            Features, one row for each atom.

        Returns
        -------
        AtomicFeatures
            Of the same environments, all of one species to kernels.

        Raises
        ------
        ValueError
            If a species has no place.
        """
        check_is_fitted(self, "places_")
        _refuse_structures(X)
        self._accept(X)
        kinds, kind = np.unique(X.numbers, return_inverse=True)
        missing = [SYMBOLS[z] for z in kinds if z not in self.places_]
        if missing:
            raise InputError(
                f"species {', '.join(missing)} did not occur in fit; give them places={{...}}."
            )
        places = np.array([self.places_[z] for z in kinds]).reshape(len(kinds), -1)[kind]
        chain = X.derivatives
        if chain is not None:
            chain = PadColumns(chain, X.shape[1], places.shape[1])
        width = X.shape[1]
        # A block may be open: all columns, of which there will be more.
        blocks = {name: slice(*block.indices(width)[:2]) for name, block in X.blocks.items()}
        blocks["species"] = slice(width, width + places.shape[1])
        coupled = X.mapped(np.hstack([X.values, places]), chain, blocks).of_one_species()
        coupled.origin = self._origin()
        return coupled

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> FeatureNames:
        """Return the names that come in, and those of the places.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the features that come in.
        """
        check_is_fitted(self, "places_")
        if input_features is None:
            input_features = [f"x{k}" for k in range(self.n_features_in_)]
        places = [f"species{k}" for k in range(self._n_dimensions())]
        return np.array([*input_features, *places], dtype=object)

    def _n_dimensions(self):
        return len(next(iter(self.places_.values())))


def _as_place(species, place):
    try:
        return np.asarray(place, dtype=float)
    except (TypeError, ValueError):
        raise InputError(
            f"places has {place!r} for {SYMBOLS[species]}, which is no vector of numbers."
        ) from None


def _refuse_structures(X):
    if isinstance(X, AtomicFeatures) and X.per_structure:
        raise InputError("SpeciesCoupling takes a row for each atom; put PerStructure after it.")
