"""What is rare is kept where only some is taken, and what is left out is told."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from sklearn.pipeline import make_pipeline

import skpot
from skpot import SOAP, CalibratedPotential, SparseGPR, SparseGPRCV, Targets
from skpot.compose._calibrated import _folds
from skpot.data.order import canonical_order, environment_keys
from skpot.exceptions import LabelWarning, NumericalWarning
from skpot.processes.likelihood_labels import draw_structures
from skpot.selection import select_references
from skpot.selection._folds import content_splits
from skpot.selection._rare import structure_kinds

SMALL = dict(cutoff=3.5, n_max=2, l_max=1)


def alloys(n=40):
    """Return cells of copper and gold, and one frame each of what is rare."""
    X = []
    for seed in range(n):
        atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
        atoms.symbols[0] = "Au"
        atoms.rattle(0.1, seed=seed)
        X.append(atoms)
    silver = bulk("Cu", "fcc", a=3.8, cubic=True)
    silver.symbols[1] = "Ag"
    X += [Atoms("Au"), Atoms("Cu2", [[0, 0, 0], [2.3, 0, 0]]), silver]
    rng = np.random.default_rng(0)
    per_atom = {"Au": -3.0, "Cu": -3.5, "Ag": -2.5}
    energy = [sum(per_atom[s] for s in a.symbols) + 0.01 * rng.normal() for a in X]
    return X, Targets(energy, [0.1 * rng.normal(size=(len(a), 3)) for a in X])


@pytest.fixture(scope="module")
def data():
    X, y = alloys()
    return SOAP(**SMALL).fit_transform(X), y, X


@pytest.mark.parametrize("method", ["random", "cur", "fps"])
def test_references_have_some_of_every_kind_of_structure(data, method):
    features, _, X = data
    groups = np.repeat(["bulk", "odd", "bulk"], [7, 1, len(X) - 8])
    kinds = np.repeat(structure_kinds(features, groups), features.n_rows)
    owner = np.repeat(np.arange(len(X)), features.n_rows)
    for seed in range(5):
        chosen = select_references(
            features.values, features.species, 48, method, np.random.default_rng(seed),
            environment_keys(features), kinds,
        )  # fmt: skip
        assert {40, 41, 42} <= set(owner[chosen])  # the lone atom, the dimer, the silver
        if method != "fps":
            assert 7 in owner[chosen]  # alone in its group


def test_few_references_are_one_of_each_species_at_least(data):
    features, y, _ = data
    model = SparseGPR(n_sparse=1).fit(features, y)
    assert model.reference_species_.tolist() == [29, 47, 79]


def test_numbers_of_references_must_name_all_species(data):
    features, y, _ = data
    with pytest.raises(ValueError, match="n_sparse has no number for Cu, Ag, which the training"):
        SparseGPR(n_sparse={"Au": 5}).fit(features, y)
    model = SparseGPR(n_sparse={"Au": 5, "Cu": 3, "Ag": 9, "Pt": 4}).fit(features, y)
    assert np.unique(model.reference_species_, return_counts=True)[1].tolist() == [3, 1, 5]


def test_given_references_that_leave_out_a_species_are_told(data):
    features, y, _ = data
    copper = np.flatnonzero(features.species == 29)[:5]
    with pytest.warns(NumericalWarning, match="no references of Ag, Au"):
        SparseGPR(selection=copper).fit(features, y)


def test_labels_looked_at_are_of_all_species_and_kinds(data):
    features, y, X = data
    training = skpot.GPR()._prepare(features, y, None)
    features = training.features
    lone, dimer, silver = (
        int(np.flatnonzero([f(s) for s in range(len(X))])[0])
        for f in (
            lambda s: features.n_atoms[s] == 1,
            lambda s: features.n_atoms[s] == 2,
            lambda s: 47 in features[s].species,
        )
    )
    for seed in range(5):
        assert {lone, dimer, silver} <= set(draw_structures(training, 200, seed))
        few = draw_structures(training, 1, seed)  # as many as it takes
        assert set(features[few].species) == {29, 47, 79}
        assert len(few) <= 3


def test_isolated_atoms_that_are_known_are_used():
    X, y = alloys()
    gpr = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=20)).fit(X, y)[-1]
    assert gpr.e0_source_ == "isolated (Au), least_squares (Cu, Ag)"
    assert gpr.e0_[79] == y.energy[40]
    left = y.energy - gpr.e0_[79] * np.array([np.sum(a.numbers == 79) for a in X])
    counts = np.array([[np.sum(a.numbers == z) for z in (29, 47)] for a in X])
    expected = np.linalg.lstsq(counts[counts.any(axis=1)], left[counts.any(axis=1)])[0]
    weights = 1.0 / np.sqrt(counts.sum(axis=1))
    assert gpr.e0_[29] == pytest.approx(expected[0], abs=0.01)
    assert gpr.e0_[47] == pytest.approx(expected[1], abs=0.05)
    assert np.isfinite(weights[:40]).all()
    without = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=20, e0="least_squares")).fit(X, y)
    assert without[-1].e0_source_ == "least_squares"
    weight = np.ones(len(X))
    weight[40] = 0.0  # as if it were not there
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=20))
    assert model.fit(X, y, sparsegpr__sample_weight=weight)[-1].e0_source_ == "least_squares"


@pytest.mark.parametrize("steps", [(), (skpot.PerStructure(),)], ids=["atoms", "pooled"])
def test_one_atom_in_a_small_cell_is_no_isolated_atom(steps):
    X = [bulk("Cu", a=a) for a in np.linspace(3.4, 3.8, 6)]
    y = Targets(-3.5 + np.linspace(-0.1, 0.1, 6))
    wide = Atoms("Cu", cell=[9.0, 9.0, 9.0], pbc=True)  # sees none of its images
    model = make_pipeline(SOAP(**SMALL), *steps, SparseGPR(n_sparse=4))
    assert model.fit(X, y)[-1].e0_source_ == "least_squares"
    both = model.fit([*X, wide], Targets([*y.energy, -1.0]))[-1]
    assert both.e0_source_ == "isolated" and both.e0_[29] == -1.0


def test_an_energy_of_a_species_that_no_energy_tells_of_is_finite():
    X, y = alloys(6)
    energy = [*y.energy[:-1], None]  # silver has forces only
    with pytest.warns(LabelWarning, match="no structure with Ag has an energy"):
        model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=20)).fit(
            X, Targets(energy, y.forces)
        )
    assert np.isfinite(list(model[-1].e0_.values())).all()


def test_lone_atoms_are_learned_from_in_all_folds(data):
    features, y, X = data
    for entries in (X, features):
        for cv, groups in ((None, None), (4, None), (3, np.arange(len(X)) % 5)):
            splits = _folds(cv, entries, y, groups)
            assert all(40 in train and 40 not in test for train, test in splits)
            held_out = np.concatenate([test for _, test in splits])
            assert sorted(held_out) == [s for s in range(len(X)) if s != 40]


def test_the_only_frame_of_a_species_breaks_no_fold(data):
    _, y, X = data
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=15))
    calibrated = CalibratedPotential(model).fit(X, y)
    assert set(calibrated.species_factors_) == {29, 79}
    search = make_pipeline(SOAP(**SMALL), SparseGPRCV(n_sparse=15, cv=5)).fit(X, y)
    assert search[-1].n_splits_ == 5


def test_folds_of_few_groups():
    order = np.arange(12)
    assert len(content_splits(None, 5, order, np.repeat([0, 1, 2], 4))) == 3
    assert len(content_splits(None, 5, order, np.zeros(12))) == 5  # one group for all is none
    with pytest.raises(ValueError, match="5 folds need as many groups, but there are 3"):
        content_splits(5, 5, order, np.repeat([0, 1, 2], 4))
    with pytest.raises(ValueError, match="13 folds need as many structures, but there are 12"):
        content_splits(13, 5, order, None)


def test_distillation_learns_from_the_only_frame_of_a_species(data):
    _, y, X = data
    teacher = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=15)).fit(X, y)
    for seed in range(4):
        student = skpot.distill(
            teacher, X, SparseGPR(n_sparse=10), test_size=0.8, random_state=seed
        )
        assert 42 not in student.distillation_test_
        assert set(student[-1].reference_species_) == {29, 47, 79}
    with pytest.raises(ValueError, match="no frame can be held out"):
        skpot.distill(teacher, [X[40], X[42]], SparseGPR(n_sparse=4))


def test_the_edge_is_looked_for_among_rare_structures():
    X, y = alloys(150)
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=8, sigma_forces=0.5)).fit(X, y)
    features = model[0].transform(X)
    assert model[-1].extrapolation_grade(features).max() < 1.2
    order = canonical_order(features.info.keys)
    assert sorted(order) == list(range(len(X)))
