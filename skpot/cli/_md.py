"""`skpot md`."""

import math
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


class Thermostat(StrEnum):
    """What keeps the temperature of nvt."""

    bussi = "bussi"
    langevin = "langevin"
    nose_hoover = "nose-hoover"


class Barostat(StrEnum):
    """What npt changes: the size of the cell, or all of it."""

    isotropic = "isotropic"
    full = "full"


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
    thermostat: Annotated[
        Thermostat, Option(help="Thermostat of nvt; npt has Nosé-Hoover chains.")
    ] = Thermostat.bussi,
    barostat: Annotated[
        Barostat, Option(help="What npt changes: the size of the cell, or its shape too.")
    ] = Barostat.isotropic,
    thermostat_time: Annotated[
        float, Option(min=1e-3, help="Time constant of the thermostat, fs.")
    ] = 100.0,
    barostat_time: Annotated[
        float, Option(min=1e-3, help="Time constant of the barostat, fs.")
    ] = 1000.0,
    temperature_end: Annotated[
        float | None,
        Option(min=1e-3, help="Temperature at the last step, K: nvt changes it step by step."),
    ] = None,
    output: Annotated[
        Path,
        Option("-o", "--output", help="Trajectory: .xyz, which can be continued, .traj or .db."),
    ] = Path("traj.xyz"),
    log_interval: Annotated[
        int, Option(min=1, help="Steps between printed lines and frames.")
    ] = 20,
    repeat: Annotated[
        tuple[int, int, int],
        Option(min=1, help="Repetitions of the start structure along its cell vectors."),
    ] = (1, 1, 1),
    seed: Annotated[int, Option(min=0, help="Seed of velocities and thermostat.")] = 0,
    max_temperature: Annotated[float | None, Option(help="Limit of the temperature, K.")] = None,
    min_distance: Annotated[
        float | None,
        Option(help="Limit of the distance of two atoms, Å; by default that of the training set."),
    ] = None,
    max_grade: Annotated[
        float | None,
        Option(help="Limit of the extrapolation grade; 2 by default, and 1 is the training set's."),
    ] = None,
    max_energy_std: Annotated[
        float | None, Option(help="Limit of the energy's deviation, eV/atom.")
    ] = None,
    max_forces_std: Annotated[
        float | None, Option(help="Limit of the forces' deviations, eV/Å.")
    ] = None,
    record: Annotated[
        Path | None, Option(help="Append frames beyond limits to this file and continue.")
    ] = None,
    no_stop: Annotated[
        bool, Option("--no-stop", help="Set no limits but those that are given.")
    ] = False,
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
    continue, it starts a new run.

    Each printed line shows how far the model can be trusted: the largest deviation of a force
    component, by a few draws of the posterior (every 1000 steps only where the model has none),
    the extrapolation grade of the worst atom, where 1 is the edge of the training set, and the
    closest distance. The grade and the closest distance have limits, which
    follow from the model. They are checked every 20 steps, or as often as lines are printed;
    beyond a limit the run stops with exit code 1.
    """
    saved = Path(f"{output}.checkpoint")
    continued = restart and saved.exists()
    if restart and not _is_xyz(output):
        raise CommandError(f"a run with the trajectory {output} cannot be continued; use .xyz.")
    _check_files([model, start], output, record)
    if not continued:
        _refuse_to_begin(output, saved, force)
    from skpot.md import Calculator, default_limits
    from skpot.md.checkpoint import Checkpoint
    from skpot.md.dynamics import Ensemble as Held
    from skpot.md.dynamics import check_settings, run, thermalize
    from skpot.md.frames import AseTrajectoryFile, TrajectoryFile
    from skpot.persistence import load
    from skpot.progress import progress

    held = Held(
        str(ensemble), temperature, pressure, str(thermostat), str(barostat), thermostat_time,
        barostat_time, temperature_end,
    )  # fmt: skip
    check_settings(steps, held, timestep, log_interval, seed)
    limits = {
        "max_temperature": max_temperature,
        "min_distance": min_distance,
        "max_grade": max_grade,
        "max_energy_std": max_energy_std,
        "max_forces_std": max_forces_std,
    }
    fitted = load(model)
    calculator = Calculator(fitted, draws=True)
    atoms = _start(start, repeat)
    atoms.calc = calculator
    settings = {
        "ensemble": str(ensemble),
        "temperature": temperature,
        "pressure": pressure,
        "timestep": timestep,
        "log interval": log_interval,
    } | _unusual(held, steps)
    checkpoint = Checkpoint(saved, settings)
    length = checkpoint.load(atoms) if continued else None
    if not no_stop:
        _require_start(atoms, str(ensemble), None, saved if continued else start, model)
        defaults = default_limits(fitted, atoms)
        given = {name: limit for name, limit in limits.items() if limit is not None}
        limits |= defaults | given
    guard = _guard(atoms, limits, record)
    _require_start(atoms, str(ensemble), guard, saved if continued else start, model)
    if checkpoint.step > steps:
        raise CommandError(f"{saved} is at step {checkpoint.step} already; give more --steps.")
    if continued:
        velocities = f"and state of step {checkpoint.step} from {saved}"
    else:
        checkpoint.remove()
        velocities = "at random" if thermalize(atoms, temperature, seed) else f"from {start}"
    heat = f"{temperature:g}" + ("" if temperature_end is None else f" to {temperature_end:g}")
    plan = f"{ensemble.upper()}, {heat} K, {steps} steps of {timestep:g} fs"
    title(f"{len(atoms)} atoms, {atoms.get_chemical_formula()}: {plan}")
    say(f"  velocities {velocities}")
    if guard is not None:
        say(f"  {'stops' if record is None else 'records'} beyond {_limits_text(limits)}")
    say(HEADER)
    began = time.perf_counter()
    if _is_xyz(output):
        trajectory = TrajectoryFile(output, length, checkpoint.tail)
    else:
        trajectory = AseTrajectoryFile(output)
    told = checkpoint.step

    def on_step(step, trace):
        nonlocal told
        say(line(step, trace))
        bar.update(step - told)
        told = step

    with (
        _advice(output, trajectory, no_stop),
        trajectory,
        progress(steps - checkpoint.step, "md", unit="step") as bar,
    ):
        trace = run(
            atoms,
            steps,
            ensemble=str(ensemble),
            temperature=temperature,
            pressure=pressure,
            timestep=timestep,
            interval=log_interval,
            trajectory=trajectory,
            on_step=on_step,
            random_state=seed,
            checkpoint=checkpoint if _is_xyz(output) else None,
            guard=guard,
            thermostat=held.thermostat,
            barostat=held.barostat,
            thermostat_time=thermostat_time,
            barostat_time=barostat_time,
            last_temperature=temperature_end,
        )
    seconds = time.perf_counter() - began
    checkpoint.remove()
    if guard is not None and guard.n_recorded:
        say(f"\n{record}: {guard.n_recorded} frames beyond limits")
    speed = 1e6 * seconds / (max(steps - checkpoint.step, 1) * len(atoms))
    say(f"\nwrote {output}: {trajectory.n_frames} frames, {speed:.0f} µs per atom and step")
    if ensemble is Ensemble.nve:
        _print_drift(trace)
    elif ensemble is Ensemble.npt and trace.volume:
        half = trace.volume[len(trace.volume) // 2 :]
        say(f"mean volume of the second half: {sum(half) / len(half):.3f} Å³/atom")


def _unusual(held, steps):
    """Return the settings of the ensemble that are not the default, for the checkpoint."""
    usual = type(held)()._asdict()
    shown = {"name", "temperature", "pressure"}
    found = {k: v for k, v in held._asdict().items() if k not in shown and v != usual[k]}
    if held.last_temperature is not None:
        found["steps"] = steps  # the temperature changes evenly over this many
    return found


def _limits_text(limits):
    units = {"max_temperature": " K", "min_distance": " Å", "max_energy_std": " eV/atom",
             "max_forces_std": " eV/Å", "max_grade": ""}  # fmt: skip
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return ", ".join(f"{name} {limit:.3g}{units[name]}" for name, limit in given.items())


def _is_xyz(path):
    from skpot.md.frames import is_xyz

    return is_xyz(path)


def _print_drift(trace):
    if trace.time:
        lasted = trace.time[-1] - trace.time[0]
        say(f"drift of the total energy: {trace.drift():+.3f} meV/atom over {lasted:g} ps")


def _check_files(inputs, output, record):
    """Refuse outputs that cannot be written, are the same, or are read by the command."""
    from skpot.md.frames import require_appendable, require_xyz

    written = [path for path in (output, record) if path is not None]
    require_appendable(output)
    if record is not None:
        require_xyz(record)
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
def _advice(output, trajectory, no_stop):
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
        hint = "" if no_stop else ", or --no-stop to go on without limits"
        raise CommandError(
            f"the run was stopped at {error}. The model is not to be trusted there, and {output} "
            "ends there. Add such frames to the training set; other limits are options of this "
            f"command{hint}."
        ) from error
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
    f"{'step':>8}{'time':>9}{'T':>6}{'potential':>10}{'total':>10}{'forces std':>11}{'grade':>7}"
    f"{'closest':>8}\n"
    f"{'':8}{'ps':>9}{'K':>6}{'eV/atom':>10}{'eV/atom':>10}{'eV/Å':>11}{'':>7}{'Å':>8}"
)


def line(step: int, trace: "Trace") -> str:
    """Return the last entry of a trace as a line of the table."""
    return (
        f"{step:8d}{trace.time[-1]:9.3f}{trace.temperature[-1]:6.0f} {trace.potential[-1]:9.4f}"
        f" {trace.total[-1]:9.4f}{_or_dash(trace.forces_std[-1], '.3f'):>11}"
        f"{_or_dash(trace.grade[-1], '.2f'):>7}{_or_dash(trace.distance[-1], '.3f'):>8}"
    )


def _or_dash(value, form):
    return f"{value:{form}}" if math.isfinite(value) else "-"
