"""Structures in files, and labels beside them."""

import gzip
import importlib
import pickle
import sys
import weakref

import ase.io
import numpy as np
import pytest
from ase.io import Trajectory
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline

import skpot
from skpot.data import taken_of
from skpot.datasets import load_silicon
from skpot.exceptions import (
    InputError,
    InputTypeError,
    LabelError,
    LabelWarning,
    SkpotError,
    StructureError,
)


@pytest.fixture(scope="module")
def labeled():
    data = load_silicon()
    some = [i for i, atoms in enumerate(data.X) if len(atoms) == 8][:24]
    X, y = [data.X[i] for i in some], data.y[some]
    return X, y, y.to_atoms(X)


@pytest.fixture
def path(tmp_path, labeled):
    path = tmp_path / "silicon.xyz"
    ase.io.write(path, labeled[2])
    return path


def equal(frames, structures):
    pairs = list(zip(frames, structures, strict=True))
    return all(
        np.array_equal(a.positions, b.positions)
        and np.array_equal(a.numbers, b.numbers)
        and np.array_equal(a.cell.array, b.cell.array)
        for a, b in pairs
    )


def equal_labels(one, other):
    names = ("energy", "forces_flat", "force_offsets", "stress")
    if one.stress is None and other.stress is None:
        names = names[:-1]
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in names
    )


@pytest.mark.parametrize("suffix", ["xyz", "traj", "db"])
def test_all_kinds_of_files_hold_what_read_finds_in_them(tmp_path, labeled, suffix):
    path = tmp_path / f"silicon.{suffix}"
    ase.io.write(path, labeled[2])
    X, y = skpot.read(path)
    frames, labels = skpot.read(path, lazy=True)
    assert isinstance(frames, skpot.Frames)
    assert equal(frames, X) and equal_labels(labels.loaded(), y)
    assert frames[3].calc is None
    some = [7, 2, 19]
    assert equal(frames[some], [X[i] for i in some])
    assert equal_labels(labels[some].loaded(), y[some])
    assert equal(skpot.Frames(f"{path}@5:20:3"), X[5:20:3])
    assert equal(skpot.read(path, "::4", lazy=True)[0], X[::4])


def test_patterns_and_lists_of_files_come_in_order(tmp_path, labeled):
    for name, part in (("b", slice(10, 24)), ("a", slice(0, 10))):
        ase.io.write(tmp_path / f"{name}.xyz", labeled[2][part])
    frames, labels = skpot.read(tmp_path / "*.xyz", lazy=True)
    assert equal(frames, labeled[0]) and len(frames) == 24
    assert np.array_equal(labels.energy, skpot.read([tmp_path / "a.xyz", tmp_path / "b.xyz"])[1])
    assert "2 files" in repr(frames) and "1 file)" in repr(frames[:3])
    every, of_some = (skpot.read(f"{tmp_path}/*.xyz{at}", return_report=True) for at in ("", "@:2"))
    assert equal(every[0], labeled[0]) and equal_labels(every[1], labels.loaded())
    assert [(name[-5:], n) for name, n in every[2].files] == [("a.xyz", 10), ("b.xyz", 14)]
    assert [(name[-8:], n) for name, n in of_some[2].files] == [("a.xyz@:2", 2), ("b.xyz@:2", 2)]
    literal = tmp_path / "[ab].xyz"
    ase.io.write(literal, labeled[2][:1])
    for lazy in (False, True):
        assert len(skpot.read(literal, lazy=lazy)[0]) == 1
        with pytest.raises(InputError, match="there is no file"):
            skpot.read(tmp_path / "c*.xyz", lazy=lazy)


def test_frames_are_a_sequence_that_scikit_learn_splits(path, labeled):
    frames, labels = skpot.read(path, lazy=True)
    assert frames.shape == (24,) and isinstance(frames[:3, ...], skpot.Frames)
    some = taken_of(frames, [2, 0])
    assert isinstance(some, skpot.Frames) and equal(some, taken_of(labeled[0], np.array([2, 0])))
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1, cutoff=4.0), skpot.SparseGPR(n_sparse=5))
    in_memory = cross_val_score(model, labeled[0], labeled[1], cv=KFold(3))
    assert np.array_equal(cross_val_score(model, frames, labels, cv=KFold(3)), in_memory)


def test_pickles_and_sizes_are_those_of_places_in_files(path):
    frames, labels = skpot.read(path, lazy=True)
    again = pickle.loads(pickle.dumps((frames, labels)))
    assert equal(again[0], frames) and equal_labels(again[1], labels)
    part = pickle.dumps(frames[:2])
    assert len(part) < 2000 and len(part) < len(pickle.dumps(list(frames[:2])))
    assert sys.getsizeof(frames) > sys.getsizeof(frames[:2]) > 100
    assert sys.getsizeof(labels) > sys.getsizeof(labels[:2]) > 100
    assert weakref.ref(frames)() is frames and weakref.ref(labels)() is labels


