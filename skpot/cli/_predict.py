"""`skpot predict`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import command, reading, refuse_overwriting, say, wrapped
from ._options import Force, ModelFile


@command
def predict(
    model: ModelFile,
    structures: Annotated[
        list[str],
        typer.Argument(help='Structures, in any formats of ASE; frames as in "in.xyz@::2".'),
    ],
    output: Annotated[
        Path,
        Option(
            "-o",
            "--output",
            help="File to write, in the format of its suffix; extended XYZ (.xyz) holds all.",
        ),
    ],
    deviations: Annotated[
        bool,
        Option(
            help="Write standard deviations and grades, too. They take longer than forces.",
        ),
    ] = True,
    force: Force = False,
) -> None:
    """Predict energies, forces and stress of structures.

    They are written as results that ASE reads back, in eV, eV/Å and eV/Å³. Where the model has
    them, energy_std and stress_std go to the info of each structure, forces_std, energies_std and
    extrapolation_grade to its arrays. Other info and arrays stay as they are.
    """
    refuse_overwriting(output, force, [model, *structures])
    from skpot.data import read_frames
    from skpot.md import Calculator, predicted
    from skpot.md.frames import require_format, write_frames
    from skpot.progress import followed

    require_format(output)
    calculator = Calculator(model)
    frames = []
    for name in structures:
        with reading(name):
            frames += read_frames(name)
    found = predicted(calculator, frames, deviations)
    results = list(followed(found, len(frames), "predict", "frame"))
    write_frames(output, results)
    names = ["energy", *(n for n in ("forces", "stress") if n in results[0].calc.results)]
    extra = [n for n in results[0].info | results[0].arrays if n.endswith(("_std", "_grade"))]
    say(f"wrote {output}: {len(results)} frames")
    say(wrapped(", ".join([*names, *extra]), "  with     "))
