"""Expansion of the density against plain loops, and its way back against finite differences."""

import numpy as np
import pytest

from skpot import SOAP
from skpot.core.density import expand, gradient_to_pairs, move_density, neighborhood
from skpot.core.pairs import Pairs
from tests.naive import soap as naive

SPECIES = [1, 6, 8]
OPTIONS = {"cutoff": 3.5, "n_max": 5, "l_max": 3, "sigma": 0.4}


@pytest.fixture(scope="module")
def tables():
    from ase import Atoms

    soap = SOAP(**OPTIONS, species=SPECIES, pair_cutoffs={("C", "O"): 3.0}, cache=False)
    return soap.fit([Atoms("H")])._tables().density


def coefficients(vectors, species, tables):
    """Coefficients of atom 0, whose neighbours are at `vectors`; what else `expand` leaves."""
    n = len(vectors)
    start = np.concatenate([[0], np.full(n + 1, n)])
    pairs = Pairs(start, np.arange(1, n + 1), np.ascontiguousarray(vectors))
    near = neighborhood(max(1, n), tables)
    c = np.full(((tables.l_max + 1) ** 2, tables.n_species * tables.n_max), np.nan)
    size = expand(0, pairs, np.asarray(species), tables, near, c)
    return c, size, pairs, near


@pytest.fixture
def environment():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(11, 3))
    vectors *= (rng.uniform(0.7, 3.9, 11) / np.linalg.norm(vectors, axis=1))[:, None]
    return vectors, np.array([1, *rng.integers(0, 3, 11)])


def test_coefficients_equal_plain_loops(tables, environment):
    vectors, species = environment
    c, size, pairs, near = coefficients(vectors, species, tables)
    reach = np.where(species[1:] == 2, 3.0, 3.5)  # of the pair C-O, and of others
    assert size == np.count_nonzero(np.linalg.norm(vectors, axis=1) < reach) < 11
    expected = naive.coefficients(
        np.array(SPECIES)[species], np.vstack([np.zeros(3), vectors]), np.zeros((3, 3)),
        [False] * 3, species=SPECIES, pair_cutoffs={(6, 8): 3.0}, cutoff_width=0.5, **OPTIONS,
    )[0]  # fmt: skip
    np.testing.assert_allclose(c.T, expected, atol=1e-8 * abs(expected).max())


def test_neighbours_are_sorted_by_species_and_may_come_in_any_order(tables, environment):
    vectors, species = environment
    c, size, _, near = coefficients(vectors, species, tables)
    kinds = species[1 + near.pair[:size]]
    assert (np.diff(kinds) >= 0).all()
    assert near.first.tolist() == [0, *np.cumsum(np.bincount(kinds, minlength=3))]
    order = np.random.default_rng(1).permutation(len(vectors))
    other, _, _, _ = coefficients(vectors[order], [1, *species[1:][order]], tables)
    np.testing.assert_allclose(other, c, atol=1e-13 * abs(c).max())


def test_an_atom_alone_has_its_own_density_only(tables):
    c, size, pairs, near = coefficients(np.empty((0, 3)), [2], tables)
    assert size == 0
    expected = np.zeros_like(c)
    own = tables.of_pair[2, 2]
    expected[0, 10:15] = tables.centre[own] / np.sqrt(4 * np.pi)
    np.testing.assert_allclose(c, expected, atol=1e-15)
    gradient = np.empty((0, 3))
    gradient_to_pairs(0, size, pairs, tables, near, np.ones_like(c), gradient)


def test_gradients_equal_finite_differences(tables, environment):
    vectors, species = environment
    g = np.random.default_rng(2).normal(size=((4) ** 2, 15))
    c, size, pairs, near = coefficients(vectors, species, tables)
    gradient = np.full((len(vectors), 3), np.nan)
    gradient_to_pairs(0, size, pairs, tables, near, g, gradient)
    step = 1e-5
    for p in range(len(vectors)):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = vectors.copy()
                moved[p, axis] += sign * step
                ends.append(np.sum(g * coefficients(moved, species, tables)[0]))
            assert gradient[p, axis] == pytest.approx(
                (ends[0] - ends[1]) / (2 * step), abs=1e-7 * abs(c).max()
            )


def test_changes_with_a_motion_are_the_adjoint_of_gradients(tables, environment):
    vectors, species = environment
    rng = np.random.default_rng(3)
    g, moves = rng.normal(size=(16, 15)), rng.normal(size=vectors.shape)
    c, size, pairs, near = coefficients(vectors, species, tables)
    gradient, dc = np.zeros_like(vectors), np.full_like(c, np.nan)
    gradient_to_pairs(0, size, pairs, tables, near, g, gradient)
    c, size, pairs, near = coefficients(vectors, species, tables)
    move_density(size, tables, near, moves, dc)
    assert np.sum(dc * g) == pytest.approx(np.sum(gradient * moves), rel=1e-12)
