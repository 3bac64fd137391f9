"""`skpot demo`."""

import os
import time
from pathlib import Path
from typing import Annotated

from typer import Option

from ._console import CommandError, command, say, title

FILES = ("silicon.skpot", "parity.png", "md.png", "md.xyz")


@command
def demo(
    out: Annotated[Path, Option(help="Folder for the files, made if need be.")] = Path("demo"),
    quick: Annotated[
        bool,
        Option("--quick", help="Use small sizes, only to show that it works."),
    ] = False,
) -> None:
    """Fit a potential for silicon to the bundled data and run it.

    The demo runs a grid search by the errors of forces, prints errors on structures of other
    trajectories, draws a parity plot, and runs molecular dynamics of 64 atoms, first with a
    thermostat and then at constant energy.
    """
    began = time.perf_counter()
    _prepare(out)
    import numpy as np
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline

    from skpot.datasets import load_silicon
    from skpot.descriptors import SOAP
    from skpot.kernels import DotProduct
    from skpot.models import SparseGPR
    from skpot.persistence import dump
    from skpot.reports import predict_with_std

    from ._plots import md_plot, parity_plot
    from ._report import describe, error_table, search_table, uncertainty_table
    from ._search import searched
    from ._warmup import compile_all

    say("compiling (the first time only) ...")
    compile_all()

    data = load_silicon()
    describe("train: silicon, PBE", data.X, data.y)
    describe("test: other trajectories", data.X_test, data.y_test)

    grid = {
        "sparsegpr__kernel__zeta": [2, 4],
        "sparsegpr__sigma_forces": [0.003, 0.01, 0.03, 0.1],
    }
    soap, cv, n_sparse = SOAP(hypers="auto"), GroupKFold(4), 500
    if quick:
        grid = {"sparsegpr__kernel__zeta": [2, 4]}
        soap, cv, n_sparse = SOAP(hypers="fast"), GroupKFold(2), 100
    model = make_pipeline(soap, SparseGPR(DotProduct(), n_sparse))
    title(f"grid search: GroupKFold({cv.n_splits}) by trajectory, scoring neg_forces_rmse")
    search = searched(model, grid, data.X, data.y, list(cv.split(data.X, groups=data.groups)))
    search_table(search)

    model.set_params(**search.best_params_).fit(data.X, data.y)
    dump(model, out / "silicon.skpot")
    title("errors of the best model")
    y_pred, std = predict_with_std(model, data.X_test)
    error_table({
        "train": (data.X, data.y, model.predict(data.X)),
        "test": (data.X_test, data.y_test, y_pred),
    })  # fmt: skip
    say("")
    uncertainty_table(data.X_test, data.y_test, y_pred, std)
    parity_plot(data.X_test, data.y_test, y_pred, std.energy, out / "parity.png")

    n_steps = (20, 30) if quick else (500, 2000)
    trace, n_equilibration = _dynamics(data, model, out / "md.xyz", n_steps)
    md_plot(trace, out / "md.png", n_equilibration)
    total = 1000.0 * np.asarray(trace.total)[n_equilibration:]
    duration = trace.time[-1] - trace.time[n_equilibration]
    say(
        f"NVE, {duration:.2g} ps: drift {trace.drift(n_equilibration):+.3f} meV/atom, "
        f"largest deviation {np.abs(total - total[0]).max():.3f} meV/atom"
    )
    _farewell(out, time.perf_counter() - began)


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


def _farewell(out, seconds):
    folder = os.path.relpath(out)
    say(f"\nwrote {', '.join(FILES)} to {folder}/ in {seconds:.0f} s. What next:")
    say(f"  look    {folder}/parity.png, {folder}/md.png; ase gui {folder}/md.xyz")
    say(f"  run it  skpot md {folder}/silicon.skpot {folder}/md.xyz --temperature 900 -o hot.xyz")
    say("  yours   skpot fit train.xyz -o model.skpot --test-fraction 0.1")
