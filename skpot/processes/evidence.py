"""Kernel and noise for which some of the labels are most likely."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.order import drawn_seed
from ..exceptions import NumericalWarning, warn_once
from ..progress import progress
from ..solvers import maximize_likelihood, serial_blas
from .likelihood_labels import draw_structures, telling

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.kernels.contracts import Kernel
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import RandomState


class Search(NamedTuple):
    """How a regressor looks for its kernel and noise: its parameters of these names."""

    optimizer: str | None  # None leaves both as they are
    subsample: int  # labels that are looked at
    random_state: RandomState  # draws them
    verbose: int


class Evidence(NamedTuple):
    """What the labels chose; the names are those of fitted attributes."""

    kernel: Kernel
    noise_scale: dict  # factor of all noise levels by kind of label
    log_marginal_likelihood: float | None  # None where nothing was looked for


def find_evidence(
    kernel: Kernel,
    training: TrainingSet,
    search: Search,
    likelihoods: Callable[[TrainingSet], Callable[[Kernel], Any]],
) -> Evidence:
    """Return the kernel and the factors of the noise for which some labels are most likely.

    Parameters
    ----------
    kernel : kernel object
        To begin with.
    training : TrainingSet
        All structures.
    search : Search
        How to look for a better one.
    likelihoods : callable
        Takes the training set of the structures to look at, and returns the function that turns a
        kernel into the likelihood of their labels.
    """
    scale = dict.fromkeys(training.count_labels(), 1.0)
    as_given = Evidence(kernel, scale, None)
    if search.optimizer is None:
        return as_given
    seed = drawn_seed(search.random_state)
    few = training.take(draw_structures(training, search.subsample, seed))
    counts, logarithm = telling(few)
    if not counts:
        warn_once(
            "silent likelihood",
            "the marginal likelihood says nothing: all labels that it looked at are zero, "
            "energies less those of the free atoms. Kernel and noise stay as they are; raise "
            "subsample if there are others.",
            NumericalWarning,
        )
        return as_given
    found = _maximum(kernel, likelihoods(few), len(counts), search.verbose)
    scales = np.exp(found.log_noise).tolist()
    return Evidence(
        kernel.clone_with_theta(found.theta),
        scale | dict(zip(counts, scales, strict=True)),
        found.log_likelihood + logarithm,
    )


def _maximum(kernel, likelihood_of, n_kinds, verbose):
    """Return the maximum of the likelihood; warn if it was not reached."""
    with (
        serial_blas(),  # sums in another order would be other steps of the search
        progress(None, "marginal likelihood", verbose, "evaluation") as bar,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", NumericalWarning)  # kernels on the way may be singular

        def likelihood_at(theta):
            bar.update(1)
            return likelihood_of(kernel.clone_with_theta(theta))

        found = maximize_likelihood(likelihood_at, kernel.theta, kernel.bounds, n_kinds)
    if not found.converged:
        warn_once(
            "likelihood not at its maximum",
            f"the marginal likelihood may not be at its maximum: after {found.n_evaluations} "
            "evaluations it still grew. Begin nearer to it, or fix some hyperparameters of "
            'the kernel (bounds="fixed").',
            NumericalWarning,
        )
    return found
