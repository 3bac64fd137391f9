"""`skpot select`."""

import math
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from ._console import CommandError, command, reading, refuse_overwriting, say, title, wrapped
from ._options import Force, ModelFile

if TYPE_CHECKING:
    from skpot.typing import Structures

_NAMED = 3  # atoms of a structure that are named


class By(StrEnum):
    """What makes a structure worth a label."""

    information = "information"
    mean_error = "mean-error"
    forces = "forces"
    distance = "distance"
    random = "random"


_QUERIES = {
    By.information: "DOptimal",
    By.mean_error: "VOptimal",
    By.forces: "MaxForcesStd",
    By.distance: "FarthestPoint",
    By.random: "Random",
}
_UNITS = {By.information: "nats", By.mean_error: "", By.forces: "eV/Å", By.distance: ""}


@command
def select(
    model: ModelFile,
    pool: Annotated[
        list[str],
        typer.Argument(help='Structures to choose from; frames as in "run.xyz@::10".'),
    ],
    output: Annotated[
        Path, Option("-o", "--output", help="File for the chosen structures (.xyz).")
    ],
    number: Annotated[
        int | None, Option("-n", "--number", min=1, help="How many; 20 by default.")
    ] = None,
    by: Annotated[By, Option(help="What makes a structure worth a label.")] = By.mean_error,
    random_share: Annotated[
        float, Option(min=0.0, max=1.0, help="Share of them that is drawn at random.")
    ] = 0.0,
    prune: Annotated[
        bool, Option("--prune", help="Choose labeled structures from which a fit is as good.")
    ] = False,
    tolerance: Annotated[
        float, Option(min=0.0, help="With --prune: by which share errors may grow.")
    ] = 0.05,
    seed: Annotated[int, Option(min=0, help="Seed of all that is random.")] = 0,
    force: Force = False,
) -> None:
    """Choose the structures that are worth labels most, given what a model has learned.

    Each is chosen given those before it, so that the choice does not repeat itself, and
    near-duplicates are left out. A line for each says what it was worth and of which atoms' forces
    the model knows least. In the file, info has selected_rank, selected_gain and selected_from,
    and the array force_deviation the deviation of each atom's force (eV/Å).

    With --prune the pool has labels. A fifth of it is held out, and structures are kept until the
    errors on these are no more than 5 % (--tolerance) above those of all others.
    """
    refuse_overwriting(output, force, [model, *pool])
    if prune and number is not None:
        raise CommandError("--prune finds out how many structures are needed: leave out -n.")
    from skpot.md.frames import require_format, write_frames
    from skpot.persistence import load

    require_format(output)
    fitted = load(model)
    frames, where = _frames(pool)
    if prune:
        results = [_copy(frames, i) for i in _pruned(fitted, pool, tolerance, seed)]
    else:
        results = _selected(fitted, frames, where, number or 20, (by, random_share, seed))
    write_frames(output, results)
    say(f"\nwrote {output}: {len(results)} of {len(frames)} structures")


def _frames(files):
    """Return structures, which stay in their files if these allow it, and where each is from."""
    from skpot.data import Frames, can_be_streamed, read_frames

    if all(map(can_be_streamed, files)):
        with reading(" ".join(files)):
            frames = Frames(files)
        here = f"{os.getcwd()}{os.sep}"
        return frames, lambda row: frames.where(row).replace(here, "", 1)
    listed, names = [], []
    for name in files:
        with reading(name):
            own = read_frames(name)
        listed += own
        names += [f"frame {k} of {name}" for k in range(len(own))]
    return listed, names.__getitem__


def _copy(frames, i):
    """Return a copy of a structure with its results."""
    from skpot.data import Frames

    (found,) = frames.read([i]) if isinstance(frames, Frames) else [frames[i]]
    atoms = found.copy()
    atoms.calc = found.calc
    return atoms


def _selected(model, frames, where, number, how) -> "Structures":
    """Print which frames were chosen and why; return copies that say so."""
    from skpot import active

    by, random_share, seed = how
    query = getattr(active, _QUERIES[by])(model, random_state=seed)
    if random_share > 0.0:
        query = active.Mixture(query, random_share, random_state=seed)
    found = query.select(None, candidates=frames, batch_size=number)
    title(f"{len(found.indices)} of {len(frames)} structures by {by.value.replace('-', ' ')}")
    unit = _UNITS.get(by, "")
    say(f"{'rank':>4}{'worth ' + unit:>12}  structure; atoms whose forces are known least, eV/Å")
    results = []
    for rank, i in enumerate(found.indices):
        atoms, place = _copy(frames, int(i)), where(int(i))
        gain, std = float(found.gains[rank]), found.forces_std[rank]
        atoms.info |= {"selected_rank": rank, "selected_from": place}
        worth = "at random"
        if not math.isnan(gain):
            atoms.info["selected_gain"] = gain
            worth = f"{gain:.4g}"
        told = place
        if std is not None:
            atoms.arrays["force_deviation"] = std
            worst = std.argsort()[::-1][:_NAMED]
            told += "; " + ", ".join(f"{atoms.symbols[int(k)]} {k}: {std[k]:.3g}" for k in worst)
        say(wrapped(told, f"{rank:4d}{worth:>12}  "))
        results.append(atoms)
    return results


def _pruned(model, pool, tolerance, seed):
    """Print what was tried; return the indices of the structures to keep."""
    from skpot.active import prune

    from ._report import read_file

    X, y, _ = read_file(pool, {})
    found = prune(model, X, y, tolerance, random_state=seed)
    title(f"errors on {found.n_held_out} structures that were held out")
    say(f"{'learned from':>12}{'energy':>12}{'forces':>10}")
    say(f"{'':12}{'meV/atom':>12}{'eV/Å':>10}")
    for n, errors in found.tried:
        energy = f"{1e3 * errors['energy']:.3g}" if "energy" in errors else "-"
        forces = f"{errors['forces']:.3g}" if "forces" in errors else "-"
        say(f"{n:12d}{energy:>12}{forces:>10}")
    return found.indices
