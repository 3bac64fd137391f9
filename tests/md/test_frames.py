import errno
import os

import ase.io
import numpy as np
import pytest

from skpot.md.frames import FrameFile, replace_file
from tests.samples import crystals


def append(path, *atoms):
    file = FrameFile(path)
    for frame in atoms:
        file.append(frame)
    file.close()


def test_a_tail_cut_anywhere_is_repaired(tmp_path):
    path, three = tmp_path / "frames.xyz", crystals("Si", 3)
    append(path, *three[:2])
    whole = path.read_bytes()
    one = len(whole) // 2
    assert whole[one:].startswith(b"8\n")
    for cut in [*range(one, one + 30), one + 100, len(whole) - 10, len(whole) - 1]:
        path.write_bytes(whole[:cut])
        append(path, three[2])
        found = ase.io.read(path, ":")
        assert len(found) == 2, cut
        np.testing.assert_allclose(found[1].positions, three[2].positions, atol=1e-7)
    path.write_bytes(whole)
    append(path, three[2])
    assert len(ase.io.read(path, ":")) == 3


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path, two = tmp_path / "frames.xyz", crystals("Si", 2)
    append(path, two[0])
    before = path.read_bytes()
    file = FrameFile(path)
    write, calls = os.write, []

    def full(descriptor, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:50])

    monkeypatch.setattr("skpot.md.frames.os.write", full)
    with pytest.raises(OSError, match="No space"):
        file.append(two[1])
    monkeypatch.undo()
    assert len(calls) == 2
    assert path.read_bytes() == before
    file.append(two[1])
    file.close()
    assert len(ase.io.read(path, ":")) == 2


def test_what_is_no_trajectory_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(ValueError, match="no extended XYZ"):
        FrameFile(path)
    assert path.read_text() == "my notes\n"


def test_a_second_writer_is_refused(tmp_path):
    path = tmp_path / "frames.xyz"
    file = FrameFile(path)
    with pytest.raises(ValueError, match="another process is writing"):
        FrameFile(path)
    file.close()
    FrameFile(path).close()


def test_file_systems_without_locks_will_do(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    append(tmp_path / "frames.xyz", *crystals("Si", 2))
    assert len(ase.io.read(tmp_path / "frames.xyz", ":")) == 2


def test_a_file_shorter_than_its_checkpoint_is_refused(tmp_path):
    append(tmp_path / "frames.xyz", *crystals("Si", 1))
    with pytest.raises(ValueError, match="was it changed"):
        FrameFile(tmp_path / "frames.xyz", 10_000)


def test_a_file_is_replaced_whole(tmp_path):
    replace_file(tmp_path / "x", b"old")
    replace_file(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1
