"""Leading directions by species."""

import numpy as np
import pytest
from ase.build import molecule
from sklearn.pipeline import make_pipeline

from skpot import SOAP, AtomicFeatures, PrincipalComponents, SparseGPR, Targets
from skpot.testing import check_descriptor, sample_structures


def soap():
    return SOAP(cutoff=3.0, n_max=3, l_max=2, normalize=False)


def test_equals_the_singular_value_decomposition():
    X = sample_structures(["Si", "O"])
    features = soap().fit_transform(X)
    step = PrincipalComponents(4)
    values = step.fit(features).transform(features).values
    for k, z in enumerate(step.species_):
        rows = features.values[features.species == z]
        _, singular, right = np.linalg.svd(rows, full_matrices=False)
        mine = values[features.species == z]
        expected = rows @ right[:4].T
        expected /= np.sqrt(np.mean(np.sum(expected**2, axis=1)))
        n = min(4, len(rows))
        np.testing.assert_allclose(np.abs(mine[:, :n]), np.abs(expected[:, :n]), atol=1e-7)
        np.testing.assert_allclose(np.mean(np.sum(mine**2, axis=1)), 1.0)
        share = np.sum(singular[:4] ** 2) / np.sum(singular**2)
        np.testing.assert_allclose(step.kept_share_[k], share)


def test_many_features_are_searched_at_random():
    # So many rows and columns that directions come from a random projection; a decaying spectrum.
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1100, 60)) * 0.8 ** np.arange(60) @ rng.normal(size=(60, 1200))
    features = AtomicFeatures(rows, np.arange(1101), np.zeros(1100, dtype=np.int64))
    step = PrincipalComponents(20).fit(features)
    values = step.transform(features).values
    _, singular, right = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(step.kept_share_, np.sum(singular[:20] ** 2) / np.sum(singular**2))
    expected = rows @ right[:5].T * np.sqrt(1100 / np.sum(singular[:20] ** 2))
    np.testing.assert_allclose(np.abs(values[:, :5]), np.abs(expected), atol=1e-6)
    again = PrincipalComponents(20).fit(features)
    assert np.array_equal(again.matrices_, step.matrices_)


def test_as_few_directions_as_leave_the_rest():
    features = soap().fit_transform(sample_structures(["Si", "O"]))
    for rest in (0.5, 1e-2, 1e-5):
        step = PrincipalComponents(300, max_lost_variance=rest).fit(features)
        widths = []
        for z in step.species_:
            rows = features.values[features.species == z]
            left = np.sum(rows**2) - np.cumsum(np.linalg.svd(rows, compute_uv=False) ** 2)
            widths.append(
                1 + int(np.argmax(left <= rest * np.sum((rows - rows.mean(axis=0)) ** 2)))
            )
        assert step.n_features_out_ == max(widths)
        assert [np.count_nonzero(m.any(axis=0)) for m in step.matrices_] == widths
        few = PrincipalComponents(step.n_features_out_).fit(features)
        k = int(np.argmax(widths))
        np.testing.assert_allclose(step.matrices_[k], few.matrices_[k], atol=1e-12)
    assert PrincipalComponents(2, max_lost_variance=1e-5).fit(features).n_features_out_ == 2
    alike = AtomicFeatures(np.ones((3, 4)), np.array([0, 3]), np.array([1, 1, 8]))
    assert PrincipalComponents(max_lost_variance=1e-6).fit_transform(alike).values.shape == (3, 1)


def test_promises():
    check_descriptor(make_pipeline(soap(), PrincipalComponents(5)), sample_structures(["Si", "O"]))


def test_few_rows_leave_columns_of_zeros():
    features = soap().fit_transform([molecule("CH3OH")])
    step = PrincipalComponents(6).fit(features)
    values = step.transform(features).values
    oxygen = values[features.species == 8]
    assert np.count_nonzero(oxygen) == 1 and values.shape == (6, 6)
    assert np.isfinite(step.matrices_).all()
    empty = AtomicFeatures(np.zeros((3, 4)), np.array([0, 3]), np.array([1, 1, 8]))
    assert not PrincipalComponents().fit_transform(empty).values.any()


def test_unknown_species_and_widths_are_refused():
    water, ethanol = molecule("H2O"), molecule("CH3CH2OH")
    descriptor = soap().fit([ethanol])
    step = PrincipalComponents(3).fit(descriptor.transform([water]))
    with pytest.raises(ValueError, match="species C did not occur in fit"):
        step.transform(descriptor.transform([ethanol]))
    with pytest.raises(ValueError, match="X has 63 features but .* fitted with 135"):
        step.transform(soap().fit_transform([water]))


def test_selections_keep_their_maps():
    X = [molecule(name) for name in ("H2O", "CH3OH", "CH4")]
    features = make_pipeline(soap(), PrincipalComponents(3)).fit_transform(X)
    g = np.random.default_rng(0).normal(size=features.values.shape)
    forces, _ = features.pull_back(g)
    part = features[[2, 0]]
    rows = [*range(9, 14), *range(3)]
    np.testing.assert_allclose(part.pull_back(g[rows])[0], forces[rows], atol=1e-10)
    joined = np.concatenate([features[:1], features[1:]])
    np.testing.assert_allclose(joined.pull_back(g)[0], forces, atol=1e-10)


def test_a_model_on_them():
    X = sample_structures(["Si", "O"])
    y = Targets([-3.0 * len(a) for a in X], [np.zeros((len(a), 3)) for a in X])
    model = make_pipeline(soap(), PrincipalComponents(5), SparseGPR(n_sparse=5)).fit(X, y)
    assert np.isfinite(model.predict(X).forces_flat).all()
