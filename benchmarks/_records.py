"""The records in `results/`, each with the commit it was taken at, and how numbers are written."""

import math
from pathlib import Path

from _common import json_lines

RESULTS = Path(__file__).resolve().parent / "results"
UNKNOWN = "before commits were recorded"


class Records:
    """All records of a folder, oldest first; it notes those that were asked for.

    A record that names its Python describes itself; one that does not, such as a single kernel's,
    was taken in the run of the last one before it that does.

    Attributes
    ----------
    used : list of dict
        The records that were returned since the list was last emptied.
    """

    def __init__(self, folder=RESULTS):
        self.used = []
        self._all = []
        for path in sorted(Path(folder).glob("*.jsonl")):
            commit = UNKNOWN
            for record in json_lines(path.read_text(encoding="utf-8")):
                if "python" in record:
                    commit = record.get("commit", UNKNOWN)
                self._all.append(record | {"commit": commit, "file": path.name})

    def find(self, bench, **fields):
        """Return the records of a benchmark that have these values, oldest first."""
        wanted = {"bench": bench, **fields}
        found = [r for r in self._all if all(r.get(k) == v for k, v in wanted.items())]
        if not found:
            raise LookupError(f"results/ has no record with {wanted}")
        self.used += found
        return found

    def newest(self, bench, **fields):
        """Return the record of a benchmark with these values that was added last."""
        before = len(self.used)
        last = self.find(bench, **fields)[-1]
        self.used[before:] = [last]
        return last

    def newest_or_none(self, bench, **fields):
        """Return the newest record, or None where there is none."""
        try:
            return self.newest(bench, **fields)
        except LookupError:
            return None


def digits(value, n=3):
    """Write a number with n significant digits, never with an exponent.

    Whole digits before the point are always written out.
    """
    decimals = n - 1 - math.floor(math.log10(abs(value))) if value else n - 1
    return f"{value:.{max(decimals, 0)}f}"


def tenths(value):
    """Write a number below 100 with one decimal, a larger one with none."""
    return f"{value:.1f}" if abs(value) < 100.0 else f"{value:.0f}"


def gigabytes(megabytes):
    return f"{megabytes / 1000.0:.1f} GB"


def seconds(value):
    return f"{value:.0f} s"


def span(values, n=2):
    """Write the least and the largest of some numbers, or the number if they look the same."""
    ends = dict.fromkeys([digits(min(values), n), digits(max(values), n)])
    return " to ".join(ends)


def table(head, rows):
    """Return the lines of a Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return [line.replace("|  |", "| |") for line in lines]
