r"""One neural network: energies of rows, their slopes, and derivatives of both by its weights.

.. math::

    \epsilon(x) = b \cdot x + c + w \cdot h_L, \qquad h_l = \sigma(z_l), \quad
    z_l = W_l h_{l-1} + c_l, \quad h_0 = x

With :math:`\hat h_l = \partial \epsilon / \partial h_l` and
:math:`\hat z_l = \sigma'_l \hat h_l`, slopes are :math:`g = b + W_1^T \hat z_1`. For a loss that
depends on energies by a and on slopes by U, its derivatives by the weights are those of
:math:`\sum_i a_i \epsilon_i + U_i \cdot g_i` at constant a and U. The second term is the change of
energies along U, with the tangents :math:`\dot z_l = W_l \dot h_{l-1}` and
:math:`\dot h_l = \sigma'_l \dot z_l` from :math:`\dot h_0 = U` on. Going back through both,

.. math::

    \bar z_l = \sigma'_l \bar h_l + \sigma''_l \dot z_l \hat h_l, \qquad
    \bar h_{l-1} = W_l^T \bar z_l, \qquad
    \nabla W_l = \bar z_l^T h_{l-1} + \hat z_l^T \dot h_{l-1}

from :math:`\bar h_L = a w` (A. Griewank, A. Walther, Evaluating Derivatives (2008), ch. 5, for
tangents that are differentiated backwards).
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.network import activate

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray

_SPREAD = 0.3  # of the output of a network that was not trained yet


class Weights(NamedTuple):
    """Weights of one network, as views of one array."""

    layers: list[Any]  # (n_out, n_in) W of each hidden layer
    offsets: list[Any]  # (n_out,) c of each
    last: np.ndarray  # (n_units,) w
    constant: np.ndarray  # (1,) c
    linear: np.ndarray  # (n_features,) b


class Layers(NamedTuple):
    """The shape of a network."""

    sizes: tuple[int, ...]  # numbers of features and of units of each hidden layer
    silu: bool  # activation, else tanh

    @property
    def n_weights(self) -> int:
        """How many numbers a network has."""
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return sum((a + 1) * b for a, b in pairs) + self.sizes[-1] + 1 + self.sizes[0]

    def views(self, flat: FloatArray) -> Weights:
        """Return the parts of an array (n_weights,) of weights, or of derivatives by them."""
        parts = [flat[cut].reshape(shape) for cut, shape in _places(self.sizes)]
        n = len(self.sizes) - 1
        return Weights(parts[:n], parts[n : 2 * n], *parts[2 * n :])

    def drawn(self, rng: Any) -> FloatArray:
        """Return random weights for rows of mean variance 1; the linear term is zero."""
        flat = np.zeros(self.n_weights)
        weights = self.views(flat)
        for layer, offset in zip(weights.layers, weights.offsets, strict=True):
            layer[...] = rng.normal(size=layer.shape) / np.sqrt(layer.shape[1])
            offset[...] = rng.uniform(-0.5, 0.5, offset.shape)
        weights.last[...] = _SPREAD * rng.normal(size=weights.last.shape) / np.sqrt(self.sizes[-1])
        return flat

    def forward(self, flat: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, Passed]:
        """Return energies (n,) and slopes (n, n_features) of rows, and what `backward` needs."""
        weights = self.views(flat)
        hidden, slopes, bends = [x], [], []
        for layer, offset in zip(weights.layers, weights.offsets, strict=True):
            z = hidden[-1] @ layer.T
            z += offset
            slope, bend = np.empty_like(z), np.empty_like(z)
            activate(self.silu, z, slope, bend)
            hidden.append(z)
            slopes.append(slope)
            bends.append(bend)
        energies = hidden[-1] @ weights.last + weights.constant[0] + x @ weights.linear
        pulled = [np.broadcast_to(weights.last, slopes[-1].shape)]
        for layer, slope in zip(weights.layers[::-1], slopes[::-1], strict=True):
            pulled.append((pulled[-1] * slope) @ layer)
        g = pulled.pop() + weights.linear
        return energies, g, Passed(hidden, slopes, bends, pulled[::-1])

    def backward(
        self, flat: FloatArray, passed: Passed, a: FloatArray, u: FloatArray, out: FloatArray
    ) -> None:
        """Add the derivatives by the weights of sum_i (a_i energy_i + u_i . slope_i) to `out`."""
        weights, grown = self.views(flat), self.views(out)
        tangents, moved = [u], []
        for layer, slope in zip(weights.layers, passed.slopes, strict=True):
            moved.append(tangents[-1] @ layer.T)
            tangents.append(slope * moved[-1])
        grown.last[...] += a @ passed.hidden[-1] + tangents[-1].sum(axis=0)
        grown.constant[...] += a.sum()
        grown.linear[...] += a @ passed.hidden[0] + u.sum(axis=0)
        back = np.outer(a, weights.last)
        for k in range(len(weights.layers) - 1, -1, -1):
            slope, pulled = passed.slopes[k], passed.pulled[k]
            z = slope * back + passed.bends[k] * moved[k] * pulled
            grown.layers[k][...] += z.T @ passed.hidden[k] + (slope * pulled).T @ tangents[k]
            grown.offsets[k][...] += z.sum(axis=0)
            if k:
                back = z @ weights.layers[k]


@lru_cache(maxsize=64)
def _places(sizes):
    """Return where the parts of `Weights` are in an array of all, and their shapes."""
    shapes: list[tuple[int, ...]] = [(b, a) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    shapes += [(b,) for b in sizes[1:]] + [(sizes[-1],), (1,), (sizes[0],)]
    ends = np.cumsum([prod(shape) for shape in shapes]).tolist()
    begins = [0, *ends[:-1]]
    cuts = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
    return list(zip(cuts, shapes, strict=True))


class Passed(NamedTuple):
    """What `Layers.forward` has computed on its way, layer by layer."""

    hidden: list[Any]  # h, from the rows on
    slopes: list[Any]  # sigma'
    bends: list[Any]  # sigma''
    pulled: list[Any]  # dE/dh of the hidden layers
