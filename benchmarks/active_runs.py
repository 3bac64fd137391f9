"""Runs that label by themselves, against molecular dynamics of the reference itself.

`skpot.active.OnTheFly` heats a structure with labels by a cheap reference. At every check of the
run the true error of the worst force is computed as well: checks with an error above `--large` eV/Å
at which the run did not ask for a label are missed. The last model is tested on the reference's own
run, the same ramp with other velocities, every 50th step; so is a model of as many frames drawn at
random from one more run of the reference, again with other velocities. `--failures` is the share of
labels that fail on purpose.

    python benchmarks/active_runs.py --system cu
"""

import atexit
import os
import tempfile
import time
import warnings
from pathlib import Path

from _common import arguments, emit, machine, versions

OPTIONS = arguments(
    __doc__,
    system=("cu", "cu, cuagau (EMT), si (LAMMPS, pair style sw), ethanol (GFN2-xTB, tblite)"),
    steps=(0, "steps of the run; those of the system by default"),
    tol=(0.0, "tolerance, eV/Å; that of the system by default"),
    large=(0.0, "eV/Å, errors that must not be missed; 0.3 for cu, else twice the tolerance"),
    preset=("fast", "of make_potential"),
    failures=(0.0, "share of the labels that fail"),
    calls=(200, "largest number of labels"),
    seed=(0, "of the run"),
    folder=("", "of the run; a temporary one by default"),
)

# Steps, fs, K, tolerance in eV/Å.
SYSTEMS = {
    "cu": (1500, 2.0, (300.0, 2400.0), 0.07),
    "cuagau": (1500, 2.0, (300.0, 2000.0), 0.8),
    "si": (3000, 2.0, (300.0, 3500.0), 0.3),
    "ethanol": (6000, 0.5, (300.0, 1200.0), 0.4),
}
_TIMES = 50  # steps between test frames
_LARGE = {"cu": 0.3}  # eV/Å, errors that must not be missed; twice the tolerance elsewhere


def begin():
    """Return the structure to start from and its calculator."""
    import numpy as np
    from ase.build import bulk, molecule

    if OPTIONS.system == "ethanol":
        from tblite.ase import TBLite

        return molecule("CH3CH2OH"), TBLite(method="GFN2-xTB", verbosity=0)
    if OPTIONS.system == "si":
        return bulk("Si", cubic=True) * (2, 2, 1), stillinger_weber()
    from ase.calculators.emt import EMT

    atoms = bulk("Cu", cubic=True) * 2
    if OPTIONS.system == "cuagau":
        symbols = np.array(["Cu", "Ag", "Au"])[np.arange(len(atoms)) % 3]
        atoms.symbols[:] = np.random.default_rng(0).permutation(symbols)
        atoms.set_cell(atoms.cell * 1.08, scale_atoms=True)
    return atoms, EMT()


def stillinger_weber():
    """Return LAMMPS as a calculator, with the potential of Phys. Rev. B 31, 5262 (1985)."""
    from ase.calculators.lammpslib import LAMMPSlib
    from mpi4py import MPI  # noqa: F401, by which LAMMPS finds its library of MPI

    from skpot.datasets.generate.silicon_sample import StillingerWeber

    with tempfile.NamedTemporaryFile("w", suffix=".sw", delete=False) as file:
        file.write(StillingerWeber.for_lammps())
    atexit.register(os.unlink, file.name)
    words = ["pair_style sw", f"pair_coeff * * {file.name} Si"]
    return LAMMPSlib(lmpcmds=words, atom_types={"Si": 1}, keep_alive=True, log_file=None)


def reference_run(atoms, calculator, settings, seed):
    """Return frames of a run of the reference, with labels."""
    from ase.calculators.singlepoint import SinglePointCalculator

    from skpot.md.dynamics import run, thermalize

    steps, timestep, (first, last), _ = settings
    atoms = atoms.copy()
    atoms.calc = calculator
    thermalize(atoms, first, seed)
    frames = []

    def keep(step, trace):
        frame = atoms.copy()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        frame.calc = SinglePointCalculator(frame, **labels)
        frames.append(frame)

    run(
        atoms, steps, ensemble="nvt", temperature=first, last_temperature=last, timestep=timestep,
        interval=_TIMES, on_step=keep, random_state=seed,
    )  # fmt: skip
    return frames


