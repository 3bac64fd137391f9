"""Feature rows of a block of centers, and the pull-back from them to the pairs.

Features are described by a tree: `Leaf` is a descriptor (`skpot.core.centers`), `Beside` puts the
columns of two trees side by side, `Mapped` multiplies rows by a matrix of the center's species, and
`Selected` takes some of the columns. All centers of a block are of one species.
"""

from typing import NamedTuple

import numpy as np

from . import centers
from ._arena import floats, matrix, padded, shaped
from ._jit import array_jit, inner_jit, variants
from .expansion import clear
from .products import ROWS, SUMMANDS, add_products, add_scaled_rows, rounded


class Leaf(NamedTuple):
    """A descriptor."""

    tables: tuple  # the numbers that its compiled functions need
    width: int  # number of columns


class Beside(NamedTuple):
    """Columns of two trees side by side."""

    left: tuple
    right: tuple
    n_left: int  # columns of the left one


class Mapped(NamedTuple):
    """Rows times a matrix, which may be in single precision, plus constants."""

    inner: tuple
    matrix: np.ndarray  # (n_species, n_out rounded up, n_in), transposed, so that rows are outputs
    constant: np.ndarray  # (n_out,)


class Selected(NamedTuple):
    """Some of the columns."""

    inner: tuple
    columns: np.ndarray  # (n_out,)
    n_inner: int


class LeafScratch(NamedTuple):
    """Scratch of a descriptor."""

    own: tuple
    kept: np.ndarray  # (n_rows, kept_size)


class BesideScratch(NamedTuple):
    """Scratch of both trees."""

    left: tuple
    right: tuple


class MappedScratch(NamedTuple):
    """Rows before and after the matrix, flat."""

    inner: tuple
    inside: np.ndarray  # n_rows rows of n_in
    outside: np.ndarray  # n_rows rows of n_out rounded up


class SelectedScratch(NamedTuple):
    """Rows before columns are selected."""

    inner: tuple
    inside: np.ndarray  # (n_rows, n_in)


# Sizes of scratch. Arguments: (tree, n_neighbors, n_rows), where n_rows is a multiple of ROWS.


@inner_jit
def _leaf_size(leaf, n_neighbors, n_rows):
    own = centers.scratch_size(leaf.tables, n_neighbors)
    return own + padded(n_rows * centers.kept_size(leaf.tables))


@inner_jit
def _beside_size(tree, n_neighbors, n_rows):
    return scratch_size(tree.left, n_neighbors, n_rows) + scratch_size(
        tree.right, n_neighbors, n_rows
    )


@inner_jit
def _mapped_size(tree, n_neighbors, n_rows):
    inside = padded(n_rows * tree.matrix.shape[2])
    outside = padded(n_rows * tree.matrix.shape[1])
    return scratch_size(tree.inner, n_neighbors, n_rows) + inside + outside


@inner_jit
def _selected_size(tree, n_neighbors, n_rows):
    return scratch_size(tree.inner, n_neighbors, n_rows) + padded(n_rows * tree.n_inner)


@variants({Leaf: _leaf_size, Beside: _beside_size, Mapped: _mapped_size, Selected: _selected_size})
def scratch_size(tree, n_neighbors, n_rows):
    """Return how many numbers of the arena `scratch` takes."""


# Scratch. Arguments: (tree, n_neighbors, n_rows, arena).


@array_jit
def _leaf_scratch(leaf, n_neighbors, n_rows, arena):
    size = centers.kept_size(leaf.tables)
    own = centers.scratch(leaf.tables, n_neighbors, arena)
    return LeafScratch(own, matrix(n_rows, size, arena))


@array_jit
def _beside_scratch(tree, n_neighbors, n_rows, arena):
    return BesideScratch(
        scratch(tree.left, n_neighbors, n_rows, arena),
        scratch(tree.right, n_neighbors, n_rows, arena),
    )


@array_jit
def _mapped_scratch(tree, n_neighbors, n_rows, arena):
    return MappedScratch(
        scratch(tree.inner, n_neighbors, n_rows, arena),
        floats(n_rows * tree.matrix.shape[2], arena),
        floats(n_rows * tree.matrix.shape[1], arena),
    )


@array_jit
def _selected_scratch(tree, n_neighbors, n_rows, arena):
    return SelectedScratch(
        scratch(tree.inner, n_neighbors, n_rows, arena),
        matrix(n_rows, tree.n_inner, arena),
    )


@variants(
    {
        Leaf: _leaf_scratch,
        Beside: _beside_scratch,
        Mapped: _mapped_scratch,
        Selected: _selected_scratch,
    }
)
def scratch(tree, n_neighbors, n_rows, arena):
    """Cut the arrays that `fill` and `pull_back` need for up to n_rows centers from the arena."""


# Values. Arguments: (tree, z, members, pairs, species, scratch, rows, begin). Writes the columns of
# the tree to `rows`, from column `begin` on, for the centers `members`, which are of species z.


