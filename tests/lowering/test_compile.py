"""The compiled function does what the pipeline does."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from ase import Atoms
from sklearn.decomposition import PCA
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer, StandardScaler

import skpot
from skpot.core._arena import arena
from skpot.core.evaluation import BLOCK, evaluate, work_size
from skpot.core.pairs import largest
from skpot.data import as_batch
from skpot.kernels import RBF, DotProduct, Matern
from skpot.testing import sample_structures
from tests.samples import random_labels, small_structures

SYMBOLS = ("Si", "O", "H")
NOISE = {
    "sigma_energy": 0.5,
    "sigma_forces": 0.5,
}  # large, so that coefficients for random labels stay small


def soap(**options):
    return skpot.SOAP(cutoff=3.0, n_max=2, l_max=2, **options)


def plain(**options):
    return soap(normalize=False, central_weight=0.0, **options)


def sparse(kernel, **options):
    return skpot.SparseGPR(kernel, n_sparse=12, selection="random", **options)


def zbl():
    return skpot.ZBL(outer=2.2)


MODELS = {
    "normalized": make_pipeline(soap(), sparse(DotProduct(4))),
    "quadratic form": make_pipeline(soap(), sparse(DotProduct(2))),
    "linear form": make_pipeline(soap(), sparse(DotProduct(1))),
    "scaled": make_pipeline(soap(), skpot.PerAtom(StandardScaler()), sparse(RBF(5.0))),
    "projected": make_pipeline(
        soap(), skpot.PerAtom(StandardScaler()), skpot.PerAtom(PCA(7)), sparse(DotProduct(3))
    ),
    "selected": make_pipeline(soap(), skpot.PerAtom(VarianceThreshold(1e-3)), sparse(Matern(2.0))),
    "exact": make_pipeline(plain(), skpot.PrincipalComponents(9), skpot.GPR(RBF(1.5), **NOISE)),
    "turned": make_pipeline(plain(), skpot.PrincipalComponents(), sparse(DotProduct(3))),
    "directions": make_pipeline(soap(), sparse(DotProduct(2), n_directions=2)),
    "preset": make_pipeline(
        make_union(zbl(), make_pipeline(plain(), skpot.PrincipalComponents(9))),
        skpot.AutoGPR(baseline="zbl", **NOISE),
    ),
    "baseline behind": make_pipeline(
        make_union(soap(), zbl()), sparse(DotProduct(4), baseline="zbl")
    ),
    "scaled behind": make_pipeline(
        make_union(zbl(), make_pipeline(soap(), skpot.PerAtom(StandardScaler()))),
        sparse(RBF(5.0), baseline="zbl"),
    ),
    "sum on blocks": make_pipeline(
        make_union(soap(), skpot.PairBasis(3.0, n_splines=6)),
        sparse(DotProduct(3).on("soap") + 0.5 * RBF(2.0).on("pair_basis") ** 2),
    ),
    "relevance": make_pipeline(
        make_union(skpot.PairBasis(3.0, n_splines=6), skpot.SymmetryFunctions(3.0, 3, 1)),
        sparse(RBF(np.linspace(1.0, 3.0, 5), block=(2, 7))),
    ),
    "symmetry functions": make_pipeline(
        skpot.SymmetryFunctions(3.0, n_radial=3, n_angular=1), sparse(RBF(2.0))
    ),
    "splines": make_pipeline(
        make_union(
            skpot.PairBasis(3.0, n_splines=6), skpot.TripletBasis(2.8, n_splines=4), zbl()
        ),
        skpot.LinearRidge(1e-3, baseline="zbl"),
    ),
    "quadratic": make_pipeline(
        skpot.PairBasis(3.0, n_splines=4), skpot.LinearRidge(1e-3, degree=2)
    ),
    "mixed channels": make_pipeline(
        soap(compression="alchemical"), skpot.GPR(RBF(0.7), **NOISE)
    ),
    "coupled": make_pipeline(
        make_union(zbl(), make_pipeline(soap(), skpot.PerAtom(PCA(5)))),
        skpot.SpeciesCoupling(),
        sparse(RBF().on("soap") * RBF(1.5).on("species"), baseline="zbl"),
    ),
    "coupled, exact": make_pipeline(
        soap(), skpot.SpeciesCoupling(),
        skpot.GPR(DotProduct(1).on("species") * DotProduct(2).on("soap"), **NOISE),
    ),
    "bispectrum": make_pipeline(soap(body_order=4, n_channels=2), sparse(RBF(0.7))),
    "single features": make_pipeline(soap(dtype="float32"), sparse(DotProduct(4))),
}  # fmt: skip
SAME = {"single features": 1e-4}  # the pipeline itself rounds to single precision


def structures(n=4, seed=0):
    return small_structures(SYMBOLS, n, first=seed) + [Atoms(s, [[0.0, 0.0, 0.0]]) for s in SYMBOLS]


@pytest.fixture(scope="module")
def fitted():
    frames, models = structures(), {}

    def get(name):
        if name not in models:
            models[name] = MODELS[name].fit(frames, random_labels(frames, per_atom=-2.0))
        return models[name]

    return get


@pytest.mark.filterwarnings("ignore:.*reference energies")
@pytest.mark.parametrize("name", MODELS)
def test_same_as_the_pipeline(fitted, name):
    model, frames = fitted(name), structures(2, seed=9)
    potential = skpot.compile(model, frames)
    predicted, compiled = model.predict(frames), potential.predict(frames)
    rounding = SAME.get(name, 1e-10)
    np.testing.assert_allclose(compiled.energy, predicted.energy, rtol=rounding)
    largest_force = np.abs(predicted.forces_flat).max()
    difference = compiled.forces_flat - predicted.forces_flat
    assert np.abs(difference).max() < max(1e-9, 10 * rounding * largest_force)
    bulk = predicted.has_stress
    assert bulk.any()
    tolerance = max(1e-10, 10 * rounding * np.abs(predicted.stress[bulk]).max())
    np.testing.assert_allclose(compiled.stress[bulk], predicted.stress[bulk], atol=tolerance)
    worst = max(np.abs(a - b).max() for a, b in zip(compiled.forces, predicted.forces, strict=True))
    assert potential.errors_.forces == pytest.approx(worst, rel=1e-6, abs=1e-12)


def test_forces_are_the_gradient_of_the_energy(fitted):
    potential = skpot.compile(fitted("preset"))
    atoms = sample_structures(SYMBOLS, random_state=3)[0]
    _, forces, _ = potential.evaluate([atoms])
    step = 1e-4
    for axis in range(3):
        ends = []
        for sign in (1.0, -1.0):
            moved = atoms.copy()
            moved.positions[1, axis] += sign * step
            ends.append(potential.evaluate([moved])[0].sum())
        numerical = -(ends[0] - ends[1]) / (2.0 * step)
        assert forces[1, axis] == pytest.approx(numerical, rel=1e-6, abs=1e-6)


def crystal(n=5):
    rng = np.random.default_rng(5)
    sites = 2.4 * np.stack(np.meshgrid(*3 * [np.arange(n)]), axis=-1).reshape(-1, 3)
    symbols = [SYMBOLS[k] for k in rng.integers(3, size=len(sites))]
    return Atoms(symbols, sites + rng.uniform(-0.2, 0.2, sites.shape), cell=3 * [2.4 * n], pbc=True)


def test_blocks_threads_and_longer_pairs_do_not_matter(fitted):
    potential = skpot.compile(fitted("preset"))
    batch = as_batch([crystal()])
    assert len(batch.numbers) > BLOCK
    species = potential.species_index(batch.numbers)
    pairs = batch.neighbors(potential.cutoff).pairs
    expected, slopes = potential.evaluate_pairs(pairs, species)
    n = len(expected)
    for lo, hi in ((0, 1), (3, 70), (100, n)):
        energies, gradient = np.full(n, np.nan), np.full(slopes.shape, np.nan)
        size = work_size(largest(lo, hi, pairs), hi - lo, potential.potential)
        space = arena(size)
        evaluate(lo, hi, pairs, species, potential.potential, space, energies, gradient)
        assert space.used[0] == size
        np.testing.assert_allclose(energies[lo:hi], expected[lo:hi], rtol=1e-11, atol=1e-11)
        rows = slice(pairs.start[lo], pairs.start[hi])
        np.testing.assert_allclose(gradient[rows], slopes[rows], atol=1e-11)
        assert np.isnan(energies).sum() == n - (hi - lo)
        assert np.isnan(gradient).any(axis=1).sum() == len(slopes) - (rows.stop - rows.start)
    longer = batch.neighbors(1.3 * potential.cutoff).pairs
    energies, gradient = potential.evaluate_pairs(longer, species)
    np.testing.assert_allclose(energies, expected, rtol=1e-11, atol=1e-11)
    beyond = np.linalg.norm(longer.vector, axis=1) >= potential.cutoff
    assert beyond.any() and not gradient[beyond].any()


def test_single_precision_states_its_error(fitted):
    model, frames = fitted("normalized"), structures(1, seed=9)
    with pytest.raises(ValueError, match="give structures to measure it on"):
        skpot.compile(model, dtype="float32")
    potential = skpot.compile(model, frames, dtype="float32")
    assert potential.dtype == "float32"
    assert 1e-12 < potential.errors_.forces < 1e-2
    with pytest.raises(ValueError, match="got 'half'"):
        skpot.compile(model, frames, dtype="half")


def test_maps_that_shorten_nothing_go_into_the_references(fitted):
    width = fitted("turned")[0].n_features_out_
    assert fitted("turned")[1].n_features_out_ == width  # all directions
    assert skpot.compile(fitted("turned")).potential.features.width == width  # a bare descriptor
    assert not hasattr(skpot.compile(fitted("exact")).potential.features, "tables")  # distances


def test_small_references_are_left_out_within_a_tolerance(fitted):
    model, frames = fitted("exact"), structures(1, seed=9)
    with pytest.raises(ValueError, match="give structures to measure it on"):
        skpot.compile(model, tolerance=0.01)
    full = skpot.compile(model, frames)
    sizes = [np.count_nonzero(full.potential.expansion.alpha)]
    for tolerance in (0.1, 1.0):
        potential = skpot.compile(model, frames, tolerance=tolerance)
        assert 1e-9 < potential.errors_.forces <= tolerance
        assert potential.errors_.energy <= tolerance
        sizes.append(np.count_nonzero(potential.potential.expansion.alpha))
    assert sizes[0] > sizes[1] > sizes[2]


def test_what_cannot_be_compiled_says_so_and_runs_all_the_same(fitted):
    frames = structures(2)
    y = random_labels(frames, per_atom=-2.0)
    refused = {
        "Normalizer has no compiled form": make_pipeline(
            soap(), skpot.PerAtom(Normalizer()), sparse(DotProduct(4))
        ),
        "PerStructure has no compiled form": make_pipeline(
            soap(), skpot.PerStructure(), skpot.SparseGPR(RBF(5.0))
        ),
        "the kernel Product": make_pipeline(soap(), sparse(RBF(1.0) * DotProduct(1))),
        "the kernel RBF(.*) after SpeciesCoupling": make_pipeline(
            soap(), skpot.SpeciesCoupling(), sparse(RBF(1.0))
        ),
        "not before LinearRidge": make_pipeline(
            soap(), skpot.SpeciesCoupling(), skpot.LinearRidge()
        ),
    }
    for message, model in refused.items():
        model.fit(frames, y)
        with pytest.raises(skpot.md.NotCompilableError, match=message):
            skpot.compile(model)
        atoms = frames[0].copy()
        atoms.calc = skpot.Calculator(model)
        assert atoms.calc.compiled_ is None
        predicted = model.predict([atoms])
        assert atoms.get_potential_energy() == pytest.approx(predicted.energy[0], rel=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), predicted.forces[0], atol=1e-9)
    (done,) = skpot.md.BatchCalculator(model).evaluate(frames[:1])
    np.testing.assert_allclose(done.get_forces(), predicted.forces[0], atol=1e-9)


@pytest.mark.filterwarnings("error::skpot.exceptions.NumericalWarning")
def test_exact_models_lose_next_to_nothing_in_single_precision(fitted):
    """Their matrices are rounded, and their references, whose sums cancel, are not."""
    model, frames = fitted("exact"), structures(3, seed=9)
    potential = skpot.compile(model, frames, dtype="float32")
    forces = np.abs(model.predict(frames).forces_flat).max()
    assert potential.dtype == "float32" and potential.potential.expansion.rows.dtype == np.float64
    assert 0.0 < potential.errors_.energy < 1e-6 and potential.errors_.forces < 1e-6 * forces
    both = [
        skpot.compile(model, frames, dtype=dtype, deviations=True, grades=True)
        for dtype in ("float64", "float32")
    ]
    expected, found = (potential.forces_std(frames) for potential in both)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    pairs = as_batch(frames).neighbors(potential.cutoff).pairs
    species = potential.species_index(as_batch(frames).numbers)
    expected, found = (potential.grade_pairs(pairs, species) for potential in both)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_single_precision_that_costs_accuracy_is_told(fitted):
    model, frames = copy.deepcopy(fitted("normalized")), structures(1, seed=9)
    model[-1].sigma_forces_, model[-1].sigma_energy_ = 1.0, 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skpot.compile(model, frames, dtype="float32")
    model[-1].sigma_forces_ = 1e-9  # of a preset; of others the parameter, which may be by group
    with pytest.warns(skpot.exceptions.NumericalWarning, match="changes forces by up to"):
        skpot.compile(model, frames, dtype="float32")
    del model[-1].sigma_forces_
    model[-1].sigma_forces = {"default": 1.0, "good": 1e-9}
    with pytest.warns(skpot.exceptions.NumericalWarning, match="noise of their labels, 1e-09"):
        skpot.compile(model, frames, dtype="float32")


def test_a_model_that_corrects_a_calculator_says_what_has_a_compiled_form(fitted):
    delta = skpot.DeltaRegressor(fitted("normalized"), "emt")
    with pytest.raises(skpot.md.NotCompilableError, match="estimator_, which is the difference"):
        skpot.compile(delta)


# Features of other kinds differ in rows only, which energies test.
GRADED = {
    "normalized", "quadratic form", "scaled", "exact", "preset", "baseline behind", "scaled behind",
    "sum on blocks", "coupled", "coupled, exact", "directions", "splines", "quadratic",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*reference energies")
@pytest.mark.parametrize("name", sorted(GRADED))
def test_grades_are_those_of_the_model(fitted, name):
    model, batch = fitted(name), as_batch([crystal(4), *structures(1, seed=9)])
    potential = skpot.compile(model, grades=True)
    pairs = batch.neighbors(potential.cutoff).pairs
    found = potential.grade_pairs(pairs, potential.species_index(batch.numbers))
    expected = model[-1].extrapolation_grade(model[:-1].transform(batch))
    assert expected.max() > 0.5
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="no extrapolation grades"):
        skpot.compile(model).grade_pairs(pairs, batch.numbers)


def test_grades_of_a_regressor_that_knows_no_environments(fitted, monkeypatch):
    model = fitted("normalized")
    monkeypatch.setattr(skpot.SparseGPR, "domain_", None)
    with pytest.raises(skpot.md.NotCompilableError, match="Without grades=True or --grades it"):
        skpot.compile(model, grades=True)


def test_unknown_species_are_named(fitted):
    potential = skpot.compile(fitted("normalized"))
    with pytest.raises(ValueError, match="species C did not occur in fit; this model knows H, O"):
        potential.evaluate([Atoms("CH", [[0, 0, 0], [0, 0, 1.1]])])


def test_it_survives_pickling(fitted):
    potential = skpot.compile(fitted("exact"))
    again = pickle.loads(pickle.dumps(potential))
    frames = structures(1, seed=2)
    np.testing.assert_array_equal(again.predict(frames), potential.predict(frames))


def test_thousands_of_frames_in_one_call(fitted):
    model = fitted("normalized")
    frames = structures(3, seed=20)
    done = skpot.md.BatchCalculator(model).evaluate(frames)
    predicted = model.predict(frames)
    for s, atoms in enumerate(done):
        assert atoms.get_potential_energy() == pytest.approx(predicted.energy[s], rel=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), predicted.forces[s], atol=1e-9)
        assert ("stress" in atoms.calc.results) == predicted.has_stress[s]
    assert all(atoms.calc is None for atoms in frames)
