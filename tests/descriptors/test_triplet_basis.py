"""B-splines of triangles against plain loops, every promise of a descriptor, and the penalty."""

import numpy as np
import pytest
from ase import Atoms
from scipy.sparse import block_diag
from sklearn.pipeline import FeatureUnion, make_pipeline

from skpot import PairBasis, SparseGPR, TripletBasis
from skpot.core.triplet_basis import allowed_runs
from skpot.data import as_batch
from skpot.data.elements import SYMBOLS
from skpot.kernels import DotProduct
from skpot.testing import (
    check_descriptor,
    check_potential,
    finite_difference_forces,
    sample_structures,
)
from tests import linear, samples
from tests.naive.triplet_basis import triplet_basis

SPECIES = [["Si"], ["Si", "O"], ["H", "C", "N", "O"]]


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
@pytest.mark.parametrize(("n_splines", "r_min"), [(5, 0.5), (4, 2.2)])
def test_values(symbols, n_splines, r_min):
    structures = sample_structures(symbols)
    basis = TripletBasis(3.1, n_splines, r_min=r_min).fit(structures)
    columns = {name: k for k, name in enumerate(basis.get_feature_names_out())}
    values = basis.transform(structures).values
    expected = np.zeros_like(values)
    i = 0
    for atoms in structures:
        for row in triplet_basis(
            atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, 3.1, r_min, n_splines
        ):
            for (a, b, c, l, m, n), value in row.items():
                name = f"{SYMBOLS[a]} ({SYMBOLS[b]} {SYMBOLS[c]}) {l} {m} {n}"
                expected[i, columns[name]] = value
            i += 1
    assert abs(expected).max() > 0.05
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
@pytest.mark.parametrize("options", [{}, {"r_min": 2.2, "cache": False}], ids=str)
def test_promises_of_a_descriptor(symbols, options):
    structures = sample_structures(symbols)[:: 1 if len(symbols) < 4 else 2]
    check_descriptor(TripletBasis(3.6, 4, **options), structures)


def triangles(a, b, cosine):
    """Return three atoms, the first at the corner."""
    zero = np.zeros_like(cosine)
    first = np.stack([a + zero, zero, zero], axis=1)
    second = np.stack([b * cosine, b * np.sqrt(1.0 - cosine**2), zero], axis=1)
    return [Atoms("Si3", [[0, 0, 0], u, v]) for u, v in zip(first, second, strict=True)]


@pytest.mark.parametrize(("n_splines", "r_min"), [(4, 0.5), (6, 0.5), (4, 0.0), (5, 1.9), (4, 1.0)])
def test_columns_are_those_that_triangles_can_reach_and_no_others(n_splines, r_min):
    spacing = (4.0 - r_min) / n_splines
    knots = r_min + np.arange(2 * n_splines + 20) * spacing
    begin, end = np.concatenate([[0.0] * 3, knots]), knots[1:]
    begin[:2] = 0.0  # the straight lines
    inside = np.array([1e-4, 0.2, 0.4, 0.6, 0.8, 1 - 1e-4])  # of the interval of a spline
    allowed = allowed_runs(4.0, r_min, n_splines)
    for l, m in np.ndindex(n_splines, n_splines):
        a = (begin[l] + (end[l] - begin[l]) * inside)[:, None]
        b = begin[m] + (end[m] - begin[m]) * inside
        shortest, longest = abs(a - b), a + b
        reached = [n for n in range(len(end)) if ((end[n] > shortest) & (begin[n] < longest)).any()]
        assert reached == list(range(allowed[l, m, 0], allowed[l, m, 1] + 1))


def test_the_splines_of_a_triangle_add_up():
    # Far from the cutoff no spline is left out, and the products of three sums of 1 are 1.
    (atoms,) = triangles(1.5, 1.6, np.array([0.3]))
    values = TripletBasis(8.0, 9).fit_transform([atoms]).values
    np.testing.assert_allclose(values.sum(axis=1), 1.0)
    mixed = Atoms("SiOH", atoms.positions)
    basis = TripletBasis(8.0, 4, species=["H", "O", "Si"]).fit([mixed])
    at_si = basis.transform([mixed]).values[0]
    names = basis.get_feature_names_out()
    assert all(name.startswith("Si (H O)") for name in names[at_si != 0])


def test_straight_and_folded_triangles():
    basis = TripletBasis(4.0, 5).fit(sample_structures())
    cosines = np.array([-1.0, 1.0])
    for atoms in triangles(1.75, 3.5, cosines) + triangles(1.0, 2.0, cosines):
        features = basis.transform([atoms])
        g = np.random.default_rng(0).normal(size=features.values.shape)

        def energy(copies, g=g):
            return (basis.transform(copies).values.reshape(-1, *g.shape) * g).sum(axis=(1, 2))

        numerical = finite_difference_forces(energy, atoms)
        np.testing.assert_allclose(features.pull_back(g)[0], numerical, atol=1e-7)


