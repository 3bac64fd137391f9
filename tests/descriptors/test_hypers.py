import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skpot
from skpot.data import StructureBatch, as_batch
from skpot.descriptors._hypers import length_scales
from skpot.descriptors._soap_channels import alchemical_weights
from skpot.testing import check_descriptor, sample_structures
from tests.samples import displaced

DESCRIPTORS = [
    skpot.SOAP(),
    skpot.SymmetryFunctions(),
    skpot.PairBasis(),
    skpot.TripletBasis(),
]
PRESETS = ["auto", "fast", "default", "accurate"]


SILICON = displaced(4 * [bulk("Si", cubic=True)], 0.05)
COPPER = displaced(4 * [bulk("Cu", cubic=True)], 0.05)
SALT = displaced(4 * [bulk("NaCl", "rocksalt", a=5.64, cubic=True)], 0.05)
WATER = displaced(4 * [molecule("H2O")], 0.05)
ETHANOL = displaced(4 * [molecule("CH3CH2OH")], 0.05)
LONE = [Atoms("O")]


def scales(frames):
    batch = as_batch(frames)
    return length_scales(batch, np.unique(batch.numbers))


@pytest.mark.parametrize(
    ("frames", "bond"),
    [
        (SILICON, 2.3),
        (COPPER, 2.45),
        (SALT, 2.75),
        (ETHANOL, 1.45),
        (WATER, 2 * 0.66),  # no bond between heavy atoms: from the covalent radius
        (LONE, 2 * 0.66),
        ([bulk("Cu")], 3.61 / np.sqrt(2)),  # one atom, and its images
        ([bulk("Ar", "fcc", a=5.26)], 5.26 / np.sqrt(2)),  # touches beyond covalent radii
        ([molecule("H2")], 0.737),
    ],
)
def test_bond(frames, bond):
    assert scales(frames).bond == pytest.approx(bond, abs=0.1)


def test_bond_is_not_moved_by_lone_atoms_and_dimers():
    dimers = [Atoms("Si2", [[0, 0, 0], [0, 0, r]]) for r in (1.6, 1.8, 3.5, 6.0)]
    strays = [Atoms("Si"), *dimers]
    assert scales([*SILICON, *strays]).bond == pytest.approx(scales(SILICON).bond, abs=0.02)


def test_shortest():
    dimer = Atoms("Si2", [[0, 0, 0], [0, 0, 1.6]])
    assert scales([*SILICON, dimer]).shortest == pytest.approx(1.6)
    assert scales(LONE).shortest == pytest.approx(2 * 0.66)


def test_pieces_of_a_large_batch(monkeypatch):
    whole = scales([*SILICON, *ETHANOL, *LONE])
    monkeypatch.setattr(StructureBatch.in_blocks, "__defaults__", (7,))
    pieces = scales([*SILICON, *ETHANOL, *LONE])
    assert pieces[1:] == whole[1:]


@pytest.mark.parametrize("frames", [SILICON, COPPER, SALT, WATER, ETHANOL, LONE, [bulk("Cu")]])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=repr)
def test_choices_are_sensible_and_used(descriptor, preset, frames):
    fitted = clone(descriptor).set_params(hypers=preset).fit(frames)
    hypers = fitted.hypers_
    assert 3.0 <= hypers["cutoff"] <= 10.0
    assert set(hypers) == set(descriptor._chosen)
    explicit = clone(descriptor).set_params(**hypers).fit(frames)
    assert explicit.hypers_ == hypers
    values = fitted.transform(frames).values
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values, explicit.transform(frames).values)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=repr)
def test_presets_cost_more_and_more(descriptor):
    fitted = [clone(descriptor).set_params(hypers=p).fit(SILICON) for p in PRESETS]
    auto, fast, default, accurate = (d.n_features_out_ for d in fitted)
    assert fast < default < accurate
    assert auto == default
    assert fitted[0].hypers_ == fitted[2].hypers_
    cutoffs = [d.hypers_["cutoff"] for d in fitted[1:]]
    assert cutoffs == sorted(cutoffs)


