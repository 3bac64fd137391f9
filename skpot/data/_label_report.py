"""A report of which names in files were read as labels, and which look like labels but were not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.typing import IntArray

_MAX_RANGES = 6


class LabelUse(NamedTuple):
    """The use of the values that frames have under one name."""

    kind: str  # "energy", "forces" or "stress"
    name: str
    frames: Sequence[int]  # indices of the frames that have it
    note: str  # how it was read, or why it was not used
    looked_for: bool = True  # whether to warn if it is not used

    def __str__(self):
        note = f" ({self.note})" if self.note else ""
        return f"{self.name!r} in {len(self.frames)} frames, {ranges(self.frames)}{note}"


class LabelReport:
    """Which names `skpot.read` used as labels, and which look like labels but were not used.

    Attributes
    ----------
    n_frames : int
        How many structures were read.
    used, unused : list of LabelUse
        Each has `kind` ("energy", "forces" or "stress"), `name`, `frames` (indices) and `note`.
    files : list of (str, int)
        The files, in the order in which they were read, and how many structures each had.

    Examples
    --------
    >>> from skpot.data import LabelReport, LabelUse
    >>> used = [LabelUse("energy", "REF_energy", (0, 1, 2), "")]
    >>> unused = [LabelUse("energy", "MACE_energy", (0, 2), "no name of reference labels")]
    >>> print(LabelReport(3, used, unused))
    used      energy: 'REF_energy' in 3 frames, 0-2
    not used  energy: 'MACE_energy' in 2 frames, 0, 2 (no name of reference labels)
    """

    def __init__(
        self,
        n_frames: int,
        used: list[LabelUse],
        unused: list[LabelUse],
        files: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.n_frames = n_frames
        self.used = used
        self.unused = unused
        self.files = list(files)

    def __str__(self):
        lines = [f"used      {use.kind}: {use}" for use in self.used]
        lines += [f"not used  {use.kind}: {use}" for use in self.unused]
        return "\n".join(lines) or "no labels, and nothing that looks like one"

    def __repr__(self):
        return f"LabelReport(n_frames={self.n_frames}, used={self.used}, unused={self.unused})"


def joined_reports(
    files: Sequence[tuple[str, int]], reports: Sequence[tuple[IntArray, LabelReport]]
) -> LabelReport:
    """Return the report of structures that were read a part at a time.

    Parameters
    ----------
    files : list of (str, int)
        See `LabelReport`.
    reports : list of (ndarray of int, LabelReport)
        The structures of each part, in ascending order, and its report.
    """
    joined: dict[bool, dict[Any, list[IntArray]]] = {True: {}, False: {}}
    for rows, report in reports:
        for is_used, uses in ((True, report.used), (False, report.unused)):
            for use in uses:
                if use.frames:
                    frames = joined[is_used].setdefault(use._replace(frames=()), [])
                    frames.append(rows[list(use.frames)])
    used, unused = (
        [use._replace(frames=_held(np.concatenate(parts))) for use, parts in uses.items()]
        for uses in joined.values()
    )
    return LabelReport(sum(n for _, n in files), used, unused, files)


def _held(frames):
    """Return indices as a range if they are one, which takes no memory."""
    first, last = int(frames[0]), int(frames[-1])
    return range(first, last + 1) if last - first == len(frames) - 1 else tuple(frames.tolist())


def ranges(frames: Sequence[int]) -> str:
    """Return sorted indices as text: "0-9, 12"."""
    groups = []
    for i in frames:
        if groups and groups[-1][1] == i - 1:
            groups[-1][1] = i
        else:
            groups.append([i, i])
    text = ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in groups[:_MAX_RANGES])
    return text + (", ..." if len(groups) > _MAX_RANGES else "")
