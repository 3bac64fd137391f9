"""Descriptors and linear maps of their columns, as `skpot.core.feature_rows` evaluates them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.feature_rows import Beside, Leaf, Mapped, Selected, matrices
from ..exceptions import NotCompilableError

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray, IntArray


class FeatureTree(NamedTuple):
    """Raw columns and the scaling that ends them: scale * column + shift.

    Its methods return the tree after one more map. They are what a lowering that is registered by
    `skpot.lowering.register_step` is made of.
    """

    node: tuple  # of core.feature_rows
    width: int
    cutoff: float  # Å
    species: np.ndarray  # (n_species,) atomic numbers, ascending
    scale: np.ndarray  # (width,)
    shift: np.ndarray  # (width,)
    coupling: object = None  # a fitted SpeciesCoupling that ends the steps

    @classmethod
    def of_descriptor(
        cls, tables: Any, width: int, cutoff: float, species: IntArray
    ) -> FeatureTree:
        """Return the tree of a descriptor alone.

        Parameters
        ----------
        tables : NamedTuple
            What the compiled functions need to know of it; their type says which these are, see
            `skpot.core.centers`.
        width : int
            Number of features.
        cutoff : float
            How far neighbors matter, in Å.
        species : ndarray of shape (n_species,)
            Atomic numbers, ascending.
        """
        return cls(Leaf(tables, width), width, cutoff, species, np.ones(width), np.zeros(width))

    def scaled(self, factors: FloatArray, shift: float | FloatArray = 0.0) -> FeatureTree:
        """Return the tree whose columns are multiplied by factors, plus a shift of each."""
        return self._replace(scale=self.scale * factors, shift=self.shift * factors + shift)

    def selected(self, columns: IntArray) -> FeatureTree:
        """Return the tree of some of the columns, given by index."""
        columns = np.asarray(columns, dtype=np.int64)
        return self._replace(
            node=Selected(self.node, columns, self.width),
            width=len(columns),
            scale=self.scale[columns],
            shift=self.shift[columns],
        )

    def mapped(
        self, maps: FloatArray | dict[int, FloatArray], shift: float | FloatArray = 0.0
    ) -> FeatureTree:
        """Return the tree whose rows are multiplied by a matrix, plus a shift of each column.

        Parameters
        ----------
        maps : ndarray of shape (n_in, n_out), or dict of int to such
            One matrix for all atoms, or one for each species of the center by atomic number; rows
            of species that have none become zero.
        shift : float or ndarray of shape (n_out,), default=0.0
            The same for all species.

        Raises
        ------
        NotCompilableError
            If species have matrices of their own but the columns are shifted already.
        """
        if isinstance(maps, dict):
            zeros = np.zeros_like(next(iter(maps.values())), dtype=float)
            stack = np.array([maps.get(int(z), zeros) for z in self.species])
        else:
            stack = np.repeat(np.asarray(maps, dtype=float)[None], len(self.species), axis=0)
        # A shift before a map of the species' own would be a constant of the species' own.
        if self.shift.any() and not (stack == stack[:1]).all():
            raise NotCompilableError(
                "a map that shifts columns has no compiled form before one with a matrix for each "
                "species, such as PrincipalComponents."
            )
        width = stack.shape[2]
        constant = shift + self.shift @ stack[0]
        forward, back = matrices(self.scale[:, None] * stack)
        return self._replace(
            node=Mapped(self.node, forward, back, np.array(np.broadcast_to(constant, width))),
            width=width,
            scale=np.ones(width),
            shift=np.zeros(width),
        )

    def beside(self, other: FeatureTree) -> FeatureTree:
        """Return the tree with the columns of another one after its own.

        Raises
        ------
        NotCompilableError
            If the two know different species.
        """
        if not np.array_equal(other.species, self.species):
            raise NotCompilableError(
                "descriptors of a FeatureUnion that know different species have no compiled form; "
                "give all of them the same species=[...]."
            )
        return FeatureTree(
            Beside(self.node, other.node, self.width),
            self.width + other.width,
            max(self.cutoff, other.cutoff),
            self.species,
            np.concatenate([self.scale, other.scale]),
            np.concatenate([self.shift, other.shift]),
        )
