"""Options that several commands share."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ._console import CommandError, refuse_overwriting


class Preset(StrEnum):
    """Presets of `make_potential`."""

    fast = "fast"
    default = "default"
    accurate = "accurate"
    network = "network"


class Split(StrEnum):
    """How structures are held out."""

    auto = "auto"
    random = "random"


ModelFile = Annotated[Path, typer.Argument(help="Model written by skpot fit or skpot.dump.")]
EnergyKey = Annotated[
    str | None,
    typer.Option(help="Name of total energies (eV) in the file, if it is not a usual one."),
]
ForcesKey = Annotated[str | None, typer.Option(help="Name of forces (eV/Å).")]
StressKey = Annotated[str | None, typer.Option(help="Name of stress (eV/Å³, tension positive).")]
VirialKey = Annotated[str | None, typer.Option(help="Name of virials (eV), instead of stress.")]
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", help="Write a page with figures, to open in a browser (.html)."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


def label_keys(
    energy_key: str | None, forces_key: str | None, stress_key: str | None, virial_key: str | None
) -> dict[str, Any]:
    """Return the keywords of `skpot.read`."""
    return {
        "energy_key": energy_key,
        "forces_key": forces_key,
        "stress_key": stress_key,
        "virial_key": virial_key,
    }


def refuse_report(path: Path, force: bool, inputs: Sequence[Path | str]) -> None:
    """Raise unless a page can be written to `path`, see `refuse_overwriting`."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise CommandError(f"{path} is no name for a page: it must end in .html.")
    refuse_overwriting(path, force, inputs)
    import skpot.reports

    skpot.reports.require_plotly()
