"""A potential with the interface of compiled models: pairs and an embedding, any species."""

from typing import NamedTuple

import numpy as np
from ase import Atoms

from skpot.core._arena import Arena, floats, padded
from skpot.core._jit import jit
from skpot.core.aot import Source
from skpot.core.pairs import largest, scatter
from skpot.data import as_batch


class Embedding(NamedTuple):
    weight: np.ndarray  # (n_species, n_species), eV²
    offset: float  # eV²


class Toy(NamedTuple):
    """E_i = e0 + 1/2 sum_j A c(r) exp(-B r) - sqrt(offset + sum_j W c(r)), c = (1 - r²/R²)³."""

    cutoff: float
    e0: tuple  # an array (n_species,), eV, in a tuple
    height: np.ndarray  # A, eV
    decay: np.ndarray  # B, 1/Å
    embedding: Embedding
    order: np.ndarray  # (n_species,) int64: e0 of species s is e0[order[s]]
    repelling: bool
    n_axes: int


@jit
def work_size(n_neighbors, n_centres, model):
    return padded(2 * n_neighbors)


@jit
def evaluate(lo, hi, pairs, species, model, arena, energies, gradient):
    used = arena.used[0]
    terms = floats(2 * largest(lo, hi, pairs), arena).reshape(-1, 2)
    for i in range(lo, hi):
        s = species[i]
        energy, density = model.e0[0][model.order[s]], model.embedding.offset
        begin = pairs.start[i]
        for p in range(begin, pairs.start[i + 1]):
            t = species[pairs.neighbor[p]]
            squared = 0.0
            for axis in range(model.n_axes):
                squared += pairs.vector[p, axis] ** 2
            r = np.sqrt(squared)
            inside = max(1.0 - squared / model.cutoff**2, 0.0)
            c, slope = inside**3, -6.0 * inside**2 / model.cutoff**2  # dc/dr / r
            pair = 0.5 * model.height[s, t] * np.exp(-model.decay[s, t] * r)
            if model.repelling:
                energy += pair * c
            density += model.embedding.weight[s, t] * c
            terms[p - begin, 0] = pair * (slope - model.decay[s, t] * c / r)
            terms[p - begin, 1] = model.embedding.weight[s, t] * slope
        root = np.sqrt(density)
        energies[i] = energy - root
        for p in range(begin, pairs.start[i + 1]):
            factor = terms[p - begin, 0] - 0.5 / root * terms[p - begin, 1]
            for axis in range(3):
                gradient[p, axis] = factor * pairs.vector[p, axis]
    arena.used[0] = used


def toy(n_species=1, cutoff=4.0, bond=2.3):
    """Return the numbers of a potential with bonds of about `bond` Å."""
    shift = 0.15 * np.arange(n_species)
    scale = 1.0 + 0.5 * (shift[:, None] + shift)
    decay = 8.0 / bond * scale
    return Toy(
        cutoff=cutoff,
        e0=(np.linspace(-1.0, -2.0, n_species),),
        height=0.4 * np.exp(decay * bond),
        decay=decay,
        embedding=Embedding(1.5 * scale, 0.01),
        order=np.arange(n_species)[::-1].copy(),
        repelling=True,
        n_axes=3,
    )


def source(model, numbers, symbols):
    return Source(evaluate, work_size, model, model.cutoff, numbers, symbols, "toy")


def evaluated(pairs, species, model):
    """Return energies of centres and dE_i/dr_ij."""
    n = len(pairs.start) - 1
    energies, gradient = np.empty(n), np.empty((len(pairs.vector), 3))
    size = work_size(largest(0, n, pairs), n, model)
    space = Arena(np.empty(size), np.zeros(1, dtype=np.int64))
    evaluate(0, n, pairs, species, model, space, energies, gradient)
    return energies, gradient


def predict(atoms, model, numbers):
    """Return energies of atoms, forces, and the virial (xx yy zz yz xz xy)."""
    batch = as_batch([atoms])
    pairs = batch.neighbors(model.cutoff).pairs
    energies, gradient = evaluated(pairs, np.searchsorted(numbers, batch.numbers), model)
    forces, virial = np.zeros((len(atoms), 3)), np.zeros((1, 6))
    scatter(pairs, np.zeros(len(atoms), dtype=np.int64), gradient, forces, virial)
    return energies, forces, virial[0]


def reference(model, numbers):
    """Return what `write_library` compares with."""

    def evaluated(batch):
        structures = [
            Atoms(batch.numbers[i:j], batch.positions[i:j], cell=cell, pbc=pbc)
            for i, j, cell, pbc in zip(batch.offsets, batch.offsets[1:], batch.cells, batch.pbc)
        ]
        parts = zip(*(predict(atoms, model, numbers) for atoms in structures))
        energies, forces, virials = parts
        return np.concatenate(energies), np.concatenate(forces), np.array(virials)

    return evaluated
