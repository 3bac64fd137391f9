"""Fitted models in LAMMPS: the library returns what the model predicts."""

import numpy as np
import pytest
from ase.build import bulk
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

import skpot
from skpot.cli import app
from skpot.core.processors import own_kind
from skpot.datasets import load_ethanol
from skpot.md.lammps import _plugin
from tests.md.lammps.program import run
from tests.md.lammps.test_heat_flux import found_flux
from tests.md.lammps.test_plugin import rattled
from tests.samples import oxide

X86 = own_kind() == "x86-64"


def small_soap(**settings):
    return skpot.SOAP(**{"cutoff": 4.0, "n_max": 4, "l_max": 3} | settings)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model of four species, its library, and the output of the command that wrote it."""
    rng = np.random.default_rng(0)
    X, y, _, _ = load_ethanol(return_X_y=True)
    crystals = [rattled(oxide(), seed) for seed in range(3)]
    meaningless = [rng.normal(size=(len(atoms), 3)) for atoms in crystals]
    labels = np.concatenate([y[:20], skpot.Targets(rng.normal(size=3), meaningless)])
    e0 = dict(zip("HCO", y.energy[:3], strict=True)) | {"Si": -5.0}
    soap = skpot.SOAP(cutoff=4.0, n_max=4, l_max=3)
    model = make_pipeline(soap, skpot.SparseGPR(n_sparse=90, e0=e0)).fit(
        [*X[:20], *crystals], labels
    )
    folder = tmp_path_factory.mktemp("model")
    skpot.dump(model, folder / "model.skpot")
    args = ["export", "lammps", folder / "model.skpot", "-o", folder / "model.so", "--grades"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_plugin, "plugin_folder", lambda: str(folder))
        result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    assert "once: skpot lammps build-plugin" in result.output
    return model, folder / "model.so", result.output


def test_references_in_single_precision(tmp_path):
    data = skpot.datasets.load_silicon()
    model = skpot.make_potential("fast").fit(data.X[:10], data.y[:10])
    potential = skpot.compile(model, data.X_test[:2], dtype="float32")
    skpot.md.lammps.export(potential, tmp_path / "model.so", cpu="x86-64-v2" if X86 else "portable")
    assert (tmp_path / "model.so").is_file()


def slab():
    """Two layers of the oxide, periodic in their plane only."""
    atoms = rattled(oxide(), 8)
    cell = atoms.cell.array
    cell[2] = [0.0, 0.0, cell[2, 2] + 12.0]
    atoms.set_cell(cell)
    atoms.positions[:, 2] += 6.0
    atoms.pbc = [True, True, False]
    return atoms


STRUCTURES = {
    "silicon": lambda: rattled(bulk("Si", cubic=True) * (3, 2, 2)),
    "primitive": lambda: rattled(bulk("Si") * (2, 1, 1)),
    "ethanol": lambda: load_ethanol().X_test[-1],
    "oxide": lambda: rattled(oxide(), 9),
    "slab": slab,
}


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("name", STRUCTURES)
def test_lammps_gives_what_the_model_predicts(name, n_ranks, exported, plugins, tmp_path):
    model, path, output = exported
    atoms = STRUCTURES[name]()
    symbols = sorted(set(atoms.symbols))
    assert f"pair_style skpot {path}" in output
    potential = f"""
pair_style skpot {path}
pair_coeff * * {" ".join(symbols)}
fix grades all pair 1 skpot grade 1
dump grades all custom 1 grades.txt id f_grades
dump_modify grades sort id format float %.17g
"""
    result = run(tmp_path, atoms, symbols, potential, n_ranks=n_ranks, plugins=plugins)
    predicted, frame = model.predict([atoms]), result.frames[0]
    np.testing.assert_allclose(result.thermo["PotEng"], predicted.energy, rtol=1e-10)
    np.testing.assert_allclose(frame.energies.sum(), predicted.energy[0], rtol=1e-10)
    np.testing.assert_allclose(frame.forces, predicted.forces[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(frame.virials.sum(axis=0), result.virial[0], rtol=0, atol=1e-9)
    if atoms.cell.rank == 3:  # a slab in a cell with vacuum too
        atoms.calc = skpot.Calculator(model)
        np.testing.assert_allclose(atoms.get_stress(), predicted.stress[0], rtol=0, atol=1e-10)
        virial = -predicted.stress[0] * atoms.get_volume()
        np.testing.assert_allclose(result.virial[0], virial, rtol=0, atol=1e-8)
    grades = np.loadtxt((tmp_path / "grades.txt").read_text().splitlines()[9:])[:, 1]
    expected = model[-1].extrapolation_grade(model[:-1].transform([atoms]))
    np.testing.assert_allclose(grades, expected, rtol=1e-5, atol=1e-6)


def test_the_heat_flux_is_that_in_ase(exported, plugins, tmp_path):
    model, path, _ = exported
    atoms = rattled(oxide(), 9)
    potential = f"pair_style skpot {path}\npair_coeff * * C O Si\n"
    velocities, flux = found_flux(tmp_path, atoms, ["C", "O", "Si"], potential, plugins, n_ranks=2)
    atoms.calc = skpot.Calculator(model)
    atoms.set_velocities(velocities)  # in Å/ps, since only the part is compared that is linear
    total, convective = skpot.md.heat_flux(atoms)
    scale = np.abs(flux).max()
    np.testing.assert_allclose(flux[:3] - flux[3:], total - convective, rtol=0, atol=1e-9 * scale)


def failing(*args):
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_errors_of_the_command(exported, tmp_path, monkeypatch):
    _, path, _ = exported
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


def test_a_start_that_does_not_fit_leaves_nothing_behind(exported, tmp_path):
    model, output = exported[1].with_name("model.skpot"), tmp_path / "model.so"
    broken = bulk("Si", cubic=True)
    broken.positions[3, 1] = np.nan
    wrong = {"species Cu did not occur in fit": bulk("Cu"), "position": broken}
    for message, atoms in wrong.items():
        start = tmp_path / "start.xyz"
        atoms.write(start)
        assert message in failing("export", "lammps", model, "-o", output, "--start", start)
        assert list(tmp_path.iterdir()) == [start]
