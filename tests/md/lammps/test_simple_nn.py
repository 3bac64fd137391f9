"""Potential files of SIMPLE-NN say what the model predicts."""

import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import skpot
from skpot import SOAP, AtomicMLP, SymmetryFunctions
from skpot.descriptors import SymmetryFunction, read_simple_nn
from skpot.md.lammps import write_simple_nn
from tests.naive import simple_nn as naive
from tests.samples import labeled

PARAMS = {
    "Si": "2 1 0 4.0 0.2 1.5 0.0\n2 2 0 3.5 0.1 0.0 0.0\n4 1 2 4.0 0.02 2.0 -1.0\n",
    "O": "2 1 0 4.0 0.2 0.0 0.0\n5 1 1 3.0 0.02 1.0 1.0\n",
}


def networks(**options):
    shape = dict(hidden_layer_sizes=(5, 4, 3), n_components=3, max_iter=3, calibrate=False)
    return AtomicMLP(**shape | options)


@pytest.mark.filterwarnings("ignore:.*occur twice")
@pytest.mark.parametrize("options", [{}, dict(n_members=3), dict(hidden_layer_sizes=4)])
def test_the_file_gives_predicted_energies(options, tmp_path):
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    for element, text in PARAMS.items():
        (tmp_path / f"params_{element}").write_text(text)
    functions = read_simple_nn({e: tmp_path / f"params_{e}" for e in PARAMS})
    model = make_pipeline(SymmetryFunctions(functions=functions), networks(**options)).fit(X, y)
    write_simple_nn(model, tmp_path / "potential")
    text = (tmp_path / "potential").read_text()
    assert text.splitlines()[0] == "O Si"
    for atoms, expected in zip(X[:3], model.predict(X[:3]).energy, strict=True):
        assert naive.energy(text, atoms) == pytest.approx(expected, rel=1e-11)


@pytest.mark.filterwarnings("ignore:.*occur twice")
@pytest.mark.parametrize(
    ("descriptor", "options", "message"),
    [
        (SOAP(3.0, 2, 1), {}, "SOAP and AtomicMLP"),
        (SymmetryFunctions(4.0), dict(activation="tanh"), "silu"),
        (SymmetryFunctions(4.0, cutoff_function="polynomial"), {}, "cosines"),
        (SymmetryFunctions(4.0, weighted=True), {}, "weighted=True"),
        (SymmetryFunctions(functions=[SymmetryFunction("G3", kappa=1.0)]), {}, "G3"),
    ],
)
def test_what_the_file_cannot_hold_is_refused(descriptor, options, message, tmp_path):
    X, y = labeled(["Si"], 2, per_atom=-2.5)
    model = make_pipeline(descriptor, networks(**options)).fit(X, y)
    with pytest.raises(ValueError, match=message):
        write_simple_nn(model, tmp_path / "potential")
    assert not list(tmp_path.iterdir())


def test_models_that_are_not_fitted_are_refused(tmp_path):
    model = make_pipeline(SymmetryFunctions(4.0), networks())
    with pytest.raises(NotFittedError, match="AtomicMLP"):
        write_simple_nn(model, tmp_path / "potential")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*occur twice")
def test_elements_without_symmetry_functions_are_refused(tmp_path):
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    functions = [SymmetryFunction("G2", "O", center="Si", eta=0.2, shift=1.5)]
    model = make_pipeline("passthrough", SymmetryFunctions(4.0, functions=functions), networks())
    with pytest.raises(ValueError, match="of each element, and O has none"):
        write_simple_nn(model.fit(X, y), tmp_path / "potential")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*occur twice")
def test_parameters_that_were_changed_after_the_fit_are_refused(tmp_path):
    X, y = labeled(["Si"], 2, per_atom=-2.5)
    model = make_pipeline(SymmetryFunctions(4.0), networks()).fit(X, y)
    model.set_params(symmetryfunctions__cutoff_function="tanh")
    with pytest.raises(ValueError, match="fit again"):
        write_simple_nn(model, tmp_path / "potential")
    assert skpot.compile(model).cutoff == 4.0  # the fit itself is as it was
