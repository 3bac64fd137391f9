"""A potential with the interface of compiled models: pairs and an embedding, any species."""

from typing import NamedTuple

import numpy as np

from skpot.core._arena import Arena, floats, padded
from skpot.core._jit import jit
from skpot.core.aot import Source
from skpot.core.pairs import largest, scatter


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
def work_size(n_neighbors, n_centers, model):
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


@jit
def grade_size(n_neighbors, n_centers, model):
    return padded(1000)  # more than the energies take


@jit
def grade(lo, hi, pairs, species, model, arena, grades):
    """Write 3/2 Å over the distance of the nearest neighbor."""
    work = floats(1000, arena)
    for i in range(lo, hi):
        work[:] = 0.0
        for p in range(pairs.start[i], pairs.start[i + 1]):
            squared = 0.0
            for axis in range(3):
                squared += pairs.vector[p, axis] ** 2
            work[999] = max(work[999], 2.25 / squared)
        grades[i] = np.sqrt(work[999])


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
    return Source(
        evaluate, work_size, model, model.cutoff, numbers, symbols, "toy", grade, grade_size
    )


def evaluated(pairs, species, model):
    """Return energies of centers and dE_i/dr_ij."""
    n = len(pairs.start) - 1
    energies, gradient = np.empty(n), np.empty((len(pairs.vector), 3))
    size = work_size(largest(0, n, pairs), n, model)
    evaluate(0, n, pairs, species, model, space(size), energies, gradient)
    return energies, gradient


def space(size):
    return Arena(np.empty(size), np.zeros(1, dtype=np.int64))


class Results(NamedTuple):
    """Of structures."""

    energies: np.ndarray  # of atoms
    forces: np.ndarray
    virials: np.ndarray  # xx yy zz yz xz xy
    grades: np.ndarray  # of atoms


def reference(model, numbers):
    """Return the function from structures to `Results`, which `write_library` compares with."""

    def results(batch):
        graph = batch.neighbors(model.cutoff)
        species = np.searchsorted(numbers, batch.numbers)
        energies, gradient = evaluated(graph.pairs, species, model)
        forces, virials = np.zeros((len(species), 3)), np.zeros((len(batch), 6))
        scatter(graph.pairs, graph.atom_structure(), gradient, forces, virials)
        grades = np.empty(len(species))
        work = space(grade_size(1, 1, model))
        grade(0, len(species), graph.pairs, species, model, work, grades)
        return Results(energies, forces, virials, grades)

    return results