@inner_jit
def _fill_leaf(leaf, z, members, pairs, species, scratch, rows, begin):
    for b in range(members.shape[0]):
        row, kept = rows[b, begin : begin + leaf.width], scratch.kept[b]
        centers.center_values(leaf.tables, members[b], pairs, species, scratch.own, kept, row)


@inner_jit
def _fill_beside(tree, z, members, pairs, species, scratch, rows, begin):
    fill(tree.left, z, members, pairs, species, scratch.left, rows, begin)
    fill(tree.right, z, members, pairs, species, scratch.right, rows, begin + tree.n_left)


@inner_jit
def _fill_mapped(tree, z, members, pairs, species, scratch, rows, begin):
    n_in, wide = tree.matrix.shape[2], tree.matrix.shape[1]
    n, n_rows = members.shape[0], rounded(members.shape[0], ROWS)
    inside = shaped(scratch.inside, (n_rows, n_in))
    outside = shaped(scratch.outside, (n_rows, wide))
    clear(inside[n:])
    fill(tree.inner, z, members, pairs, species, scratch.inner, inside, 0)
    clear(outside)
    add_products(inside, tree.matrix[z], outside)
    constant = tree.constant
    for b in range(n):
        source, row = outside[b], rows[b, begin : begin + constant.shape[0]]
        for d in range(constant.shape[0]):
            row[d] = source[d] + constant[d]


@inner_jit
def _fill_selected(tree, z, members, pairs, species, scratch, rows, begin):
    inside, columns = scratch.inside, tree.columns
    fill(tree.inner, z, members, pairs, species, scratch.inner, inside, 0)
    for b in range(members.shape[0]):
        for d in range(columns.shape[0]):
            rows[b, begin + d] = inside[b, columns[d]]


@variants({Leaf: _fill_leaf, Beside: _fill_beside, Mapped: _fill_mapped, Selected: _fill_selected})
def fill(tree, z, members, pairs, species, scratch, rows, begin):
    """Write the features of a block of centers; `scratch` keeps what `pull_back` needs."""


# Pull-back. Arguments: (tree, z, members, pairs, species, scratch, g, begin, pair_gradient). Adds
# dE_i/dr_ij to the pairs of the centers, given g = dE_i/d(features) in the columns from `begin` on.


@inner_jit
def _pull_back_leaf(leaf, z, members, pairs, species, scratch, g, begin, pair_gradient):
    for b in range(members.shape[0]):
        row, kept = g[b, begin : begin + leaf.width], scratch.kept[b]
        centers.center_pull_back(
            leaf.tables, members[b], pairs, species, scratch.own, kept, row, pair_gradient
        )


@inner_jit
def _pull_back_beside(tree, z, members, pairs, species, scratch, g, begin, pair_gradient):
    pull_back(tree.left, z, members, pairs, species, scratch.left, g, begin, pair_gradient)
    begin += tree.n_left
    pull_back(tree.right, z, members, pairs, species, scratch.right, g, begin, pair_gradient)


@inner_jit
def _pull_back_mapped(tree, z, members, pairs, species, scratch, g, begin, pair_gradient):
    n_out, n_in, wide = tree.constant.shape[0], tree.matrix.shape[2], tree.matrix.shape[1]
    n, n_rows = members.shape[0], rounded(members.shape[0], ROWS)
    inside = shaped(scratch.inside, (n_rows, n_in))
    outside = shaped(scratch.outside, (n_rows, wide))
    clear(outside)
    for b in range(n):
        source, row = g[b, begin : begin + n_out], outside[b]
        for d in range(n_out):
            row[d] = source[d]
    clear(inside)
    add_scaled_rows(outside, tree.matrix[z], inside)
    pull_back(tree.inner, z, members, pairs, species, scratch.inner, inside, 0, pair_gradient)


@inner_jit
def _pull_back_selected(tree, z, members, pairs, species, scratch, g, begin, pair_gradient):
    inside, columns = scratch.inside, tree.columns
    clear(inside)
    for b in range(members.shape[0]):
        for d in range(columns.shape[0]):
            inside[b, columns[d]] += g[b, begin + d]
    pull_back(tree.inner, z, members, pairs, species, scratch.inner, inside, 0, pair_gradient)


@variants(
    {
        Leaf: _pull_back_leaf,
        Beside: _pull_back_beside,
        Mapped: _pull_back_mapped,
        Selected: _pull_back_selected,
    }
)
def pull_back(tree, z, members, pairs, species, scratch, g, begin, pair_gradient):
    """Add the derivatives of energies along pairs, for a block of centers; after `fill`."""


def matrix_rows(maps):
    """Return matrices (n_species, n_in, n_out) in the layout of `Mapped`."""
    rows = maps.swapaxes(1, 2)
    wide = np.zeros((len(rows), rounded(rows.shape[1], SUMMANDS), rows.shape[2]))
    wide[:, : rows.shape[1]] = rows
    return wide
