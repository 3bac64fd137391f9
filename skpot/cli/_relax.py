"""`skpot relax`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import CommandError, command, reading, refuse_overwriting, say, title
from ._options import Force, ModelFile


class Optimizer(StrEnum):
    """Optimizers of ASE."""

    bfgs = "bfgs"
    lbfgs = "lbfgs"
    line_search = "line-search"
    fire = "fire"


_GRADE = "extrapolation_grade"
_SHOWN = 10  # steps between printed lines


@command
def relax(
    model: ModelFile,
    structures: Annotated[
        str,
        typer.Argument(
            help='Structures to start from, in any format of ASE; "in.xyz@-1" is the last frame.'
        ),
    ],
    output: Annotated[
        Path,
        Option(
            "-o",
            "--output",
            help="File for the relaxed structures, in the format of its suffix; extended XYZ "
            "(.xyz) holds all.",
        ),
    ],
    fmax: Annotated[
        float,
        Option(min=1e-8, help="Largest force (eV/Å) that may remain; of cells, virial (eV)."),
    ] = 0.01,
    steps: Annotated[int, Option(min=1, help="Largest number of steps.")] = 500,
    cell: Annotated[bool, Option("--cell", help="Relax the cell, too, at zero pressure.")] = False,
    optimizer: Annotated[Optimizer, Option(help="Optimizer of ASE.")] = Optimizer.bfgs,
    force: Force = False,
) -> None:
    """Relax structures to the nearest minimum of the energy.

    All frames of the file are relaxed, one after the other, and written with energy, forces and
    stress, and with standard deviations and grades if the model has them. If one is not converged,
    it is written as it is, its info has converged=F, and the exit code is 1.
    """
    refuse_overwriting(output, force, [model, structures])
    from skpot.data import read_frames
    from skpot.md import Calculator, predicted
    from skpot.md.frames import require_format, write_frames

    require_format(output)
    with reading(structures):
        frames = read_frames(structures)
    calculator = Calculator(model)
    for k, atoms in enumerate(frames):
        atoms.calc = None
        title(f"{structures}, frame {k}: {len(atoms)} atoms, {atoms.get_chemical_formula()}")
        atoms.info["converged"] = _relaxed(atoms, calculator, fmax, steps, cell, optimizer, k)
    results = list(predicted(calculator, frames))
    write_frames(output, results)
    grades = [a.arrays[_GRADE].max() for a in results if _GRADE in a.arrays]
    if grades:
        say(f"\nlargest extrapolation grade: {max(grades):.2g}; beyond 1 the model extrapolates")
    failed = [k for k, atoms in enumerate(results) if not atoms.info["converged"]]
    if failed:
        raise CommandError(
            f"{len(failed)} of {len(results)} structures are not converged to {fmax:g} eV/Å after "
            f"{steps} steps (frames {', '.join(map(str, failed[:10]))}). {output} has them as they "
            "are; give more --steps, or continue from it."
        )
    say(f"wrote {output}: {len(results)} relaxed structures")


def _relaxed(atoms, calculator, fmax, steps, cell, optimizer, frame):
    """Relax one structure and print each step; return whether it converged."""
    from skpot.exceptions import InputError, NumericalError
    from skpot.md.relaxation import relax as relax_atoms

    say(f"{'step':>8}{'energy eV':>16}{'force eV/Å':>12}")
    last = {}

    def on_step(step, energy, largest):
        last["line"] = f"{step:8d}{energy:16.6f}{largest:12.4f}"
        last["shown"] = step % _SHOWN == 0
        if last["shown"]:
            say(last["line"])

    atoms.calc = calculator
    try:
        converged = relax_atoms(
            atoms, fmax=fmax, steps=steps, cell=cell, optimizer=str(optimizer), on_step=on_step
        )
    except (InputError, NumericalError) as error:
        raise CommandError(f"frame {frame} cannot be relaxed: {error}") from error
    if not last["shown"]:
        say(last["line"])
    say(f"  {'converged' if converged else 'NOT converged'}")
    return converged
