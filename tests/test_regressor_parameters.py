"""Parameters of regressors: checked in fit, and without influence on what was fitted."""

import copy

import numpy as np
import pytest
from ase.calculators.morse import MorsePotential
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skpot
from skpot import kernels
from skpot._sklearn import InvalidParameterError
from skpot.exceptions import SkpotError
from tests import registry
from tests.test_contract import assert_identical, ids, input_of, labels_of

REGRESSORS = registry.REGRESSORS | registry.MOLECULAR_REGRESSORS | registry.STRUCTURE_REGRESSORS

# Another valid value of each parameter, by the last part of its name.
OTHERS = {
    "activation": "tanh",
    "alpha": 3.7,
    "baseline": "zbl",
    "batch_size": 3,
    "block": (0, 1),
    "calculator": MorsePotential,
    "calibrate": False,
    "compression": "tensor",
    "cutoff": 2.5,
    "cv": 4,
    "degree": 2,
    "e0": {"Si": 11.0, "C": 12.0, "O": 13.0, "H": 14.0},
    "estimator": skpot.SparseGPR(n_sparse=3),
    "early_stopping": True,
    "exponent": 3,
    "hidden_layer_sizes": (5, 4),
    "jitter": 1e-6,
    "k1": kernels.RBF(9.0),
    "k2": kernels.RBF(8.0),
    "kernel": kernels.Matern(5.0),
    "kernel_params": {"variance": [7.0]},
    "learning_rate_init": 0.1,
    "length_scale": 0.3,
    "length_scale_bounds": "fixed",
    "max_iter": 7,
    "max_memory": 3e8,
    "max_pairs": 7.0,
    "method": "isotonic",
    "n_components": 3,
    "n_directions": 2,
    "n_iter_no_change": 2,
    "n_jobs": 2,
    "n_members": 2,
    "n_precondition": 5,
    "n_sparse": 4,
    "noise": 0.7,
    "nu": 3.5,
    "optimizer": None,
    "penalty": "ridge",
    "permutations": [[1, 0, 2, 3, 4, 5]],
    "random_state": 9,
    "scoring": "neg_energy_rmse",
    "selection": "random",
    "sigma_energy": 3.0,
    "sigma_forces": 4.0,
    "sigma_stress": 5.0,
    "solver": "cg",
    "subsample": 7,
    "targets": ("energy",),
    "tol": 0.3,
    "validation_fraction": 0.4,
    "variance": 6.0,
    "variance_bounds": "fixed",
    "verbose": 0,
    "warm_start": True,
    "whitening": 0.9,
    "zeta": 3,
}


def everything(model, X, y):
    """Return all that a fitted model says, as arrays by name."""
    model = copy.deepcopy(model)  # nothing is at hand but what was learned
    said = {"predict": model.predict(X)}
    if hasattr(model, "predict_std"):
        said["energies"], said["std"] = model.predict(X, return_std="all")
        said["grade"] = model.extrapolation_grade(X)
    elif isinstance(model, skpot.CalibratedPotential):
        said["energies"], said["std"] = model.predict(X, return_std="all")
    if hasattr(model, "decompose"):
        said |= {f"decompose {name}": part for name, part in model.decompose(X).items()}
    if hasattr(model, "leave_one_out"):
        said["leave one out"] = model.leave_one_out(X, y)
    if hasattr(model, "sample_dual_coef"):
        said["sample"] = model.sample_dual_coef(3, random_state=0)
    return {name: arrays(value) for name, value in said.items()}


def arrays(value):
    if isinstance(value, skpot.Targets):
        return [value.energy, value.forces_flat, *([] if value.stress is None else [value.stress])]
    return [np.asarray(value)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ids(REGRESSORS))
def test_parameters_set_after_the_fit_change_nothing(estimator, structures, features, targets):
    X = input_of(estimator, structures, features)
    y = labels_of(estimator, targets)
    model = clone(estimator).fit(X, y)
    before = everything(model, X, y)
    for name in model.get_params():
        last = name.split("__")[-1]
        if last not in OTHERS:
            assert name.startswith("estimator__"), f"OTHERS has no value for {name}"
            continue
        old = model.get_params()[name]
        model.set_params(**{name: OTHERS[last]})
        for said, values in everything(model, X, y).items():
            assert_identical(values, before[said])
        model.set_params(**{name: old})


@pytest.mark.parametrize(
    "name", ["SparseGPR-sum", "GPR", "LinearRidge-quadratic", "AutoGPR", "AtomicMLP"]
)
def test_compiled_forms_do_not_depend_on_parameters_set_after_the_fit(name, structures, targets):
    model = make_pipeline(registry.DESCRIPTORS["SOAP"], clone(REGRESSORS[name]))
    model.fit(structures, targets)
    before = skpot.compile(model).evaluate(structures)
    for parameter in model[-1].get_params(deep=False):
        model[-1].set_params(**{parameter: OTHERS[parameter]})
    assert_identical(skpot.compile(model).evaluate(structures), before)


