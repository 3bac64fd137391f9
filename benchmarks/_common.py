"""What the benchmarks share: timing, peak memory, the machine's own rates, one JSON line a figure.

Nothing but the standard library is imported at the top, because peers run this file too and the
number of threads must be fixed before numpy is loaded.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout's own skpot

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


_USUAL = {
    "data": "folder with the files",
    "train": "training file in it",
    "test": "test files in it",
    "frames": "training structures taken from the start",
    "every": "take every so many test structures",
    "references": "reference environments, or those of the preconditioner",
    "preset": "of make_potential",
    "seeds": "repetitions, each with a seed of its own",
    "cutoff": "Å",
    "sigma_energy": "noise, eV/atom",
    "sigma_forces": "noise, eV/Å",
}


def usual(**defaults):
    """Return options that several benchmarks have, for `arguments`, with these defaults."""
    return {name: (default, _USUAL[name]) for name, default in defaults.items()}


def thread_settings(n):
    """Return the environment variables that fix the number of threads."""
    # A thread that waits must not burn CPU time.
    return {name: str(n) for name in _THREAD_VARIABLES} | {"OMP_WAIT_POLICY": "passive"}


def arguments(description, **options):
    """Parse the command line, and restart with the number of threads asked for.

    Keyword arguments are further options: name=(default, help).
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads; 0 takes all cores")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds; medians are printed")
    parser.add_argument("--quick", action="store_true", help="one round on tiny systems")
    parser.add_argument("--out", help="append the JSON lines to this file")
    for name, (default, text) in options.items():
        flag = "--" + name.replace("_", "-")
        kind = str if default is None else type(default)
        parser.add_argument(flag, type=kind, default=default, help=text)
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    options.threads = options.threads or os.cpu_count()
    wanted = thread_settings(options.threads)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    return options


def measure(function, rounds=7, warm_up=1):
    """Return the last result and median CPU and wall seconds of several calls."""
    for _ in range(warm_up):
        result = function()
    cpu, wall = [], []
    for _ in range(rounds):
        result = None  # two results at once would be counted as memory of the kernel
        t, c = time.perf_counter(), time.process_time()
        result = function()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - t)
    return result, {
        "cpu_s": statistics.median(cpu),
        "cpu_min_s": min(cpu),
        "wall_s": statistics.median(wall),
        "wall_min_s": min(wall),
        "rounds": rounds,
    }


def elapsed(timing, threads):
    """Return the seconds to compare with a floor: CPU on one thread, wall on several."""
    return timing["cpu_s"] if threads == 1 else timing["wall_s"]


class StageClock:
    """CPU and wall seconds of named stages, measured by wrapping the functions that do them.

    Stages may nest: each is charged with what its inner stages are not.
    """

    def __init__(self):
        self.cpu, self.wall = {}, {}
        self._inside = []

    @contextlib.contextmanager
    def stage(self, name):
        self._inside.append([0.0, 0.0])
        c, t = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            cpu, wall = time.process_time() - c, time.perf_counter() - t
            inner = self._inside.pop()
            self.cpu[name] = self.cpu.get(name, 0.0) + cpu - inner[0]
            self.wall[name] = self.wall.get(name, 0.0) + wall - inner[1]
            if self._inside:
                self._inside[-1][0] += cpu
                self._inside[-1][1] += wall

    @contextlib.contextmanager
    def wrapping(self, *places):
        """Charge calls of `owner.attribute` to `name`, for each (owner, attribute, name)."""
        saved = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in places]
        for (owner, attribute, original), (_, _, name) in zip(saved, places, strict=True):
            setattr(owner, attribute, self._wrapped(original, name))
        try:
            yield self
        finally:
            for owner, attribute, original in saved:
                setattr(owner, attribute, original)

    def _wrapped(self, original, name):
        def call(*args, **kwargs):
            with self.stage(name):
                return original(*args, **kwargs)

        return call


