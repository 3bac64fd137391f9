"""Heat flux of a many-body potential, as a double sum over atoms and images."""

import numpy as np

from skpot.core.pairs import Pairs
from tests.naive.neighbors import neighbor_list

STEPS = ((1, 672.0), (-1, -672.0), (2, -168.0), (-2, 168.0), (3, 32.0), (-3, -32.0), (4, -3.0),
         (-4, 3.0))  # fmt: skip


def heat_flux(atoms, velocities, kinetic, cutoff, energy, h=1e-3):
    """Return the heat flux, and the part of it that atoms carry along.

    J = sum_i e_i v_i + sum_ij (r_i - r_j) (dE_i/dr_j . v_j), where j runs over images, too, e_i is
    kinetic and potential energy, and the derivative is a difference with an error of order h^8.

    ``energy(i, neighbors, vectors)`` is the potential energy of atom i.
    """
    carried, conducted = np.zeros(3), np.zeros(3)
    pairs = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    for i in range(len(atoms)):
        neighbors = [j for center, j, *_ in pairs if center == i]
        vectors = [np.array(vector) for center, *_, vector in pairs if center == i]
        carried += (energy(i, neighbors, vectors) + kinetic[i]) * velocities[i]
        for p, j in enumerate(neighbors):
            # The derivative along v_j is all that is needed.
            rate, speed = 0.0, np.linalg.norm(velocities[j])
            for step, factor in STEPS:
                moved = list(vectors)
                moved[p] = vectors[p] + step * h * velocities[j] / speed
                rate += factor * energy(i, neighbors, moved) * speed / (840.0 * h)
            conducted -= vectors[p] * rate
    return carried + conducted, carried


def around(i, neighbors, vectors):
    """Return atom i and its neighbors, and its pairs, as compiled potentials take them."""
    start = np.array([0, len(neighbors)])
    vectors = np.reshape(np.array(vectors, dtype=float), (-1, 3))
    return [i, *neighbors], Pairs(start, np.arange(1, len(neighbors) + 1), vectors)
