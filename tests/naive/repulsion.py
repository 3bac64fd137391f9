"""Ziegler-Biersack-Littmark repulsion, one pair at a time."""

import math

from tests.naive.neighbors import neighbor_list

TERMS = [(0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162)]


def pair_energy(r, z_a, z_b, inner, outer):
    """Energy in eV of two nuclei at distance r (Å), switched off between inner and outer."""
    if r >= outer:
        return 0.0
    length = 0.46850 / (z_a**0.23 + z_b**0.23)
    energy = 14.399645478 * z_a * z_b / r * sum(c * math.exp(-d * r / length) for c, d in TERMS)
    if r <= inner:
        return energy
    x = (r - inner) / (outer - inner)
    return energy * (1 - 10 * x**3 + 15 * x**4 - 6 * x**5)


def energies(atoms, inner, outer):
    """Energy of each atom: half of that of its pairs."""
    out = [0.0] * len(atoms)
    for i, j, _, vector in neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, outer):
        z_i, z_j = int(atoms.numbers[i]), int(atoms.numbers[j])
        out[i] += 0.5 * pair_energy(math.hypot(*vector), z_i, z_j, inner, outer)
    return out
