"""Cost of a frame where frames are small and many: BatchCalculator and the fit of a preset.

Frames are pairs of atoms in a box, labeled by a Morse potential. The exponent p of seconds ~
frames^p is taken between the smallest and the largest number of frames; above 1, something looks
at all frames for each of them. The last line compares `predict` of the preset with its compiled
form on the frames of the largest fit.
"""

from _common import arguments, elapsed, emit, measure, report_machine

OPTIONS = arguments(__doc__)

import numpy as np  # noqa: E402
from ase import Atoms  # noqa: E402

import skpot  # noqa: E402

SIZES = (200, 400) if OPTIONS.quick else (8000, 16_000, 32_000, 64_000)
DEPTH, WIDTH, CLOSEST = 1.0, 1.4, 2.4  # eV, 1/Å, Å


def labeled(n):
    """Return n frames and their labels."""
    rng = np.random.default_rng(0)
    distances = rng.uniform(2.0, 3.5, n)
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    frames = [
        Atoms("Si2", [np.zeros(3), d * u], cell=[9.0] * 3, pbc=True)
        for d, u in zip(distances, directions, strict=True)
    ]
    decay = np.exp(-WIDTH * (distances - CLOSEST))
    slope = 2.0 * DEPTH * WIDTH * (decay - decay**2)
    pull = slope[:, None] * directions
    return frames, skpot.Targets(
        DEPTH * ((1.0 - decay) ** 2 - 1.0), [np.array([p, -p]) for p in pull]
    )


def exponent(seconds):
    """Return the slope of log(seconds) over log(frames) between the ends."""
    return np.log(seconds[-1] / seconds[0]) / np.log(SIZES[-1] / SIZES[0])


def main():
    report_machine(OPTIONS, "ase")
    rounds = min(3, OPTIONS.rounds)
    frames, y = labeled(SIZES[-1])
    model = skpot.make_potential("fast").fit(frames[: SIZES[0]], y[: SIZES[0]])
    calculator = skpot.md.BatchCalculator(model)
    tasks = {
        "evaluate": lambda n: calculator.evaluate(frames[:n]),
        "fit": lambda n: skpot.make_potential("fast").fit(frames[:n], y[:n]),
    }
    for name, task in tasks.items():
        seconds = []
        for n in SIZES:
            _, timing = measure(lambda n=n, task=task: task(n), rounds, warm_up=int(n == SIZES[0]))
            seconds.append(elapsed(timing, OPTIONS.threads))
            record = {"bench": "small_frames", "task": name, "threads": OPTIONS.threads, **timing}
            emit(record | {"frames": n, "ms_per_frame": 1e3 * seconds[-1] / n}, OPTIONS.out)
        record = {"bench": "small_frames", "task": name, "exponent": exponent(seconds)}
        emit(record, OPTIONS.out)
    compiled = skpot.compile(model)
    _, by_steps = measure(lambda: model.predict(frames), rounds)
    _, at_once = measure(lambda: compiled.predict(frames), rounds)
    ratio = elapsed(by_steps, OPTIONS.threads) / elapsed(at_once, OPTIONS.threads)
    emit({"bench": "small_frames", "task": "predict", "over_compiled": ratio}, OPTIONS.out)


if __name__ == "__main__":
    main()
