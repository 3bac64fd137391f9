import io
import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import PCA
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skpot
from skpot.kernels import RBF
from skpot.persistence import FORMAT, TRUSTED_TYPES, dump, load
from skpot.persistence._archive import seal
from tests.samples import crystals, random_labels
from tests.toy import PairRidge, clusters, morse

TOY = ["tests.toy.PairRidge"]


class Broken(StandardScaler):
    def __getstate__(self):
        raise RuntimeError("no state")


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    return make_pipeline(StandardScaler(), Ridge()).fit(rng.normal(size=(9, 2)), rng.normal(size=9))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skops"


def write(path, model="anything", file_format=FORMAT, version=skpot.__version__):
    buffer = io.BytesIO()
    skops.io.dump({"format": file_format, "skpot_version": version, "model": model}, buffer)
    seal(buffer, file_format, version)
    path.write_bytes(buffer.getvalue())


def test_round_trip(model, path):
    dump(model, path)
    dump(model, path)  # replaces
    X = np.ones((3, 2))
    np.testing.assert_array_equal(load(path).predict(X), model.predict(X))
    assert os.listdir(path.parent) == [path.name]


def test_own_estimators_come_back_with_their_kind_of_prediction(path):
    X = clusters(6)
    y = morse(X)
    search = GridSearchCV(PairRidge(), {"width": [0.4]}, scoring="neg_forces_rmse", cv=2).fit(X, y)
    dump(search, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(path, trusted=TOY)
    a, b = search.predict(X), loaded.predict(X)
    np.testing.assert_array_equal(a.forces_flat, b.forces_flat)
    assert loaded.score(X, y) == search.score(X, y)


def test_targets_are_data_too(path):
    y = morse(clusters(4))
    dump(y, path)
    np.testing.assert_array_equal(load(path).forces_flat, y.forces_flat)


def test_untrusted_types_are_named(path):
    dump(PairRidge(), path)
    with pytest.raises(TypeError, match=r"does not trust: \['tests.toy.PairRidge'\].*trusted="):
        load(path)
    assert isinstance(load(path, trusted=[PairRidge]), PairRidge)


def test_trusted_types_are_ours_and_importable():
    assert "skpot.data._targets.Targets" in TRUSTED_TYPES
    assert not [name for name in TRUSTED_TYPES if name.startswith(("builtins", "os.", "tests"))]


def test_failure_leaves_the_old_file_and_nothing_else(model, path):
    dump(model, path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="no state"):
        dump(make_pipeline(Broken()), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interruption_leaves_the_old_file_and_nothing_else(model, path, monkeypatch, step):
    dump(model, path)
    before = path.read_bytes()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        dump(Ridge(), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_links_keep_pointing_to_the_file(model, path):
    link = path.with_name("latest.skops")
    dump(model, path)
    link.symlink_to(path)
    dump(Ridge(alpha=7.0), link)
    assert link.is_symlink() and load(path).alpha == 7.0


def test_new_files_obey_the_mask(model, path):
    old = os.umask(0o027)
    try:
        dump(model, path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_truncated_files(model, path, kept):
    dump(model, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match="model.skops is damaged or no model file"):
        load(path)


def test_damaged_files(path):
    dump(Ridge().fit(np.eye(40), np.arange(40.0)), path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        array = next(i for i in archive.infolist() if i.filename.endswith(".npy"))
    start = array.header_offset + 30 + len(array.filename) + array.file_size // 2
    data[start] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="damaged"):
        load(path)


def test_other_files(model, path):
    path.write_bytes(pickle.dumps(model))
    with pytest.raises(ValueError, match="damaged or no model file"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(ValueError, match="no model written by skpot.dump"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps([1]))
    with pytest.raises(ValueError, match="no model written by skpot.dump"):
        load(path)
    skops.io.dump(model, path)
    with pytest.raises(ValueError, match="plain skops file"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(path.with_name("nothing"))


def test_newer_formats_are_refused(path):
    write(path, file_format=FORMAT + 1, version="9.1.0")
    message = f"format {FORMAT + 1}, written by skpot 9.1.0.*skpot>=9.1.0"
    with pytest.raises(ValueError, match=message):
        load(path)


def test_other_versions(path, monkeypatch):
    write(path, version="0.0.9")
    with pytest.warns(InconsistentVersionWarning, match="0.0.9.*0.1.0") as found:
        assert load(path) == "anything"
    assert found[0].filename == __file__
    assert "or fit the model again" in str(found[0].message)  # what to do
    write(path, version="0.1.99")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path) == "anything"


def test_estimators_of_another_version_warn_once(path, monkeypatch):
    monkeypatch.setattr("skpot.__version__", "0.0.9")
    monkeypatch.setattr("skpot._base.__version__", "0.0.9")
    dump(make_pipeline(PairRidge(), PairRidge()), path)
    monkeypatch.undo()
    with pytest.warns(InconsistentVersionWarning) as found:
        load(path, trusted=TOY)
    assert len(found) == 1


def test_real_models_ask_for_nothing_else(path):
    X = crystals("Si")
    y = random_labels(X, per_atom=0.0, stress=None)
    model = make_pipeline(
        skpot.SOAP(cutoff=3.0, n_max=3, l_max=2),
        skpot.PerAtom(make_pipeline(StandardScaler(), PCA(5))),
        skpot.SparseGPR(RBF(), n_sparse=10),
    )
    grid = {"sparsegpr__kernel__length_scale": [1.0, 2.0]}
    scoring = ["neg_forces_rmse", "neg_energy_rmse"]
    search = GridSearchCV(model, grid, cv=KFold(2), scoring=scoring, refit=scoring[0]).fit(X, y)
    dump(search, path)
    loaded = load(path)
    np.testing.assert_array_equal(loaded.predict(X).forces_flat, search.predict(X).forces_flat)
    np.testing.assert_array_equal(loaded.predict(X).energy, search.predict(X).energy)