def test_one_frame_and_none(path, tmp_path):
    assert len(skpot.Frames(f"{path}@0")) == 1
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(InputError, match="no structures"):
        skpot.Frames(tmp_path / "empty.xyz")
    with pytest.raises(InputError, match="no structures there"):
        skpot.Frames(f"{path}@30:40")
    with pytest.raises(InputError, match="no file"):
        skpot.Frames(tmp_path / "*.traj")
    with pytest.raises(InputTypeError, match="not numbers"):
        np.asarray(skpot.Frames(path))


def test_a_file_that_changes_is_refused(path):
    frames, labels = skpot.read(path, lazy=True)
    text = path.read_text()
    path.write_text(text + text)
    for access in (lambda: frames[3], lambda: labels.forces, lambda: list(frames)):
        with pytest.raises(InputError, match=r"silicon\.xyz has changed since"):
            access()
    path.unlink()
    with pytest.raises(InputError, match="can no longer be read"):
        frames[5]


def test_damage_is_named_by_file_and_frame(path, tmp_path):
    lines = path.read_text().splitlines(keepends=True)
    step = 2 + int(lines[0])
    damaged = tmp_path / "damaged.xyz"
    damaged.write_text("".join(lines[: 3 * step - 2]))  # ends within frame 2
    with pytest.raises(InputError, match=r"damaged\.xyz, frame 2 is incomplete"):
        skpot.Frames(damaged)
    damaged.write_text("".join(lines[: 2 * step - 1] + lines[2 * step :]))  # a line is lost
    with pytest.raises(InputError, match=r"damaged\.xyz, frame 2: expected the number of atoms"):
        skpot.Frames(damaged)
    row = 4 * step + 5
    damaged.write_text("".join([*lines[:row], "Si what 0 0 0 0 0\n", *lines[row + 1 :]]))
    frames = skpot.Frames(damaged)
    with pytest.raises(InputError, match=r"damaged\.xyz, frame 4 cannot be read"):
        frames[4]
    assert len(frames[3]) == int(lines[0])
    with pytest.raises(InputError, match=r"damaged\.xyz, frame 4 cannot be read"):
        skpot.read(damaged, lazy=True)


def write_with_two_names(path, structures):
    """Write structures whose energies have another name from the twelfth on."""
    X = [atoms.copy() for atoms in structures]
    for i, atoms in enumerate(X):
        atoms.info["REF_energy" if i < 12 else "dft_energy"] = -1.0
    ase.io.write(path, X)


def test_structures_and_labels_that_cannot_be_used_are_named(tmp_path, labeled):
    X = [atoms.copy() for atoms in labeled[2]]
    X[7].positions[1] = X[7].positions[0]
    ase.io.write(tmp_path / "close.xyz", X)
    with pytest.raises(StructureError, match=r"frame 7 of .*close\.xyz: atoms 0 and 1 are 0"):
        skpot.Frames(tmp_path / "close.xyz").survey  # noqa: B018
    write_with_two_names(tmp_path / "names.xyz", labeled[0])
    with pytest.raises(LabelError, match="REF_energy"):
        skpot.read(tmp_path / "names.xyz", lazy=True)
    with pytest.raises(LabelError, match="no frame has 'nothing'"):
        skpot.read(tmp_path / "names.xyz", lazy=True, energy_key="nothing")
    labels = skpot.read(tmp_path / "names.xyz", lazy=True, energy_key="REF_energy")[1]
    assert labels.has_energy.sum() == 12


def test_names_that_change_far_apart_are_refused(tmp_path, labeled, monkeypatch):
    monkeypatch.setattr(importlib.import_module("skpot.data._frames"), "_FRAMES_AT_A_TIME", 4)
    write_with_two_names(tmp_path / "names.xyz", labeled[0])
    with pytest.raises(LabelError, match="frame 0 .*'REF_energy', and frame 12 .*'dft_energy'"):
        skpot.read(tmp_path / "names.xyz", lazy=True)


def test_kinds_of_energy_that_change_far_apart_are_refused(tmp_path, labeled, monkeypatch):
    monkeypatch.setattr(importlib.import_module("skpot.data._frames"), "_FRAMES_AT_A_TIME", 4)
    for name, some in (("both", slice(0, 4)), ("energy", slice(4, 8))):
        X = labeled[1][some].to_atoms(labeled[0][some])
        if name == "both":
            for atoms in X:
                atoms.calc.results["free_energy"] = atoms.calc.results["energy"] - 0.1
        ase.io.write(tmp_path / f"{name}.xyz", X)
    paths = [tmp_path / "both.xyz", tmp_path / "energy.xyz"]
    with pytest.raises(LabelError, match="'free_energy', and frame 0 of .*'energy'"):
        skpot.read(paths, lazy=True)
    labels = skpot.read(paths, lazy=True, energy_key="energy")[1]
    np.testing.assert_allclose(labels.energy, labeled[1][:8].energy, atol=1e-7)


