"""Compiled functions on disk. If one cannot be written or read, it is compiled again instead."""

import functools
import hashlib
import os
import pickle
import re
import warnings
from pathlib import Path

from numba.core.caching import FunctionCache, IndexDataCacheFile

from ..exceptions import CacheWarning

_MARK = "skpot"  # begins an entry with a checksum; entries written by Numba itself have none
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in the names of functions
_IMPORT = re.compile(r"^\s*from \.(\w*) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)

_warned = False


def warn_once(reason):
    """Warn once per process that compiled functions are not kept on disk, and say why."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"compiled functions cannot be cached on disk ({reason}); every process will compile "
            "them again. Set the environment variable NUMBA_CACHE_DIR to a writable folder with "
            "free space.",
            CacheWarning,
            stacklevel=4,
        )


class CodeCache(FunctionCache):
    """Cache of one function. If it fails, the function is compiled, which only costs time.

    Parameters
    ----------
    function : function
        What is compiled.

    Raises
    ------
    RuntimeError
        If there is no folder in which compiled code can be kept.
    """

    def __init__(self, function):
        super().__init__(function)
        path = function.__code__.co_filename
        self._cache_file = CheckedFile(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )
        self._cache_file.sources = sources_checksum(path)

    def load_overload(self, sig, target_context):
        """Return the compiled function for a signature, or None if no valid one is stored."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # files of another version or of a crash can raise any error
            return None

    def save_overload(self, sig, data):
        """Store the compiled function for a signature, if that is possible."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_once(error.strerror or error)


class CheckedFile(IndexDataCacheFile):
    """Index and entries of one function's cache; only intact and current entries are used.

    An entry holds a checksum of three things: its code; its signature, since processes that
    compile at the same time may write different signatures under one number; and all source files
    that were compiled into it, since Numba only looks at the file of the function itself.
    """

    sources = ""

    def save(self, key, data):
        """Write an entry."""
        code = self._dump(data)
        super().save(key, (_MARK, self._checksum(key, code), code))

    def load(self, key):
        """Return an entry, or None if there is no intact one."""
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
        except Exception:  # a damaged file can raise any error; start with an empty index
            return {}


@functools.cache
def sources_checksum(path):
    """Return a checksum of a source file and of all files of its folder that it depends on."""
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
    """Return the text of a source file (empty if absent) and the modules that it imports."""
    try:
        text = Path(path).read_bytes()
    except OSError:  # the name is imported from the package, not a module
        return b"", ()
    names = []
    for module, in_brackets, in_line in _IMPORT.findall(text.decode()):
        names += [module] if module else re.findall(r"\w+", in_brackets or in_line)
    return text, tuple(names)
