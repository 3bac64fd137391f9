"""Parts of a fit by conjugate gradients: stored Jacobians, preconditioner, sparse model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import JacobianBlock, StoredJacobian
from ..data.order import environment_keys
from ..progress import progress
from ..rows.blocks import whitened_blocks
from ..rows.memory import BlockPlan
from ..selection import select_references, structure_kinds
from ..solvers import LowRankInverse, gram_factor, pivoted_columns, tile_threads
from .functionals import Functionals
from .gradient_references import leading_directions, references_with
from .label_columns import label_columns
from .structure_blocks import StructureBlocks

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Kernel
    from skpot.processes.references import References
    from skpot.rows.contracts import TrainingColumns
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

_BLOCK_BYTES = 64e6  # of memory for rows and Jacobians of one block
_FLOOR = 1.0  # variance in units of the noise variance; labels with less need no column
# Iterations until the residual is a tenth of the noise. With the noise alone beside columns, over
# the root of the mean remaining variance: 13 on 3BPA, 18 on silicon. With blocks, over the root of
# what different structures have in common, see `structure_blocks`: 24 on a crystal of three
# species, 16 to 19 on silicon, 25 on 3BPA; each with 12 to 40 structures.
_ITERATIONS, _ITERATIONS_OF_BLOCKS = 14.0, 20.0
# How long things take, over a multiplication of double precision in a product of matrices:
# multiplications for columns, with what is done besides; those of an iteration between pairs, which
# are in single precision; and each number that an iteration reads from memory, of Jacobians and of
# the preconditioner. Measured on 3BPA, silicon and a crystal of three species, within 20 %.
_OF_COLUMNS = {np.float64: 1.9, np.float32: 1.3}
_OF_PAIRS, _OF_MOTIONS, _OF_FACTOR = 0.5, 6.6, 4.4


class Price(NamedTuple):
    """What columns of the preconditioner cost, in multiplications; see `column_price`."""

    column: float  # to make one of them
    iteration: float  # without the preconditioner
    n_labels: int  # numbers of a column
    n_systems: float  # linear systems, by their number of iterations

    def of_columns(self, n: int, held: int, dtype: Any) -> float:
        """Return the price of n columns beside those that are held, in iterations.

        Each of them is multiplied with all others twice: to take out what these explain of it, and
        for the matrix of the Woodbury identity.
        """
        mean = held + 0.5 * n
        made = _OF_COLUMNS[dtype] * self.column + 2.0 * self.n_labels * mean
        iteration = self.iteration + 2.0 * _OF_FACTOR * self.n_labels * held
        return n * made / (self.n_systems * iteration)


def with_stored_jacobian(features: AtomicFeatures) -> AtomicFeatures:
    """Return the features with all Jacobians as numbers in place of the chain."""
    sizes = np.asarray(features.neighborhood_sizes())
    n, p = features.values.shape
    # Images of one atom are merged, so there may be fewer rows; pages never touched cost nothing.
    values, atom = np.empty((sizes.sum(), 3, p)), np.empty(sizes.sum(), dtype=np.int64)
    start, strain = np.zeros(n + 1, dtype=np.int64), np.empty((n, 6, p))
    step = max(1, int(_BLOCK_BYTES / (24.0 * p * sizes.max())))
    parts = [np.arange(lo, min(n, lo + step)) for lo in range(0, n, step)]
    with tile_threads(len(parts)) as map_tiles:
        for part, block in zip(parts, map_tiles(features.jacobian, parts), strict=True):
            lo, hi = part[0], part[-1] + 1
            rows = slice(start[lo], start[lo] + len(block.atom))
            values[rows], atom[rows], strain[lo:hi] = block.values, block.atom, block.strain
            start[lo + 1 : hi + 1] = start[lo] + block.start[1:]
    stored = JacobianBlock(start, atom[: start[-1]], values[: start[-1]], strain)
    chain = StoredJacobian(stored, features.offsets, features.atom_offsets)
    return features.mapped(features.values, chain, origin=features.origin)


def label_preconditioner(
    kernel: Kernel,
    training: TrainingSet,
    left_out: IntArray | None,
    energies: FloatArray,
    effort: tuple[int, Price],
    rng: np.random.Generator,
    verbose: int,
) -> tuple[LowRankInverse, FloatArray]:
    r"""Return an approximate inverse of the labels' covariance and their noise.

    It is that of :math:`B + F F^T`. F is the partial Cholesky factor of some columns of the
    covariance: labels, drawn so that none keeps much of its variance, as long as they save more
    time than they take. B has what they leave of the covariance of labels of the same structure,
    and their noise; or, where this is so little that fewer iterations are expected, their noise
    alone: of :math:`1 + F F^T` no direction is overestimated.

    Labels of one structure move the same environments, so that columns of others say little of
    what they have in common; and labels as columns hold what structures have in common, of which
    environments' energies as columns leave most of the forces out.

    Parameters
    ----------
    kernel : kernel object
        See `skpot.kernels`.
    training : TrainingSet
        The structures and their labels, best with Jacobians that are held.
    left_out : ndarray of int or None
        Structures that share no block of B with others.
    energies : ndarray of shape (n_labels, n)
        Columns of the first n labels, which are at hand; n may be zero.
    effort : tuple of (int, Price)
        Most columns, and what they cost, see `column_price`.
    rng : numpy.random.Generator
        Draws them.
    verbose : int
        1 shows a progress bar.

    Returns
    -------
    inverse : LowRankInverse
        Labels divided by their standard deviations.
    remaining : ndarray of shape (n_labels,)
        The variances of the labels that it does not know of, in units of the noise.

    References
    ----------
    M. Díaz, E. N. Epperly, Z. Frangella, J. A. Tropp, R. J. Webber, arXiv:2304.12465.
    """
    functionals, features = Functionals(training), training.features
    blocks, (n, price) = StructureBlocks(kernel, training, left_out), effort
    known = {"noise": np.inf, "blocks": np.inf if not blocks.rows else 0.0}  # iterations
    with progress(n, "preconditioner", verbose, "label") as bar:

        def worth(drawn, columns, before, after, size, held):
            known["noise"] = _ITERATIONS * np.sqrt(before.mean())
            if blocks.rows:
                in_common = blocks.in_common(drawn, columns, before)
                known["blocks"] = _ITERATIONS_OF_BLOCKS * np.sqrt(in_common)
            saved = min(known.values()) * (1.0 - np.sqrt(after.mean() / before.mean()))
            return saved > price.of_columns(size, held, blocks.dtype)

        def columns_of(chosen):
            begin = np.searchsorted(chosen, energies.shape[1])
            others = label_columns(kernel, functionals, features, chosen[begin:], blocks.dtype)
            bar.update(len(chosen))
            return np.hstack([energies[:, chosen[:begin]], others])

        columns, _ = pivoted_columns(
            blocks.variances, columns_of, n, rng, floor=_FLOOR, worth=worth
        )
    if known["blocks"] < known["noise"]:
        return LowRankInverse(columns, blocks.remainders(columns)), np.zeros(len(columns))
    remaining = np.maximum(blocks.variances - np.sum(columns**2, axis=1), 0.0)
    return LowRankInverse(columns), remaining


def leverages(inverse: LowRankInverse, remaining: FloatArray) -> FloatArray:
    r"""Return about how much of each label's prediction the label itself makes.

    The diagonal of :math:`K (1 + K)^{-1}`, with K the labels' covariance over their noise. Of label
    i the columns leave the variance :math:`d_i`; with it independent of all others and learned
    last,

    .. math:: h_i = 1 - \frac{1 - h^F_i}{1 + d_i}

    with :math:`h^F` the leverages of :math:`F F^T` alone. Blocks of the preconditioner say more:
    with them it is :math:`h^F` of :math:`B + F F^T`, and nothing is left.

    Parameters
    ----------
    inverse, remaining
        See `label_preconditioner`.

    Returns
    -------
    ndarray of shape (n_labels,)
        Between 0 and 1.
    """
    return 1.0 - (1.0 - inverse.leverages()) / (1.0 + remaining)


def column_price(features: AtomicFeatures, n_labels: int, n_systems: float) -> Price:
    """Return the multiplications that columns and iterations take.

    An iteration multiplies each pair of environments with a row of features three times, and each
    number of a Jacobian twice. For a column, all environments are multiplied three times with each
    of those that the label is a function of, and so are all Jacobians with a row for each of these.

    Parameters
    ----------
    features : AtomicFeatures
        The structures, as they came: what is held of them must not decide on the model.
    n_labels : int
        Numbers of a column.
    n_systems : float
        Linear systems that are solved with the same columns, by their number of iterations.
    """
    _, counts = np.unique(features.species, return_counts=True)
    n, p = features.values.shape
    pairs = float(np.sum(counts.astype(float) ** 2))
    near = 1.0  # environments that a label is a function of
    if features.derivatives is not None:
        # Images of one atom move together.
        atoms = np.repeat(features.n_atoms, features.n_rows)
        near = float(np.mean(np.minimum(features.neighborhood_sizes(), atoms)))
    column = 3.0 * p * near * (pairs / n + n)
    iteration = 3.0 * p * (_OF_PAIRS * pairs + 2.0 * _OF_MOTIONS * near * n)
    return Price(column, iteration, n_labels, n_systems)


def random_references(
    features: AtomicFeatures, kernel: Kernel, n: int, rng: np.random.Generator
) -> References:
    """Return random references of a sparse model.

    Rows of whole structures are few and have many labels each. Where there is room for more than
    all of them, fewer references with all of their derivatives do better.

    Parameters
    ----------
    features : AtomicFeatures
        The structures.
    kernel : kernel object
        See `skpot.kernels`.
    n : int
        How many coefficients.
    rng : numpy.random.Generator
        Draws the references.
    """
    kinds, counts = np.unique(features.species, return_counts=True)
    # In proportion, unlike a sparse model's: all environments count alike in the system.
    total, directions = counts.sum(), 0
    if n > total:
        directions = min(features.shape[1], max(1, 3 * int(features.n_atoms.max()) - 6))
    share = n / (1 + directions) / total
    n = {int(z): max(1, int(share * c)) for z, c in zip(kinds, counts, strict=True)}
    chosen = select_references(
        features.values, features.species, n, "random", rng, environment_keys(features),
        np.repeat(structure_kinds(features), features.n_rows),
    )  # fmt: skip
    along = None, None
    if directions:
        along = leading_directions(features, chosen, kernel, directions)
    return references_with(features.values[chosen], features.species[chosen], kernel, *along)


def sparse_posterior(
    references: TrainingColumns, covariance_factor: Any, training: TrainingSet, verbose: int
) -> FloatArray:
    """Return the factor of a sparse model's posterior, in whitened coefficients.

    Parameters
    ----------
    references : References or LinearTerms
        Of the sparse model.
    covariance_factor : ndarray of shape (m, m)
        Lower Cholesky factor of K_MM; of linear terms what their rows are whitened by.
    training : TrainingSet
        What is learned from.
    verbose : int
        1 shows a progress bar.

    Returns
    -------
    ndarray of shape (m, m)
        Upper triangle R with R^T R = 1 + L^-1 K_MN K_NM L^-T, labels divided by their standard
        deviations.
    """
    m = len(references)
    gram = np.eye(m)
    plan = BlockPlan(_BLOCK_BYTES / 2, _BLOCK_BYTES / 4)
    for _, rows in whitened_blocks(
        references, covariance_factor, training, plan, verbose, "deviations"
    ):
        for _, of_kind in rows:
            gram += of_kind[:, :m].T @ of_kind[:, :m]
    return gram_factor(gram)
