"""What a check of labeled structures found, as objects, text and plain data."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from ..data import ranges

if TYPE_CHECKING:
    from typing import Any

WIDTH = 78


class Finding(NamedTuple):
    """One thing that is wrong, or deserves a look.

    Attributes
    ----------
    kind : str
        A short name, such as "unit of energies"; the same mistake always has the same name.
    message : str
        What was found, in whole sentences.
    fix : str
        What to do about it.
    frames : tuple of int
        The structures concerned, ascending; empty if it is all of them.
    confidence : float
        How sure it is, between 0 and 1.
    """

    kind: str
    message: str
    fix: str
    frames: tuple[int, ...] = ()
    confidence: float = 1.0

    def __str__(self):
        where = f"frames {ranges(self.frames)}" if self.frames else "all frames"
        sure = "certain" if self.confidence > 0.995 else f"{self.confidence:.0%} sure"
        lines = [f"{self.kind} ({where}; {sure})"]
        for text in (self.message, f"Fix: {self.fix}"):
            lines += textwrap.wrap(text, WIDTH - 4, initial_indent="  ", subsequent_indent="  ")
        return "\n".join(lines)


class WorstLabel(NamedTuple):
    """A label far from what the others tell of it."""

    frame: int
    kind: str  # "energy", "forces" or "stress"
    error: float  # eV per atom, or the largest component in eV/Å or eV/Å³
    ratio: float  # over the usual error of this kind


class CheckReport:
    """What `skpot.check` found.

    Attributes
    ----------
    findings : list of Finding
        What is wrong with the labels, the surest first; empty if nothing is.
    notes : list of str
        What is true and worth knowing but no mistake, such as structures that occur twice.
    summary : dict of str to object
        Counts and coverage: "frames", "atoms", "species", "kinds", "labels", "density",
        "distances", "forces", and with `against` the errors of that model.
    worst : list of WorstLabel
        The labels that are furthest from what the others tell of them, at most 20.
    """

    def __init__(
        self,
        findings: list[Finding],
        notes: list[str],
        summary: dict[str, Any],
        worst: list[WorstLabel],
    ) -> None:
        self.findings = sorted(findings, key=lambda found: -found.confidence)
        self.notes = notes
        self.summary = summary
        self.worst = worst

    def __bool__(self):
        """Whether there are findings."""
        return bool(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, strings, lists and dictionaries, such as JSON takes."""
        return {
            "findings": [
                found._asdict() | {"frames": list(found.frames)} for found in self.findings
            ],
            "notes": list(self.notes),
            "summary": self.summary,
            "worst": [label._asdict() for label in self.worst],
        }

    def __str__(self):
        lines = []
        for found in self.findings:
            lines += [str(found), ""]
        for note in self.notes:
            lines += textwrap.wrap(note, WIDTH, initial_indent="note: ", subsequent_indent="  ")
        if not self.findings:
            lines.append("no mistakes found")
        return "\n".join(lines)

    def __repr__(self):
        return f"CheckReport(findings={len(self.findings)}, notes={len(self.notes)})"
