"""Predictions of many structures that are written as they are made."""

import os
import signal
import subprocess
import sys
import time

import ase.build
import ase.io
import joblib
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

import skpot
from skpot.datasets import load_silicon
from skpot.exceptions import InputError, SkpotError
from tests.project import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    data = load_silicon()
    frames = [atoms for atoms in data.X if len(atoms) == 8][:60]
    for i, atoms in enumerate(frames):
        atoms.info["number"] = i
    ase.io.write(folder / "frames.xyz", frames)
    soap = skpot.SOAP(n_max=2, l_max=1)
    model = make_pipeline(soap, skpot.SparseGPR(n_sparse=8)).fit(data.X[:20], data.y[:20])
    skpot.dump(model, folder / "model.skpot")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return skpot.load(folder / "model.skpot")


@pytest.fixture
def small_tasks(monkeypatch):
    import importlib

    module = importlib.import_module("skpot.md._evaluate")
    monkeypatch.setattr(module, "_TASK_FRAMES", 7)
    return module


def numbers(path):
    return [atoms.info["number"] for atoms in ase.io.read(path, ":")]


def test_results_are_those_of_predict_in_order(folder, model, tmp_path, small_tasks):
    frames = skpot.Frames(folder / "frames.xyz")
    assert skpot.evaluate(model, frames, tmp_path / "out.xyz") == 60
    assert not (tmp_path / "out.part.xyz").exists()
    y = model.predict(frames)
    written = ase.io.read(tmp_path / "out.xyz", ":")
    assert [atoms.info["number"] for atoms in written] == list(range(60))
    for i, atoms in enumerate(written):
        assert atoms.get_potential_energy() == pytest.approx(y.energy[i], abs=1e-7)
        np.testing.assert_allclose(atoms.get_forces(), y.forces[i], atol=1e-7)
        np.testing.assert_allclose(atoms.get_stress(), y.stress[i], atol=1e-8)
    skpot.evaluate(model, list(frames), tmp_path / "list.xyz")
    assert (tmp_path / "list.xyz").read_bytes() == (tmp_path / "out.xyz").read_bytes()
    with joblib.parallel_config("loky", n_jobs=2):
        skpot.evaluate(model, frames, tmp_path / "parallel.xyz")
    assert (tmp_path / "parallel.xyz").read_bytes() == (tmp_path / "out.xyz").read_bytes()


def test_deviations(folder, model, tmp_path):
    frames = skpot.Frames(f"{folder / 'frames.xyz'}@:3")
    skpot.evaluate(model, frames, tmp_path / "out.xyz", deviations=True)
    std = model.predict(frames, return_std="all")[1]
    for i, atoms in enumerate(ase.io.read(tmp_path / "out.xyz", ":")):
        np.testing.assert_allclose(atoms.arrays["forces_std"], std.forces[i], atol=1e-7)


def test_after_a_kill_the_same_call_goes_on(folder, model, tmp_path):
    out, part = tmp_path / "out.xyz", tmp_path / "out.part.xyz"
    script = (
        "import sys, time, importlib, skpot; m = importlib.import_module('skpot.md._evaluate');"
        "m._TASK_FRAMES = 2; task = m._task;"
        "m._task = lambda *a: (time.sleep(0.05), task(*a))[1];"
        "skpot.evaluate(skpot.load(sys.argv[1]), skpot.Frames(sys.argv[2]), sys.argv[3])"
    )
    arguments = [folder / "model.skpot", folder / "frames.xyz", out]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120.0
    while not (part.exists() and part.stat().st_size > 6000):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with open(part, "ab") as file:  # an incomplete frame
        file.write(part.read_bytes()[:700])
    assert not out.exists()
    frames = skpot.Frames(folder / "frames.xyz")
    n = skpot.evaluate(model, frames, out)
    assert 0 < n < 60 and numbers(out) == list(range(60)) and not part.exists()
    skpot.evaluate(model, frames, tmp_path / "whole.xyz")
    assert out.read_bytes() == (tmp_path / "whole.xyz").read_bytes()


def left_behind(folder, model, frames):
    """Return a file to write, and the one that a killed call for some frames left of it."""
    out, part = folder / "out.xyz", folder / "out.part.xyz"
    skpot.evaluate(model, frames, out)
    os.replace(out, part)
    return out, part


def test_what_others_left_is_not_continued(folder, model, tmp_path):
    frames = skpot.Frames(folder / "frames.xyz")
    out, _ = left_behind(tmp_path, model, frames[:5])
    with pytest.raises(InputError, match="5 predictions of other frames"):
        skpot.evaluate(model, frames[10:], out)
    with pytest.raises(InputError, match="5 predictions of other frames"):
        skpot.evaluate(model, frames[:3], out)
    data = load_silicon()
    other = make_pipeline(skpot.SOAP(n_max=2, l_max=1), skpot.SparseGPR(n_sparse=4))
    with pytest.raises(InputError, match="5 predictions of another model"):
        skpot.evaluate(other.fit(data.X[:9], data.y[:9]), frames, out)
    assert skpot.evaluate(model, frames, out) == 55
    with pytest.raises(InputError, match="extended XYZ"):
        skpot.evaluate(model, frames, tmp_path / "out.traj")


def test_cells_and_deviations_tell_frames_apart(folder, model, tmp_path):
    frames = [ase.build.bulk("Si", a=a) for a in (5.3, 5.4, 5.5, 5.6)]  # all at the same places
    out, part = left_behind(tmp_path, model, frames[:2])
    with pytest.raises(InputError, match="2 predictions of other frames"):
        skpot.evaluate(model, frames[2:], out)
    with pytest.raises(InputError, match="2 predictions with other deviations"):
        skpot.evaluate(model, frames, out, deviations=True)
    assert skpot.evaluate(model, frames, out) == 2
    skpot.evaluate(model, frames[:2], part, deviations=True)
    assert skpot.evaluate(model, frames, out, deviations=True) == 2
    assert all("energy_std" in atoms.info for atoms in ase.io.read(out, ":"))


def test_files_that_are_read_are_not_written(folder, model, tmp_path):
    content = (folder / "frames.xyz").read_bytes()
    for name, out in (("a.xyz", "a.xyz"), ("b.part.xyz", "b.xyz")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} holds some of the frames"):
            skpot.evaluate(model, skpot.Frames(tmp_path / name), tmp_path / out)
        assert (tmp_path / name).read_bytes() == content


def test_what_are_no_frames_is_refused(folder, model, tmp_path):
    X = skpot.Frames(folder / "frames.xyz")
    for frames, told in (
        (iter(X), "can be gone through only once"),
        (X[0], "put it in a list"),
        ("frames.xyz", "read structures with skpot.read"),
        ([], "at least one structure"),
        (X[:0], "at least one structure"),
    ):
        with pytest.raises(SkpotError, match=told):
            skpot.evaluate(model, frames, tmp_path / "out.xyz")
    assert not list(tmp_path.iterdir())


def test_a_frame_that_cannot_be_predicted_is_named(folder, model, tmp_path, small_tasks):
    X = list(skpot.Frames(folder / "frames.xyz"))
    X[17].numbers[2] = 79
    with pytest.raises(InputError, match=r"among frames 14 to 20.*Au"):
        skpot.evaluate(model, X, tmp_path / "out.xyz")
    assert len(numbers(tmp_path / "out.part.xyz")) == 14
    X[17].numbers[2] = 14
    assert skpot.evaluate(model, X, tmp_path / "out.xyz") == 46
