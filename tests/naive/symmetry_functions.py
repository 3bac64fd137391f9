"""Symmetry functions, one neighbor or one pair of neighbors at a time."""

import math

import numpy as np

from tests.naive.neighbors import neighbor_list


def cutoff_function(r, cutoff, kind="cosine", width=None):
    """1 up to cutoff - width, then half a cosine or a polynomial of degree 5 to 0; or tanh^3."""
    if kind == "tanh":
        return math.tanh(1 - r / cutoff) ** 3 if r < cutoff else 0.0
    width = cutoff if width is None else width
    x = (r - (cutoff - width)) / width
    if x <= 0:
        return 1.0
    if x >= 1:
        return 0.0
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * x))
    return 1 - 10 * x**3 + 15 * x**4 - 6 * x**5


def symmetry_function(numbers, neighbors, f):
    """One function of one atom.

    `neighbors` lists (atomic number, vector) of the atom; `f` is a dict with the kind, the atomic
    numbers of neighbors (None: all, weighted by atomic number) and the parameters.
    """

    def cut(r):
        return cutoff_function(r, f["cutoff"], f.get("switch", "cosine"), f.get("width"))

    def gauss(r):
        return math.exp(-f["eta"] * (r - f["shift"]) ** 2) * cut(r)

    total = 0.0
    if f["kind"] in ("G1", "G2", "G3"):
        for z, vector in neighbors:
            if f["neighbors"] is not None and f["neighbors"] != (z,):
                continue
            r = math.sqrt(vector @ vector)
            term = {
                "G1": lambda r=r: cut(r),
                "G2": lambda r=r: gauss(r),
                "G3": lambda r=r: math.cos(f["kappa"] * r) * cut(r),
            }[f["kind"]]()
            total += term * (z if f["neighbors"] is None else 1)
        return total
    for j, (z_j, r_ij) in enumerate(neighbors):
        for z_k, r_ik in neighbors[:j]:
            if f["neighbors"] is not None and f["neighbors"] != tuple(sorted((z_j, z_k))):
                continue
            a, b = math.sqrt(r_ij @ r_ij), math.sqrt(r_ik @ r_ik)
            cosine = max(-1.0, min(1.0, r_ij @ r_ik / (a * b)))  # rounding of straight angles
            term = 2 ** (1 - f["zeta"]) * (1 + f["lambda"] * cosine) ** f["zeta"]
            term *= gauss(a) * gauss(b)
            if f["kind"] == "G4":
                term *= gauss(math.sqrt((r_ij - r_ik) @ (r_ij - r_ik)))
            total += term * (z_j * z_k if f["neighbors"] is None else 1)
    return total


def symmetry_functions(numbers, positions, cell, pbc, functions):
    """Functions of every atom of one structure, (n_atoms, n_functions)."""
    reach = max(f["cutoff"] for f in functions)
    pairs = neighbor_list(positions, cell, pbc, reach)
    out = np.zeros((len(numbers), len(functions)))
    for i, center in enumerate(numbers):
        neighbors = [(int(numbers[j]), vector) for k, j, _, vector in pairs if k == i]
        for column, f in enumerate(functions):
            if f.get("center") in (None, int(center)):
                out[i, column] = symmetry_function(numbers, neighbors, f)
    return out
