r"""Energies of environments by neural networks, and their derivatives, in blocks.

The energy of an environment is the sum over members

.. math::

    u = b_z \cdot y + c_z + \sum_m w_m \cdot h^{(m)}_L, \qquad
    h_l = \sigma(W_l h_{l-1} + c_l), \qquad h_0 = y

of rows :math:`y = a x + b` (elementwise); each species z of the center has weights of its own.
Going back through the layers gives the slopes: with :math:`q_L = w \sigma'_L`,

.. math:: q_{l-1} = (W_l^T q_l) \, \sigma'_{l-1}, \qquad \partial u / \partial y = b_z + W_1^T q_1

Layers are padded by units without weights to a multiple of `WIDTH`, for which products are made of
whole vectors.
"""

from typing import NamedTuple

import numpy as np

from ._arena import floats, padded, shaped, typed
from ._jit import array_jit, inline_jit, inner_jit, jit
from .elementary import fast_exp
from .products import COLUMNS, add_products, rounded

WIDTH = 12  # the number of units of each layer is a multiple of this
_FLAT = 19.0  # beyond, tanh is one in double precision


class Network(NamedTuple):
    """Networks of all species; numbers of a species, a member and a layer follow each other."""

    begin: int  # first column of the rows that the networks act on
    scale: np.ndarray  # (n,) a
    shift: np.ndarray  # (n_species, n) b
    silu: bool  # x / (1 + exp(-x)) as the activation, else tanh
    n_members: int
    widths: np.ndarray  # (n_layers,) numbers of units, padded
    forward: np.ndarray  # W_l, each (n_out, n_in), of all layers; its type is that of products
    back: np.ndarray  # their transposes, each (n_in, n_out), n_in of the first rounded up
    offsets: np.ndarray  # c_l, each (n_out,)
    last: np.ndarray  # (n_species, n_members, n_units) w
    linear: np.ndarray  # (n_species, n)
    constant: np.ndarray  # (n_species,)


class NetworkScratch(NamedTuple):
    """Arrays for one block of rows, flat."""

    y: np.ndarray
    gradient: np.ndarray
    hidden: np.ndarray  # (n_rows, n_units) of each layer
    slopes: np.ndarray  # likewise
    pulled: np.ndarray  # (n_rows, n_units) of the widest layer


@inner_jit
def network_size(network, n_rows):
    """Return how many numbers of an arena `network_scratch` takes."""
    n, units, widest = network.scale.shape[0], 0, 0
    for width in network.widths:
        units += width
        widest = max(widest, width)
    size = padded(n_rows * n) + padded(n_rows * rounded(n, COLUMNS))
    return size + 2 * padded(n_rows * units) + padded(n_rows * widest)


@array_jit
def network_scratch(network, n_rows, arena):
    """Cut the arrays that `expand_network` needs for up to n_rows rows from the arena."""
    n, units, widest = network.scale.shape[0], 0, 0
    for width in network.widths:
        units += width
        widest = max(widest, width)
    return NetworkScratch(
        typed(floats(n_rows * n, arena), network.forward),
        typed(floats(n_rows * rounded(n, COLUMNS), arena), network.forward),
        typed(floats(n_rows * units, arena), network.forward),
        typed(floats(n_rows * units, arena), network.forward),
        typed(floats(n_rows * widest, arena), network.forward),
    )


@inline_jit
def sigmoid(x):
    """Return 1 / (1 + exp(-x)), without overflow."""
    small = fast_exp(-abs(x))
    tail = small / (1.0 + small)
    return tail if x < 0.0 else 1.0 - tail


@inline_jit
def tangent(x):
    """Return tanh(x)."""
    small = fast_exp(-2.0 * min(abs(x), _FLAT))
    value = (1.0 - small) / (1.0 + small)
    return -value if x < 0.0 else value


@inner_jit
def _activate(silu, z, slopes):
    """Replace z (n,) by the activation and write its derivative to `slopes` (n,)."""
    if silu:
        for i in range(z.shape[0]):
            x = float(z[i])
            s = sigmoid(x)
            z[i] = x * s
            slopes[i] = s * (1.0 + x * (1.0 - s))
    else:
        for i in range(z.shape[0]):
            t = tangent(float(z[i]))
            z[i] = t
            slopes[i] = 1.0 - t * t


