"""`skpot doctor`."""

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from ._console import CommandError, command, say, title

_PACKAGES = (
    "numpy", "scipy", "numba", "scikit-learn", "ase", "joblib", "skops", "threadpoolctl",
    "matplotlib",
)  # fmt: skip


@command
def doctor() -> None:
    """Show what skpot runs on and test its derivatives; exit code 1 if something is wrong."""
    from threadpoolctl import threadpool_info

    from skpot import __version__
    from skpot.core import environment

    problems = []
    title("versions")
    for name, what in [
        ("python", platform.python_version()),
        ("skpot", __version__),
        *((name, _version(name)) for name in _PACKAGES),
    ]:
        say(f"  {name:16}{what}")

    title("self-test: derivatives, invariances, threads, pickle")
    for symbols in (["Si"], ["Si", "O", "H", "C"]):
        start = time.perf_counter()
        try:
            self_test(symbols)
            outcome = f"passed, {time.perf_counter() - start:.1f} s"
        except AssertionError as error:
            outcome = f"FAILED: {error}"
            problems.append(f"the self-test of {', '.join(symbols)} failed")
        say(f"  {', '.join(symbols):16}{outcome}")

    title("machine")  # after the self-test, which starts the threads
    folder, writable = environment.compiled_cache()
    say(f"  {'cores':16}{_cores()}")
    say(f"  {'numba threads':16}{environment.n_threads_available()}")
    for library in threadpool_info():
        what = f"{library['internal_api']} {library['version'] or ''}".strip()
        say(f"  {library['user_api']:16}{what}, {library['num_threads']} threads")
    say(f"  {'compiled cache':16}{folder or 'none'}{'' if writable else ' (NOT WRITABLE)'}")
    if not writable:
        problems.append(
            "compiled functions cannot be kept: set NUMBA_CACHE_DIR to a folder of yours"
        )
    if problems:
        raise CommandError("; ".join(problems) + ".")
    say("\nall is well")


def self_test(symbols: Sequence[str]) -> None:
    """Raise AssertionError unless a small fitted potential keeps its promises."""
    import numpy as np
    from sklearn.pipeline import make_pipeline

    from skpot.data import Targets
    from skpot.descriptors import SOAP
    from skpot.models import SparseGPR
    from skpot.testing import check_potential, sample_structures

    X = sample_structures(symbols)
    rng = np.random.default_rng(0)
    y = Targets(
        [-4.0 * len(atoms) + rng.normal() for atoms in X],
        [0.5 * rng.normal(size=(len(atoms), 3)) for atoms in X],
    )
    soap = SOAP(cutoff=3.5, n_max=3, l_max=3)
    e0 = dict.fromkeys(symbols, -4.0)
    check_potential(make_pipeline(soap, SparseGPR(n_sparse=20, e0=e0)).fit(X, y), X)


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cores():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
