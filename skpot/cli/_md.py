"""`skpot md`."""

import time
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from ._console import (
    CommandError,
    command,
    refuse_inputs,
    refuse_overwriting,
    say,
    title,
)
from ._options import Force, ModelFile

if TYPE_CHECKING:
    from skpot.md.dynamics import Trace


class Ensemble(StrEnum):
    """Which quantities are constant in a run."""

    nve = "nve"
    nvt = "nvt"
    npt = "npt"


@command
def md(
    model: ModelFile,
    start: Annotated[Path, typer.Argument(help="Structure to start from (its last frame).")],
    temperature: Annotated[float, Option(min=0.0, help="Temperature, K.")] = 300.0,
    steps: Annotated[int, Option(min=1, help="Number of steps.")] = 1000,
    timestep: Annotated[float, Option(min=1e-6, help="Length of a step, fs.")] = 1.0,
    ensemble: Annotated[
        Ensemble, Option(help="What is constant; npt needs three periodic directions.")
    ] = Ensemble.nvt,
    pressure: Annotated[float, Option(help="Pressure for npt, GPa.")] = 0.0,
    output: Annotated[
        Path,
        Option("-o", "--output", help="Trajectory to write: extended XYZ, a file .xyz or .extxyz."),
    ] = Path("traj.xyz"),
    log_interval: Annotated[
        int, Option(min=1, help="Steps between printed lines and frames.")
    ] = 10,
    repeat: Annotated[
        tuple[int, int, int],
        Option(min=1, help="Repetitions of the start structure along its cell vectors."),
    ] = (1, 1, 1),
    seed: Annotated[int, Option(min=0, help="Seed of velocities and thermostat.")] = 0,
    max_temperature: Annotated[float | None, Option(help="Limit of the temperature, K.")] = None,
    min_distance: Annotated[
        float | None, Option(help="Limit of the distance of two atoms, Å.")
    ] = None,
    max_grade: Annotated[float | None, Option(help="Limit of the extrapolation grade.")] = None,
    max_energy_std: Annotated[
        float | None, Option(help="Limit of the energy's deviation, eV/atom.")
    ] = None,
    max_forces_std: Annotated[
        float | None, Option(help="Limit of the forces' deviations, eV/Å; slow.")
    ] = None,
    record: Annotated[
        Path | None, Option(help="Append frames beyond limits to this file and continue.")
    ] = None,
    restart: Annotated[
        bool, Option("--restart", help="Continue a run with this output that was stopped.")
    ] = False,
    force: Force = False,
) -> None:
    """Run molecular dynamics and write a trajectory.

    Velocities come from the file if it has any; otherwise they are random with the given
    temperature. While the run lasts, frames are in OUTPUT.part and the state is in
    OUTPUT.checkpoint. At the end, also after an error, OUTPUT has all frames. If the run was
    stopped or killed, the same command with --restart continues it; if there is nothing to
    continue, it starts a new run. Limits are checked at each printed line; beyond a limit the run
    stops.
    """
    saved = Path(f"{output}.checkpoint")
    continued = restart and saved.exists()
    _check_files([model, start], output, record)
    if not continued:
        _refuse_to_begin(output, saved, force)
    from skpot.md import Calculator
    from skpot.md.checkpoint import Checkpoint
    from skpot.md.dynamics import check_settings, run, thermalize
    from skpot.md.frames import TrajectoryFile
    from skpot.persistence import load

    check_settings(steps, str(ensemble), temperature, pressure, timestep, log_interval, seed)
    limits = {
        "max_temperature": max_temperature,
        "min_distance": min_distance,
        "max_grade": max_grade,
        "max_energy_std": max_energy_std,
        "max_forces_std": max_forces_std,
    }
    calculator = Calculator(load(model))
    atoms = _start(start, repeat)
    atoms.calc = calculator
    settings = {
        "ensemble": str(ensemble),
        "temperature": temperature,
        "pressure": pressure,
        "timestep": timestep,
        "log interval": log_interval,
    }
    checkpoint = Checkpoint(saved, settings)
    guard = _guard(atoms, limits, record)
    length = checkpoint.load(atoms) if continued else None
    _require_start(atoms, str(ensemble), guard, saved if continued else start, model)
    if checkpoint.step > steps:
        raise CommandError(f"{saved} is at step {checkpoint.step} already; give more --steps.")
    if continued:
        velocities = f"and state of step {checkpoint.step} from {saved}"
    else:
        checkpoint.remove()
        velocities = "at random" if thermalize(atoms, temperature, seed) else f"from {start}"
    plan = f"{ensemble.upper()}, {temperature:g} K, {steps} steps of {timestep:g} fs"
    title(f"{len(atoms)} atoms, {atoms.get_chemical_formula()}: {plan}")
    say(f"  velocities {velocities}")
    say(HEADER)
    began = time.perf_counter()
    trajectory = TrajectoryFile(output, length, checkpoint.tail)
    with _advice(output, trajectory), trajectory:
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
            checkpoint=checkpoint,
            guard=guard,
        )
    seconds = time.perf_counter() - began
    checkpoint.remove()
    if guard is not None and guard.n_recorded:
        say(f"\n{record}: {guard.n_recorded} frames beyond limits")
    speed = 1e6 * seconds / (max(steps - checkpoint.step, 1) * len(atoms))
    say(f"\nwrote {output}: {trajectory.n_frames} frames, {speed:.0f} µs per atom and step")
    if ensemble is Ensemble.nve:
        _print_drift(trace)