@pytest.mark.filterwarnings("ignore::skpot.exceptions.StructureWarning")
@pytest.mark.parametrize("end", [4.0, 0.5])
def test_the_potential_is_twice_differentiable(end):
    basis = TripletBasis(4.0, 5, r_min=0.8, cache=False).fit(sample_structures())
    w = np.random.default_rng(0).normal(size=basis.n_features_out_)
    step = 2e-3
    lengths = np.arange(end - 0.15, end + 0.2, step)
    X = [triangles(1.9, r, np.array([0.2]))[0] for r in lengths]
    energy = basis.transform(X).values.reshape(len(X), 3, -1).sum(axis=1) @ w
    second = np.diff(energy, 2) / step**2
    assert abs(np.diff(second)).max() < 200 * step
    assert np.ptp(energy) > 1e-6


def test_penalty_is_zero_for_linear_potentials_and_nothing_else():
    basis = TripletBasis(4.0, 4).fit(sample_structures(["Si", "O"]))
    dense = basis.smoothness_penalty().toarray()
    assert np.array_equal(dense, dense.T)
    eigenvalues = np.linalg.eigvalsh(dense)
    # Linear along each axis: 8 products for unlike neighbors, 6 symmetric ones for like.
    n_null = 2 * (8 + 2 * 6)
    assert (abs(eigenvalues[:n_null]) < 1e-11).all() and eigenvalues[n_null] > 1e-3
    index = np.array([name.split()[-3:] for name in basis.get_feature_names_out()], dtype=int)
    l, m, n = index.T
    for w in (1 + 0 * l, l + m, n, l * m, n * (l + m), n * l * m):
        assert abs(dense @ w).max() < 1e-9
    closed = basis.smoothness_penalty(to_cutoff=True).toarray()
    assert np.linalg.eigvalsh(closed)[0] > 1e-4


def three_body(structures):
    """Energies like those of Stillinger and Weber: pairs, and angles, within 3.7 Å."""
    batch = as_batch(structures)
    graph = batch.neighbors(3.7)
    pairs, energies = graph.pairs, []
    for begin, end in zip(pairs.start[:-1], pairs.start[1:], strict=True):
        v = pairs.vector[begin:end]
        r = np.linalg.norm(v, axis=1)
        pair = 0.5 * 7.0 * (0.6 * (2.1 / r) ** 4 - 1.0) * np.exp(2.1 / (r - 3.7))
        switch = np.exp(2.5 / (r - 3.7))
        first, second = np.triu_indices(len(v), 1)
        cosine = (v @ v.T / np.outer(r, r))[first, second]
        angles = 20.0 * switch[first] * switch[second] * (cosine + 1 / 3) ** 2
        energies.append(pair.sum() + angles.sum())
    return np.add.reduceat(energies, batch.offsets[:-1])


def labeled(n, seed):
    structures = samples.crystals("Si", n, 0.25, first=100 * seed)
    forces = [finite_difference_forces(three_body, atoms) for atoms in structures]
    return structures, three_body(structures), np.concatenate(forces)


def test_the_penalty_beats_a_plain_ridge_of_the_same_trace():
    # 72 forces for 360 coefficients.
    structures, energies, forces = labeled(3, 1)
    others, _, clean = labeled(6, 2)
    rng = np.random.default_rng(0)
    energies += rng.normal(scale=0.02, size=energies.shape)
    forces += rng.normal(scale=0.1, size=forces.shape)
    union = FeatureUnion([("two", PairBasis(4.0, 16)), ("three", TripletBasis(4.0, 7))])
    train = union.fit_transform(structures)
    test = union.transform(others)
    smooth = block_diag([step.smoothness_penalty() for _, step in union.transformer_list]).toarray()
    unit = np.eye(len(smooth))
    errors = []
    for p in (smooth * len(smooth) / np.trace(smooth), unit):
        fits = [
            linear.fit(train, energies, forces, s * (p + 1e-8 * unit), 0.02, 0.1)
            for s in 10.0 ** np.arange(-3, 5)
        ]
        errors.append([linear.force_error(test, w, clean) for w in fits])
    assert np.less(*errors).all()
    assert np.min(errors[0]) < 0.6 * np.min(errors[1])


def test_a_potential_on_pairs_and_triplets():
    X, y = samples.labeled(["Si", "O"], 3, stress=None)
    union = FeatureUnion([("two", PairBasis(5.0, 8)), ("three", TripletBasis(3.5, 4))])
    model = make_pipeline(union, SparseGPR(DotProduct(zeta=1), n_sparse=20))
    check_potential(model.fit(X, y), X[:4])
