"""A many-body potential of Finnis-Sinclair form with the interface of a compiled one."""

import numpy as np


class Toy:
    cutoff = 4.0
    species = np.array([1, 6, 8, 14])

    def evaluate_pairs(self, pairs, species):
        n = len(pairs.start) - 1
        center = np.repeat(np.arange(n), np.diff(pairs.start))
        r = np.linalg.norm(pairs.vector, axis=1)
        weight = 1.0 + 0.3 * species[pairs.neighbor] + 0.1 * species[center]
        inside = self.cutoff - r
        density = np.bincount(center, weight * inside**3, n) + 1e-3
        repulsion = np.bincount(center, 0.05 * weight * inside**4, n)
        slope = -3.0 * weight * inside**2 * (-0.5 / np.sqrt(density))[center]
        slope -= 0.2 * weight * inside**3
        return repulsion - np.sqrt(density), slope[:, None] * pairs.vector / r[:, None]
