"""What is held out together."""

import numpy as np
import pytest
from ase import Atoms

from skpot import Targets
from skpot.cli._splits import Split, folds, held_out, trajectories
from skpot.datasets import load_silicon
from tests.samples import crystals, displaced

AUTO, RANDOM = Split.auto, Split.random


def run_of(n, symbol="Cu", name=None, seed=0):
    """Return frames of one trajectory."""
    X = crystals(symbol, n, first=seed)
    for atoms in X:
        atoms.info = {"id": str(atoms.positions[0, 0])} | ({} if name is None else {"run": name})
    return X


def energies(X, **options):
    return Targets(np.zeros(len(X)), **options)


def test_trajectories_end_with_files_atoms_and_names():
    X = run_of(4) + run_of(3, "Ag") + run_of(3, "Ag", "a") + run_of(3, "Ag", "b")
    X += run_of(4, "Ag", "b")
    assert trajectories(X, [13, 4]).tolist() == [0] * 4 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 4


def test_names_in_the_data_are_found():
    data = load_silicon()
    found = trajectories(data.X, [len(data.X)])
    for number in np.unique(found):
        assert len(np.unique(data.groups[found == number])) == 1
    assert found.max() + 1 == len(np.unique(data.groups))


def test_whole_trajectories_are_held_out():
    data = load_silicon()
    test, how = held_out(data.X, data.y, [len(data.X)], 0.2, AUTO, 0)
    assert 0.15 < test.mean() < 0.25 and how.endswith("of 20 trajectories")
    assert not set(data.groups[test]) & set(data.groups[~test])
    assert not test[0]  # the isolated atom
    others, _ = held_out(data.X, data.y, [len(data.X)], 0.2, AUTO, 1)
    assert (others != test).any()


def test_the_choice_depends_on_content_alone():
    X = [run_of(5, "Cu", f"run {k}", 10 * k) for k in range(12)]
    chosen = []
    for order in (range(12), reversed(range(12))):
        frames = [atoms for k in order for atoms in X[k]]
        test, _ = held_out(frames, energies(frames), [len(frames)], 0.25, AUTO, 3)
        chosen.append({atoms.info["id"] for atoms, t in zip(frames, test, strict=True) if t})
    assert chosen[0] == chosen[1] and len(chosen[0]) == 15


def test_of_few_trajectories_the_last_frames_are_held_out():
    X = run_of(20) + run_of(10, "Ag")
    test, how = held_out(X, energies(X), [30], 0.2, AUTO, 0)
    assert np.flatnonzero(test).tolist() == [16, 17, 18, 19, 28, 29]
    assert how == "the last frames of each trajectory"


def test_a_long_trajectory_is_not_held_out_as_a_whole():
    names = [f"run {k}" for k in range(21)]
    X = run_of(180, name=names[0])
    X += [a for k, name in enumerate(names[1:]) for a in run_of(2, name=name, seed=200 + 2 * k)]
    for seed in range(10):
        test, _ = held_out(X, energies(X), [len(X)], 0.1, AUTO, seed)
        assert 11 <= test.sum() <= 33 and test[:180].sum() <= 18
        groups = np.array([atoms.info["run"] for atoms in X])
        test, _ = held_out(X, energies(X, groups=groups), [len(X)], 0.1, AUTO, seed)
        assert not test[:180].any() and test.sum() == 22


def test_groups_and_single_frames():
    X = run_of(20)
    groups = [f"g{i % 5}" for i in range(20)]
    test, how = held_out(X, energies(X, groups=groups), [20], 0.4, AUTO, 0)
    assert how == "2 of 5 groups" and test.sum() == 8
    assert len({groups[i] for i in np.flatnonzero(test)}) == 2
    test, how = held_out(X, energies(X), [20], 0.25, RANDOM, 0)
    assert test.sum() == 5 and how == "5 of 20 frames at random"
    assert np.flatnonzero(test).tolist() != [15, 16, 17, 18, 19]


def test_species_stay_in_the_training_set():
    X = [atoms for k in range(20) for atoms in displaced(crystals("Cu", 1, first=k) * 2, 0.01, k)]
    X += run_of(3, "Ag")
    sizes = [2] * 20 + [3]
    for seed in range(20):
        test, _ = held_out(X, energies(X), sizes, 0.3, AUTO, seed)
        assert not test[-3:].any() and test.any()


@pytest.mark.parametrize("n", [2, 5])
def test_folds_hold_out_each_frame_once(n):
    X = [Atoms("Cu"), *run_of(11), *run_of(7, "Ag")]
    splits, what = folds(X, energies(X), [len(X)], n, AUTO, 0)
    blocks = n > 2
    assert what == f"{n} folds of {'blocks of time' if blocks else 'trajectories'}"
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested) == list(range(1, len(X)))
    for train, test in splits:
        assert train[0] == 0 and not set(train) & set(test)
        for first, last in ((1, 12), (12, 19)) if blocks else ():
            inside = np.sort(test[(test >= first) & (test < last)])
            assert (np.diff(inside) == 1).all()


def test_folds_of_groups():
    X = run_of(12)
    groups = [f"g{i % 4}" for i in range(12)]
    splits, what = folds(X, energies(X, groups=groups), [12], 5, AUTO, 0)
    assert what == "4 folds of groups" and len(splits) == 4
    for _, test in splits:
        assert len({groups[i] for i in test}) == 1


def test_too_few_parts_are_told():
    X = run_of(3)
    with pytest.raises(ValueError, match="5 folds need as many frames, but there are 3"):
        folds(X, energies(X), [3], 5, RANDOM, 0)
    with pytest.raises(ValueError, match="all structures belong to one group, 'a'"):
        folds(X, energies(X, groups=["a"] * 3), [3], 2, AUTO, 0)
    with pytest.raises(ValueError, match=r"1 structures \(first: 1\) belong to no group"):
        folds(X, energies(X, groups=["a", None, "b"]), [3], 2, AUTO, 0)
    with pytest.raises(ValueError, match="no test set can be held out of 3 structures"):
        held_out(X, energies(X), [3], 0.1, AUTO, 0)
