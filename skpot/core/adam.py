r"""One step of Adam with decoupled decay and averaged weights, in one pass over memory.

With the gradient g of step n, weights w move by

.. math::

    m \to m + (1 - \beta_1)(g - m), \quad v \to v + (1 - \beta_2)(g^2 - v), \quad
    w \to w - \eta \left(\frac{m / (1 - \beta_1^n)}{\sqrt{v / (1 - \beta_2^n)} + \epsilon}
    + \lambda w\right)

(D. P. Kingma, J. Ba, ICLR 2015; I. Loshchilov, F. Hutter, ICLR 2019, for the decay).
"""

from typing import NamedTuple

import numpy as np

from ._jit import jit


class AdamState(NamedTuple):
    """Weights, and what Adam knows of their gradients; each of shape (n_weights,)."""

    weights: np.ndarray
    average: np.ndarray  # of the weights over the last steps
    mean: np.ndarray  # m
    square: np.ndarray  # v
    decay: np.ndarray  # lambda


class AdamStep(NamedTuple):
    """Numbers of one step, of the type of the weights."""

    rate: float  # eta
    keep_mean: float  # beta_1
    keep_square: float  # beta_2
    mean_scale: float  # 1 / (1 - beta_1^n)
    square_scale: float  # 1 / (1 - beta_2^n)
    least: float  # epsilon
    follow: float  # by what share the average moves to the weights


@jit
def adam_step(state, gradient, step):
    """Move the weights and their average, and learn from the gradient (n_weights,)."""
    one = gradient.dtype.type(1)
    for i in range(gradient.shape[0]):
        slope = gradient[i]
        mean = state.mean[i] + (one - step.keep_mean) * (slope - state.mean[i])
        square = state.square[i] + (one - step.keep_square) * (slope * slope - state.square[i])
        state.mean[i], state.square[i] = mean, square
        direction = mean * step.mean_scale / (np.sqrt(square * step.square_scale) + step.least)
        direction += state.decay[i] * state.weights[i]
        weight = state.weights[i] - step.rate * direction
        state.weights[i] = weight
        state.average[i] += step.follow * (weight - state.average[i])
