"""Compiled functions on disk: what cannot be written or read is compiled instead."""

import functools
import hashlib
import os
import pickle
import re
import warnings
from pathlib import Path

from numba.core.caching import FunctionCache, IndexDataCacheFile

from ..exceptions import CacheWarning

_MARK = "skpot"  # of entries with a checksum; those that Numba has written have none
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in the names of functions
_IMPORT = re.compile(r"^\s*from \.(\w*) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)

_warned = False


def warn_once(reason):
    """Say once that compiled functions are not kept, and why."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"compiled functions cannot be cached on disk ({reason}); every process will compile "
            "anew. Set NUMBA_CACHE_DIR to a writable folder with free space.",
            CacheWarning,
            stacklevel=4,
        )


class CodeCache(FunctionCache):
    """Cache of one function whose failures cost time only.

    Parameters
    ----------
    function : function
        What is compiled.

    Raises
    ------
    RuntimeError
        If there is no folder to keep code in.
    """

    def __init__(self, function):
        super().__init__(function)
        path = function.__code__.co_filename
        self._cache_file = CheckedFile(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )
        self._cache_file.sources = sources_checksum(path)

    def load_overload(self, sig, target_context):
        """Return the compiled function for a signature, or None if there is none to be trusted."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # what another version or a crash has left raises anything
            return None

    def save_overload(self, sig, data):
        """Keep the compiled function for a signature, if that is possible."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_once(error.strerror or error)


class CheckedFile(IndexDataCacheFile):
    """Index and entries of one function's cache, of which only what is intact and fresh is used.

    An entry holds a checksum of its code, of the signature that it is for, since processes that
    compile at a time may write different ones under one number, and of all sources that were
    compiled into it, of which Numba looks at the function's own file only.
    """

    sources = ""

    def save(self, key, data):
        """Write an entry."""
        code = self._dump(data)
        super().save(key, (_MARK, self._checksum(key, code), code))

    def load(self, key):
        """Return an entry, or None if there is none that is intact."""
        entry = super().load(key)
        if entry is None or entry[0] != _MARK:
            return entry
        _, checksum, code = entry
        return pickle.loads(code) if checksum == self._checksum(key, code) else None

    def _checksum(self, key, code):
        name = _ADDRESS.sub("", f"{self.sources} {key!r}")
        return hashlib.blake2b(name.encode() + code, digest_size=16).digest()

    def _load_index(self):
        try:
            return dict(super()._load_index())
        except Exception:  # bytes that are no pickle raise anything; the index begins anew
            return {}


@functools.cache
def sources_checksum(path):
    """Return a checksum of a source file and of all beside it that it imports, and those import."""
    folder, seen, ahead = Path(path).parent, set(), [Path(path).stem]
    digest = hashlib.blake2b(digest_size=16)
    texts = {}
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            texts[name], imported = _read_source(os.path.join(folder, f"{name}.py"))
            ahead.extend(imported)
    for name in sorted(texts):
        digest.update(texts[name])
    return digest.hexdigest()


@functools.cache
def _read_source(path):
    """Return the text of a source file, or nothing, and the modules beside it that it imports."""
    try:
        text = Path(path).read_bytes()
    except OSError:  # a name imported from the package itself
        return b"", ()
    names = []
    for module, in_brackets, in_line in _IMPORT.findall(text.decode()):
        names += [module] if module else re.findall(r"\w+", in_brackets or in_line)
    return text, tuple(names)
