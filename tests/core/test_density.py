"""Expansion of the density against plain loops, and its way back against finite differences."""

import numpy as np
import pytest
from numba import njit

from skpot import SOAP
from skpot.core import density
from skpot.core._arena import arena
from skpot.core.pairs import Pairs
from tests.naive import soap as naive

SPECIES = [1, 6, 8]
OPTIONS = {"cutoff": 3.5, "n_max": 5, "l_max": 3, "sigma": 0.4}


@pytest.fixture(scope="module")
def tables():
    from ase import Atoms

    soap = SOAP(**OPTIONS, species=SPECIES, pair_cutoffs={("C", "O"): 3.0}, cache=False)
    return soap.fit([Atoms("H")]).tables().density


@njit  # not cached: the cache would not notice changes of what is tested
def run(pairs, species, tables, own, c, g, gradient, moves, dc):
    """Run all functions for atom 0 that has all pairs; return what they note of neighbors."""
    near = density.neighborhood(len(pairs.neighbor), tables, own)
    size = density.survey(0, pairs, species, tables, near)
    density.expand(0, size, species, tables, near, c)
    density.gradient_to_pairs(size, tables, near, g, gradient)
    density.move_density(size, tables, near, moves, dc)
    return size, near.first.copy(), near.pair.copy()


class Result:
    """Coefficients of atom 0, whose neighbors are at `vectors`, and what else there is."""

    def __init__(self, vectors, species, tables, g=0.0, moves=0.0):
        n, shape = len(vectors), ((tables.l_max + 1) ** 2, tables.n_species * tables.n_max)
        start = np.concatenate([[0], np.full(n + 1, n)])
        pairs = Pairs(start, np.arange(1, n + 1), np.ascontiguousarray(vectors))
        self.c, self.dc = np.full((2, *shape), np.nan)
        self.gradient = np.ones((n, 3))
        g, moves = np.zeros(shape) + g, np.zeros((n, 3)) + moves
        own = arena(100_000)
        self.size, self.first, self.pair = run(
            pairs, np.asarray(species), tables, own, self.c, g, self.gradient, moves, self.dc
        )
        self.gradient -= 1.0  # to what was there it is added


@pytest.fixture
def environment():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(11, 3))
    vectors *= (rng.uniform(0.7, 3.9, 11) / np.linalg.norm(vectors, axis=1))[:, None]
    return vectors, np.array([1, *rng.integers(0, 3, 11)])


def test_coefficients_equal_plain_loops(tables, environment):
    vectors, species = environment
    found = Result(vectors, species, tables)
    reach = np.where(species[1:] == 2, 3.0, 3.5)  # of the pair C-O, and of others
    assert found.size == np.count_nonzero(np.linalg.norm(vectors, axis=1) < reach) < 11
    expected = naive.coefficients(
        np.array(SPECIES)[species], np.vstack([np.zeros(3), vectors]), np.zeros((3, 3)),
        [False] * 3, species=SPECIES, pair_cutoffs={(6, 8): 3.0}, cutoff_width=0.5, **OPTIONS,
    )[0]  # fmt: skip
    np.testing.assert_allclose(found.c.T, expected, atol=1e-8 * abs(expected).max())


def test_neighbors_are_sorted_by_species_and_may_come_in_any_order(tables, environment):
    vectors, species = environment
    found = Result(vectors, species, tables)
    kinds = species[1 + found.pair[: found.size]]
    assert (np.diff(kinds) >= 0).all()
    assert found.first.tolist() == [0, *np.cumsum(np.bincount(kinds, minlength=3))]
    order = np.random.default_rng(1).permutation(len(vectors))
    other = Result(vectors[order], [1, *species[1:][order]], tables)
    np.testing.assert_allclose(other.c, found.c, atol=1e-13 * abs(found.c).max())


def test_an_atom_alone_has_its_own_density_only(tables):
    found = Result(np.empty((0, 3)), [2], tables)
    assert found.size == 0
    expected = np.zeros_like(found.c)
    own = tables.of_pair[2, 2]
    expected[0, 10:15] = tables.center[own] / np.sqrt(4 * np.pi)
    np.testing.assert_allclose(found.c, expected, atol=1e-15)
    assert (found.dc == 0.0).all()


def test_gradients_equal_finite_differences(tables, environment):
    vectors, species = environment
    g = np.random.default_rng(2).normal(size=((4) ** 2, 15))
    found = Result(vectors, species, tables, g)
    step = 1e-5
    for p in range(len(vectors)):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = vectors.copy()
                moved[p, axis] += sign * step
                ends.append(np.sum(g * Result(moved, species, tables).c))
            assert found.gradient[p, axis] == pytest.approx(
                (ends[0] - ends[1]) / (2 * step), abs=1e-7 * abs(found.c).max()
            )


def test_changes_with_a_motion_are_the_adjoint_of_gradients(tables, environment):
    vectors, species = environment
    rng = np.random.default_rng(3)
    g, moves = rng.normal(size=(16, 15)), rng.normal(size=vectors.shape)
    found = Result(vectors, species, tables, g, moves)
    assert np.sum(found.dc * g) == pytest.approx(np.sum(found.gradient * moves), rel=1e-12)
