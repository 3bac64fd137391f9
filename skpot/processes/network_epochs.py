r"""How long networks should learn, from short trials on structures that are held out.

Learning rates fall to zero over the epochs, so that their number decides on how closely networks
follow the labels: where errors of other structures hardly fall any more, more epochs only learn
the noise. One network learns twice, for 25 and for 50 epochs, from seven eighths of the labels. If
the loss :math:`L` of the rest falls by the share :math:`\gamma = 1 - L_{50} / L_{25}`, networks get

.. math:: n = 50 \cdot 2^{k}, \qquad k = \min(\max(10 \gamma, 1), 3)

epochs, that is 100 to 400.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .likelihood_labels import draw_structures
from .network_members import Lesson, train_members
from .network_training import started, validation_loss

if TYPE_CHECKING:
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

TRIALS = 25, 50  # epochs
MOST_EPOCHS = 400
_PER_SHARE = 10.0  # doublings for each unit of the share by which the loss falls
_SHARE = 8.0  # one label in eight is held out
_FEWEST_LABELS = 1200  # labels that are held out if there are three times as many
_TRIAL_SEED = 2  # apart from those of the networks and of their calibration


def left_out(training: TrainingSet, lesson: Lesson, seed: int) -> tuple[IntArray, IntArray]:
    """Return structures of a lesson to learn from in trials, and others to try them on.

    They are given by their place in the inputs, and chosen by their content.
    """
    n_labels = sum(training.count_labels().values())
    wanted = min(max(_FEWEST_LABELS, n_labels / _SHARE), n_labels / 3.0)
    out = np.isin(lesson.loss.inputs.order[lesson.structures],
                  draw_structures(training, wanted, seed))  # fmt: skip
    return lesson.structures[~out], lesson.structures[out]


def chosen_epochs(
    training: TrainingSet, lesson: Lesson, linear: FloatArray, seed: int, verbose: int
) -> int:
    """Return for how many epochs networks should learn.

    Parameters
    ----------
    training : TrainingSet
        What they are to learn from.
    lesson : Lesson
        The same, and how they learn.
    linear : ndarray of shape (n_species, n_components + 1)
        Linear terms to start from; see `linear_start`.
    seed : int
        Of structures, weights and batches.
    verbose : int
        1 shows a progress bar.
    """
    known, others = left_out(training, lesson, seed)
    if not len(known) or not len(others):
        return 2 * TRIALS[1]
    losses = []
    for n_epochs in TRIALS:
        trial = Lesson(lesson.loss, known, lesson.schedule._replace(n_epochs=n_epochs))
        rng = np.random.RandomState([seed, 0, _TRIAL_SEED])
        start = started(lesson.loss.layers, linear, rng)
        (found,), stopped = train_members(trial, [start], [rng], 1, verbose)
        if stopped:
            raise KeyboardInterrupt
        losses.append(validation_loss(lesson.loss, found.flat, others))
    return _epochs_for(*losses)


def _epochs_for(before, after):
    """Return the number of epochs if the loss falls from one trial to the next."""
    gain = 1.0 - after / before if before > 0.0 else 0.0
    doublings = min(max(_PER_SHARE * gain, 1.0), np.log2(MOST_EPOCHS / TRIALS[1]))
    return round(TRIALS[1] * 2.0**doublings)
