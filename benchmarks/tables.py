"""Write the figures of README files, docs/scale.md and docs/active.md from records in results/.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`, a figure within a sentence
between `<!-- figure: NAME -->` and `<!-- end -->`. What stands there is replaced; a table of which
results/ lacks a record says so. `--check` writes nothing and fails where something would change.
"""

import argparse
import collections
import contextlib
import re
from pathlib import Path

import _accuracy_tables
import _active_tables
import _network_tables
import _speed_tables
from _records import RESULTS, Records, table

ROOT = Path(__file__).resolve().parent.parent
FILES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "docs" / "scale.md",
    ROOT / "docs" / "active.md",
)
MARKED = re.compile(r"(<!-- (table|figure): (\w[\w.]*) -->)(.*?)(<!-- end -->)", re.S)
TABLES = (
    _speed_tables.TABLES | _accuracy_tables.TABLES | _network_tables.TABLES | _active_tables.TABLES
)
MISSING = "(No record yet.)"
FIGURES = _speed_tables.FIGURES | _accuracy_tables.FIGURES | _active_tables.FIGURES


def commits(records):
    """Return the table of the commits that the records of each table or figure were taken at."""
    writers = {name: [function] for name, function in TABLES.items()}
    for name, function in FIGURES.items():
        group = name.partition(".")[0]
        writers.setdefault(group if group in TABLES else f"{group}.*", []).append(function)
    rows = []
    for name, functions in writers.items():
        records.used.clear()
        for function in functions:
            with contextlib.suppress(LookupError):
                function(records)
        if not records.used:
            continue
        used = {id(record): record for record in records.used}.values()
        files = sorted({f"`{record['file']}`" for record in used})
        counts = collections.Counter(record["commit"] for record in used)
        taken = [f"{commit} ({counts[commit]})" for commit in sorted(counts)]
        rows.append([name, ", ".join(files), ", ".join(taken)])
    return table(["table or figures", "file", "taken at (number of records)"], rows)


def rewritten(text, records):
    """Return a text with all that is marked in it written anew."""

    def replacement(match):
        begin, kind, name, _, end = match.groups()
        known = FIGURES if kind == "figure" else TABLES | {"commits": commits}
        if name not in known:
            raise SystemExit(f"there is no {kind} {name!r}; known are {', '.join(sorted(known))}")
        try:
            found = known[name](records)
        except LookupError as error:
            if kind == "figure":
                raise SystemExit(f"{kind} {name!r}: {error}") from None
            found = [MISSING]
        # Markdown needs the empty lines: a table next to a comment may not be seen as one.
        return begin + (found if kind == "figure" else "\n\n" + "\n".join(found) + "\n\n") + end

    return MARKED.sub(replacement, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=FILES, help="Markdown files")
    parser.add_argument("--results", default=RESULTS, help="folder of the records")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args()
    records = Records(options.results)
    old = {path: path.read_text(encoding="utf-8") for path in options.files}
    new = {path: rewritten(text, records) for path, text in old.items()}
    different = [path for path in options.files if new[path] != old[path]]
    if options.check and different:
        names = ", ".join(str(path) for path in different)
        raise SystemExit(f"{names}: not what results/ has; run python benchmarks/tables.py")
    for path in different:
        path.write_text(new[path], encoding="utf-8")


if __name__ == "__main__":
    main()
