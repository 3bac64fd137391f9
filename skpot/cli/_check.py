"""`skpot check`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import answer, command, say, title
from ._options import (
    EnergyKey,
    Force,
    ForcesKey,
    ReportFile,
    StressKey,
    VirialKey,
    label_keys,
    refuse_report,
)


@command
def check(
    files: Annotated[list[Path], typer.Argument(help="Labeled structures.")],
    against: Annotated[
        Path | None,
        Option(help="Model to compare single structures with, in place of a small one."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON, for programs.")] = False,
    report: ReportFile = None,
    seed: Annotated[int, Option(min=0, help="Seed of which structures are looked at.")] = 0,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virial_key: VirialKey = None,
    force: Force = False,
) -> None:
    """Look for mistakes in labels: units, signs, orders, frames, outliers.

    A small model learns one kind of label and is confronted with the others. Exits with 0 if there
    are no findings, with 1 if there are some.
    """
    if report is not None:
        refuse_report(report, force, [*files, *([against] if against else [])])
    from skpot.checks import check as check_labels
    from skpot.persistence import load

    from ._report import describe, read_file

    model = None if against is None else load(against)
    X, y, labels = read_file(files, label_keys(energy_key, forces_key, stress_key, virial_key))
    found = check_labels(X, y, model, random_state=seed)
    if as_json:
        answer(json.dumps(found.to_dict(), indent=1))
    else:
        describe(" ".join(map(str, files)), X, y, labels)
        _coverage(found.summary)
        title("findings")
        say(str(found))
        _worst(found.worst)
    if report is not None:
        from skpot.reports import write_check_report

        names = ", ".join(file.name for file in files)
        write_check_report(report, found, X, y, title=f"Check of {names}")
        if not as_json:
            say(f"\nwrote {report}")
    if found:
        raise typer.Exit(1)


def _coverage(summary):
    """Print ranges of what the structures cover."""
    for name, digits in (
        ("density (g/cm³)", 2),
        ("closest pair over covalent radii", 2),
        ("forces (eV/Å)", 3),
    ):
        if summary[name] is not None:
            least, median, most = (f"{value:.{digits}f}" for value in summary[name])
            say(f"  {name}: {least} to {most}, median {median}")
    if summary["free atoms"]:
        say(f"  free atoms: {summary['free atoms']} frames")


def _worst(worst):
    if not worst:
        return
    title("labels furthest from what the others tell")
    say(f"{'frame':>8}  {'label':8}{'error':>12}{'over the usual':>16}")
    for label in worst:
        unit = "eV/atom" if label.kind == "energy" else "eV/Å"
        say(f"{label.frame:8d}  {label.kind:8}{label.error:12.4f}{label.ratio:16.1f}  {unit}")
