"""Memory that is free, as machines, containers and shells say it."""

import resource
import subprocess
import sys

import numpy as np
import pytest

import skpot
from skpot.processes.functionals import Functionals, covariance
from skpot.rows import memory
from skpot.rows.free_memory import available_memory
from tests import samples

GB = 10**9
MEMINFO = "MemTotal: 32000000 kB\nMemFree: 100000 kB\nMemAvailable: 8000000 kB\n"


def machine(root, files):
    for name, text in ({"proc/meminfo": MEMINFO} | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 8.192 * GB),
        # Version 2: a job below a limit, in a container that sees itself as the root, unlimited.
        (
            {
                "proc/self/cgroup": "0::/user/job\n",
                "sys/fs/cgroup/user/job/memory.max": "max\n",
                "sys/fs/cgroup/user/job/memory.current": "7\n",
                "sys/fs/cgroup/user/memory.max": f"{2 * GB}\n",
                "sys/fs/cgroup/user/memory.current": f"{GB}\n",
                "sys/fs/cgroup/user/memory.stat": f"anon 3\ninactive_file {GB // 4}\n",
            },
            1.25 * GB,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{3 * GB}\n",
                "sys/fs/cgroup/memory.current": f"{GB}\n",
            },
            2 * GB,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.current": f"{GB}\n",
            },
            8.192 * GB,
        ),
        # Version 1, the path being that outside of the container.
        (
            {
                "proc/self/cgroup": "9:cpu,memory:/docker/abc\n3:devices:/docker/abc\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{4 * GB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{3 * GB}\n",
                "sys/fs/cgroup/memory/memory.stat": f"cache 1\ntotal_inactive_file {GB // 2}\n",
            },
            1.5 * GB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/a/b\n",
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "5\n",
            },
            8.192 * GB,
        ),
        # More than allowed is in use.
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "5\n",
                "sys/fs/cgroup/memory.current": "9\n",
            },
            0.0,
        ),
        ({"proc/self/cgroup": "nonsense:0\n0::/\n", "proc/meminfo": "MemAvailable: 1 kB\n"}, 1024),
    ],
)
def test_the_least_limit_counts(tmp_path, files, expected):
    assert available_memory(machine(tmp_path, files)) == pytest.approx(expected)


def test_without_files_the_system_is_asked(tmp_path):
    assert available_memory(tmp_path) > 0


def test_the_limit_of_the_address_space_counts():
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_AS, (3 * 10**9, r.RLIM_INFINITY)); "
        "from skpot.rows.free_memory import available_memory; print(available_memory())"
    )
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < float(run.stdout) < 3 * GB


@pytest.fixture(scope="module")
def silicon():
    return samples.silicon(skpot.SOAP(n_max=3, l_max=2, normalize=False), n_train=10)[:2]


def test_memory_never_decides_the_solver(silicon, monkeypatch):
    features, y = silicon
    plans = []
    plan_exact = memory.plan_exact
    monkeypatch.setattr(
        "skpot.processes.exact.plan_exact", lambda *a: plans.append(plan_exact(*a)) or plans[-1]
    )
    for free in (GB // 650, GB, 100 * GB):
        monkeypatch.setattr(memory, "available_memory", lambda free=free: free)
        for model in (skpot.GPR(), skpot.GPR(solver="cg", n_precondition=50)):
            model.fit(features, y)
    # Each fit plans twice: what to hold, and then how to solve.
    for of_model in (plans[0::4], plans[1::4], plans[2::4], plans[3::4]):
        assert len({(p.dense, p.n_columns, p.n_references, p.single) for p in of_model}) == 1
    assert [p.store for p in plans[2::4]] != [plans[2].store] * 3  # what is held it decides
    with pytest.raises(ValueError, match=r"Use n_precondition=\d+"):
        skpot.GPR(solver="cg", n_precondition=500, max_memory=1e6).fit(features, y)
    with pytest.raises(ValueError, match='max_memory allows 0.1 MB. Use solver="cg"'):
        skpot.GPR(max_memory=1e5).fit(features, y)


def test_the_covariance_is_the_same_whatever_is_held(silicon):
    features, y = silicon
    model = skpot.GPR()
    training = model._prepare(features, y, None)
    functionals = Functionals(training)
    whole = covariance(model.kernel_, functionals, training.features)
    for n_bytes in (1.0, 2e5):
        part = covariance(model.kernel_, functionals, training.features, n_bytes)
        np.testing.assert_array_equal(part, whole)