@inner_jit
def _n_weights(network, n_inputs):
    """Return how many weights the layers of one network have for so many inputs."""
    total, before = 0, n_inputs
    for width in network.widths:
        total += width * before
        before = width
    return total


@inner_jit
def _n_units(network):
    """Return how many units the layers of one network have."""
    total = 0
    for width in network.widths:
        total += width
    return total


@inner_jit
def expand_network(network, z, y, size, scratch, energies, g):
    """Add the energies of the first `size` rows of y (n_rows, n), all of species z, to `energies`.

    Their derivatives are added to g (n_rows, n rounded up).
    """
    for member in range(network.n_members):
        own = z * network.n_members + member
        _forward(network, own, y, scratch)
        _sum_up(network, network.last[z, member], size, y.shape[0], scratch, energies)
        _back(network, own, scratch, g)


@inner_jit
def _forward(network, own, y, scratch):
    """Write the units of all layers, and the derivatives of their activations, to `scratch`."""
    n_rows, before = y.shape
    at, unit, first = own * _n_weights(network, before), 0, own * _n_units(network)
    below = y
    for width in network.widths:
        h = shaped(scratch.hidden[n_rows * unit :], (n_rows, width))
        offset = network.offsets[first + unit : first + unit + width]
        for r in range(n_rows):
            row = h[r]
            for i in range(width):
                row[i] = offset[i]
        add_products(below, shaped(network.forward[at:], (width, before)), h)
        some = slice(n_rows * unit, n_rows * (unit + width))
        _activate(network.silu, scratch.hidden[some], scratch.slopes[some])
        at, unit = at + width * before, unit + width
        before, below = width, h


@inner_jit
def _sum_up(network, last, size, n_rows, scratch, energies):
    """Add the energies of rows, and multiply the slopes of the last layer by its weights."""
    width = network.widths[network.widths.shape[0] - 1]
    begin = n_rows * (_n_units(network) - width)
    hidden = shaped(scratch.hidden[begin:], (n_rows, width))
    slopes = shaped(scratch.slopes[begin:], (n_rows, width))
    for r in range(n_rows):
        h, slope, energy = hidden[r], slopes[r], 0.0
        for i in range(width):
            energy += last[i] * float(h[i])
            slope[i] *= last[i]
        if r < size:
            energies[r] += energy


@inner_jit
def _back(network, own, scratch, g):
    """Add the derivatives along the rows to g; `slopes` becomes q of all layers."""
    n_rows, wide = g.shape
    n_layers, unit, size = network.widths.shape[0], _n_units(network), _n_weights(network, wide)
    width = network.widths[n_layers - 1]
    unit, at = unit - width, (own + 1) * size
    for layer in range(n_layers - 1, 0, -1):
        slopes = shaped(scratch.slopes[n_rows * unit :], (n_rows, width))
        inner = network.widths[layer - 1]
        at -= width * inner
        pulled = shaped(scratch.pulled, (n_rows, inner))
        for r in range(n_rows):
            row = pulled[r]
            for i in range(inner):
                row[i] = 0.0
        add_products(slopes, shaped(network.back[at:], (inner, width)), pulled)
        unit -= inner
        below = scratch.slopes[n_rows * unit : n_rows * (unit + inner)]
        for i in range(n_rows * inner):
            below[i] *= scratch.pulled[i]
        width = inner
    slopes = shaped(scratch.slopes, (n_rows, width))
    add_products(slopes, shaped(network.back[own * size :], (wide, width)), g)


@jit
def activate(silu, z, slopes, bends):
    """Replace z by the activation, and write its first two derivatives.

    Parameters
    ----------
    silu : bool
        See `Network`.
    z, slopes, bends : ndarray of shape (n_rows, n_units)
        Contiguous.
    """
    flat, first, second = z.ravel(), slopes.ravel(), bends.ravel()
    if silu:
        for i in range(flat.shape[0]):
            x = float(flat[i])
            s = sigmoid(x)
            flat[i] = x * s
            first[i] = s * (1.0 + x * (1.0 - s))
            second[i] = s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))
    else:
        for i in range(flat.shape[0]):
            t = tangent(float(flat[i]))
            flat[i] = t
            first[i] = 1.0 - t * t
            second[i] = -2.0 * t * (1.0 - t * t)
