"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

ModelFile = Annotated[Path, typer.Argument(help="Model written by skpot fit or skpot.dump.")]
EnergyKey = Annotated[
    str | None,
    typer.Option(help="Name of total energies (eV) in the file, if it is not a usual one."),
]
ForcesKey = Annotated[str | None, typer.Option(help="Name of forces (eV/Å).")]
StressKey = Annotated[str | None, typer.Option(help="Name of stress (eV/Å³, tension positive).")]
VirialKey = Annotated[str | None, typer.Option(help="Name of virials (eV), instead of stress.")]
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
