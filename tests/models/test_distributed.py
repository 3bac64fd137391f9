"""Fits whose parts are tasks: on processes of this machine, and on a cluster of dask."""

import os
import signal
import threading
import time

import ase.io
import joblib
import numpy as np
import pytest
from joblib.parallel import ThreadingBackend
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline, make_union

import skpot
from skpot.datasets import load_silicon
from skpot.exceptions import InputError

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    data = load_silicon()
    path = tmp_path_factory.mktemp("data") / "silicon.xyz"
    ase.io.write(path, data.y[:60].to_atoms(data.X[:60]))
    return path


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    """Cut fits into tasks that are shorter than pays."""
    monkeypatch.setattr("skpot.rows.folding.TASK_ATOMS", 64)


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def sparse():
    return make_pipeline(skpot.SOAP(n_max=3, l_max=2), skpot.SparseGPR(n_sparse=40))


def linear():
    basis = make_union(skpot.PairBasis(5.0, r_min=1.5), skpot.TripletBasis(4.0, r_min=1.5))
    return make_pipeline(basis, skpot.LinearRidge(alpha=0.1))


def assert_equal(one, other, X):
    a, b = one.predict(X), other.predict(X)
    assert np.abs(a.energy - b.energy).max() <= 1e-10 * np.abs(a.energy).max()
    assert np.abs(a.forces_flat - b.forces_flat).max() <= 1e-10 * np.abs(a.forces_flat).max()
    shares = [model[-1].label_shares_ for model in (one, other)]
    assert np.allclose(*([*share.values()] for share in shares), rtol=1e-10)
    assert other[-1].n_labels_ == one[-1].n_labels_


@pytest.mark.parametrize("make", [sparse, linear])
def test_tasks_give_the_model_of_one_process(make, stored, cluster):
    frames, labels = skpot.read(stored, lazy=True)
    alone = make().fit(frames, labels)
    with joblib.parallel_config("threading", n_jobs=2):
        in_threads = make().fit(frames, labels)
    before = cluster.run(time.process_time)
    with joblib.parallel_config("dask"):
        on_cluster = make().fit(frames, labels)
    after = cluster.run(time.process_time)
    assert all(after[w] > before[w] + 0.1 for w in before), "a worker had nothing to do"
    assert_equal(alone, on_cluster, frames)
    # Tasks are the same and are merged in the same order, wherever they ran.
    name = "dual_coef_" if make is sparse else "coef_"
    expected = getattr(alone[-1], name)
    in_memory = make().fit(*skpot.read(stored))
    for model in (in_memory, in_threads, on_cluster):
        assert np.array_equal(getattr(model[-1], name), expected)


class ListsOnly(ThreadingBackend):
    """A back end such as that of Ray, which returns all results together."""

    supports_return_generator = False


def test_back_ends_that_return_lists_do_the_same(stored, tmp_path):
    joblib.register_parallel_backend("lists", ListsOnly)
    frames, labels = skpot.read(stored, lazy=True)
    alone = sparse().fit(frames, labels)
    with joblib.parallel_config("lists", n_jobs=2):
        model = sparse().fit(frames, labels)
        skpot.evaluate(model, frames, tmp_path / "out.xyz")
    assert np.array_equal(model[-1].dual_coef_, alone[-1].dual_coef_)
    assert len(skpot.Frames(tmp_path / "out.xyz")) == len(frames)


def test_a_worker_that_is_killed_changes_nothing(stored, cluster):
    frames, labels = skpot.read(stored, lazy=True)
    alone = sparse().fit(frames, labels)
    before = cluster.run(os.getpid)
    killed = []

    def kill():
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            busy = [worker for worker, tasks in cluster.processing().items() if tasks]
            if busy:
                os.kill(before[busy[0]], signal.SIGKILL)
                killed.append(before[busy[0]])
                return
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    with joblib.parallel_config("dask"):
        model = sparse().fit(frames, labels)
    killer.join()
    assert killed
    assert_equal(alone, model, frames)


def test_errors_of_tasks_reach_the_user(tmp_path, stored, cluster):
    path = tmp_path / "copy.xyz"
    path.write_text(stored.read_text())
    frames, labels = skpot.read(path, lazy=True)
    model = sparse().fit(frames, labels)
    features = model[0].transform(frames)
    reads, read = [], skpot.Frames.read

    def changed(self, rows):
        reads.append(1)
        if len(reads) == 3:
            path.write_text(stored.read_text() * 2)
        return read(self, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skpot.Frames, "read", changed)
        with (
            joblib.parallel_config("dask"),
            pytest.raises(InputError, match=r"copy\.xyz has changed"),
        ):
            skpot.SparseGPR(n_sparse=10).fit(features, labels)


@pytest.mark.parametrize("computed", [False, True])
def test_a_search_sends_its_data_to_each_worker_once(stored, cluster, monkeypatch, computed):
    X, y = skpot.read(stored)
    make, name = sparse, "sparsegpr__n_sparse"
    if computed:
        X, make, name = sparse()[0].fit_transform(X), lambda: sparse()[1], "n_sparse"
    sent = []
    for data in (X, y):
        kind = type(data)
        reduce = kind.__reduce_ex__

        def counted(self, protocol, name=kind.__name__, reduce=reduce):
            sent.append(name)
            return reduce(self, protocol)

        monkeypatch.setattr(kind, "__reduce_ex__", counted, raising=False)
    search = GridSearchCV(make(), {name: [5, 6, 7, 8]}, cv=3, refit=False)
    with joblib.parallel_config("dask"):
        search.fit(X, y)
    # Twelve tasks; each of the two workers needs the data once.
    assert sent.count(type(X).__name__) <= 2 and sent.count("Targets") <= 2
    scores = cross_val_score(make().set_params(**{name: 5}), X, y, cv=3)
    assert np.allclose(search.cv_results_["mean_test_score"][0], scores.mean(), rtol=1e-12)
