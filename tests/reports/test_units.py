"""Parts of the page that only compute."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import skpot
from skpot.reports._coverage import Environments, closer_than_training, distances_of, share_outside
from skpot.reports._drawings import drawing
from skpot.reports._labels import labels_of, thinned
from skpot.reports._summary import number, percent


def labels(n, seed=0):
    rng = np.random.default_rng(seed)
    X = [Atoms("H")] * n
    return labels_of(X, skpot.Targets(np.zeros(n)), rng.normal(size=n))[0]


def test_thinning_keeps_the_distribution_and_the_largest_error():
    every = labels(5000)
    parts = np.repeat(["few", "many"], [10, 4990])
    kept = thinned(every, 500, parts)
    assert 450 < len(kept.error) < 550
    assert np.isin(np.arange(10), kept.frame).all()  # small parts stay whole
    for part in ("few", "many"):
        worst = np.abs(every.error[parts == part]).max()
        assert worst in np.abs(kept.error[parts[kept.frame] == part])
    quantiles = [np.quantile(np.abs(side.error), [0.25, 0.5, 0.75]) for side in (every, kept)]
    np.testing.assert_allclose(*quantiles, rtol=0.1)
    np.testing.assert_array_equal(thinned(every, 500, parts).frame, kept.frame)


def test_distances_are_those_of_a_crystal():
    a = 4.0
    found = distances_of([bulk("Cu", a=a, cubic=True)] * 2)
    counts = found.counts[29, 29]
    assert counts[int(a / np.sqrt(2) / 0.05)] == 2 * 4 * 12 / 2
    assert counts.sum() == 2 * 4 * (12 + 6 + 24 + 12) / 2  # shells within 6 Å
    assert found.closest[29, 29] == pytest.approx(a / np.sqrt(2))


def test_closer_pairs_are_told():
    near, far = (distances_of([Atoms("HO", [[0, 0, 0], [0, 0, r]])]) for r in (0.8, 1.0))
    assert closer_than_training(near, far) == []
    (text,) = closer_than_training(far, near)
    assert "H–O come as close as 0.80 Å, but in the training set only 1.00 Å" in text
    (text,) = closer_than_training(distances_of([Atoms("H")]), near)
    assert "not below 6 Å" in text


def test_share_outside():
    rng = np.random.default_rng(0)
    n = np.arange(400)
    train = Environments(rng.uniform(size=(400, 2)), n, 0 * n, 0 * n + 1)
    inside = Environments(rng.uniform(size=(400, 2)), n, 0 * n, 0 * n + 1)
    shift = np.where(n[:, None] < 100, 5.0, 0.0)
    assert share_outside(train, inside) < 0.05
    assert share_outside(train, inside._replace(values=inside.values + shift)) > 0.24
    assert share_outside(train, inside._replace(species=0 * n + 2)) == 1.0


@pytest.mark.parametrize("pbc", [True, False])
def test_drawings(pbc):
    atoms = bulk("Cu", cubic=True)
    atoms.pbc = pbc
    forces = np.zeros((4, 3))
    forces[2], forces[3] = [1.0, 1.0, 0.0], np.nan
    picture = drawing(atoms, forces, 2, np.array([29]), "force")
    n = picture.count("<title>")
    assert n == (19 if pbc else 4)  # two shells of neighbors within 4.2 Å
    assert picture.count("atom 2 (Cu), force 1.41 eV/Å") == (7 if pbc else 1)
    assert "atom 3 (Cu)<" in picture
    assert picture.count("<polygon") == (7 if pbc else 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (12.34, "12.3"), (1234.5, "1234"), (0.001234, "0.00123"), (1.2e-9, "1.20e-09")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_shares_in_percent():
    assert [percent(share) for share in (0.0, 0.000057, 0.0312, 0.127, 1.41)] == [
        "0 %", "0.0057 %", "3.1 %", "13 %", "141 %",
    ]  # fmt: skip
