"""`skpot predict`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import command, reading, refuse_overwriting, say, warn, wrapped
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
            help="File to write, in the format of its suffix; extended XYZ (.xyz) holds all, "
            "HDF5 (.h5) the predictions as arrays.",
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

    Extended XYZ and HDF5 are written as they are made, of any number of frames; until the end they
    have the suffix .part.xyz, or are a folder .parts. If a run is killed, the same command goes on
    where it ended.
    """
    refuse_overwriting(output, force, [model, *structures])
    from skpot.data import read_frames
    from skpot.md.frames import is_xyz, require_format
    from skpot.md.hdf5 import is_hdf5

    if is_hdf5(output) or is_xyz(output):
        n, kept = _stream(model, structures, output, deviations)
        computed = kept  # both hold all
    else:
        require_format(output)
        n, computed = _write_at_once(model, structures, output, deviations)
        kept = _names(read_frames(output, 0)[0])
    say(f"wrote {output}: {n} frames")
    say(wrapped(", ".join(n for n in computed if n in kept) or "no results", "  with     "))
    lost = [n for n in computed if n not in kept]
    if lost:
        warn(
            "predictions that a format drops",
            f"files such as {output.name} do not hold {', '.join(lost)}; name the file .xyz to "
            "keep all.",
        )


def _stream(model, structures, output, deviations):
    """Write predictions as they are made; return the number of frames and what each has."""
    from skpot.data import read_frames
    from skpot.md import evaluate
    from skpot.md.hdf5 import hdf5_names, is_hdf5
    from skpot.persistence import load

    frames = _frames(structures)
    done = len(frames) - evaluate(load(model), frames, output, deviations=deviations)
    if done:
        say(f"an earlier run had predicted {done} of {len(frames)} frames; went on behind them")
    names = hdf5_names(output) if is_hdf5(output) else _names(read_frames(output, 0)[0])
    return len(frames), names


def _write_at_once(model, structures, output, deviations):
    """Write predictions when all are made; return the number of frames and what each has."""
    from skpot.md import Calculator, predicted
    from skpot.md.frames import write_frames
    from skpot.progress import followed

    frames = _listed(structures)
    found = predicted(Calculator(model), frames, deviations)
    results = list(followed(found, len(frames), "predict", "frame"))
    write_frames(output, results)
    return len(results), _names(results[0])


def _frames(structures):
    """Return structures that stay in their files, or a list if a file does not allow it."""
    from skpot.data import Frames, can_be_streamed

    if not all(map(can_be_streamed, structures)):
        return _listed(structures)
    with reading(" ".join(structures)):
        return Frames(structures)


def _listed(structures):
    from skpot.data import read_frames

    frames = []
    for name in structures:
        with reading(name):
            frames += read_frames(name)
    return frames


def _names(atoms):
    """Return which predictions a structure has."""
    results = {} if atoms.calc is None else atoms.calc.results
    names = [n for n in ("energy", "forces", "stress") if n in results]
    return names + [n for n in atoms.info | atoms.arrays if n.endswith(("_std", "_grade"))]