def peak_mb():
    """Return this process's peak resident memory in MB (10^6 bytes)."""
    return _maxrss_mb(resource.getrusage(resource.RUSAGE_SELF))


def _maxrss_mb(usage):
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return usage.ru_maxrss * unit / 1e6


def run_child(command, threads=1, cwd=None):
    """Run a command to its end; return its output and what it used.

    The figures are those of this very child (wait4). Linux lets a child's peak memory begin at that
    of the parent it was forked from, so the caller should be small: call this from a process
    that has not imported numpy.
    """
    environment = os.environ | thread_settings(threads)
    t = time.perf_counter()
    child = subprocess.Popen(
        [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment, cwd=cwd,
    )  # fmt: skip
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - t
    if child.returncode:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}:\n{output[-3000:]}")
    return output, {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": wall,
        "peak_mb": _maxrss_mb(usage),
    }


def run_again(options, mode, *flags, show=True):
    """Run the same script in a child, in one of its modes; return its records and what it used.

    With `show`, what the child prints is printed.
    """
    command = [sys.executable, Path(sys.argv[0]).resolve(), *sys.argv[1:], "--mode", mode, *flags]
    output, used = run_child(command, options.threads)
    if show:
        print(output, end="", flush=True)
    return json_lines(output), used


def json_lines(output):
    """Return the records among the lines a child printed."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def machine_rates(rounds=5, size=1024):
    """Measure what this machine can do now: flop/s of a matrix product, bytes/s of a copy.

    The best of several rounds, on as many threads as numpy takes; CPU time on one thread.
    """
    import numpy as np

    a = np.random.default_rng(0).random((size, size))
    source = np.ones(8_000_000)
    target = np.empty_like(source)
    single = os.environ.get("OMP_NUM_THREADS") == "1"
    key = "cpu_min_s" if single else "wall_s"
    _, product = measure(lambda: a @ a, rounds)
    _, copy = measure(lambda: np.copyto(target, source), rounds)
    return {
        "dgemm_gflops": 2.0 * size**3 / product[key] / 1e9,
        "copy_gb_s": 2.0 * source.nbytes / copy[key] / 1e9,
    }


def floor_seconds(flops, n_bytes, rates):
    """Return the time below which a kernel cannot be on a machine with such rates."""
    return max(flops / (rates["dgemm_gflops"] * 1e9), n_bytes / (rates["copy_gb_s"] * 1e9))


def versions(*names):
    """Return the versions of Python and of installed packages, and with skpot its commit."""
    found = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if "skpot" in names:
        import skpot  # which is light, and need not be installed

        found["skpot"] = skpot.__version__
        found |= {"commit": commit} if (commit := checkout_commit()) else {}
    return found


def checkout_commit():
    """Return the short commit of this checkout, with a plus if skpot or a benchmark differs.

    The empty string stands for a folder that is no checkout.
    """
    root = Path(__file__).resolve().parent.parent

    def git(*words):
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        commit = git("rev-parse", "--short", "HEAD").stdout.strip()
        changed = git("diff", "--quiet", "HEAD", "--", "skpot", "benchmarks/*.py").returncode
    except OSError:  # no git
        return ""
    return commit + "+" if commit and changed else commit


def machine():
    """Describe the machine, without its name."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, AttributeError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = re.search(r"model name\s*: (.*)", text).group(1)
    return {"cpu": model, "cores": os.cpu_count(), "os": platform.system()}


def report_machine(options, *packages, rates=True):
    """Emit the record that describes the run, and return the machine's rates, or an empty dict.

    It has the versions of these packages and of what all benchmarks use.
    """
    found = machine_rates(3 if options.quick else 7) if rates else {}
    about = machine() | versions("skpot", "numpy", "numba", *packages)
    emit({"bench": "machine", "threads": options.threads, **found, **about}, options.out)
    return found


def emit(record, out=None):
    """Print a record as one JSON line and append it to a file."""
    line = json.dumps({k: _short(v) for k, v in record.items()})
    print(line, flush=True)
    if out:
        with open(out, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def _short(value):
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return value