NAN, INF = float("nan"), float("inf")
TWICE = {"Si": 2, "C": 1, "O": 1, "H": 1, 14: 3}
BAD = {
    "alpha": [0.0, -1.0, NAN, "ridge", {"features": NAN}, {"no": 1.0}],
    "e0": [{"Si": "x"}, {"Si": NAN}, {"Si": None}, {"Xx": 1.0}, {None: 1.0}, {1.5: 1.0}, "atoms"],
    "kernel": ["rbf", kernels.RBF, 3],
    "n_sparse": [
        0,
        1.5,
        {},
        {"Si": -1},
        {"Si": 2.5},
        {"Si": "a"},
        {"Xx": 3},
        {None: 3},
    ],
    "selection": ["best", [0, 0], [-1], [10**9], [0.5], [[1, 2]], []],
    "jitter": [0.0, NAN, 1.0],
    "max_memory": [0.0, NAN, -1.0],
    "sigma_energy": [0.0, NAN, INF, {"default": NAN}, {"default": INF}, {"default": "x"}, "x"],
    "sigma_forces": [-1.0, {"default": -1.0}, {"other": 1.0}, 1e-200, 1e200],
    "targets": [(), ("energies",), (1,), "energy"],
    "kernel_params": [{"no_such": [1]}, {"variance": [NAN]}, {"variance": [-1.0]}],
    "tol": [0.0, NAN],
    "noise": [0.0, NAN, INF],
    "n_members": [0, 1.5],
    "method": ["best"],
}
BAD["e0"].append(TWICE)
BAD["n_sparse"] += [TWICE, {"Si": True}]
BAD["kernel_params"] += [{"variance": []}, {"variance": 2.0}]
for number in ("jitter", "max_memory", "n_sparse", "noise", "sigma_energy", "tol"):
    BAD[number].append(True)
BAD_KERNELS = [
    *(kernels.RBF(True), kernels.Matern(1.0, variance=True), kernels.DotProduct(True)),
    *(kernels.RBF(value) for value in (0.0, -1.0, NAN, INF, 1e-300, 1e300, "x", [1.0, NAN], [])),
    *(kernels.Matern(1.0, 2.5, value) for value in (0.0, -1.0, NAN, INF, 1e-300, 1e300, None)),
    *(kernels.Matern(nu=value) for value in (0.5, NAN, 2)),
    *(kernels.DotProduct(value) for value in (0, 1.5, -2, 10**30)),
    *(
        kernels.RBF(length_scale_bounds=value)
        for value in ((NAN, 1), (-1, 1), (2, 1), (1,), (0, INF), "free", ("a", "b"))
    ),
    *(kernels.RBF(block=value) for value in ((0, 99), (2, 1), (0.5, 2), (0, 1, 2), "none")),
    kernels.RBF(variance=-1.0) + kernels.RBF(),
    (kernels.RBF() * kernels.RBF(NAN)) ** 2,
    kernels.Exponentiation(kernels.RBF(), 0),
]


@pytest.mark.parametrize(
    "name", ["SparseGPR", "SparseGPRCV", "GPR", "AutoGPR-sparse", "LinearRidge"]
)
def test_parameters_that_make_no_sense_are_refused_by_name(name, features, targets):
    own = REGRESSORS[name].get_params(deep=False)
    for parameter in BAD.keys() & own.keys():
        for value in BAD[parameter]:
            model = clone(REGRESSORS[name]).set_params(**{parameter: value})
            refused(model, features, targets, f"{parameter}={value!r}")


@pytest.mark.parametrize("kernel", BAD_KERNELS, ids=repr)
@pytest.mark.parametrize("name", ["SparseGPR", "GPR-evidence", "AutoGPR"])
def test_kernels_that_make_no_sense_are_refused(name, kernel, features, targets):
    model = clone(REGRESSORS[name]).set_params(kernel=kernel)
    refused(model, features, targets, repr(kernel))


def refused(model, features, targets, what):
    try:
        model.fit(features, targets)
    except (SkpotError, InvalidParameterError) as error:
        assert "\n\n" not in str(error)
        assert not any(name.endswith("_") for name in vars(model))
    else:
        pytest.fail(f"{what} was accepted")


def test_a_kernel_by_name_points_to_the_kernels(features, targets):
    with pytest.raises(ValueError, match=r"a kernel of skpot\.kernels, such as"):
        skpot.SparseGPR("rbf").fit(features, targets)
