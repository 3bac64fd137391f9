"""Energies of environments as sums over references, one pair at a time."""

import math

import numpy as np


def power(w, exponent, factor):
    """Return f = factor w^exponent, f' and f''."""
    second = exponent * (exponent - 1) * w ** (exponent - 2) if exponent > 1 else 0.0
    return factor * w**exponent, factor * exponent * w ** (exponent - 1), factor * second


def gauss(w, inverse, factor):
    """Return f = factor exp(w inverse), f' and f''."""
    f = factor * math.exp(w * inverse)
    return f, f * inverse, f * inverse**2


def matern52(w, inverse, factor):
    """Return the Matern function of order 5/2 of d^2 = -2 w, and two derivatives by w."""
    s = math.sqrt(5.0 * -2.0 * w * inverse)
    decay, rate = factor * math.exp(-s), 5.0 * inverse
    return decay * (1.0 + s + s * s / 3.0), decay * rate * (1.0 + s) / 3.0, decay * rate**2 / 3.0


def expand(x, q, a, v, f, centered):
    """Return sum_m a_m k(x, q_m) + v_m . dk/dq of one row, and its derivative by x."""
    energy, gradient = 0.0, np.zeros(len(x))
    for m in range(len(q)):
        if centered:
            w, by_x, by_q = -0.5 * np.sum((x - q[m]) ** 2), q[m] - x, x - q[m]
        else:
            w, by_x, by_q = np.sum(x * q[m]), q[m], x
        value, slope, bend = f(w)
        move = np.sum(v[m] * by_q)
        energy += a[m] * value + slope * move
        gradient += (a[m] * slope + bend * move) * by_x + slope * v[m]
    return energy, gradient


def waves(y, directions, phases, weights):
    """Return the sum of weights times cosines of one row, and its derivative."""
    energy, gradient = 0.0, np.zeros(len(y))
    for direction, phase, weight in zip(directions, phases, weights, strict=True):
        w = sum(a * b for a, b in zip(y, direction, strict=True)) + phase
        energy += weight * math.cos(w)
        gradient -= weight * math.sin(w) * direction
    return energy, gradient
