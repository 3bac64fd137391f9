"""Choice of reference environments."""

import numpy as np
import pytest

from skpot.selection import farthest_points, given_references, leverage_sample, select_references


def test_farthest_points_equal_the_plain_greedy_search():
    rows = np.random.default_rng(0).normal(size=(60, 3))
    chosen = farthest_points(rows, 12, np.random.default_rng(1))
    for k in range(1, 12):
        distance = np.linalg.norm(rows[:, None] - rows[chosen[:k]], axis=2).min(axis=1)
        assert distance[chosen[k]] == pytest.approx(distance.max())


def test_farthest_points_stop_at_duplicates():
    rows = np.repeat(np.eye(3), 5, axis=0)
    chosen = farthest_points(rows, 10, np.random.default_rng(0))
    assert sorted(chosen // 5) == [0, 1, 2]


def test_leverage_prefers_rows_that_stand_alone():
    rng = np.random.default_rng(0)
    rows = np.zeros((200, 4))
    rows[:, 0] = 1.0 + 0.01 * rng.normal(size=200)
    rows[7], rows[90] = [0, 5, 0, 0], [0, 0, 5, 1]
    for seed in range(5):
        assert {7, 90} <= set(leverage_sample(rows, 10, np.random.default_rng(seed)))


def test_leverage_of_many_features_prefers_the_same_rows():
    rng = np.random.default_rng(0)
    rows = np.zeros((200, 1500))
    rows[:, :2] = 1.0 + 0.01 * rng.normal(size=(200, 2))
    rows[7, 700], rows[90, 900] = 50, 50
    for seed in range(3):
        assert {7, 90} <= set(leverage_sample(rows, 10, np.random.default_rng(seed)))


@pytest.mark.parametrize("method", ["cur", "fps", "random"])
def test_species_share_equally_as_far_as_they_can(method):
    rng = np.random.default_rng(0)
    species = np.array([1] * 50 + [6] * 4 + [8] * 50)
    values = rng.normal(size=(104, 5))
    chosen = select_references(values, species, 30, method, np.random.default_rng(0))
    assert [int((species[chosen] == z).sum()) for z in (1, 6, 8)] == [13, 4, 13]
    assert np.all(np.diff(species[chosen]) >= 0)
    again = select_references(values, species, 30, method, np.random.default_rng(0))
    assert np.array_equal(chosen, again)


def test_equal_environments_are_chosen_once():
    values = np.repeat(np.random.default_rng(0).normal(size=(5, 3)), 4, axis=0)
    chosen = select_references(values, np.full(20, 14), 20, "random", np.random.default_rng(0))
    assert sorted(chosen // 4) == [0, 1, 2, 3, 4]


def test_given_references_are_grouped_by_species():
    species = np.array([8, 1, 1, 8, 1])
    np.testing.assert_array_equal(given_references([3, 4, 0, 1], species), [1, 4, 0, 3])


@pytest.mark.parametrize(
    "bad, message",
    [
        ([0, 5], "index 5 but there are 5"),
        ([-1], "index -1"),
        ([2, 0, 2], "index 2 more than once"),
        ([0.5], "type float64"),
        ([], "indices"),
        ([[0, 1]], r"shape \(1, 2\)"),
    ],
)
def test_bad_references_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        given_references(bad, np.ones(5, dtype=int))
