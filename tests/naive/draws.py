"""Draws of a posterior, one environment, one wave and one reference at a time."""

import math

import numpy as np


def energy(draws, k, x, z):
    """Return the energy of an environment of species z with the feature row x, by draw k."""
    form, total = draws.forms[k], 0.0
    for m, species in enumerate(form.species):
        if species == z:
            total += form.alpha[m] * float(form.kernel(x[None], form.features[[m]])[0, 0])
            if form.vectors is not None:
                total += _along(form, m, x)
    for waves, weights in zip(draws.waves, draws.weights, strict=True):
        for d, direction in enumerate(waves.directions):
            w = sum(float(a) * float(b) for a, b in zip(x, direction, strict=True))
            w += waves.phases[d]
            value = w**waves.exponent if waves.exponent else math.cos(w)
            total += weights[z][d, k] * value
    return total


def _along(form, m, x, step=1e-5):
    """Return the derivative of the kernel with reference m along its vector, by differences."""
    ends = [form.features[[m]] + sign * step * form.vectors[m] for sign in (1.0, -1.0)]
    high, low = (float(form.kernel(x[None], q)[0, 0]) for q in ends)
    return (high - low) / (2.0 * step)


def gradient(draws, k, x, z, step=1e-5):
    """Return the derivative of `energy` by the row, by differences."""
    out = np.empty(len(x))
    for d in range(len(x)):
        move = np.zeros(len(x))
        move[d] = step
        out[d] = (energy(draws, k, x + move, z) - energy(draws, k, x - move, z)) / (2.0 * step)
    return out
