"""Descriptors and linear maps of their columns, as `skpot.core.feature_rows` evaluates them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.feature_rows import Beside, Leaf, Mapped, Selected, matrix_rows
from ..exceptions import InputError, NotCompilableError

if TYPE_CHECKING:
    from typing import Any, Self

    from skpot.typing import FloatArray, IntArray


class FeatureTree(NamedTuple):
    """Features in compiled form: columns that are computed, multiplied by a scale and shifted.

    Its methods return the tree after one more map. A function that is registered by
    `skpot.lowering.register_step` calls them.
    """

    node: tuple  # how columns are computed, see core.feature_rows
    width: int
    cutoff: float  # Å
    species: np.ndarray  # (n_species,) atomic numbers, ascending
    scale: np.ndarray  # (width,)
    shift: np.ndarray  # (width,)
    coupling: object = None  # a fitted SpeciesCoupling, if it is the last step

    @classmethod
    def of_descriptor(cls, tables: Any, width: int, cutoff: float, species: IntArray) -> Self:
        """Return the tree of a descriptor alone.

        Parameters
        ----------
        tables : NamedTuple
            The parameters of the compiled functions. Their type decides which functions are
            called, see `skpot.core.centers`.
        width : int
            Number of features.
        cutoff : float
            Distance in Å beyond which pairs do not matter.
        species : ndarray of shape (n_species,)
            Atomic numbers, ascending.
        """
        return cls(Leaf(tables, width), width, cutoff, species, np.ones(width), np.zeros(width))

    def scaled(self, factors: FloatArray, shift: float | FloatArray = 0.0) -> FeatureTree:
        """Return the tree with columns multiplied by factors and then shifted."""
        return self._replace(scale=self.scale * factors, shift=self.shift * factors + shift)

    def selected(self, columns: IntArray) -> FeatureTree:
        """Return the tree with some of the columns, given by index."""
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
        """Return the tree with rows multiplied by a matrix and columns then shifted.

        Parameters
        ----------
        maps : ndarray of shape (n_in, n_out), or dict of int to such
            One matrix for all atoms, or one for each species of the center by atomic number; rows
            of species without a matrix become zero.
        shift : float or ndarray of shape (n_out,), default=0.0
            The shift of each column, which is the same for all species.

        Raises
        ------
        ValueError
            If matrices or shift do not have these shapes.
        NotCompilableError
            If there is a matrix for each species and columns are shifted already.
        """
        if isinstance(maps, dict):
            zeros = np.zeros_like(next(iter(maps.values())), dtype=float)
            stack = np.array([maps.get(int(z), zeros) for z in self.species])
        else:
            stack = np.repeat(np.asarray(maps, dtype=float)[None], len(self.species), axis=0)
        if stack.ndim != 3 or stack.shape[1] != self.width:
            raise InputError(
                f"a step maps {self.width} features by matrices of shape {stack.shape[1:]}: they "
                f"must be of shape ({self.width}, n_out)."
            )
        if np.shape(shift) not in ((), stack.shape[2:]):
            raise InputError(
                f"a step with {stack.shape[2]} features shifts them by an array of shape "
                f"{np.shape(shift)}: give one number, or one for each feature."
            )
        # A matrix for each species makes another constant of a shift for each species.
        if self.shift.any() and not (stack == stack[:1]).all():
            raise NotCompilableError(
                "a map that shifts columns has no compiled form before one with a matrix for each "
                "species, such as PrincipalComponents."
            )
        width = stack.shape[2]
        constant = shift + self.shift @ stack[0]
        rows = matrix_rows(self.scale[:, None] * stack)
        return self._replace(
            node=Mapped(self.node, rows, np.array(np.broadcast_to(constant, width))),
            width=width,
            scale=np.ones(width),
            shift=np.zeros(width),
        )

    def beside(self, other: FeatureTree) -> FeatureTree:
        """Return the tree with the columns of another tree appended.

        Raises
        ------
        NotCompilableError
            If the trees know different species.
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
