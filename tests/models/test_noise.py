"""Noise by datum, group and default; weights; masks; shares of the labels."""

import numpy as np
import pytest

from skpot import GPR, SOAP, SparseGPR, Targets
from skpot.kernels import RBF
from skpot.metrics import forces_rmse
from tests.samples import labeled

E0 = {"Si": -3.0}
MODELS = {
    "sparse": SparseGPR(n_sparse=15, e0=E0),
    "dense": GPR(RBF(0.5), e0=E0, solver="cholesky"),
    "cg": GPR(RBF(0.5), e0=E0, solver="cg", tol=1e-10, n_precondition=20),
}
each_model = pytest.mark.parametrize("model", list(MODELS.values()), ids=list(MODELS))


@pytest.fixture(scope="module")
def data():
    X, y = labeled(n=3)
    features = SOAP(cutoff=3.0, n_max=2, l_max=1, sigma=0.4).fit_transform(X)
    y = Targets(y, groups=["odd" if i % 2 else "even" for i in range(len(X))])
    return features, y


def fitted(model, features, y, weight=None, **options):
    model = type(model)(**model.get_params(deep=False) | options)
    return model.fit(features, y, sample_weight=weight)


def assert_same(a, b, features, rtol=1e-7):
    """The two models predict the same."""
    one, other = a.predict(features), b.predict(features)
    np.testing.assert_allclose(one.energy, other.energy, rtol=rtol)
    np.testing.assert_allclose(one.forces_flat, other.forces_flat, rtol=1e-6, atol=rtol)


LEVELS = dict(sigma_energy=0.02, sigma_forces=0.1, sigma_stress=0.01)


@each_model
def test_datum_goes_before_group_before_default(model, data):
    features, y = data
    group, default, own = 4.0, 1.0, 9.0  # factors of all levels
    by_group = {k: {"odd": group * v, "default": default * v} for k, v in LEVELS.items()}
    n = len(y)
    given = {k: np.where(np.arange(n) < 3, own * v, np.nan) for k, v in LEVELS.items()}
    mixed = fitted(model, features, Targets(y, **given), **by_group)
    factor = np.where(np.arange(n) < 3, own, np.where(np.arange(n) % 2, group, default))
    assert_same(mixed, fitted(model, features, y, weight=factor**-2.0, **LEVELS), features)
    plain = fitted(model, features, y, **LEVELS)
    assert np.abs(plain.predict(features).energy - mixed.predict(features).energy).max() > 1e-3


@each_model
def test_sample_weight_multiplies_whatever_level_holds(model, data):
    features, y = data
    rng = np.random.default_rng(1)
    weight, own = rng.uniform(0.2, 3.0, len(y)), rng.uniform(0.01, 0.1, len(y))
    weighted = fitted(model, features, Targets(y, sigma_energy=own), weight)
    folded = Targets(
        y,
        sigma_energy=own / np.sqrt(weight),
        sigma_forces=model.sigma_forces / np.sqrt(weight),
        sigma_stress=model.sigma_stress / np.sqrt(weight),
    )
    assert_same(weighted, fitted(model, features, folded), features)


@each_model
def test_rows_of_nan_are_atoms_without_forces(model, data):
    features, y = data
    rng = np.random.default_rng(2)
    masked = [np.where(rng.random((len(f), 1)) < 0.4, np.nan, f) if len(f) > 2 else f
              for f in y.forces]  # fmt: skip
    assert any(np.isnan(f).any() and not np.isnan(f).all() for f in masked)
    hidden = y.relabeled(y.energy, masked, y.stress)
    off = Targets(y, sigma_forces=[np.where(np.isnan(f[:, 0]), np.inf, np.nan) for f in masked])
    a, b = fitted(model, features, hidden, **LEVELS), fitted(model, features, off, **LEVELS)
    assert_same(a, b, features)
    assert a.n_rows_ == b.n_rows_ - 3 * np.isnan(hidden.forces_flat[:, 0]).sum()
    error = (b.predict(features).forces_flat - hidden.forces_flat)[
        ~np.isnan(hidden.forces_flat[:, 0])
    ]
    rmse = forces_rmse(hidden, b.predict(features))
    assert rmse == pytest.approx(np.sqrt(np.mean(error**2)))


def test_bad_levels_are_refused(data):
    features, y = data
    model = SparseGPR(n_sparse=5, e0=E0)
    bare = Targets(y.energy, y.forces, y.stress)
    for sigma, labels, message in [
        ({"odd": 0.1}, y, r"no level for the groups \['even'\]"),
        ({"odd": 0.1}, bare, "y has no groups"),
        ({"odd": -0.1, "default": 1.0}, y, r"sigma_energy\['odd'\] must be a positive number"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.set_params(sigma_energy=sigma).fit(features, labels)
    forces = [f.copy() for f in y.forces]
    forces[3][:] = np.nan
    with pytest.raises(ValueError, match="structure 3: forces are not finite"):
        model.set_params(sigma_energy=0.1).fit(features, Targets(y.energy, forces))


@each_model
def test_shares_are_traces_of_the_hat_matrix(model, data):
    """By definition: how much each prediction follows its own label."""
    features, y = data
    some = [0, 1, 2, 3]
    features, y = features[some], y[some]
    levels, approximate = LEVELS, model.get_params().get("solver") == "cg"
    if approximate:  # the preconditioner ends where little more than the noise is left
        levels = {kind: value / 10 for kind, value in LEVELS.items()}
        levels |= {"n_precondition": 200, "tol": 1e-6}
    fit = fitted(model, features, y, **levels)
    base = fit.predict(features)
    step, trace = 1e-2, dict.fromkeys(("energy", "forces", "stress"), 0.0)
    for kind, block in (("energy", y.energy), ("forces", y.forces_flat), ("stress", y.stress)):
        for index in np.ndindex(block.shape):
            if np.isnan(block[index]):
                continue
            moved = y.copy()
            values = {"energy": moved.energy, "forces": moved.forces_flat, "stress": moved.stress}
            values[kind][index] += step
            other = fitted(model, features, moved, **levels).predict(features)
            name = {"forces": "forces_flat"}.get(kind, kind)
            trace[kind] += (getattr(other, name) - getattr(base, name))[index] / step
    total = sum(trace.values())
    expected = {kind: value / total for kind, value in trace.items()}
    assert fit.label_shares_ == pytest.approx(expected, abs=0.03 if approximate else 1e-5)


def test_shares_are_printed_on_request(data, capsys):
    features, y = data
    SparseGPR(n_sparse=5, e0=E0, verbose=1).fit(features, y)
    assert "coefficients: energy" in capsys.readouterr().out