def test_soap_of_known_materials():
    chosen = {
        name: skpot.SOAP(hypers="auto").fit(frames).hypers_
        for name, frames in {"Si": SILICON, "Cu": COPPER, "ethanol": ETHANOL}.items()
    }
    assert chosen["ethanol"]["sigma"] == pytest.approx(0.29, abs=0.02)
    assert chosen["Si"]["sigma"] == pytest.approx(0.46, abs=0.02)
    assert chosen["ethanol"]["species_weights"] == {"H": 0.6}
    assert chosen["Cu"]["species_weights"] is None
    assert chosen["ethanol"]["radial_scaling"][0] == pytest.approx(2.3, abs=0.2)
    for hypers in chosen.values():
        assert hypers["cutoff_width"] == hypers["cutoff"] == pytest.approx(5.2, abs=0.4)
        assert hypers["compression"] is None


def test_accurate_cutoffs_hold_enough_neighbors():
    def cutoff(frames):
        return skpot.SOAP(hypers="accurate").fit(frames).hypers_["cutoff"]

    silicon, copper = bulk("Si", cubic=True), bulk("Cu", cubic=True)
    density = len(silicon) / silicon.get_volume()
    assert cutoff([silicon]) > 1.2 * 2.6 * 2.351
    assert density * 4 / 3 * np.pi * cutoff([silicon]) ** 3 == pytest.approx(90, abs=5)
    assert cutoff([copper]) == pytest.approx(2.6 * 2.553, abs=0.06)  # 102 neighbors
    molecule, boxed = ETHANOL[0], ETHANOL[0].copy()
    boxed.set_cell([20.0] * 3)
    boxed.pbc = True
    assert cutoff([molecule]) == cutoff([boxed]) == 6.0


def crystal_of(*elements):
    rng = np.random.default_rng(0)
    sites = 2.4 * np.argwhere(np.ones((2, 2, 2))) + rng.uniform(-0.1, 0.1, (8, 3))
    return [Atoms(elements, sites[: len(elements)])]


@pytest.mark.parametrize(
    "elements, n_channels, width",
    [
        ("Cu Ag Au Ni Pd Pt".split(), 3, 0.5),  # alike
        ("Mo Nb Ta W".split(), 3, 0.5),
        ("H C N O Si P S Cl".split(), 5, 0.7),  # all of them would be too many features
    ],
)
def test_species_that_are_alike_share_pseudo_elements(elements, n_channels, width):
    soap = skpot.SOAP(hypers="auto").fit(crystal_of(*elements))
    used = soap.hypers_
    assert used["compression"] == "alchemical"
    assert (used["n_channels"], used["alchemical_width"]) == (n_channels, width)
    assert soap.n_features_out_ < 6000
    weights = alchemical_weights(soap.species_, n_channels, width)
    assert ((weights**2).sum(axis=1) > 0.95).all()


@pytest.mark.parametrize("elements", ["H C N O", "Li P S", "In P", "H C N O S"])
def test_species_that_differ_stay_apart(elements):
    elements = elements.split()
    soap = skpot.SOAP(hypers="auto").fit(crystal_of(*elements))
    assert soap.hypers_["compression"] is None
    channels = 8 * len(elements)
    assert soap.n_features_out_ == 7 * channels * (channels + 1) // 2


def test_many_radial_functions_do_not_mix_species_that_differ():
    soap = skpot.SOAP(n_max=20, hypers="auto").fit(crystal_of("H", "C", "O"))
    assert soap.hypers_["compression"] is None
    soap = skpot.SOAP(n_max=20, hypers="auto").fit(crystal_of("H", "C", "N", "O"))
    assert soap.hypers_["n_channels"] == 3


def test_no_number_of_species_has_too_many_features():
    soap = skpot.SOAP(hypers="auto", species=range(1, 37)).fit(crystal_of("H", "C"))
    assert soap.n_features_out_ < 6000


def test_a_compression_that_is_given_is_kept():
    frames = crystal_of("H", "C")
    assert skpot.SOAP(hypers="auto", compression="tensor").fit(frames).n_features_out_ == 7 * 64
    given = skpot.SOAP(hypers="auto", n_channels=1, alchemical_width=3.0).fit(frames).hypers_
    assert (given["n_channels"], given["alchemical_width"]) == (1, 3.0)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=repr)
