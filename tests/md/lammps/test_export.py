"""Fitted models in LAMMPS: the library gives what the model predicts."""

import numpy as np
import pytest
from ase.build import bulk
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

import skpot
from skpot.cli import app
from skpot.datasets import load_ethanol, load_silicon
from tests.md.lammps.program import run
from tests.md.lammps.test_plugin import oxide, rattled


def small_soap(**settings):
    return skpot.SOAP(**{"cutoff": 4.0, "n_max": 4, "l_max": 3} | settings)


def silicon():
    X, y, _, _ = load_silicon(return_X_y=True)
    return make_pipeline(small_soap(), skpot.SparseGPR(n_sparse=60)).fit(X[:12], y[:12])


def ethanol():
    X, y, _, _ = load_ethanol(return_X_y=True)
    return make_pipeline(small_soap(n_max=3), skpot.SparseGPR(n_sparse=90)).fit(X[:20], y[:20])


def mixture():
    """A model of three species fitted to labels of no meaning."""
    rng = np.random.default_rng(0)
    X = [rattled(oxide(), seed) for seed in range(4)]
    y = skpot.Targets(rng.normal(size=4), [rng.normal(size=(len(x), 3)) for x in X])
    return make_pipeline(small_soap(n_max=3), skpot.SparseGPR(n_sparse=40)).fit(X, y)


MODELS = {
    "silicon": (silicon, lambda: rattled(bulk("Si", cubic=True) * (3, 2, 2))),
    "primitive": (silicon, lambda: rattled(bulk("Si") * (2, 1, 1))),
    "ethanol": (ethanol, lambda: load_ethanol().X_test[-1]),
    "mixture": (mixture, lambda: rattled(oxide(), 9)),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function from names to a fitted model and its library, by the command line."""
    done = {}

    def make(fit):
        if fit not in done:
            folder = tmp_path_factory.mktemp("model")
            model = fit()
            skpot.dump(model, folder / "model.skpot")
            args = ["export", "lammps", folder / "model.skpot", "-o", folder / "model.so"]
            result = CliRunner().invoke(app, [*map(str, args), "--grades"])
            assert result.exit_code == 0, result.output
            done[fit] = model, folder / "model.so", result.output
        return done[fit]

    return make


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_lammps_gives_what_the_model_predicts(name, n_ranks, exported, plugins, tmp_path):
    fit, structure = MODELS[name]
    model, path, output = exported(fit)
    atoms = structure()
    symbols = sorted(set(atoms.symbols))
    assert f"pair_style skpot {path}" in output
    potential = f"pair_style skpot {path}\npair_coeff * * {' '.join(symbols)}\n"
    result = run(tmp_path, atoms, symbols, potential, n_ranks=n_ranks, plugins=plugins)
    predicted, frame = model.predict([atoms]), result.frames[0]
    np.testing.assert_allclose(result.thermo["PotEng"], predicted.energy, rtol=1e-10)
    np.testing.assert_allclose(frame.energies.sum(), predicted.energy[0], rtol=1e-10)
    np.testing.assert_allclose(frame.forces, predicted.forces[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(frame.virials.sum(axis=0), result.virial[0], rtol=0, atol=1e-9)
    if atoms.pbc.all():
        virial = -predicted.stress[0] * atoms.get_volume()
        np.testing.assert_allclose(result.virial[0], virial, rtol=0, atol=1e-8)


def test_grades_of_a_model(exported, plugins, tmp_path):
    model, path, _ = exported(silicon)
    atoms = rattled(bulk("Si", cubic=True) * (3, 2, 2))
    potential = f"""
pair_style skpot {path}
pair_coeff * * Si
fix grades all pair 1 skpot grade 1
dump grades all custom 1 grades.txt id f_grades
dump_modify grades sort id format float %.17g
"""
    run(tmp_path, atoms, ["Si"], potential, n_ranks=2, plugins=plugins)
    grades = np.loadtxt((tmp_path / "grades.txt").read_text().splitlines()[9:])[:, 1]
    expected = model[-1].extrapolation_grade(model[:-1].transform([atoms]))
    np.testing.assert_allclose(grades, expected, rtol=1e-5, atol=1e-6)


def failing(*args):
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_errors_of_the_command(exported, tmp_path, monkeypatch):
    _, path, _ = exported(silicon)
    model, output = path.with_name("model.skpot"), tmp_path / "model.so"
    assert "model.so exists already; add --force" in failing("export", "lammps", model, "-o", path)
    assert "knows no processor 'pentium9'" in failing(
        "export", "lammps", model, "-o", output, "--cpu", "pentium9"
    )
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no-such-compiler was not found" in failing("export", "lammps", model, "-o", output)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler was not found" in failing("lammps", "build-plugin")
    assert not output.exists()
