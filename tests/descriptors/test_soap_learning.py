"""What `SOAP` learns, names, stores and hands on."""

import pickle

import numpy as np
import pytest
from ase.build import bulk
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, make_pipeline

import skpot
from skpot import SOAP, SparseGPR, Targets
from skpot.descriptors import descriptor_cache
from skpot.descriptors._soap_basis import _N_GRID, grid_tables, optimal_contraction
from skpot.descriptors._soap_covariances import covariances
from tests.samples import crystal, random_labels, small_structures

FRAMES = small_structures(["Si", "O"], 3)
SMALL = {"cutoff": 3.5, "n_max": 2, "l_max": 2}
OPTIONS = [
    {},
    {"radial_basis": "optimal"},
    {"body_order": 2},
    {"body_order": 2, "compression": "alchemical", "n_channels": 1},
    {"body_order": 4, "n_channels": 2},
    {"compression": "totals"},
    {"compression": "alchemical"},
    {"compression": "tensor", "n_channels": 5},
]


def contraction_of(frames, n_max, l_max=2):
    """What the optimal basis is made of: contraction, tables of the grid, species, batch."""
    soap = SOAP(cutoff=3.5, n_max=n_max, l_max=l_max, radial_basis="optimal")
    batch = skpot.data.as_batch(frames)
    setting = soap.fit(batch)._density_setting()
    grid = grid_tables(setting)
    return optimal_contraction(setting, grid, batch), grid, setting, batch


def test_optimal_functions_are_orthonormal_combinations_that_catch_most():
    contraction, grid, setting, batch = contraction_of(FRAMES, 5)
    assert contraction.shape == (2, 2, 3, _N_GRID, 5)
    overlap = np.einsum("ablqn,ablqk->ablnk", contraction, contraction)
    np.testing.assert_allclose(overlap, np.broadcast_to(np.eye(5), overlap.shape), atol=1e-12)
    species = np.searchsorted(setting.species, batch.numbers)
    found = np.moveaxis(covariances(grid, species, batch, of_blocks=True), 2, 1)
    caught = np.einsum("ablqn,ablqk,ablkn->abln", contraction, found, contraction)
    assert (np.diff(caught, axis=-1) <= 1e-4 * caught[..., :1]).all()  # descending
    best = np.linalg.eigvalsh(found)[..., -1]
    np.testing.assert_allclose(caught[..., 0], best, rtol=1e-4)


def test_many_optimal_functions_give_the_kernel_of_the_whole_grid():
    kernels = []
    for n_max in (12, _N_GRID):
        soap = SOAP(3.5, n_max, 2, radial_basis="optimal", normalize=False)
        values = soap.fit_transform(FRAMES[:4]).values
        kernels.append(values @ values.T)
    np.testing.assert_allclose(kernels[0], kernels[1], rtol=1e-3)
    few = SOAP(3.5, 2, 2, radial_basis="optimal", normalize=False).fit_transform(FRAMES[:4]).values
    error = abs(few @ few.T - kernels[1]).max()
    gto = SOAP(3.5, 2, 2, normalize=False).fit_transform(FRAMES[:4]).values
    assert error < abs(gto @ gto.T - kernels[1]).max()


def test_the_optimal_basis_does_not_depend_on_the_order_of_structures():
    soap = SOAP(**SMALL, radial_basis="optimal", cache=False)
    one = soap.fit(FRAMES).transform(FRAMES).values
    assert np.array_equal(clone(soap).fit(FRAMES).transform(FRAMES).values, one)
    other = clone(soap).fit(FRAMES[::-1]).transform(FRAMES).values
    np.testing.assert_allclose(other, one, atol=1e-10)


def test_the_optimal_basis_of_a_perfect_crystal():
    soap = SOAP(cutoff=4.0, n_max=6, l_max=3, radial_basis="optimal").fit([bulk("Si")])
    values = soap.transform([crystal("Si")]).values
    assert np.isfinite(values).all()
    assert np.ptp(values, axis=0).max() > 1e-3  # atoms off their sites are told apart


def test_two_optimal_bases_share_no_entry_of_the_cache():
    descriptor_cache.clear()
    first = SOAP(**SMALL, radial_basis="optimal").fit(FRAMES[:2])
    second = SOAP(**SMALL, radial_basis="optimal").fit(FRAMES[2:])
    one, two = first.transform(FRAMES[:1]).values, second.transform(FRAMES[:1]).values
    assert descriptor_cache.hits == 0
    assert abs(one - two).max() > 1e-6
    assert np.array_equal(first.transform(FRAMES[:1]).values, one)
    assert descriptor_cache.hits == 1


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_names_are_distinct_and_as_many_as_features(options):
    soap = SOAP(**SMALL | options).fit(FRAMES)
    names = soap.get_feature_names_out()
    assert len(set(names)) == len(names) == soap.n_features_out_
    assert soap.transform(FRAMES[:1]).values.shape[1] == len(names)


