"""load and dump check that the parts of a model agree, even if the file is intact."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import ModelFileError
from skpot.persistence._fitted import check_model
from skpot.persistence._shapes import SHAPES
from tests import registry
from tests.persistence import damage
from tests.persistence.test_damage import TRIALS
from tests.project import ROOT
from tests.toy import clusters, morse

FREE = {"kept_share_", "permutations_", "weight_"}  # reports, or arrays of any size


def fitted(name):
    """Return a fitted model with the estimator of that name in the registry."""
    estimator, soap = clone(registry.ESTIMATORS[name]), clone(registry.DESCRIPTORS["SOAP"])
    molecular = name in registry.MOLECULAR or name in registry.MOLECULAR_REGRESSORS
    X = clusters(6, sizes=(3,)) if molecular else damage.STRUCTURES
    steps = [estimator]
    if name in registry.DESCRIPTORS | registry.MOLECULAR:
        steps = [estimator, skpot.GPR()]
    elif name in registry.FEATURE_STEPS:
        steps = [soap, estimator, skpot.LinearRidge()]
    elif name in registry.REGRESSORS:
        steps = [soap, estimator]
    elif name in registry.MOLECULAR_REGRESSORS:
        steps = [skpot.InverseDistances(), estimator]
    return make_pipeline(*steps).fit(X, morse(X)), X


@pytest.mark.parametrize("name", registry.ESTIMATORS)
def test_files_of_all_estimators(name, tmp_path):
    model, X = fitted(name)
    skpot.dump(model, tmp_path / "model.skops")
    loaded = skpot.load(tmp_path / "model.skops", trusted=registry.TRUSTED)
    np.testing.assert_array_equal(loaded.predict(X).energy, model.predict(X).energy)
    np.testing.assert_array_equal(loaded.predict(X).forces_flat, model.predict(X).forces_flat)


@pytest.mark.parametrize("name", registry.ESTIMATORS)
def test_arrays_of_another_size_or_with_nan_are_refused(name, tmp_path):
    model, _ = fitted(name)
    for k, (_, step) in enumerate(model.steps):
        for field, value in vars(step).items():
            if isinstance(value, np.ndarray) and value.size and field not in FREE:
                assert field in SHAPES[type(step).__name__], (
                    f"{type(step).__name__}.{field} has no line in skpot/persistence/_shapes.py"
                )
                for wrong in (value[: len(value) // 2], value[None], value.astype(complex)):
                    refuse(model, k, field, wrong, tmp_path)
                if value.dtype.kind == "f":
                    wrong = np.where(value == value.flat[-1], np.nan, value)
                    refuse(model, k, field, wrong, tmp_path)


def refuse(model, k, field, value, folder):
    changed = copy.copy(model)
    step = copy.copy(model.steps[k][1])
    vars(step)[field] = value
    changed.steps = [*model.steps[:k], (model.steps[k][0], step), *model.steps[k + 1 :]]
    with pytest.raises(ModelFileError, match=rf"model.steps\[{k}\]"):
        check_model(changed, "file")
    with pytest.raises(ModelFileError, match="damaged, or its attributes were changed"):
        skpot.dump(changed, folder / "never.skops")
    assert not (folder / "never.skops").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("l_max_", 9),
        ("l_max_", -1),
        ("l_max_", 2**40),
        ("spacing_", 0.0),
        ("spacing_", -1.0),
        ("spacing_", np.nan),
        ("species_", np.array([8])[:0]),
        ("species_", np.array([1, 1])),
        ("species_", np.array([10**6])),
        ("table_of_pair_", np.array([[3]])),
        ("table_of_pair_", np.array([[-1]])),
        ("n_features_out_", 7),
        ("n_features_out_", -6),
        ("cutoff", -1.0),
    ],
)
def test_integers_and_lengths_out_of_range(field, value):
    soap = damage.soap().fit(damage.STRUCTURES)
    check_model(soap, "file")
    vars(soap)[field] = value
    with pytest.raises(ModelFileError, match="file: model"):
        check_model(soap, "file")


@pytest.mark.parametrize("name", ["n_max", "l_max", "cutoff"])
@pytest.mark.parametrize("value", [0.5, -3, 0, 5, 10**9, None, "8", np.nan])
def test_hyperparameters_that_were_chosen(name, value):
    soap = damage.soap().fit(damage.STRUCTURES)
    soap.hypers_ = soap.hypers_ | {name: value}
    try:
        check_model(soap, "file")
    except ModelFileError:
        return
    assert name != "n_max" and value > 0  # these two are not used after the fit


@pytest.mark.parametrize("value", [None, "1.0", np.nan, [1.0]])
def test_energies_of_free_atoms(value):
    model = clone(damage.MODELS["exact"]).fit(damage.STRUCTURES, morse(damage.STRUCTURES))
    model[-1].e0_ = model[-1].e0_ | {29: value}
    with pytest.raises(ModelFileError, match="e0_"):
        check_model(model, "file")


@pytest.mark.parametrize("key", [("H", "O"), True, None, b"H"])
def test_keys_that_files_cannot_hold(tmp_path, key):
    model = damage.soap().fit(damage.STRUCTURES)
    model.note = {key: 1.0}
    with pytest.raises(ModelFileError, match="key"):
        skpot.dump(model, tmp_path / "model.skops")


def test_unfitted_models_and_their_grids_pass(tmp_path):
    model = make_pipeline(skpot.SOAP(n_max=-1), skpot.SparseGPR(jitter=-1.0))
    skpot.dump(model, tmp_path / "model.skops")
    assert skpot.load(tmp_path / "model.skops")[0].n_max == -1


@pytest.mark.parametrize("name", ["HHe", "X"])
def test_species_in_any_order(tmp_path, name):
    X = [Atoms(name if name != "X" else "H2", [[0, 0, 0], [0, 0, 1.0 + 0.1 * k]]) for k in range(5)]
    model = make_pipeline(skpot.SOAP(3.0, 2, 1), skpot.SparseGPR(n_sparse=4))
    model.fit(X, skpot.Targets(np.arange(5.0)))
    skpot.dump(model, tmp_path / "model.skops")
    loaded = skpot.load(tmp_path / "model.skops")
    np.testing.assert_array_equal(loaded.predict(X).energy, model.predict(X).energy)


SURVIVE = """
import sys, warnings
warnings.simplefilter("ignore")
from tests.persistence.damage import survive
survive(sys.argv[3:], int(sys.argv[1]), int(sys.argv[2]))
"""


def test_edits_with_a_new_seal_never_kill(tmp_path):
    files = damage.write_models(tmp_path)
    command = [sys.executable, "-c", SURVIVE, str(TRIALS), "2", *files.values()]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, (result.returncode, result.stdout[-500:], result.stderr[-500:])
    fates = [line.rsplit("' ", 1)[-1] for line in result.stdout.splitlines()]
    assert len(fates) == len(files) * TRIALS
    # No check can notice a number that was replaced by another possible number.
    assert not [f for f in fates if f.startswith("RAISED") and "StructureError" not in f]
    assert fates.count("REFUSED") > len(fates) // 3
