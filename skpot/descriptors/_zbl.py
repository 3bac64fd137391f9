"""Repulsion of nuclei as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core import repulsion as kernels
from ..data.elements import covalent_radius
from ..exceptions import ParameterError
from ._base import PairDerivatives, PairDescriptor
from ._limits import COMMON, LENGTH, LENGTH_OR_ZERO

if TYPE_CHECKING:
    from skpot.typing import Species

_OF_RADII = 0.7  # outer radius over the sum of covalent radii
_OF_DATA = 0.95  # outer radius over the shortest distance seen


class ZBLDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `ZBL`."""

    kernels = kernels
    smallest = 512


class ZBL(PairDescriptor):
    r"""Screened repulsion of nuclei at short distance: one feature, an energy in eV.

    The universal potential of Ziegler, Biersack and Littmark, taken to zero between an inner and
    an outer radius (`skpot.core.repulsion`). In a `FeatureUnion` beside a descriptor it gives a
    regressor with `baseline="zbl"` a repulsive core that no training structure has to teach:

    .. code-block:: python

        union = FeatureUnion([("zbl", ZBL()), ("soap", SOAP())])
        model = make_pipeline(union, SparseGPR(baseline="zbl"))

    Parameters
    ----------
    outer : float or None, default=None
        Distance in Å beyond which there is no repulsion. None takes for each pair of species 0.7
        times the sum of covalent radii or 0.95 times the shortest distance in the structures of
        `fit`, whichever is smaller, so that the repulsion leaves alone what the data tell.
    inner : float or None, default=None
        Distance in Å up to which the full repulsion acts; None takes half of the outer one.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers of all species that may occur. By default those seen
        in `fit`.
    cache : bool, default=True
        Look up structures in `skpot.descriptors.descriptor_cache`.

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    outer_, inner_ : ndarray of shape (n_species, n_species)
        The radii in use, in Å.
    n_features_out_ : int
        1.
    origin_ : tuple of (str, bool)
        Identifies what was fitted, as in `SOAP`.

    Notes
    -----
    Below the inner radius forces are those of LAMMPS's ``pair_style zbl``, with its screening
    length of 0.46850 Å. Between the radii programs differ by 30 to 40 %: here a quintic polynomial
    multiplies the energy, NEP multiplies it by a cosine, LAMMPS adds a polynomial.

    References
    ----------
    J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Matter (1985).

    Examples
    --------
    >>> from ase import Atoms
    >>> from skpot import ZBL
    >>> close = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0.5]])
    >>> float(ZBL(outer=1.5).fit_transform([close]).values.sum())
    470.49
    """

    _derivatives = ZBLDerivatives
    _block = "zbl"
    _needs_neighbors = False  # atoms of sound data are farther apart than `outer`

    _parameter_constraints = COMMON | {
        "outer": [*LENGTH, None],
        "inner": [*LENGTH_OR_ZERO, None],
    }

    def __init__(
        self,
        outer: float | None = None,
        inner: float | None = None,
        *,
        species: Species | None = None,
        cache: bool = True,
    ) -> None:
        self.outer = outer
        self.inner = inner
        self.species, self.cache = species, cache

    def _learn(self, batch, index):
        """Choose the radii."""
        self.outer_ = self._outer(batch, index)
        if self.inner is not None and self.inner >= self.outer_.min():
            raise ParameterError(
                f"inner={self.inner} Å must be smaller than outer={self.outer_.min():.3g} Å."
            )
        inner = 0.5 * self.outer_ if self.inner is None else float(self.inner)
        self.inner_ = np.broadcast_to(inner, self.outer_.shape).copy()
        self.n_features_out_ = 1

    def _outer(self, batch, index):
        n = len(self.species_)
        if self.outer is not None:
            return np.full((n, n), float(self.outer))
        radii = np.array([covalent_radius(z) for z in self.species_])
        outer = _OF_RADII * (radii[:, None] + radii)
        reach, first = float(outer.max()) / _OF_DATA, 0
        for part in batch.in_blocks():
            own = index[first : first + len(part.numbers)]
            pairs = part.neighbors(reach).pairs
            center = np.repeat(own, np.diff(pairs.start))
            distances = np.linalg.norm(pairs.vector, axis=1)
            np.minimum.at(outer, (center, own[pairs.neighbor]), _OF_DATA * distances)
            first += len(own)
        return outer

    def radius(self) -> float:
        """Return how far neighbors matter to the fitted descriptor, in Å."""
        return float(self.outer_.max())

    def tables(self) -> kernels.RepulsionTables:
        """Return what the compiled functions need to know of the fitted descriptor."""
        return kernels.repulsion_tables(self.species_, self.inner_, self.outer_)

    def _feature_names(self):
        """Return the name of the only feature."""
        return ["zbl"]