def test_nothing_and_other_encodings_are_errors_of_input(path, tmp_path):
    frames, labels = skpot.read(path, lazy=True)
    soap = skpot.SOAP(n_max=2, l_max=1, cutoff=4.0)
    with pytest.raises(StructureError, match="X is empty"):
        soap.fit(frames[:0])
    with pytest.raises(StructureError, match="X is empty"):
        soap.fit(frames[:3]).transform(frames[:0])
    assert len(labels[:0]) == 0
    for nothing, error in ((None, InputTypeError), (3, InputTypeError), ([], InputError)):
        with pytest.raises(error, match="name of a file|list of paths is empty"):
            skpot.Frames(nothing)
    (tmp_path / "blank.xyz").write_text("\n\n")
    with pytest.raises(InputError, match=r"blank\.xyz has no structures"):
        skpot.Frames(tmp_path / "blank.xyz")
    (tmp_path / "latin.xyz").write_bytes(b"1\nnote=\xe9\nSi 0 0 0\n")
    with pytest.raises(InputError, match=r"latin\.xyz cannot be read"):
        skpot.Frames(tmp_path / "latin.xyz")


def test_missing_labels_and_groups(tmp_path, labeled):
    X, y = labeled[0], labeled[1]
    known = skpot.Targets(
        [None if i % 3 == 0 else e for i, e in enumerate(y.energy)],
        [None if i % 2 else f for i, f in enumerate(y.forces)],
    )
    frames = known.to_atoms(X)
    for i, atoms in enumerate(frames):
        atoms.info["config_type"] = "ab"[i % 2]
    ase.io.write(tmp_path / "some.xyz", frames)
    y = skpot.read(tmp_path / "some.xyz", group_key="config_type")[1]
    labels = skpot.read(tmp_path / "some.xyz", group_key="config_type", lazy=True)[1]
    assert equal_labels(labels.loaded(), y) and labels.stress is None
    assert labels.groups.tolist() == y.groups.tolist()
    assert repr(labels) == f"Lazy{y!r}"


def test_other_formats_say_what_to_do(tmp_path, labeled):
    with gzip.open(tmp_path / "a.xyz.gz", "wt") as file:
        file.write("")
    with pytest.raises(InputError, match="decompress"):
        skpot.Frames(tmp_path / "a.xyz.gz")
    ase.io.write(tmp_path / "POSCAR", labeled[0][0])
    with pytest.raises(InputError, match="ase convert"):
        skpot.Frames(tmp_path / "POSCAR")


def test_the_report_of_files_is_that_of_lists(tmp_path, labeled, monkeypatch):
    X, y = labeled[:2]
    data = y.to_atoms(X)
    for atoms in data[::2]:
        atoms.info["MACE_energy"] = 1.0
    paths = [tmp_path / "a.xyz", tmp_path / "b.xyz"]
    ase.io.write(paths[0], data[:3])
    ase.io.write(paths[1], data[3:])
    monkeypatch.setattr("skpot.data._frames._FRAMES_AT_A_TIME", 2)
    with pytest.warns(LabelWarning):
        expected, found = (
            skpot.read(list(map(str, paths)), lazy=lazy, return_report=True)[2]
            for lazy in (False, True)
        )
    assert sorted(str(found).splitlines()) == sorted(str(expected).splitlines())
    assert found.files == expected.files and found.n_frames == expected.n_frames


def test_what_does_not_stream_reads_all(path, labeled):
    frames, labels = skpot.read(path, lazy=True)
    X, y = labeled[:2]
    assert skpot.check_structures(frames)[3] == X[3]
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1, cutoff=4.0), skpot.GPR())
    one = model.fit(frames[:6], labels[:6]).predict(X[6:8])
    other = model.fit(X[:6], y[:6]).predict(X[6:8])
    assert np.array_equal(one.forces_flat, other.forces_flat)
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1, cutoff=4.0), skpot.SparseGPR(n_sparse=5))
    one, other = (model.fit(X[:6], some[:6]).predict(X[6:8]) for some in (labels, y))
    np.testing.assert_allclose(one.forces_flat, other.forces_flat, atol=1e-5)  # files: 8 digits


def test_a_trajectory_that_is_cut_off(tmp_path, labeled):
    path = tmp_path / "run.traj"
    with Trajectory(path, "w") as file:
        for atoms in labeled[2][:3]:
            file.write(atoms)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SkpotError, match=r"run\.traj"):
        skpot.Frames(path)[2]