def watched(calculator):
    """Return what a run learned from its checks, with the true error of each."""
    import numpy as np

    from skpot.active import _walk

    checks = []
    original = _walk.Walker._checked

    def checked(walker, atoms, state, step):
        expected = original(walker, atoms, state, step)
        other = atoms.copy()
        other.calc = calculator
        forces = atoms.get_forces()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                error = np.linalg.norm(other.get_forces() - forces, axis=1).max()
            except Exception:  # the reference does not converge
                error = np.nan
        checks.append((expected, float(error), atoms.get_temperature()))
        return expected

    _walk.Walker._checked = checked
    return checks


def failing(calculator):
    """Return a function that labels, and fails on purpose as often as it is told to."""
    import numpy as np

    rng = np.random.default_rng(OPTIONS.seed)

    def label(atoms):
        if rng.random() < OPTIONS.failures:
            raise RuntimeError("on purpose")
        atoms.calc = calculator
        has_stress = "stress" in calculator.implemented_properties and atoms.pbc.all()
        stress = atoms.get_stress() if has_stress else None
        return atoms.get_potential_energy(), atoms.get_forces(), stress

    return label


def errors(model, frames):
    """Return the force errors (meV/Å) of a model on frames: of all, and of the hottest third."""
    from skpot import Targets, metrics

    y = Targets.from_atoms(frames)
    predicted = model.predict(frames)
    third = slice(2 * len(frames) // 3, None)
    return {
        "forces": 1e3 * metrics.forces_rmse(y, predicted),
        "hottest": 1e3 * metrics.forces_rmse(y[third], predicted[third]),
        "energy": 1e3 * metrics.energy_rmse(y, predicted),
    }


def main():
    import numpy as np

    import skpot
    from skpot.active import OnTheFly

    settings = list(SYSTEMS[OPTIONS.system])
    settings[0] = 200 if OPTIONS.quick else OPTIONS.steps or settings[0]
    settings[3] = OPTIONS.tol or settings[3]
    steps, timestep, heat, tol = settings
    atoms, calculator = begin()
    frames = reference_run(atoms, begin()[1], settings, 1000 + OPTIONS.seed)
    pool = reference_run(atoms, begin()[1], settings, 2000 + OPTIONS.seed)
    checks = watched(begin()[1])
    events = []
    with tempfile.TemporaryDirectory() as folder:
        learner = OnTheFly(
            failing(calculator), tol, OPTIONS.folder or Path(folder) / "run",
            model=skpot.make_potential(OPTIONS.preset), random_state=OPTIONS.seed,
            on_event=lambda what, text: events.append(what),
        )  # fmt: skip
        start, stopped = time.process_time(), ""
        try:
            learner.run(atoms, steps, temperature=heat, timestep=timestep, max_calls=OPTIONS.calls)
        except skpot.exceptions.SkpotError as error:
            stopped = str(error).partition(" What was learned")[0]
        seconds = time.process_time() - start
    expected, error, hot = np.array(checks).T
    large = error > (OPTIONS.large or _LARGE.get(OPTIONS.system, 2.0 * tol))
    rng = np.random.default_rng(OPTIONS.seed)
    n_good = learner.n_calls_ - events.count("failed")
    pick = rng.permutation(len(pool))[: max(4, n_good)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        some = [pool[i] for i in pick]
        random = skpot.make_potential(OPTIONS.preset).fit(some, skpot.Targets.from_atoms(some))
    emit(
        {
            "bench": "active_runs",
            "system": OPTIONS.system,
            "steps": steps,
            "preset": OPTIONS.preset,
            "tol": tol,
            "seed": OPTIONS.seed,
            "failures": OPTIONS.failures,
            "calls": learner.n_calls_,
            "failed": events.count("failed"),
            "models": events.count("model"),
            "returns": events.count("back"),
            "stopped": stopped or learner.stopped_,
            "checks": len(checks),
            "large": int(large.sum()),
            "missed_percent": 100.0 * float((large & (expected <= tol)).mean()),
            "hottest_K": float(hot.max()),
            "cpu_s": seconds,
            "errors": errors(learner.model_, frames),
            "random_errors": errors(random, frames),
            **machine(),
            **versions("skpot", "numpy", "ase", *(["lammps"] if OPTIONS.system == "si" else [])),
        },
        OPTIONS.out,
    )


if __name__ == "__main__":
    main()
