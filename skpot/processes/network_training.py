r"""Training: Adam with warm-up, a cosine schedule, decay of hidden weights and averaged weights.

D. P. Kingma, J. Ba, ICLR 2015, for Adam; I. Loshchilov, F. Hutter, ICLR 2017, for the schedule, and
ICLR 2019, for decay that is not part of the gradient; B. T. Polyak, A. B. Juditsky, SIAM J. Control
Optim. 30, 838 (1992), for averages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.adam import AdamState, AdamStep, adam_step
from ..exceptions import NumericalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.processes.network_layers import Layers
    from skpot.processes.network_loss import NetworkLoss
    from skpot.typing import FloatArray, IntArray

_MEAN, _SQUARE, _LEAST = 0.9, 0.99, 1e-8  # of Adam
_AVERAGE = 0.99  # of what averaged weights keep at a step
_WARM = 0.02  # share of the steps in which the learning rate rises
_ENERGY_NOISE = 3.0  # factor of the noise of energies in the first half; it falls to 1 at the end


class Schedule(NamedTuple):
    """How long and how fast a network learns."""

    n_epochs: int
    batch_size: int  # structures
    learning_rate: float
    decay: float  # of hidden weights at a step, over the learning rate
    falls: bool = True  # whether the learning rate falls to zero at the end


class Trained(NamedTuple):
    """A network after training."""

    flat: np.ndarray  # (n_weights,) averaged weights
    losses: list[float]  # mean loss of a label, epoch after epoch
    scores: list[float]  # minus that of the structures held out
    complete: bool  # whether nobody has stopped it


def train(
    loss: NetworkLoss,
    flat: FloatArray,
    structures: IntArray,
    schedule: Schedule,
    rng: Any,
    goes_on: Callable[..., bool],
    held_out: IntArray | None = None,
) -> Trained:
    """Return a network that has learned.

    Parameters
    ----------
    loss : NetworkLoss
        What it learns.
    flat : ndarray of shape (n_weights,)
        Where it starts.
    structures : ndarray of int
        The structures that it learns from, by their place in the inputs.
    schedule : Schedule
        How long and how fast.
    rng : RandomState
        Of the batches.
    goes_on : callable
        Called after each epoch with the scores so far; whether to go on.
    held_out : ndarray of int, optional
        Structures on which averaged weights are tried after each epoch.

    Raises
    ------
    NumericalError
        If the loss is not finite any more.
    """
    kind = loss.inputs.rows.dtype
    adam = _Adam(np.array(flat, dtype=kind), _decaying(loss, schedule.decay))
    weights, average = adam.state.weights, adam.state.average
    size = min(schedule.batch_size, len(structures))
    total = schedule.n_epochs * -(-len(structures) // size)
    losses, scores = [], []
    best = average
    for _ in range(schedule.n_epochs):
        shuffled, sums = rng.permutation(structures), 0.0
        for begin in range(0, len(shuffled), size):
            batch = np.sort(shuffled[begin : begin + size])
            share = adam.n_steps / total
            noise = _ENERGY_NOISE ** min(1.0, 2.0 - 2.0 * share)
            value, gradient = loss.of(weights, batch, noise**-2.0)
            sums += value * len(batch)
            adam.step(gradient, schedule.learning_rate * _rate(share, schedule.falls, total))
        if not np.isfinite(sums) or not np.isfinite(average).all():
            raise NumericalError(
                "training diverged: the loss is not finite. Use a smaller learning_rate_init, or "
                "look for labels that are far too large."
            )
        losses.append(loss.labels.per_label * sums / len(structures))
        if held_out is not None:
            value = validation_loss(loss, average, held_out)
            scores.append(-value)
            if len(scores) == 1 or scores[-1] > max(scores[:-1]):
                best = average.copy()
        if not goes_on(scores):
            break
    complete = len(losses) == schedule.n_epochs
    return Trained(average if held_out is None else best, losses, scores, complete)


def validation_loss(loss: NetworkLoss, flat: FloatArray, structures: IntArray) -> float:
    """Return the mean loss of a label of structures."""
    sums = 0.0
    for begin in range(0, len(structures), 32):
        batch = structures[begin : begin + 32]
        sums += len(batch) * loss.of(flat, batch, slopes=False)[0]
    return loss.labels.per_label * sums / len(structures)


def started(layers: Layers, linear: FloatArray, rng: Any) -> FloatArray:
    """Return random networks, one for each species, beside a linear term; see `linear_start`."""
    flats = []
    for row in linear:
        flat = layers.drawn(rng)
        weights = layers.views(flat)
        weights.linear[...], weights.constant[...] = row[:-1], row[-1]
        flats.append(flat)
    return np.concatenate(flats)


def _decaying(loss, decay):
    """Return by how much each weight decays: those of hidden layers alone."""
    flat = np.zeros(loss.n_weights, dtype=loss.inputs.rows.dtype)
    for own in np.split(flat, loss.n_species):
        for layer in loss.layers.views(own).layers:
            layer[...] = decay
    return flat


def _rate(share, falls, total):
    """Return the factor of the learning rate after a share of the steps."""
    share += 1.0 / total  # the first step should not be lost
    warm = min(1.0, share / _WARM)
    return warm * (0.5 * (1.0 + np.cos(np.pi * min(share, 1.0))) if falls else 1.0)


class _Adam:
    """Weights that follow gradients, and their average."""

    def __init__(self, flat: FloatArray, decay: FloatArray) -> None:
        zeros = np.zeros_like(flat), np.zeros_like(flat)
        self.state = AdamState(flat, flat.copy(), *zeros, decay)
        self.n_steps = 0

    def step(self, gradient: FloatArray, rate: float) -> None:
        """Move the weights."""
        self.n_steps += 1
        n = self.n_steps
        numbers = (
            rate,
            _MEAN,
            _SQUARE,
            1.0 / (1.0 - _MEAN**n),
            1.0 / (1.0 - _SQUARE**n),
            _LEAST,
            1.0 - min(_AVERAGE, n / (n + 10.0)),
        )
        # Numbers of another type would make the products those of that type.
        step = AdamStep(*np.array(numbers, dtype=gradient.dtype))
        adam_step(self.state, gradient, step)