def test_none_takes_parameters_as_given(descriptor):
    parameters = descriptor.get_params()
    hypers = clone(descriptor).fit(ETHANOL).hypers_
    assert hypers == {name: parameters[name] for name in hypers}


def test_given_parameters_are_kept():
    soap = skpot.SOAP(n_max=3, cutoff=3.5, radial_scaling=[2, 3], hypers="accurate").fit(SILICON)
    assert soap.hypers_["n_max"] == 3
    assert soap.hypers_["cutoff"] == soap.hypers_["cutoff_width"] == 3.5
    assert soap.hypers_["radial_scaling"] == (2, 3)
    assert soap.get_params()["radial_scaling"] == [2, 3]
    basis = skpot.PairBasis(cutoff=2.5, hypers="auto").fit(SILICON)
    assert basis.hypers_["r_min"] < basis.hypers_["cutoff"] == 2.5
    soap = skpot.SOAP(n_max=np.int64(3), hypers="auto").fit(SILICON)
    assert type(soap.hypers_["n_max"]) is int


@pytest.mark.parametrize(
    "options",
    [
        {"body_order": 2},
        {"body_order": 4},
        {"pair_cutoffs": {("Si", "Si"): 3.0}},
    ],
    ids=str,
)
def test_soap_options_go_with_it(options):
    check_descriptor(skpot.SOAP(hypers="fast", **options), sample_structures())


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=repr)
def test_order_of_structures_does_not_matter(descriptor):
    frames = [*ETHANOL, *LONE, *displaced(4 * [molecule("CH3OH")], 0.05, seed=1)]
    one = clone(descriptor).set_params(hypers="fast").fit(frames)
    other = clone(one).fit(frames[::-1])
    assert one.hypers_ == other.hypers_
    a, b = one.transform(frames).values, other.transform(frames).values
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=repr)
def test_html_shows_the_numbers(descriptor):
    step = clone(descriptor).set_params(hypers="accurate")
    model = make_pipeline(step, skpot.PerStructure())
    assert "hypers_[" not in model._repr_html_()
    html = model.fit(ETHANOL)._repr_html_()
    for name, value in model[0].hypers_.items():
        assert f"hypers_[&quot;{name}&quot;]" in html
        if isinstance(value, float | int):
            assert f"<td>{value:.4g}</td>" in html


def test_cache_tells_choices_apart():
    frames = displaced(2 * [bulk("Cu", cubic=True)], 0.05, seed=3)
    soap = skpot.SOAP(hypers="fast").fit(frames)
    first = soap.transform(frames)
    other = clone(soap).fit([*frames, *displaced(9 * [bulk("Cu", "bcc", a=3.3, cubic=True)], 0.05)])
    assert other.hypers_ != soap.hypers_
    assert not np.allclose(other.transform(frames).values, first.values)


def test_parameters_set_after_fit_wait_for_the_next():
    soap = skpot.SOAP(cutoff=4.0, n_max=3, l_max=2).fit(SILICON)
    before = soap.transform(SILICON).values
    soap.set_params(n_max=4, cutoff_width=1.0)
    np.testing.assert_array_equal(soap.transform(SILICON).values, before)


def test_grid_search_over_a_kept_parameter():
    data = skpot.datasets.load_silicon()
    rows = np.arange(0, 150, 6)
    X, y = [data.X[i] for i in rows], data.y[rows]
    model = make_pipeline(skpot.SOAP(hypers="auto"), skpot.SparseGPR(n_sparse=30))
    grid = {"soap__n_max": [2, 4]}
    search = GridSearchCV(model, grid, cv=2, scoring="neg_forces_rmse", error_score="raise")
    search.fit(X, y)
    best = search.best_estimator_[0]
    assert best.hypers_["n_max"] == search.best_params_["soap__n_max"]
    assert best.hypers_["radial_basis"] == "optimal"
    assert len(set(search.cv_results_["mean_test_score"])) == 2


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=repr)
def test_unknown_preset(descriptor):
    with pytest.raises(ValueError, match="'hypers' parameter .* must be .* Got 'best' instead"):
        clone(descriptor).set_params(hypers="best").fit(SILICON)