def _print_drift(trace):
    if trace.time:
        lasted = trace.time[-1] - trace.time[0]
        say(f"drift of the total energy: {trace.drift():+.3f} meV/atom over {lasted:g} ps")


def _check_files(inputs, output, record):
    """Refuse outputs that cannot be written, are the same, or are read by the command."""
    from skpot.md.frames import require_xyz

    written = [path for path in (output, record) if path is not None]
    for path in written:
        require_xyz(path)
    if record is not None and record.resolve() == output.resolve():
        raise CommandError(f"--record and --output are the same file, {output}; name another one.")
    for path in written:
        refuse_inputs(path, inputs)


def _refuse_to_begin(output, saved, force):
    """Refuse to start a run by which files of another run would be lost."""
    refuse_overwriting(output, force)
    if saved.exists() and not force:
        raise CommandError(
            f"{saved} is left from a run that was stopped; add --restart to continue it, or "
            "--force to start anew."
        )


def _guard(atoms, limits, record):
    """Return the guard of a run, or None if there are neither limits nor a file for frames."""
    from skpot.md import Guard

    if record is None and all(limit is None for limit in limits.values()):
        return None
    action = "stop" if record is None else "record"
    return Guard(atoms, **limits, action=action, path=record)


@contextmanager
def _advice(output, trajectory):
    """Tell the user what is kept of a run that ends early, and what can be done."""
    from skpot.exceptions import FileError
    from skpot.md import LimitPassed
    from skpot.md.dynamics import BlowUp

    try:
        yield
    except BlowUp as error:
        kept = f"{output} holds the frames up to there. " if trajectory.n_frames else ""
        raise CommandError(
            f"the run blew up at {error}. {kept}Try a smaller --timestep or a relaxed start "
            "structure, or fit the model to structures like those in the run."
        ) from error
    except FileError as error:
        raise CommandError(
            f"{error.filename}: {error.strerror}. Make room and add --restart to continue."
        ) from error
    except LimitPassed as error:
        raise CommandError(f"the run was stopped: {error}. {output} ends there.") from error
    except KeyboardInterrupt:
        say(f"{output} holds {trajectory.n_frames} frames; add --restart to continue")
        raise


def _start(path, repeat):
    """Read the structure to start from and return a supercell of it."""
    from skpot.md.dynamics import read_structure

    atoms = read_structure(path)
    for axis, n, vector in zip("abc", repeat, atoms.cell.array, strict=True):
        if n > 1 and not vector.any():
            raise CommandError(
                f"{path} has no cell vector {axis} along which it could be repeated {n} times."
            )
    return atoms.repeat(repeat)


def _require_start(atoms, ensemble, guard, where, model):
    """Refuse a structure for which the model cannot be used, before the run starts."""
    from skpot.exceptions import InputError, NumericalError
    from skpot.md.dynamics import check_start

    try:
        check_start(atoms, ensemble)
        if guard is not None:
            guard.look()
    except (InputError, NumericalError) as error:
        raise CommandError(f"no run can start from {where} with {model}: {error}") from error


HEADER = (
    f"{'step':>8}{'time':>9}{'T':>8}{'potential':>13}{'total':>13}{'std':>10}{'volume':>10}\n"
    f"{'':8}{'ps':>9}{'K':>8}{'eV/atom':>13}{'eV/atom':>13}{'meV/atom':>10}{'Å³/atom':>10}"
)


def line(step: int, trace: "Trace") -> str:
    """Return the last entry of a trace as a line of the table."""
    return (
        f"{step:8d}{trace.time[-1]:9.3f}{trace.temperature[-1]:8.1f}{trace.potential[-1]:13.5f}"
        f"{trace.total[-1]:13.5f}{1000 * trace.energy_std[-1]:10.2f}{trace.volume[-1]:10.3f}"
    )
