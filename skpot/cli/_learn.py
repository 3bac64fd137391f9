"""`skpot learn`."""

import contextlib
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from ._console import CommandError, command, say, title, wrapped
from ._md import Ensemble
from ._options import Preset


@command
def learn(
    output: Annotated[Path, Option("-o", "--output", help="Folder of the run.")],
    tol: Annotated[float, Option(min=1e-6, help="Error of a force that is tolerated, eV/Å.")],
    start: Annotated[
        list[str] | None,
        typer.Argument(help="Structures to start from: the last frame of each file."),
    ] = None,
    dump: Annotated[
        str | None,
        Option("--from", help="Dump of LAMMPS whose last frame is labeled and started from."),
    ] = None,
    species: Annotated[
        str | None, Option(help='With --from: elements of the atom types, as in "Si,O".')
    ] = None,
    calculator: Annotated[
        str | None,
        Option(help='Calculator of ASE that labels: "emt", "tblite:method=GFN2-xTB".'),
    ] = None,
    command_line: Annotated[
        str | None,
        Option("--command", help="Command that labels: reads structure.xyz, writes label.xyz."),
    ] = None,
    labels: Annotated[
        Path | None, Option("--labels", help="Folder into which labels will be dropped.")
    ] = None,
    patience: Annotated[
        float | None,
        Option(min=0.0, help="Seconds after which a label that has not come counts as failed."),
    ] = None,
    temperature: Annotated[
        str, Option(help='Temperature in K, or two for a ramp, as in "300:2400".')
    ] = "300",
    steps: Annotated[int, Option(min=1, help="Number of steps of each structure.")] = 1000,
    timestep: Annotated[float, Option(min=1e-6, help="Length of a step, fs.")] = 1.0,
    ensemble: Annotated[Ensemble, Option(help="What is constant.")] = Ensemble.nvt,
    pressure: Annotated[float, Option(help="Pressure for npt, GPa.")] = 0.0,
    data: Annotated[
        list[str] | None, Option(help="Labeled structures to begin with, instead of new labels.")
    ] = None,
    preset: Annotated[Preset, Option(help="Size of the model.")] = Preset.fast,
    check: Annotated[int, Option(min=1, help="Steps between checks of the deviations.")] = 10,
    ceiling: Annotated[
        float | None, Option(help="Expected error, eV/Å, beyond which no label is worth its cost.")
    ] = None,
    max_calls: Annotated[int | None, Option(min=1, help="Largest number of labels.")] = None,
    seed: Annotated[int, Option(min=0, help="Seed of velocities and thermostat.")] = 0,
    restart: Annotated[
        bool, Option("--restart", help="Continue the run in the folder, if there is one.")
    ] = False,
) -> None:
    """Run molecular dynamics by a model that asks for labels and learns.

    Where the expected error of a force exceeds the tolerance, the structure is labeled and a new
    model is fitted. The folder has trail.xyz with every label and its reason, pending.xyz while one
    is computed, all models, model.skpot, the last one, and report.html. A run that was killed is
    continued by the same command with --restart, and pays for no label twice; with more --steps it
    goes on beyond its end, unless the temperature follows a ramp. A label that fails, or does not
    come within --patience, is a record in trail.xyz, and the run goes on.

    With --from, a run of LAMMPS that has stopped where its model was not trusted goes on: the last
    frame of its dump is labeled, and a model learns from it and from --data.
    """
    from skpot.active import CommandLabeler, Futile, OnTheFly
    from skpot.compose import make_potential

    from ._report import read_file

    given = [one for one in (calculator, command_line, labels) if one is not None]
    if len(given) != 1:
        raise CommandError("labels need one of --calculator, --command and --labels.")
    if (output / "state.npz").exists() and not restart:
        raise CommandError(f"{output} has a run already; add --restart to continue it.")
    if output.exists() and not output.is_dir():
        raise CommandError(f"{output} is a file; name a folder.")
    heat = _temperatures(temperature)
    labeler: Any = labels
    if calculator is not None:
        labeler = _calculator(calculator)
    elif command_line is not None:
        labeler, patience = CommandLabeler(command_line, output / "labels", patience), None
    X, y, _ = read_file(data, {}) if data else (None, None, None)
    atoms = _starts(start, dump, species)
    if dump is not None and not data:
        raise CommandError("--from needs --data, the labeled structures of the model that stopped.")
    began = time.perf_counter()

    def tell(what, text):
        if what != "asked" or labels is not None:
            say(wrapped(text, f"{time.perf_counter() - began:8.1f} s  "))

    learner = OnTheFly(
        labeler, tol, output, model=make_potential(str(preset)), patience=patience, check=check,
        ceiling=ceiling, random_state=seed, on_event=tell,
    )  # fmt: skip
    text = ", ".join(one.get_chemical_formula() for one in atoms)
    title(f"{text}: {str(ensemble).upper()}, {temperature} K, {steps} steps of {timestep:g} fs")
    try:
        learner.run(
            atoms, steps, temperature=heat, timestep=timestep, ensemble=str(ensemble),
            pressure=pressure, X=X, y=y, label_start=dump is not None,
            max_calls=max_calls,
        )  # fmt: skip
    except BaseException as error:
        with contextlib.suppress(Exception):  # the reason why the run ended is what counts
            _report(output, tol)
        if isinstance(error, Futile):
            raise CommandError(f"{error} The same command with --restart continues it.") from None
        raise
    _report(output, tol)
    _finish(learner, output)


