"""A student differs less from its teacher than the teacher from the labels; it knows its loss."""

import numpy as np
import pytest
from ase.build import bulk
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline

import skpot
from skpot.kernels import RBF
from skpot.metrics import energy_rmse, forces_rmse, stress_rmse
from skpot.testing import check_potential


@pytest.fixture(scope="module")
def silicon():
    return skpot.datasets.load_silicon(return_X_y=True)


@pytest.fixture(scope="module")
def teacher(silicon):
    X, y, _, _ = silicon
    return make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.GPR()).fit(X[:12], y[:12])


@pytest.fixture(scope="module")
def frames(silicon):
    """Return unlabeled structures, some of them rattled copies."""
    X, _, X_test, _ = silicon
    frames = [atoms.copy() for atoms in X[:12] + X_test[:24]]
    for seed, atoms in enumerate(frames[:12]):
        atoms.rattle(0.05, seed=seed)
    return frames


def test_the_student_is_nearer_to_the_teacher_than_the_teacher_to_the_truth(
    silicon, teacher, frames
):
    _, _, X_test, y_test = silicon
    student = skpot.distill(teacher, frames, random_state=0)
    held_out = student.distillation_test_
    assert len(held_out) == 4 and isinstance(student[-1], skpot.SparseGPR)
    chosen = [frames[i] for i in held_out]
    said, learned = teacher.predict(chosen), student.predict(chosen)
    loss = student.distillation_loss_
    assert loss == {
        "energy_rmse": energy_rmse(said, learned),
        "forces_rmse": forces_rmse(said, learned),
        "stress_rmse": stress_rmse(said, learned),
    }
    truth = teacher.predict(X_test)
    assert loss["energy_rmse"] < 0.5 * energy_rmse(y_test, truth)
    assert loss["forces_rmse"] < 0.5 * forces_rmse(y_test, truth)
    assert loss["stress_rmse"] < 0.5 * stress_rmse(y_test, truth)
    assert student[-1].e0_ == pytest.approx(teacher[-1].e0_)
    assert student[-1].e0_source_ == "given"
    check_potential(student, frames[:1], skip=("cell", "threads"))


def test_the_teacher_stays_as_it_is_and_the_student_keeps_to_it(silicon, teacher, frames, tmp_path):
    X, y, _, _ = silicon
    before = teacher.predict(frames[:2]).forces_flat
    student = skpot.distill(teacher, frames, skpot.SparseGPR(n_sparse=30))
    assert student[-1].get_params()["n_sparse"] == 30
    np.testing.assert_array_equal(teacher.predict(frames[:2]).forces_flat, before)
    said = student.predict(frames[:2]).forces_flat
    clone(teacher).set_params(soap__n_max=3).fit(X[:4], y[:4])
    np.testing.assert_array_equal(student.predict(frames[:2]).forces_flat, said)
    again = skpot.distill(teacher, frames, skpot.SparseGPR(n_sparse=30))
    np.testing.assert_array_equal(again.predict(frames[:2]).forces_flat, said)
    skpot.dump(student, tmp_path / "student")
    loaded = skpot.load(tmp_path / "student")
    assert loaded.distillation_loss_ == student.distillation_loss_
    np.testing.assert_array_equal(loaded.predict(frames[:2]).forces_flat, said)


def test_a_student_with_features_of_its_own(teacher, frames):
    own = make_pipeline(skpot.PairBasis(cutoff=4.0), skpot.SparseGPR(RBF(5.0), n_sparse=60))
    student = skpot.distill(teacher, frames, own)
    assert not hasattr(own[-1], "e0_")
    assert student[-1].e0_ == pytest.approx(teacher[-1].e0_)
    assert 0 < student.distillation_loss_["forces_rmse"] < 1


def test_students_of_symmetric_teachers_are_symmetric():
    X, y, X_test, _ = skpot.datasets.load_ethanol(return_X_y=True)
    teacher = make_pipeline(skpot.InverseDistances(), skpot.SymmetricGPR()).fit(X[3:33], y[3:33])
    student = skpot.distill(teacher, X[3:103])
    y_pred = student.predict(X_test[:2])
    for order in teacher[-1].permutations_:
        turned = student.predict([atoms[order] for atoms in X_test[:2]])
        np.testing.assert_allclose(turned.energy, y_pred.energy, atol=1e-6)


def test_groups_are_held_out_together(teacher, frames):
    groups = np.arange(len(frames)) // 6
    student = skpot.distill(
        teacher, frames, skpot.SparseGPR(n_sparse=20), test_size=0.3, groups=groups
    )
    test = student.distillation_test_
    assert len(test) == 12 and len(np.unique(groups[test])) == 2


def test_the_baseline_is_handed_on(silicon, frames):
    X, y, _, _ = silicon
    union = FeatureUnion([("soap", skpot.SOAP(n_max=3, l_max=2)), ("zbl", skpot.ZBL(outer=2.5))])
    teacher = make_pipeline(union, skpot.SparseGPR(baseline="zbl")).fit(X[:6], y[:6])
    student = skpot.distill(teacher, frames[:12], skpot.SparseGPR(n_sparse=20))
    assert student[-1].baseline == "zbl"


def test_teachers_of_energies_alone_teach_forces(silicon, frames):
    X, y, _, _ = silicon
    soap = skpot.SOAP(n_max=3, l_max=2)
    teacher = make_pipeline(soap, skpot.GPR()).fit(X[:10], np.asarray(y[:10]))
    student = skpot.distill(teacher, frames[:10], skpot.SparseGPR(n_sparse=10))
    assert "forces_rmse" in student.distillation_loss_
    # An ordinary regressor predicts only energies.
    ridge = make_pipeline(soap, skpot.PerStructure(), Ridge()).fit(X[:10], np.asarray(y[:10]))
    student = skpot.distill(ridge, frames[:10], make_pipeline(soap, skpot.SparseGPR(n_sparse=10)))
    assert set(student.distillation_loss_) == {"energy_rmse"}


def test_presets_that_became_exact_teach_a_sparse_model():
    X, y, frames, _ = skpot.datasets.load_ethanol(return_X_y=True)
    frames = frames[:12]
    model = skpot.make_potential("default").fit(X[:10], y[:10])
    student = skpot.distill(model, frames)
    assert model[-1].exact_ and isinstance(student[-1], skpot.SparseGPR)
    held_out = [frames[i] for i in student.distillation_test_]
    loss = forces_rmse(model.predict(held_out), student.predict(held_out))
    assert student.distillation_loss_["forces_rmse"] == pytest.approx(loss, rel=1e-6)
    assert loss < 0.3 * np.std(model.predict(held_out).forces_flat)


def test_what_is_refused(teacher, frames):
    with pytest.raises(ValueError, match="structure 3: the teacher does not know Ge"):
        skpot.distill(teacher, [*frames[:3], bulk("Ge")])
    with pytest.raises(ValueError, match="two frames or more, got 1"):
        skpot.distill(teacher, frames[:1])
    with pytest.raises(ValueError, match="'test_size'"):
        skpot.distill(teacher, frames, test_size=2.0)
    search = GridSearchCV(teacher, {})
    search.best_estimator_ = teacher
    with pytest.raises(TypeError, match="take its best_estimator_"):
        skpot.distill(search, frames)
