import errno
import os
import signal
import time

import pytest
from sklearn.linear_model import LinearRegression

import skpot
from skpot.exceptions import FileError, SkpotError
from skpot.persistence._whole_files import sweep, whole_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skops"


def write(path, data=b"all"):
    with whole_file(path) as file:
        file.write(data)


def writer(path):
    """Return the number of a process that is writing."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        with whole_file(path) as file:
            file.write(b"half")
            os.write(writing, b"!")
            time.sleep(60)
        os._exit(0)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    return process


def kill(process):
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


@pytest.mark.parametrize("next_step", [sweep, write], ids=["load", "dump"])
def test_leftovers_of_killed_processes_are_swept(path, next_step):
    write(path, b"old")
    kill(writer(path))
    assert len(os.listdir(path.parent)) == 2
    next_step(path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == (b"old" if next_step is sweep else b"all")


def test_files_of_other_writers_stay(path):
    process = writer(path)
    try:
        write(path)
        sweep(path)
        assert len(os.listdir(path.parent)) == 2
        with whole_file(path) as file:  # other threads of this process may hold locks
            file.write(b"mine")
            write(path, b"other")
            assert path.read_bytes() == b"other"
        assert path.read_bytes() == b"mine"
    finally:
        kill(process)


@pytest.mark.parametrize(
    ("host", "age", "swept"), [("elsewhere", 10, False), ("elsewhere", 9999, True)]
)
def test_age_decides_about_other_machines(path, host, age, swept):
    leftover = path.parent / f".{path.name}.{host}-1-0123456789abcdef.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (time.time() - age,) * 2)
    sweep(path)
    assert leftover.exists() != swept


@pytest.mark.parametrize("name", [".model.skops.tmp", ".model.skops.mine.tmp", ".other.x-1-0.tmp"])
def test_files_of_other_names_stay(path, name):
    (path.parent / name).write_bytes(b"")
    write(path)
    assert sorted(os.listdir(path.parent)) == sorted([name, path.name])


@pytest.mark.parametrize("name", ["a[b].skops", "with space", "*", "a.b"])
def test_any_name(tmp_path, name):
    write(tmp_path / name)
    kill(writer(tmp_path / name))
    sweep(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_failures_leave_the_old_file_and_nothing_else(path, monkeypatch, step, code):
    write(path, b"old")

    def fail(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(FileError, match=f"model.skops|{os.strerror(code)}") as found:
        write(path)
    assert found.value.errno == code and found.value.filename == str(path)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_permissions_are_kept(path, mode):
    write(path)
    path.chmod(mode)
    write(path, b"new")
    assert path.stat().st_mode & 0o777 == mode


def test_folders_that_are_missing_or_files(path):
    with pytest.raises(FileError, match="No such file or directory: .*nowhere"):
        write(path.parent / "nowhere" / "model")
    path.mkdir()
    with pytest.raises(FileError, match="Is a directory"):
        write(path)
    assert os.listdir(path.parent) == [path.name]


def test_links_to_nothing_and_from_elsewhere(tmp_path):
    (tmp_path / "store").mkdir()
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "store" / "model")
    write(link)
    assert link.is_symlink() and os.listdir(tmp_path / "store") == ["model"]


@pytest.mark.parametrize("name", ["folder", "none/model", "file/model", "x" * 300, ""])
def test_names_under_which_no_file_can_be(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    path = tmp_path / name
    with pytest.raises(FileError) as caught:
        write(path)
    assert caught.value.filename == str(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("name", [None, 3, [None], "a\0b"])
def test_what_is_no_name(name):
    for function in (skpot.load, skpot.read, lambda path: skpot.dump(LinearRegression(), path)):
        with pytest.raises(SkpotError):
            function(name)
