"""Whether trust in a run is deserved: deviations and grades against errors, and where runs stop.

`--parts ranks`: a preset learns from a few frames of a cold reference run, then drives a run that
is heated. The rank correlation (Spearman) of the largest atomic error of the forces with the
largest deviation by draws of the posterior, and with the largest grade, tells whether these see
errors coming; frames of 3BPA at 600 K are taken from `--data` instead. A frame's deviation is also
summed over its atoms (`sum`). `ceiling` is the correlation that errors drawn with these deviations
would have, and `exact` are deviations by formula. Ethanol needs tblite.

`--parts stops`: `skpot md` runs 64 atoms of silicon at 300, 3500 and 8000 K with its own limits.
The record has exit code, time, and the closest distance at the end.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import arguments, emit, machine, usual, versions

OPTIONS = arguments(
    __doc__,
    **usual(seeds=1),
    parts=("ranks,stops", "which of them"),
    sets=("cu,cuagau,ethanol", "of the ranks; and 3bpa"),
    data=("", "folder that has 3bpa/train_300K.xyz and 3bpa/test_600K.xyz.gz"),
    presets=("fast", "of make_potential"),
    frames=(40, "training frames; 100 of 3bpa"),
    picoseconds=(20.0, "length of the run at 300 K"),
)

import numpy as np  # noqa: E402
from ase import units  # noqa: E402
from ase.build import bulk, molecule  # noqa: E402
from ase.io import read, write  # noqa: E402
from ase.md.langevin import Langevin  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402

import skpot  # noqa: E402
from skpot.md.dynamics import thermalize  # noqa: E402

HOTTEST = {"cu": 2000.0, "cuagau": 2000.0, "ethanol": 1200.0}  # K
EXPLODED = 60.0  # eV/Å


def reference(name):
    """Return the calculator that labels a set."""
    if name == "ethanol":
        from tblite.ase import TBLite

        return TBLite(method="GFN2-xTB", verbosity=0)
    from ase.calculators.emt import EMT

    return EMT()


def structure(name, seed):
    if name == "ethanol":
        return molecule("CH3CH2OH")
    atoms = bulk("Cu", cubic=True, a=3.61 if name == "cu" else 3.95).repeat((2, 2, 2))
    if name == "cuagau":
        kinds = ["Cu"] * 11 + ["Ag"] * 11 + ["Au"] * 10
        atoms.symbols = np.random.default_rng(seed).permutation(kinds)
    return atoms


def labeled(name, frames):
    """Return the labels of frames, up to the first that the reference refuses or that exploded."""
    from ase.calculators.calculator import CalculationFailed

    energy, forces = [], []
    for atoms in frames:
        atoms = atoms.copy()
        atoms.calc = reference(name)
        try:
            found = atoms.get_potential_energy(), atoms.get_forces()
        except (CalculationFailed, RuntimeError):  # such as "SCF not converged"
            break
        if np.abs(found[1]).max() > EXPLODED:
            break
        energy.append(found[0])
        forces.append(found[1])
    return frames[: len(energy)], skpot.Targets(np.array(energy), forces)


def trajectory(name, calculator, n, every, first, last, seed):
    """Return frames of a run whose temperature goes from first to last (K)."""
    atoms = structure(name, seed)
    atoms.calc = calculator
    thermalize(atoms, first, seed)
    step = (0.5 if name == "ethanol" else 2.0) * units.fs
    motion = Langevin(
        atoms, step, temperature_K=first, friction=0.01 / units.fs,
        rng=np.random.RandomState(seed),
    )  # fmt: skip
    frames = []
    for k in range(n):
        motion.set_temperature(temperature_K=first + (last - first) * k / n)
        try:
            motion.run(every)
        except ValueError:  # atoms met
            break
        frames.append(atoms.copy())
    return frames


def of_set(name, preset, seed):
    """Return a fitted model, and frames with their labels."""
    if name == "3bpa":
        folder = Path(OPTIONS.data) / "3bpa"
        X, y = skpot.read(folder / "train_300K.xyz")
        some = np.random.default_rng(seed).permutation(len(X))[:100]
        model = skpot.make_potential(preset).fit([X[i] for i in some], y[some])
        X, y = skpot.read(folder / "test_600K.xyz.gz")
        some = slice(0, None, max(1, len(X) // 150))
        return model, X[some], y[some]
    half = OPTIONS.frames // 2
    cold = [
        atoms
        for k, kelvin in enumerate((300.0, 600.0))
        for atoms in trajectory(name, reference(name), half + 5, 20, kelvin, kelvin, 2 * seed + k)[
            5:
        ]
    ]
    X, y = labeled(name, cold)
    model = skpot.make_potential(preset).fit(X, y)
    n = 12 if OPTIONS.quick else 120
    driven = skpot.Calculator(model)
    return model, *labeled(name, trajectory(name, driven, n, 10, 300.0, HOTTEST[name], 100 + seed))


def ranks(name, preset, seed):
    """Return the record of one set."""
    model, X, y = of_set(name, preset, seed)
    predicted, exact = model.predict(X, return_std="all")
    error = np.linalg.norm(predicted.forces_flat - y.forces_flat, axis=1)
    potential = skpot.compile(model, deviations=True, grades=True)
    batch_std = potential.forces_std(X)
    features = model[:-1].transform(X)
    grade = model[-1].extrapolation_grade(features)
    begins = np.cumsum([0, *map(len, X)])[:-1]
    worst = np.maximum.reduceat(error, begins)

    def correlations(values):
        largest = np.maximum.reduceat(values, begins)
        total = np.add.reduceat(values**2, begins)
        return {
            "frames": spearmanr(largest, worst)[0],
            "sum": spearmanr(total, worst)[0],
            "atoms": spearmanr(values, error)[0],
        }

    std = np.linalg.norm(batch_std, axis=1)
    by_formula = np.linalg.norm(exact.forces_flat, axis=1)
    rng, would_be = np.random.default_rng(0), []
    for _ in range(20):
        drawn = np.linalg.norm(rng.standard_normal((len(std), 3)) * exact.forces_flat, axis=1)
        largest = np.maximum.reduceat(by_formula, begins)
        would_be.append(spearmanr(largest, np.maximum.reduceat(drawn, begins))[0])
    return {
        "bench": "trust ranks",
        "set": name,
        "preset": preset,
        "seed": seed,
        "frames": len(X),
        "rmse_forces_eV_A": float(np.sqrt(np.mean((predicted.forces_flat - y.forces_flat) ** 2))),
        "draws": correlations(std),
        "exact": correlations(by_formula),
        "grade": correlations(grade),
        "ceiling": float(np.mean(would_be)),
        "draws_over_exact": np.quantile(std / by_formula, [0.05, 0.5, 0.95]).tolist(),
        "draws_exact_correlation": spearmanr(std, by_formula)[0],
    }


def stops(preset, folder):
    """Yield the records of runs of silicon."""
    data = skpot.datasets.load_silicon()
    model = skpot.make_potential(preset).fit(data.X, data.y)
    skpot.dump(model, folder / "model.skpot")
    write(folder / "start.xyz", bulk("Si", cubic=True).repeat((2, 2, 2)))
    for kelvin, picoseconds in ((3500, 5.0), (8000, 5.0), (300, OPTIONS.picoseconds)):
        steps = 40 if OPTIONS.quick else int(1000 * picoseconds)
        begin = time.perf_counter()
        command = [
            sys.executable, "-m", "skpot.cli", "md", "model.skpot", "start.xyz", "--force",
            "--temperature", str(kelvin), "--steps", str(steps), "-o", "run.xyz",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        last = read(folder / "run.xyz", -1)
        distances = last.get_all_distances(mic=True)[np.triu_indices(len(last), 1)]
        said = re.findall(r"stopped at (.*?) is passed", " ".join(done.stderr.split()))
        yield {
            "bench": "trust stops",
            "preset": preset,
            "kelvin": kelvin,
            "steps_asked_for": steps,
            "exit_code": done.returncode,
            "picoseconds": float(last.info["time_ps"]),
            "closest_A": float(distances.min()),
            "said": said[0] if said else "",
            "seconds": time.perf_counter() - begin,
        }


def main():
    import warnings

    warnings.simplefilter("ignore", UserWarning)
    common = machine() | versions("skpot", "numpy", "scipy", "numba", "ase")
    for preset in OPTIONS.presets.split(","):
        if "ranks" in OPTIONS.parts:
            for name in OPTIONS.sets.split(","):
                for seed in range(OPTIONS.seeds):
                    emit(ranks(name, preset, seed) | common, OPTIONS.out)
        if "stops" in OPTIONS.parts:
            with tempfile.TemporaryDirectory() as folder:
                for record in stops(preset, Path(folder)):
                    emit(record | common, OPTIONS.out)


if __name__ == "__main__":
    main()
