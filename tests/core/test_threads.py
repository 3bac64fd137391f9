"""Compiled code under threads, forks and read-only installations; each in its own process."""

import os
import subprocess
import sys
import textwrap

import pytest

FIT = """
    import numpy as np, skpot
    from sklearn.pipeline import make_pipeline
    from skpot.testing import sample_structures
    X = [a for seed in range(6) for a in sample_structures(["Si", "O"], random_state=seed)[:3]]
    rng = np.random.default_rng(0)
    y = skpot.Targets(rng.normal(size=len(X)), [rng.normal(size=(len(a), 3)) for a in X])
    soap = skpot.SOAP(3.0, 3, 2, 0.4, cache=False)
    model = make_pipeline(soap, skpot.SparseGPR(n_sparse=20)).fit(X, y)
"""


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FIT + code)],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_model_does_not_depend_on_the_number_of_threads():
    code = """
    p = model.predict(X)
    print(*(float(v).hex() for v in [*p.energy, *p.forces_flat.ravel()]))
    """
    one, two = (
        [float.fromhex(v) for v in run(code, NUMBA_NUM_THREADS=n, OMP_NUM_THREADS=n).split()]
        for n in "12"
    )
    assert len(one) > 100
    assert one == pytest.approx(two, rel=1e-10, abs=1e-10)


def test_nor_does_the_exact_model():
    code = """
    from skpot.kernels import RBF
    gpr = skpot.GPR(RBF(0.3), solver="cg", n_precondition=20, tol=0.01)
    p = make_pipeline(soap, gpr).fit(X, y).predict(X)
    print(*(float(v).hex() for v in [*p.energy, *p.forces_flat.ravel()]))
    """
    one, two = (
        [float.fromhex(v) for v in run(code, NUMBA_NUM_THREADS=n, OMP_NUM_THREADS=n).split()]
        for n in "12"
    )
    assert one == pytest.approx(two, rel=1e-10, abs=1e-10)


def test_python_threads_do_not_abort():
    code = """
    from concurrent.futures import ThreadPoolExecutor
    expected = model.predict(X).energy
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: model.predict(X).energy, range(8)))
    print(max(float(abs(r - expected).max()) for r in results))
    """
    assert float(run(code, NUMBA_NUM_THREADS="2")) < 1e-10


def test_a_fork_after_parallel_work_does_not_die():
    code = """
    import multiprocessing
    expected = model.predict(X).energy
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map(model.predict, [X, X])
    print(max(float(abs(r.energy - expected).max()) for r in results))
    """
    assert float(run(code, NUMBA_NUM_THREADS="2", OMP_NUM_THREADS="2")) < 1e-10


@pytest.mark.parametrize("launcher", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_one_of_many_ranks_is_serial(launcher):
    code = "from skpot.core._jit import n_threads; print(n_threads())"
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_NUM_THREADS"}

    def threads(**more):
        command, env = [sys.executable, "-c", code], {**environment, **more}
        return int(subprocess.run(command, env=env, capture_output=True, check=True).stdout)

    assert threads(**{launcher: "2"}) == 1
    assert threads(**{launcher: "1"}) == threads()
    assert threads(**{launcher: "2", "NUMBA_NUM_THREADS": "2"}) == 2  # as asked for


def test_importing_skpot_compiles_and_loads_nothing():
    code = "import sys, skpot; print([m for m in ('numba', 'ase', 'sklearn') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