def test_names_say_what_a_feature_is():
    soap = SOAP(**SMALL, normalize=False).fit(FRAMES)
    assert soap.get_feature_names_out()[:3].tolist() == ["O0 O0 l0", "O0 O1 l0", "O0 Si0 l0"]
    alone = [FRAMES[3]]  # one silicon atom: only its own density
    present = soap.get_feature_names_out()[abs(soap.transform(alone).values[0]) > 1e-12]
    assert present.tolist() == ["Si0 Si0 l0", "Si0 Si1 l0", "Si1 Si1 l0"]


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_all_pseudo_elements_are_a_coupling_of_elements(width):
    radial = SOAP(**SMALL, body_order=2, normalize=False)
    plain = radial.fit_transform(FRAMES).values.reshape(-1, 2, 2)  # species, radial function
    mixed = clone(radial).set_params(compression="alchemical", n_channels=2, alchemical_width=width)
    values = mixed.fit_transform(FRAMES).values
    # Pauling's electronegativities, and covalent radii in Å, of oxygen and silicon.
    distance = np.hypot(3.44 - 1.90, (0.66 - 1.11) / 0.5)
    other = np.exp(-0.5 * (distance / width) ** 2)
    coupling = np.array([[1.0, other], [other, 1.0]])
    expected = np.einsum("ian,ab,jbn->ij", plain, coupling, plain)
    np.testing.assert_allclose(values @ values.T, expected, atol=1e-10 * abs(expected).max())


@pytest.mark.parametrize("compression", ["totals", "alchemical"])
def test_species_that_are_mixed_have_the_same_radial_functions(compression):
    soap = SOAP(**SMALL, radial_basis="optimal").fit(FRAMES)
    mixed = clone(soap).set_params(compression=compression).fit(FRAMES)
    apart, tables = soap.radial_tables_[soap.table_of_pair_], mixed.radial_tables_
    assert abs(apart[0, 0] - apart[0, 1]).max() > 1e-3
    of_neighbor = tables[mixed.table_of_pair_]
    assert np.array_equal(of_neighbor[:, 0], of_neighbor[:, 1])


def test_random_mixtures_depend_on_the_seed_alone():
    def values(seed):
        soap = SOAP(**SMALL, compression="tensor", n_channels=5, random_state=seed)
        return soap.fit_transform(FRAMES[:2]).values

    assert np.array_equal(values(0), values(0))
    assert abs(values(0) - values(1)).max() > 1e-3
    state = values(np.random.RandomState(3))
    assert np.array_equal(state, values(np.random.RandomState(3)))


def test_single_precision():
    exact = SOAP(**SMALL).fit_transform(FRAMES)
    rounded = SOAP(**SMALL, dtype="float32").fit_transform(FRAMES)
    assert rounded.values.dtype == np.float32
    assert exact.values.dtype == np.float64
    np.testing.assert_allclose(rounded.values, exact.values, atol=1e-6)
    g = np.random.default_rng(0).normal(size=exact.values.shape)
    for one, two in zip(rounded.pull_back(g), exact.pull_back(g), strict=True):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, two, atol=1e-12 * abs(two).max())


def test_a_model_of_features_in_single_precision():
    y = random_labels(FRAMES, per_atom=0.0, forces=0.1, stress=None)
    regressor = SparseGPR(n_sparse=8, selection="fps", sigma_energy=0.05, sigma_forces=0.1)

    def predict(dtype):
        return make_pipeline(SOAP(**SMALL, dtype=dtype), regressor).fit(FRAMES, y).predict(FRAMES)

    exact, rounded = predict("float64"), predict("float32")
    scale = abs(exact.forces_flat).max()
    assert rounded.forces_flat.dtype == np.float64
    np.testing.assert_allclose(rounded.forces_flat, exact.forces_flat, atol=1e-4 * scale)
    np.testing.assert_allclose(rounded.energy, exact.energy, atol=1e-4 * abs(exact.energy).max())


def test_two_length_scales():
    parts = {"short": SOAP(**SMALL), "long": SOAP(5.0, 3, 1, 0.8)}
    union = FeatureUnion(list(parts.items())).fit(FRAMES)
    joined = union.transform(FRAMES)
    separate = [part.fit_transform(FRAMES) for part in parts.values()]
    assert np.array_equal(joined.values, np.hstack([f.values for f in separate]))
    g = np.random.default_rng(0).normal(size=joined.values.shape)
    cut = separate[0].values.shape[1]
    expected = [
        f.pull_back(part)[0] for f, part in zip(separate, (g[:, :cut], g[:, cut:]), strict=True)
    ]
    np.testing.assert_allclose(joined.pull_back(g)[0], sum(expected), atol=1e-12)
    names = union.get_feature_names_out()
    assert len(set(names)) == len(names) == joined.values.shape[1]


@pytest.mark.parametrize(
    "options",
    [
        {"pair_cutoffs": {("Si", "O"): 3.0}, "species_weights": {"O": 0.5}},
        {"radial_basis": "optimal", "dtype": "float32"},
        {"body_order": 4, "n_channels": 2},
        {"compression": "tensor", "n_channels": 5},
    ],
    ids=str,
)
def test_files_and_pickles(options, tmp_path):
    y = Targets(np.arange(len(FRAMES), dtype=float))
    soap = SOAP(**SMALL | options)
    model = make_pipeline(soap, SparseGPR(n_sparse=8)).fit(FRAMES, y)
    expected = model.predict(FRAMES)
    path = tmp_path / "model.skpot"
    skpot.dump(model, path)
    for other in (pickle.loads(pickle.dumps(model)), skpot.load(path)):
        assert other[0].get_params() == model[0].get_params()
        assert np.array_equal(other.predict(FRAMES).energy, expected.energy)
        assert np.array_equal(other.predict(FRAMES).forces_flat, expected.forces_flat)
