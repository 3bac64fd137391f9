"""B-splines of distances against plain loops, every promise of a descriptor, and the penalty."""

import numpy as np
import pytest
from ase import Atoms

from skpot import PairBasis, TripletBasis
from skpot.data import as_batch
from skpot.data.elements import SYMBOLS
from skpot.testing import check_descriptor, finite_difference_forces, sample_structures
from tests import linear
from tests.naive.pair_basis import pair_basis
from tests.samples import crystal

SPECIES = [["Si"], ["Si", "O"], ["H", "C", "N", "O"]]


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
@pytest.mark.parametrize(("n_splines", "r_min"), [(7, 0.5), (5, 2.6), (4, 0.0)])
def test_values(symbols, n_splines, r_min):
    # With r_min = 2.6 Å there are distances on the straight line, in the bend and above it.
    structures = sample_structures(symbols)
    basis = PairBasis(3.6, n_splines, r_min=r_min).fit(structures)
    names = basis.get_feature_names_out().tolist()
    values = basis.transform(structures).values
    expected = np.zeros_like(values)
    rows = [
        row
        for a in structures
        for row in pair_basis(a.numbers, a.positions, a.cell.array, a.pbc, 3.6, r_min, n_splines)
    ]
    for i, row in enumerate(rows):
        for (a, b, n), value in row.items():
            expected[i, names.index(f"{SYMBOLS[a]}-{SYMBOLS[b]} {n}")] = value
    assert abs(expected).max() > 0.1
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
@pytest.mark.parametrize("options", [{}, {"r_min": 2.2, "cache": False}], ids=str)
def test_promises_of_a_descriptor(symbols, options):
    check_descriptor(PairBasis(3.8, 8, **options), sample_structures(symbols))


def dimers(distances, symbols="Si2"):
    return [Atoms(symbols, [[0, 0, 0], [0.6 * r, 0, 0.8 * r]]) for r in distances]


def potential(basis, distances, coefficients):
    features = basis.transform(dimers(distances))
    return features.values.reshape(len(distances), 2, -1).sum(axis=1) @ coefficients


def test_the_sum_over_atoms_counts_each_pair_once():
    mixed = PairBasis(6.0, 10).fit(dimers([2.0], "SiO"))
    features = mixed.transform(dimers([2.3], "SiO"))
    assert features.values[:, 10:20].sum() == pytest.approx(1.0)  # the splines add up to 1
    assert features.values[:, 10:20].sum(axis=1).tolist() == pytest.approx([0.5, 0.5])
    assert not features.values[:, :10].any() and not features.values[:, 20:].any()


def test_the_potential_is_twice_differentiable_everywhere_and_straight_at_short_range():
    basis = PairBasis(5.0, 6, r_min=2.0, cache=False).fit(dimers([3.0]))
    w = np.random.default_rng(0).normal(size=6)
    step = 1e-3
    r = np.arange(0.8, 5.5, step)
    second = np.diff(potential(basis, r, w), 2) / step**2
    # The third derivative is piecewise constant, so a jump of the second would stand out.
    assert abs(np.diff(second)).max() < 2 * 8 * step / basis.spacing_**3
    assert abs(second[r[1:-1] > 5.0 + step]).max() == 0.0
    straight = r[1:-1] < 2.0 - basis.spacing_ - step
    assert straight.sum() > 500
    assert abs(second[straight]).max() < 1e-8
    assert np.ptp(potential(basis, [1.0, 1.4], w)) > 0.1


def test_penalty_is_zero_for_straight_lines_and_nothing_else():
    basis = PairBasis(5.0, 9).fit(sample_structures(["Si", "O"]))
    penalty = basis.smoothness_penalty()
    dense = penalty.toarray()
    assert np.array_equal(dense, dense.T)
    eigenvalues = np.linalg.eigvalsh(dense)
    assert (abs(eigenvalues[:6]) < 1e-12).all() and eigenvalues[6] > 1e-3
    lines = np.kron(np.eye(3), [np.ones(9), np.arange(9)])
    assert abs(penalty @ lines.T).max() < 1e-12
    w = np.random.default_rng(0).normal(size=27)
    expected = sum((np.diff(block, 2) ** 2).sum() for block in w.reshape(3, 9))
    assert w @ penalty @ w == pytest.approx(expected)
    closed = np.pad(w.reshape(3, 9), ((0, 0), (0, 3)))
    expected = (np.diff(closed, 2, axis=1) ** 2).sum()
    assert w @ basis.smoothness_penalty(to_cutoff=True) @ w == pytest.approx(expected)


def lennard_jones(structures):
    """Energies in eV, smooth at 6 Å."""
    batch = as_batch(structures)
    pairs = batch.neighbors(6.0).pairs
    r = np.linalg.norm(pairs.vector, axis=1)
    cut = (1 - (r / 6.0) ** 2) ** 3
    energies = 0.5 * 0.4 * ((2.3 / r) ** 12 - (2.3 / r) ** 6) * cut
    ends = np.concatenate([[0.0], np.cumsum(energies)])[pairs.start[batch.offsets]]
    return np.diff(ends)


def labeled(n, seed):
    """Return rattled fcc crystals with energies and forces."""
    rng = np.random.default_rng(seed)
    structures = [crystal("Cu", 0.15, 100 * seed + k, a=rng.uniform(3.5, 3.9)) for k in range(n)]
    forces = [finite_difference_forces(lennard_jones, atoms) for atoms in structures]
    return structures, lennard_jones(structures), np.concatenate(forces)


def test_the_penalty_beats_a_plain_ridge_of_the_same_trace():
    # Few noisy data, and shorter distances among the new structures than among those of the fit.
    noise_energy, noise_forces = 0.02, 0.1
    errors = {"penalty": [], "to the cutoff": [], "ridge": []}
    for seed in range(5):
        structures, energies, forces = labeled(8, seed)
        rng = np.random.default_rng(0)
        energies += rng.normal(scale=noise_energy, size=energies.shape)
        forces += rng.normal(scale=noise_forces, size=forces.shape)
        others, _, clean = labeled(10, 50 + seed)
        basis = PairBasis(6.0, 24, r_min=1.0).fit(structures)
        train, test = basis.transform(structures), basis.transform(others)
        penalties = [
            basis.smoothness_penalty().toarray(),
            basis.smoothness_penalty(to_cutoff=True).toarray(),
            np.eye(24),
        ]
        for of_this, p in zip(errors.values(), penalties, strict=True):
            for strength in 10.0 ** np.arange(-3, 4) * 24 / np.trace(p):
                w = linear.fit(train, energies, forces, strength * p, noise_energy, noise_forces)
                of_this.append(linear.force_error(test, w, clean))
    rms = {k: np.sqrt(np.mean(np.square(v).reshape(5, -1), axis=0)) for k, v in errors.items()}
    for name in ("penalty", "to the cutoff"):
        assert (rms[name] < rms["ridge"]).all()
        assert rms[name].min() < 0.8 * rms["ridge"].min()


@pytest.mark.parametrize("kind", [PairBasis, TripletBasis])
def test_refusals(kind):
    X = sample_structures()
    with pytest.raises(ValueError, match=r"r_min=4.0 Å is not below cutoff=3.0 Å"):
        kind(3.0, r_min=4.0).fit(X)
    with pytest.raises(ValueError, match=rf"species O .* this {kind.__name__} knows only Si"):
        kind(4.0).fit(X).transform(sample_structures(["Si", "O"]))
