import errno
import importlib.util
import os
import sys
import warnings

import numpy as np
import pytest

from skpot.core import _code_cache
from skpot.core._code_cache import CheckedFile, CodeCache, sources_checksum
from skpot.exceptions import CacheWarning

OUTER = """
from skpot.core._jit import jit
from .inner import FACTOR

@jit
def scale(x):
    return FACTOR * x

@jit
def shift(x):
    return FACTOR + x
"""


@pytest.fixture
def folder(tmp_path):
    """A package of two files, one of which imports the other."""
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "inner.py").write_text("FACTOR = 2\n")
    (tmp_path / "outer.py").write_text(OUTER)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("scratch_package")]:
        del sys.modules[name]


def fresh(folder):
    """Import the package as a new process does."""
    sources_checksum.cache_clear()
    _code_cache._read_source.cache_clear()
    for name in ("", ".inner", ".outer"):
        path = folder / f"{name[1:] or '__init__'}.py"
        places = [str(folder)] if not name else None
        spec = importlib.util.spec_from_file_location(
            f"scratch_package{name}", path, submodule_search_locations=places
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


def from_cache(function):
    """Return whether what a function has compiled came from the disk."""
    return bool(function.stats.cache_hits) and not function.stats.cache_misses


def files(folder, suffix):
    return sorted((folder / "__pycache__").glob(f"outer.scale*.{suffix}"))


@pytest.fixture
def kept(folder):
    """The package with its functions compiled."""
    assert fresh(folder).scale(3) == 6
    return folder


def test_functions_are_kept_and_found(kept):
    module = fresh(kept)
    assert module.scale(3) == 6 and from_cache(module.scale)
    assert module.scale(1.5) == 3.0 and not from_cache(module.scale)
    module = fresh(kept)
    assert module.scale(1.5) == 3.0 and from_cache(module.scale)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("step", ["_save_index", "_save_data", "folder"])
def test_what_cannot_be_kept_is_computed_with_one_warning(folder, monkeypatch, step, code):
    def fail(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(_code_cache, "_warned", False)
    module = fresh(folder)
    if step == "folder":
        monkeypatch.setattr(type(module.scale._cache._impl.locator), "ensure_cache_path", fail)
    else:
        monkeypatch.setattr(CheckedFile, step, fail)
    with pytest.warns(CacheWarning, match=f"{os.strerror(code)}.*NUMBA_CACHE_DIR") as seen:
        assert module.scale(3) == 6 and module.shift(3) == 5
        np.testing.assert_array_equal(module.scale(np.arange(3)), [0, 2, 4])
    assert len(seen) == 1


def test_without_a_folder_it_works_with_one_warning(folder, monkeypatch):
    def fail(*args):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(_code_cache, "_warned", False)
    monkeypatch.setattr(CodeCache, "__init__", fail)
    with pytest.warns(CacheWarning, match="no locator available.*NUMBA_CACHE_DIR") as seen:
        module = fresh(folder)
    assert len(seen) == 1 and module.scale(3) == 6 and module.shift(3) == 5


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "short", "text", "flip", "folder"])
def test_damaged_files_are_not_used_and_are_mended(kept, suffix, damage):
    (path,) = files(kept, suffix)
    data = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "flip":
        for place in range(0, len(data), max(1, len(data) // 40)):
            flipped = bytearray(data)
            flipped[place] ^= 0x10
            path.write_bytes(flipped)
            assert fresh(kept).scale(3) == 6
    else:
        path.write_bytes({"empty": b"", "short": data[: len(data) // 2], "text": b"hello"}[damage])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)  # a folder of that name cannot be mended
        module = fresh(kept)
        assert module.scale(3) == 6
    if damage != "folder":
        module = fresh(kept)
        assert module.scale(3) == 6 and from_cache(module.scale)


def test_code_that_was_changed_is_not_run(kept):
    (path,) = files(kept, "nbc")
    data = path.read_bytes()
    place = data.index(b"ELF") + 500
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    module = fresh(kept)
    assert module.scale(3) == 6 and not from_cache(module.scale)


def test_code_of_another_signature_is_not_run(kept):
    assert fresh(kept).scale(1.5) == 3.0
    first, second = files(kept, "nbc")
    second.write_bytes(first.read_bytes())  # as two processes at a time may leave it
    module = fresh(kept)
    assert module.scale(1.5) == 3.0 and not from_cache(module.scale)


def test_changes_of_imported_sources_count(kept):
    (kept / "inner.py").write_text("FACTOR = 5\n")
    assert fresh(kept).scale(3) == 15
    module = fresh(kept)
    assert module.scale(3) == 15 and from_cache(module.scale)


def test_sources_are_followed(tmp_path):
    def checksum():
        sources_checksum.cache_clear()
        _code_cache._read_source.cache_clear()
        return sources_checksum(str(tmp_path / "a.py"))

    (tmp_path / "a.py").write_text("from . import b, gone\n")
    (tmp_path / "b.py").write_text("from .c import (\n    one,\n    two,\n)\n")
    (tmp_path / "c.py").write_text("def f():\n    from .a import x\n")
    seen = {checksum()}
    for name in "abc":
        with open(tmp_path / f"{name}.py", "a") as file:
            file.write("# changed\n")
        seen.add(checksum())
    (tmp_path / "other.py").write_text("")
    assert len(seen) == 4 and checksum() in seen
