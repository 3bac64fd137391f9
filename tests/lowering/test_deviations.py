"""Compiled deviations of forces are those of draws from the posterior."""

import numba
import numpy as np
import pytest
from sklearn.base import clone

import skpot
from skpot.data import Targets, as_batch
from skpot.metrics import calibrated_deviations
from skpot.models import posterior_draws
from tests.lowering.test_compile import MODELS, crystal, structures
from tests.samples import random_labels


@pytest.fixture(scope="module")
def fitted():
    frames, models = structures(), {}

    def get(name):
        if name not in models:
            labels = random_labels(frames, per_atom=-2.0)
            models[name] = clone(MODELS[name]).fit(frames, labels)
        return models[name]

    return get


DRAWN = [
    "normalized", "quadratic form", "scaled", "exact", "directions", "preset", "sum on blocks",
    "relevance", "splines", "quadratic", "mixed channels", "coupled",
]  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_deviations_are_those_of_the_draws(fitted, name):
    model, batch = fitted(name), as_batch([crystal(4), *structures(1, seed=9)])
    regressor, potential = model[-1], skpot.compile(model, deviations=True)
    found = potential.forces_std(batch)
    features = regressor.learned_features(model[:-1].transform(batch))
    species = [] if name == "coupled" else list(regressor.e0_)
    draws = posterior_draws(regressor.posterior_, species, len(potential.uncertain.drawn))
    gradients = draws.expand(features)[1]
    forces = np.array([features.pull_back(g)[0] for g in gradients])
    expected = np.sqrt(np.mean(forces**2, axis=0))
    if hasattr(regressor, "calibration_"):
        both = Targets(np.zeros(len(batch)), np.split(expected, batch.offsets[1:-1]))
        numbers = np.split(batch.numbers, batch.offsets[1:-1])
        known = {"forces": regressor.calibration_["forces"]}
        both = calibrated_deviations(both, known, regressor.species_factors_, numbers)
        expected = np.concatenate(both.forces)
    assert found.max() > 0.0
    # Powers of dot products are sums of large terms of both signs.
    rounding = 1e-8 if "Dot" in str(getattr(regressor, "kernel_", "")) else 1e-10
    np.testing.assert_allclose(found, expected, atol=rounding * expected.max())


def test_deviations_do_not_depend_on_threads_or_company(fitted):
    potential, atoms = skpot.compile(fitted("preset"), deviations=True), crystal(4)
    alone = potential.forces_std([atoms])
    with_another = potential.forces_std([*structures(1, seed=9), atoms])[-len(atoms) :]
    np.testing.assert_allclose(with_another, alone, rtol=1e-10, atol=1e-12)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
        np.testing.assert_array_equal(potential.forces_std([atoms]), alone)
    finally:
        numba.set_num_threads(before)


def test_deviations_that_cannot_be_compiled(fitted):
    with pytest.raises(skpot.md.NotCompilableError, match="no functions can be drawn"):
        skpot.compile(fitted("coupled, exact"), deviations=True)
    with pytest.raises(ValueError, match="no deviations were compiled"):
        skpot.compile(fitted("normalized")).forces_std(structures(1))


def test_deviations_far_away_are_those_of_the_prior(fitted):
    """Where there is nothing to compare with, draws must not vanish."""
    model, squeezed = fitted("scaled"), crystal(3)
    squeezed.set_cell(0.6 * squeezed.cell, scale_atoms=True)
    found = skpot.compile(model, deviations=True).forces_std([squeezed])
    expected = model.predict([squeezed], return_std="all")[1].forces_flat
    ratio = np.sqrt(np.mean(found**2) / np.mean(expected**2))
    assert 0.5 < ratio < 2.0
