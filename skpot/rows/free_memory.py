"""How much memory a process may still take, containers' and its own limits included."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

_UNKNOWN = 4e9  # bytes, where the system does not say


def available_memory(root: str = "/") -> float:
    """Return the bytes of memory that can be taken now, or 4e9 where the system does not say.

    The least of what the machine has left, the limits of the control groups of the process
    (versions 1 and 2, as containers and batch systems set them) less their use, and the limit of
    its address space.

    Parameters
    ----------
    root : path-like, default="/"
        Where "proc" and "sys" are.
    """
    root = Path(root)
    found = [_machine(root), *_control_groups(root), _address_space(root)]
    return max(0.0, min((float(n) for n in found if n is not None), default=_UNKNOWN))


def _machine(root):
    for line in _lines(root / "proc/meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":  # caches count, as they give way
            return 1024 * int(rest.split()[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _control_groups(root):
    """Yield what is left to the groups of the process and to all above them."""
    for line in _lines(root / "proc/self/cgroup"):
        _, kinds, path = (*line.split(":", 2), "none", "")[:3]
        if kinds and "memory" not in kinds.split(","):
            continue
        # Inside a container the path may be that outside; its own group is then the topmost.
        path = PurePosixPath("/", path)
        base = root / "sys/fs/cgroup" / ("memory" if kinds else "")
        names = _V1 if kinds else _V2
        for group in (path, *path.parents):
            yield _left(base / group.relative_to("/"), *names)


_V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
_V2 = "memory.max", "memory.current", "inactive_file"


def _left(group, limit, usage, cache):
    limit, usage = (_number(_lines(group / name)) for name in (limit, usage))
    if limit is None or usage is None:
        return None
    for line in _lines(group / "memory.stat"):
        name, _, value = line.partition(" ")
        if name == cache:
            usage -= int(value)
    return limit - usage


def _address_space(root):
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError, ValueError):
        return None
    if limit == resource.RLIM_INFINITY:
        return None
    used = _number(line.split()[0] for line in _lines(root / "proc/self/statm"))
    return limit - (used or 0) * os.sysconf("SC_PAGE_SIZE")


def _number(lines):
    """Return the number in the first line; None for "max", or if there is none."""
    text = next(iter(lines), "")
    return int(text) if text.isdigit() else None


def _lines(path):
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
