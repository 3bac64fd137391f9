"""`skpot md`."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import CommandError, command, reading, refuse_overwriting, say, title
from ._options import Force, ModelFile


class Ensemble(StrEnum):
    """Which quantities a run holds."""

    nve = "nve"
    nvt = "nvt"
    npt = "npt"


def register(app):
    """Add the command to the application."""
    app.command("md", short_help="Run molecular dynamics.")(md)


@command
def md(
    model: ModelFile,
    start: Annotated[Path, typer.Argument(help="Structure to start from (its last frame).")],
    temperature: Annotated[float, Option(min=0.0, help="K")] = 300.0,
    steps: Annotated[int, Option(min=1)] = 1000,
    timestep: Annotated[float, Option(min=1e-6, help="fs")] = 1.0,
    ensemble: Annotated[Ensemble, Option(help="What is held.")] = Ensemble.nvt,
    pressure: Annotated[float, Option(help="GPa, for npt.")] = 0.0,
    output: Annotated[Path, Option("-o", "--output", help="Extended XYZ.")] = Path("traj.xyz"),
    log_interval: Annotated[int, Option(min=1, help="Steps between lines and frames.")] = 10,
    repeat: Annotated[
        tuple[int, int, int], Option(min=1, help="Supercell of the start structure.")
    ] = (1, 1, 1),
    seed: Annotated[int, Option(help="Of velocities and thermostat.")] = 0,
    force: Force = False,
):
    """Run molecular dynamics and write a trajectory.

    Velocities come from the file if it has them, else at random for the temperature. The
    trajectory is complete under its name at the end, and holds what was done if the run stops.
    """
    refuse_overwriting(output, force)
    from skpot.md import Calculator
    from skpot.md._dynamics import BlowUp, TrajectoryFile, read_structure, run, thermalise
    from skpot.persistence import load

    calculator = Calculator(load(model))
    with reading(start):
        atoms = read_structure(start).repeat(repeat)
    atoms.calc = calculator
    drawn = thermalise(atoms, temperature, seed)
    kind = f"{ensemble.upper()}, {temperature:g} K, {steps} steps of {timestep:g} fs"
    title(f"{len(atoms)} atoms, {atoms.get_chemical_formula()}: {kind}")
    say(f"  velocities {'at random' if drawn else f'from {start}'}")
    say(HEADER)
    began = time.perf_counter()
    try:
        with TrajectoryFile(output) as trajectory:
            trace = run(
                atoms,
                steps,
                ensemble=str(ensemble),
                temperature=temperature,
                pressure=pressure,
                timestep=timestep,
                interval=log_interval,
                trajectory=trajectory,
                on_step=lambda step, trace: say(line(step, trace)),
                random_state=seed,
            )
    except BlowUp as error:
        kept = f"{output} holds the frames up to there. " if trajectory.n_frames else ""
        raise CommandError(
            f"the run blew up at {error}. {kept}Try a smaller --timestep, a relaxed start, or fit "
            "to structures like those it went through."
        ) from error
    except KeyboardInterrupt:
        say(f"{output} holds {trajectory.n_frames} frames")
        raise
    speed = 1e6 * (time.perf_counter() - began) / (steps * len(atoms))
    say(f"\nwrote {output}: {trajectory.n_frames} frames, {speed:.0f} µs per atom and step")
    if ensemble is Ensemble.nve:
        say(f"drift of the total energy: {trace.drift():+.3f} meV/atom over {trace.time[-1]:g} ps")


HEADER = (
    f"{'step':>8}{'time':>9}{'T':>8}{'potential':>13}{'total':>13}{'std':>10}{'volume':>10}\n"
    f"{'':8}{'ps':>9}{'K':>8}{'eV/atom':>13}{'eV/atom':>13}{'meV/atom':>10}{'Å³/atom':>10}"
)


def line(step, trace):
    """Return the last entry of a trace as a line of the table."""
    return (
        f"{step:8d}{trace.time[-1]:9.3f}{trace.temperature[-1]:8.1f}{trace.potential[-1]:13.5f}"
        f"{trace.total[-1]:13.5f}{1000 * trace.energy_std[-1]:10.2f}{trace.volume[-1]:10.3f}"
    )