def _starts(files, dump, species):
    """Return the structures to start from."""
    from skpot.md.dynamics import read_structure
    from skpot.md.lammps import last_frame

    if (dump is None) == (not files):
        raise CommandError("name files of structures to start from, or a dump by --from.")
    if dump is None:
        if species is not None:
            raise CommandError("--species goes with --from.")
        return [read_structure(path) for path in files]
    return [last_frame(dump, None if species is None else species.split(","))]


def _temperatures(text):
    """Return one temperature or two."""
    try:
        found = tuple(float(part) for part in text.split(":"))
    except ValueError:
        found = ()
    if len(found) not in (1, 2):
        raise CommandError(f'--temperature must be like 300 or 300:2400, got "{text}".')
    return found if len(found) == 2 else found[0]


def _calculator(text):
    """Return a calculator of ASE by its name and options, as in "lj:sigma=3.4,epsilon=0.01"."""
    from skpot.data import named_calculator

    name, _, options = text.partition(":")
    parameters = {}
    for part in filter(None, options.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise CommandError(f"--calculator: {part!r} is no option such as sigma=3.4.")
        try:
            parameters[key] = json.loads(value)
        except json.JSONDecodeError:
            parameters[key] = value
    return named_calculator(name, **parameters)


def _report(folder, tol):
    """Write the page about the run, if plotly is installed."""
    from skpot.active import read_trail
    from skpot.exceptions import MissingDependencyError
    from skpot.reports import require_plotly, write_run_report

    trail, checks = folder / "trail.xyz", folder / "checks.jsonl"
    if not trail.exists() or not trail.stat().st_size:
        return
    try:
        require_plotly()
    except MissingDependencyError:
        return
    lines = checks.read_text(encoding="utf-8").splitlines() if checks.exists() else []
    frames = read_trail(trail)
    write_run_report(folder / "report.html", frames, [json.loads(line) for line in lines], tol)


def _finish(learner, folder):
    """Say what the run has left, and put the last model where it is found."""
    from skpot.active import read_trail
    from skpot.persistence import dump

    failed = sum("failed" in atoms.info for atoms in read_trail(folder / "trail.xyz"))
    title(f"{learner.n_calls_} labels" + f", {failed} of which failed" * (failed > 0))
    if learner.stopped_:
        say(f"ended early: {learner.stopped_}")
    if hasattr(learner, "model_"):
        dump(learner.model_, folder / "model.skpot")
        say(f"wrote {folder / 'model.skpot'}")
    say(f"wrote {folder / 'trail.xyz'}")
    if (folder / "report.html").exists():
        say(f"wrote {folder / 'report.html'}")
    else:
        say('for report.html, install plotly: python -m pip install "skpot[report]"')
