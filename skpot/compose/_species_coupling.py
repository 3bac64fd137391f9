"""A step after which kernels compare environments of different species."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import Interval
from ..data import PadColumns
from ..data.elements import SYMBOLS, alchemical_coordinates, by_number
from ..exceptions import InputError
from ._rows import FeatureStep

if TYPE_CHECKING:
    from typing import Any


class SpeciesCoupling(FeatureStep):
    r"""Let kernels compare environments of different species.

    Without this step, kernel models compare only environments whose centers are of one species.
    With it they compare all environments. It describes each species s by a vector :math:`e_s`,
    which it appends to the rows of centers of that species as the block "species". The kernel
    should then be a product of one factor on the block "species" and one on the other columns,

    .. math:: k\big((x, s), (q, t)\big) = B(e_s, e_t)\, k(x, q)

    where B says how much species s and t learn from each other. The factor on the block can be an
    `RBF`, so that :math:`B = \exp(-|e_s - e_t|^2 / 2\ell^2)`, or ``DotProduct(1)``, so that
    :math:`B = e_s \cdot e_t`, by which vectors can express any positive semi-definite coupling.
    Its length scale is a hyperparameter: species do not learn from each other if it is short.

    Columns must have the same meaning for all species. Before this step use ``PerAtom(PCA(n))``
    instead of `PrincipalComponents`, which has other directions for each species. After this step
    use neither, because it would mix the block "species" with the other columns.

    Parameters
    ----------
    species_vectors : dict of str to array-like of shape (n_dimensions,), or None, default=None
        The vector of each species, by symbol or atomic number. None stands for Pauling's
        electronegativity and the covalent radius divided by 0.5 Å.
    scale : float, default=1.0
        A factor that multiplies all vectors.

    Attributes
    ----------
    species_vectors_ : dict of int to ndarray of shape (n_dimensions,)
        The vectors times `scale` by atomic number: of all species that were given, or else of
        those in the training set.
    n_features_in_, n_features_out_, origin_
        See `PerAtom`.

    Notes
    -----
    `skpot.compile` takes this step if it is the last one and the kernel is a product as above. In
    the compiled potential each species has a copy of all references.

    References
    ----------
    S. De, A. P. Bartók, G. Csányi, M. Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016), sec. 3;
    M. J. Willatt, F. Musil, M. Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018).

    Examples
    --------
    >>> import skpot
    >>> from skpot.kernels import RBF
    >>> from sklearn.pipeline import make_pipeline
    >>> data = skpot.datasets.load_ethanol()
    >>> kernel = RBF().on("soap") * RBF(2.0).on("species")
    >>> soap = skpot.SOAP(hypers="fast")
    >>> model = make_pipeline(soap, skpot.SpeciesCoupling(), skpot.GPR(kernel, sigma_forces=0.02))
    >>> model.fit(data.X[:10], data.y[:10]).predict(data.X_test[:2]).forces_flat.shape
    (18, 3)
    """

    _parameter_constraints = {
        "species_vectors": [dict, None],
        "scale": [Interval(Real, 1e-6, 1e6, closed="both")],
    }

    def __init__(
        self, species_vectors: dict[str, Any] | None = None, *, scale: float = 1.0
    ) -> None:
        self.species_vectors = species_vectors
        self.scale = scale

    def _require_features(self, X):
        super()._require_features(X)
        if X.per_structure:
            raise InputError(
                "SpeciesCoupling takes a row for each atom; put PerStructure after it."
            )

    def _fit(self, features, y):
        kinds = np.unique(features.numbers)
        given = self.species_vectors
        if given is None:
            given = dict(zip(kinds.tolist(), alchemical_coordinates(kinds), strict=True))
        given = by_number("species_vectors", given)
        vectors = {z: _as_vector(z, vector) for z, vector in given.items()}
        _refuse_unlike_vectors(list(vectors.values()))
        missing = [SYMBOLS[z] for z in kinds if z not in vectors]
        if missing:
            raise InputError(
                f"species_vectors has none of {', '.join(missing)}; add them to the dictionary."
            )
        self.species_vectors_ = {z: float(self.scale) * e for z, e in vectors.items()}
        self.n_features_out_ = features.shape[1] + self._n_dimensions()
        zero_stays = not all(e.any() for e in self.species_vectors_.values())
        self._set_origin(features, self.species_vectors_, zero_stays=zero_stays)

    def _transform(self, features):
        kinds, kind = np.unique(features.numbers, return_inverse=True)
        missing = [SYMBOLS[z] for z in kinds if z not in self.species_vectors_]
        if missing:
            raise InputError(
                f"species {', '.join(missing)} did not occur in fit; give them "
                "species_vectors={...}."
            )
        vectors = np.array([self.species_vectors_[z] for z in kinds])
        vectors = vectors.reshape(len(kinds), -1)[kind]
        width, chain = features.shape[1], features.derivatives
        if chain is not None:
            chain = PadColumns(chain, width, vectors.shape[1])
        # A block such as slice(None) stands for all columns: fix its end before more are added.
        blocks = {name: slice(*block.indices(width)[:2]) for name, block in features.blocks.items()}
        blocks["species"] = slice(width, width + vectors.shape[1])
        coupled = features.mapped(np.hstack([features.values, vectors]), chain, blocks)
        coupled = coupled.of_one_species()
        coupled.origin = self._origin()
        return coupled

    def _feature_names(self, input_features):
        added = [f"species{k}" for k in range(self._n_dimensions())]
        return [*self._names_in(input_features), *added]

    def _n_dimensions(self):
        return len(next(iter(self.species_vectors_.values())))


def _as_vector(species, vector):
    try:
        return np.asarray(vector, dtype=float)
    except (TypeError, ValueError):
        raise InputError(
            f"species_vectors has {vector!r} for {SYMBOLS[species]}, which is no vector of numbers."
        ) from None


def _refuse_unlike_vectors(vectors):
    if len({e.shape for e in vectors}) > 1 or any(e.ndim != 1 or not e.size for e in vectors):
        raise InputError("species_vectors must be vectors of one length for all species.")
    if not np.isfinite(vectors).all():
        raise InputError("species_vectors must be finite numbers.")
