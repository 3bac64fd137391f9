"""Neural networks of one environment and the loss of a structure, in plain Python."""

import math


def silu(x):
    return x / (1.0 + math.exp(-x))


ACTIVATIONS = {"silu": silu, "tanh": math.tanh}


def energy(x, layers, offsets, last, constant, linear, activation):
    """Energy of one row: lists of numbers, and lists of rows of weights."""
    h = list(x)
    for weights, shifts in zip(layers, offsets, strict=True):
        h = [
            ACTIVATIONS[activation](sum(w * v for w, v in zip(row, h, strict=True)) + shift)
            for row, shift in zip(weights, shifts, strict=True)
        ]
    total = constant + sum(b * v for b, v in zip(linear, x, strict=True))
    return total + sum(w * v for w, v in zip(last, h, strict=True))


def slopes(x, *network, step=1e-3):
    """Derivatives of the energy along x, by differences of fourth order."""
    out = []
    for d in range(len(x)):
        total = 0.0
        for k, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
            moved = list(x)
            moved[d] += k * step
            total += weight / step * energy(moved, *network)
        out.append(total)
    return out


def loss(energies, forces, stress, labels, sigmas):
    """Half the squared errors over the noise of a structure; a label of None does not count."""
    n, total = len(energies), 0.0
    if labels["energy"] is not None:
        total += (sum(energies) - labels["energy"]) ** 2 / (sigmas["energy"] ** 2 * n)
    for kind, values in (("forces", forces), ("stress", stress)):
        if labels[kind] is not None:
            pairs = zip(values, labels[kind], strict=True)
            total += sum((a - b) ** 2 for a, b in pairs) / sigmas[kind] ** 2
    return 0.5 * total
