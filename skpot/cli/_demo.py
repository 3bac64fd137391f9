"""`skpot demo`."""

import os
import time
from pathlib import Path
from typing import Annotated

from typer import Option

from ._console import CommandError, command, say, title

FILES = ("silicon.skpot", "report.html", "parity.png", "md.png", "md.xyz")


@command
def demo(
    out: Annotated[Path, Option(help="Folder for the files, made if need be.")] = Path("demo"),
    quick: Annotated[
        bool,
        Option("--quick", help="Use small sizes, only to show that it works."),
    ] = False,
) -> None:
    """Go from data to molecular dynamics of silicon, as with data of your own.

    The demo checks the bundled labels, and labels with a mistake; it fits a potential, tests it on
    structures of other trajectories, writes a report, and runs molecular dynamics of 64 atoms,
    first with a thermostat and then at constant energy.
    """
    began = time.perf_counter()
    _prepare(out)
    import numpy as np

    from skpot.compose import make_potential
    from skpot.datasets import load_silicon
    from skpot.persistence import dump
    from skpot.reports import predict_with_std

    from ._plots import md_plot, parity_plot
    from ._report import describe, error_table, kinds_of, uncertainty_table
    from ._warmup import compile_all

    say("compiling (the first time only) ...")
    compile_all()

    data = load_silicon()
    describe("train: silicon, PBE", data.X, data.y)
    describe("test: other trajectories", data.X_test, data.y_test)
    _check(data)

    preset = "fast" if quick else "default"
    title(f'fit: make_potential("{preset}")')
    start = time.perf_counter()
    model = make_potential(preset).fit(data.X, data.y)
    say(f"  {time.perf_counter() - start:.1f} s for {len(data.X)} structures")
    dump(model, out / "silicon.skpot")

    title("errors")
    y_pred, std = predict_with_std(model, data.X_test)
    error_table({
        "train": (data.X, data.y, model.predict(data.X)),
        "test": (data.X_test, data.y_test, y_pred),
    })  # fmt: skip
    say("")
    uncertainty_table(data.X_test, data.y_test, y_pred, std)
    kinds = kinds_of(data.X_test)
    parity_plot(data.X_test, data.y_test, y_pred, std.energy, out / "parity.png", kinds)
    has_page = _report(data, model, y_pred, std, out / "report.html")

    n_steps = (20, 30) if quick else (500, 2000)
    trace, n_equilibration = _dynamics(data, model, out / "md.xyz", n_steps)
    md_plot(trace, out / "md.png", n_equilibration)
    total = 1000.0 * np.asarray(trace.total)[n_equilibration:]
    duration = trace.time[-1] - trace.time[n_equilibration]
    say(
        f"NVE, {duration:.2g} ps: drift {trace.drift(n_equilibration):+.3f} meV/atom, "
        f"largest deviation {np.abs(total - total[0]).max():.3f} meV/atom"
    )
    _farewell(out, time.perf_counter() - began, has_page)


def _check(data):
    """Show what the check says of the labels, and of such with a mistake."""
    from skpot.checks import check
    from skpot.data import Targets

    title("check: is anything wrong with the labels?")
    say(str(check(data.X, data.y)))
    title("the same energies in kcal/mol, as a mistake would have them")
    say(str(check(data.X, Targets(23.0605 * data.y.energy, data.y.forces, data.y.stress))))


def _report(data, model, y_pred, std, path):
    """Write the page about the errors; return whether there is one."""
    from skpot.exceptions import MissingDependencyError
    from skpot.reports import write_report

    try:
        write_report(
            path, model, data.X_test, data.y_test, X_train=data.X, y_train=data.y, y_pred=y_pred,
            std=std, title="Silicon: a potential of skpot",
        )  # fmt: skip
    except MissingDependencyError as error:
        say(f"no report: {error}")
        return False
    return True


def _prepare(out):
    """Create the folder; refuse one that holds other files."""
    if out.is_dir() and any(out.iterdir()) and not (out / FILES[0]).exists():
        raise CommandError(f"{out} holds other files; name another folder with --out.")
    out.mkdir(parents=True, exist_ok=True)


def _dynamics(data, model, path, n_steps):
    """Run 64 atoms with a thermostat, then without; return trace and start of the second part."""
    from skpot.md import Calculator
    from skpot.md.dynamics import run, thermalize
    from skpot.md.frames import TrajectoryFile

    from ._md import HEADER, line

    perfect = [i for i, atoms in enumerate(data.X) if atoms.info["config_type"] == "eos"]
    lowest = min(perfect, key=lambda i: data.y.energy[i] / len(data.X[i]))
    atoms = data.X[lowest].repeat((2, 2, 2))
    atoms.calc = Calculator(model)
    thermalize(atoms, 600.0)  # half of it becomes potential energy of the perfect crystal
    plan = f"NVT {n_steps[0]} fs, then NVE {n_steps[1]} fs"
    title(f"molecular dynamics: {len(atoms)} atoms, 300 K, {plan}")
    say(HEADER)
    shown = max(1, sum(n_steps) // 150) * 10

    def on_step(step, trace):
        step = round(1000 * trace.time[-1])  # a step takes 1 fs
        if step % shown == 0:
            say(line(step, trace))

    with TrajectoryFile(path) as trajectory:
        settings = {"temperature": 300.0, "trajectory": trajectory, "on_step": on_step}
        trace = run(atoms, n_steps[0], ensemble="nvt", **settings)
        n_equilibration = len(trace.time) - 1
        run(atoms, n_steps[1], ensemble="nve", trace=trace, **settings)
    return trace, n_equilibration


def _farewell(out, seconds, has_page):
    folder = os.path.relpath(out)
    files = [name for name in FILES if has_page or name != "report.html"]
    say(f"\nwrote {', '.join(files)} to {folder}/ in {seconds:.0f} s.")
    say("What next:")
    page = f"{folder}/report.html in a browser, " if has_page else ""
    say(f"  look    {page}{folder}/parity.png, {folder}/md.png")
    say(f"  run it  skpot md {folder}/silicon.skpot {folder}/md.xyz --temperature 900 -o hot.xyz")
    say("  yours   skpot check train.xyz")
    say("          skpot fit train.xyz -o model.skpot --test-fraction 0.1")
