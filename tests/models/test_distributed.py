"""Fits whose parts are tasks: on processes of this machine, and on a cluster of dask."""

import os
import signal

import ase.io
import joblib
import numpy as np
import pytest
from joblib.parallel import ThreadingBackend
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline, make_union

import skpot
from skpot.data import tasks
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
    monkeypatch.setattr("skpot.data.tasks.TASK_ATOMS", 60)
    monkeypatch.setattr("skpot.rows.folding._SHORTEST", 3.0)


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


def cross_validated():
    model = skpot.SparseGPRCV(n_sparse=20, kernel_params={"zeta": [2, 4]}, cv=3)
    return make_pipeline(skpot.SOAP(n_max=3, l_max=2), model)


def preset():
    """Return a preset as it is for large training sets, but for the number of references."""
    options = {"regressor__max_pairs": 0, "regressor__n_sparse": 40}
    return skpot.make_potential("fast").set_params(**options)


def n_executed(dask_worker):
    return dask_worker.state.executed_count


def assert_same_bits(one, other):
    """Compare everything that passes over structures have found."""
    regressors = [getattr(model[-1], "model_", model[-1]) for model in (one, other)]
    names = (
        "dual_coef_", "coef_", "posterior_factor_", "domain_factor_", "reference_features_",
        "largest_training_std_", "label_factors_", "label_shares_", "best_params_", "e0_",
    )  # fmt: skip
    compared = [(regressors, name) for name in names if hasattr(regressors[0], name)]
    of_fit = "calibration_", "species_factors_", "weight_"
    compared += [((one[-1], other[-1]), n) for n in of_fit if hasattr(one[-1], n)]
    assert len(compared) >= 4
    for both, name in compared:
        a, b = (getattr(model, name) for model in both)
        np.testing.assert_equal(b, a, err_msg=name)


@pytest.mark.parametrize("make", [preset, cross_validated, linear])
def test_tasks_give_the_model_of_one_process(make, stored, cluster):
    frames, labels = skpot.read(stored, lazy=True)
    alone = make().fit(frames, labels)
    with joblib.parallel_config("threading", n_jobs=2):
        in_threads = make().fit(frames, labels)
    before = cluster.run(n_executed)
    with joblib.parallel_config("dask"):
        on_cluster = make().fit(frames, labels)
    after = cluster.run(n_executed)
    assert all(after[w] > before[w] for w in before), "a worker had nothing to do"
    # Tasks are the same and their results come in the same order, wherever they ran.
    in_memory = make().fit(*skpot.read(stored))
    for model in (in_memory, in_threads, on_cluster):
        assert_same_bits(alone, model)


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


def make_mortal(name, killed):
    """Let this process, a worker, be killed in its first task of a name, unless a file exists."""
    worked = tasks.worked

    def mortal(function, *args):
        if function.__name__ == name and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return worked(function, *args)

    tasks.worked = mortal


@pytest.mark.parametrize("name", ["_folded", "_of_sparse"])  # rows; errors without a structure
def test_a_worker_that_is_killed_changes_nothing(name, stored, cluster, tmp_path):
    frames, labels = skpot.read(stored, lazy=True)
    alone = preset().fit(frames, labels)
    cluster.wait_for_workers(2)
    cluster.run(make_mortal, name, tmp_path / "killed")
    with joblib.parallel_config("dask"):
        model = preset().fit(frames, labels)
    assert (tmp_path / "killed").exists()
    assert_same_bits(alone, model)


def test_errors_of_tasks_reach_the_user(tmp_path, stored, cluster):
    path = tmp_path / "copy.xyz"
    path.write_text(stored.read_text())
    frames, labels = skpot.read(path, lazy=True)
    model = sparse().fit(frames, labels)
    features = model[0].transform(frames)
    path.write_text(stored.read_text() * 2)
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
