import re
import subprocess
import sys
import time

import ase.io
import numpy as np
import pytest
import typer.main
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skpot
from skpot.cli import app
from skpot.cli._telling import complain
from skpot.data import LABEL_KINDS
from skpot.datasets import load_silicon
from skpot.kernels import RBF
from skpot.metrics import calibration_error, residual_report
from skpot.metrics._uncertainty import errors_and_deviations
from skpot.reports import predict_with_std
from tests.commands import copper, error, run
from tests.project import loaded_heavy_packages


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    ase.io.write(folder / "train.xyz", copper(12))
    ase.io.write(folder / "test.xyz", copper(4, seed=1))
    result = run("fit", folder / "train.xyz", "-o", folder / "model.skpot", "--preset", "fast")
    assert result.exit_code == 0, result.output
    return folder


def test_help_is_quick_and_lists_the_commands():
    command = [sys.executable, "-m", "skpot.cli", "--help"]
    subprocess.run(command, capture_output=True, check=True)  # bytecode and disk cache
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 3.0  # about 0.3 s on an idle machine
    for name in "fit evaluate predict select learn info relax md ipi warmup".split():
        assert f"  {name} " in result.stdout


def test_help_imports_nothing_heavy():
    assert not loaded_heavy_packages("import skpot.cli")


@pytest.mark.parametrize("name", sorted(typer.main.get_command(app).commands))
def test_help_is_complete_and_fits_a_narrow_terminal(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run(name, "--help")
    assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= 80
    command = typer.main.get_command(app).commands[name]
    for part in getattr(command, "commands", {name: command}).values():
        assert part.help or part.short_help, part.name
        assert not [p.name for p in part.params if not p.help and p.name != "help"], part.name


def test_version():
    assert run("--version").output.strip() == f"skpot {skpot.__version__}"


def test_what_was_read_is_told(folder):
    frames = copper(6)
    for atoms in frames[:4]:
        atoms.info["MACE_energy"] = 1.0
    ase.io.write(folder / "told.xyz", frames)
    result = run("evaluate", folder / "model.skpot", folder / "told.xyz")
    assert result.exit_code == 0, result.output
    assert "read     energy: 'energy' in 6 frames, 0-5" in result.output
    assert "not read energy: 'MACE_energy' in 4 frames, 0-3" in result.output
    assert result.output.count("warning: ") == 1 and "--energy-key MACE_energy" in result.output
    for atoms in frames:
        atoms.info["REF_energy"] = 1.0
    ase.io.write(folder / "told.xyz", frames)
    result = run("evaluate", folder / "model.skpot", folder / "told.xyz")
    assert result.exit_code == 1 and "--energy-key REF_energy" in result.output


def test_evaluate_agrees_with_the_metrics(folder):
    plot = folder / "parity.png"
    result = run("evaluate", folder / "model.skpot", folder / "test.xyz", "--plot", plot)
    assert result.exit_code == 0, result.output
    assert plot.stat().st_size > 10_000
    assert not list(folder.glob("*.tmp*"))
    X, y = skpot.read(folder / "test.xyz")
    y_pred = skpot.load(folder / "model.skpot").predict(X)
    row = next(line.split() for line in result.output.splitlines() if line.startswith("all "))
    assert float(row[4]) == pytest.approx(skpot.metrics.forces_rmse(y, y_pred), abs=1e-4)
    assert float(row[2]) == pytest.approx(1e3 * skpot.metrics.energy_rmse(y, y_pred), abs=1e-2)


@pytest.mark.parametrize("ensemble", ["nve", "nvt", "npt"])
def test_md(folder, ensemble):
    target = folder / f"{ensemble}.xyz"
    result = run(
        "md", folder / "model.skpot", folder / "test.xyz", "--steps", 6, "--log-interval", 3,
        "--ensemble", ensemble, "-o", target,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    frames = ase.io.read(target, ":")
    assert len(frames) == 3
    assert [atoms.info["time_ps"] for atoms in frames] == [0.0, 0.003, 0.006]
    assert frames[0].info["energy_std"] > 0  # deviations are for the first of every 1000 steps
    assert "energy_std" not in frames[1].info
    assert frames[1].get_forces().shape == (4, 3)
    assert frames[1].get_kinetic_energy() > 0
    assert ("drift" in result.output) == (ensemble == "nve")
    assert not list(folder.glob(".*.tmp"))


@pytest.fixture(scope="module")
def silicon(folder):
    """Return the names of a preset's model and of a crystal to start from."""
    data = load_silicon()
    skpot.dump(skpot.make_potential("fast").fit(data.X[:60], data.y[:60]), folder / "si.skpot")
    ase.io.write(folder / "si.xyz", bulk("Si", a=5.45, cubic=True))
    return folder / "si.skpot", folder / "si.xyz"


@pytest.mark.parametrize("temperature", [3500, 8000])
def test_a_run_ends_where_the_model_is_not_to_be_trusted(silicon, folder, temperature):
    target = folder / f"hot{temperature}.traj"
    options = ["--temperature", temperature, "--log-interval", 100, "-o", target]
    result = run("md", *silicon, *options)
    assert result.exit_code == 1
    assert "the run was stopped at step" in result.output
    assert "max_grade 2 is passed" in result.output or "min_distance" in result.output
    last = ase.io.read(target, -1)
    step = int(re.search(r"at step (\d+)", result.output)[1])
    assert last.info["time_ps"] == pytest.approx(step / 1000.0)
    # No two atoms have met: that is long before atoms cluster.
    distances = last.get_all_distances(mic=True)[np.triu_indices(len(last), 1)]
    assert distances.min() > 1.4
    free = run("md", *silicon, *options, "--no-stop", "--force", "--steps", step + 20)
    assert free.exit_code == 0 and "stops beyond" not in free.output


def test_a_run_within_the_domain_goes_on(silicon, folder):
    target = folder / "cold.xyz"
    result = run("md", *silicon, "--steps", 400, "--log-interval", 100, "-o", target)
    assert result.exit_code == 0, result.output
    assert "stops beyond min_distance" in result.output and "max_grade 2" in result.output
    lines = [line.split() for line in result.stdout.splitlines() if re.match(r" +\d+ +0\.", line)]
    assert len(lines) == 5
    for *_, std, grade, closest in lines:
        assert 0.0 <= float(std) < 0.1  # compiled, so that every line has it
        assert float(grade) < 1.0 and 2.0 < float(closest) < 2.4


def test_other_species_are_refused_before_a_run(silicon, folder):
    ase.io.write(folder / "ge.xyz", bulk("Ge", cubic=True))
    line = error("md", silicon[0], folder / "ge.xyz", "-o", folder / "ge_run.xyz")
    assert "species Ge did not occur in fit" in line
    assert not (folder / "ge_run.xyz").exists()


@pytest.mark.parametrize("suffix", [".traj", ".db"])
@pytest.mark.parametrize("thermostat", ["langevin", "nose-hoover"])
def test_trajectories_have_the_format_of_their_name(silicon, folder, suffix, thermostat):
    target = folder / f"{thermostat}{suffix}"
    options = ["--steps", 4, "--log-interval", 2, "--thermostat", thermostat, "-o", target]
    assert run("md", *silicon, *options).exit_code == 0
    frames = ase.io.read(target, ":")
    assert len(frames) == 3 and frames[1].get_forces().shape == (8, 3)
    assert not list(folder.glob(f"{thermostat}.part*"))
    assert "cannot be continued" in error("md", *silicon, *options, "--force", "--restart")


def test_md_refuses_files_of_single_frames(silicon, folder):
    assert "cannot be appended" in error("md", *silicon, "-o", folder / "run.cif")


def test_md_continues_with_the_velocities_of_the_file(folder):
    first, second = folder / "first.xyz", folder / "second.xyz"
    common = ["--ensemble", "nve", "--log-interval", 2, "--steps", 4]
    run("md", folder / "model.skpot", folder / "test.xyz", *common, "-o", first)
    result = run("md", folder / "model.skpot", first, *common, "-o", second)
    assert f"velocities from {first}" in result.output
    last, again = ase.io.read(first, -1), ase.io.read(second, 0)
    np.testing.assert_allclose(last.get_momenta(), again.get_momenta(), rtol=1e-6)


def test_a_run_that_blows_up_says_so_and_keeps_its_frames(folder):
    target = folder / "blown.xyz"
    options = ["--timestep", 200, "--log-interval", 1, "-o", target]
    line = error("md", folder / "model.skpot", folder / "test.xyz", *options)
    assert "blew up at step" in line
    assert "--timestep" in line
    assert len(ase.io.read(target, ":")) >= 1


def test_an_interrupted_run_keeps_its_frames(folder, monkeypatch):
    def interrupt(step, trace):
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("skpot.cli._md.line", interrupt)
    target = folder / "interrupted.xyz"
    options = ["--log-interval", 1, "-o", target]
    result = run("md", folder / "model.skpot", folder / "test.xyz", *options)
    assert result.exit_code == 130
    assert len(ase.io.read(target, ":")) == 3


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["evaluate", "none.skpot", "{d}/test.xyz"], "none.skpot: No such file"),
        (["evaluate", "{d}/test.xyz", "{d}/test.xyz"], "damaged or no model file"),
        (["evaluate", "{d}/model.skpot", "none.xyz"], "none.xyz: No such file"),
        (["evaluate", "{d}/model.skpot", "{d}/broken.xyz"], "broken.xyz cannot be read"),
        (["evaluate", "{d}/model.skpot", "{d}/bare.xyz"], "no labels"),
        (["evaluate", "{d}/model.skpot", "{d}/gold.xyz"], "species Au"),
        (["fit", "{d}/train.xyz", "-o", "{d}/model.skpot"], "add --force"),
        (["fit", "{d}/train.xyz", "-o", "{d}/none/m.skpot"], "does not exist"),
        (["fit", "{d}/train.xyz", "-o", "{d}"], "is a folder"),
        (["fit", "{d}/train.xyz", "-o", "{d}/x", "--grid", "zeta"], "NAME=VALUE"),
        (["fit", "{d}/train.xyz", "-o", "{d}/x", "--grid", "zeal=1"], "is no parameter"),
        (["fit", "{d}/train.xyz", "-o", "{d}/x", "--energy-key", "dft"], "no frame has it"),
        (["md", "{d}/model.skpot", "{d}/gold.xyz", "-o", "{d}/x.xyz"], "species Au"),
        (["md", "{d}/model.skpot", "{d}/broken.xyz", "-o", "{d}/x.xyz"], "broken.xyz"),
        (
            ["ipi", "{d}/model.skpot", "{d}/test.xyz", "--unix", "nobody", "--patience", "0"],
            "no server at unix socket nobody within 0 s: start i-PI first",
        ),
        (["demo", "--out", "{d}"], "holds other files"),
        (["fit", "{d}/model.skpot", "-o", "{d}/x"], "none of the formats that ASE knows"),
        (["md", "{d}/model.skpot", "{d}/model.skpot"], "none of the formats that ASE knows"),
        (["fit", "{d}/train.xyz", "--test", "{d}/gold.xyz", "-o", "{d}/x"], "species Au of the"),
        (["evaluate", "{d}/model.skpot", "{d}/test.xyz", "--plot", "{d}/x.xyz"], "must end in"),
        (["evaluate", "{d}/model.skpot", "{d}/test.xyz", "--report", "{d}/x"], "end in .html"),
        (["evaluate", "{d}/model.skpot", "{d}/test.xyz", "--train", "x"], "--train is for"),
    ],
)
def test_errors_are_one_line(folder, args, part):
    (folder / "broken.xyz").write_text("this is\nno structure\n")
    bare = bulk("Cu", cubic=True)
    ase.io.write(folder / "bare.xyz", bare)
    gold = copper(1)[0]
    gold.symbols[:] = "Au"
    ase.io.write(folder / "gold.xyz", gold)
    before = sorted(folder.iterdir())
    assert part in error(*(a.format(d=folder) for a in args))
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("terminal", [True, False])
def test_messages_are_wrapped_in_terminals_only(capsys, monkeypatch, terminal):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    text = f"error: {'nothing works ' * 12}--energy-key REF_energy"
    complain(text, "red")
    told = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().err)
    assert " ".join(told.split()) == text
    lines = told.splitlines()
    assert max(map(len, lines)) < 80 if terminal else len(lines) == 1


def test_debug_shows_the_traceback(folder):
    result = run("evaluate", folder / "test.xyz", folder / "test.xyz", "--debug")
    assert isinstance(result.exception, ValueError)


def test_evaluate_judges_the_uncertainty(folder):
    result = run("evaluate", folder / "model.skpot", folder / "test.xyz")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (begin,) = (k for k, line in enumerate(lines) if line.startswith("std of labels"))
    table = {line[:24].strip(): line[24:].split("  ") for line in lines[begin + 1 : begin + 6]}
    model = skpot.load(folder / "model.skpot")
    X, y = skpot.read(folder / "test.xyz")
    y_pred, std = model.predict(X, return_std="all")
    expected = calibration_error(y, y_pred, std, kind="forces")  # with the noise already
    assert f"{expected:.3f}" in [cell.strip() for cell in table["calibration error"]]
    assert set(table) >= {"median std", "within 1 std (68 %)", "rank correlation"}
    assert max(map(len, lines)) < 80


def test_evaluate_writes_a_report(folder):
    page = folder / "report.html"
    args = ["evaluate", folder / "model.skpot", folder / "test.xyz", "--report", page]
    result = run(*args, "--train", folder / "train.xyz")
    assert result.exit_code == 0, result.output
    assert f"wrote {page}" in result.output
    text = page.read_text(encoding="utf-8")
    assert "<h1>model.skpot on test.xyz</h1>" in text
    assert "none of which is in the training set" in text and "training set</th>" in text
    assert "add --force" in error(*args)
    page.unlink()


def test_evaluate_says_where_the_error_is(folder):
    result = run("evaluate", folder / "model.skpot", folder / "test.xyz")
    lines = result.stdout.splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith("where the squared error"))
    head = {line[:12].strip(): line[12:] for line in lines[begin + 1 : begin + 3]}
    model = skpot.load(folder / "model.skpot")
    X, y = skpot.read(folder / "test.xyz")
    kinds = [atoms.info["config_type"] for atoms in X]
    levels = {f"sigma_{k}": getattr(model[-1], f"sigma_{k}_") for k in LABEL_KINDS}
    report = skpot.metrics.residual_report(y, model.predict(X), X, groups=kinds, **levels)
    shares = {(r["by"], r["part"], r["label"]): f"{100 * r['share']:.0f} %" for r in report}
    for label in ("energy", "forces", "stress"):
        assert f"{label} {shares['label', 'all', label]}" in head["labels"]
    first = next(r for r in report if r["by"] == "group")
    name = f"{first['part']} {first['label']}"
    assert head["kinds"].startswith(f"{name} {shares['group', first['part'], first['label']]},")
    levels = next(line for line in lines if line.startswith("  RMSE over noise"))
    for r in report[:3]:
        assert f"{r['label']} {r['whitened_rmse']:.2g}" in levels
    assert max(map(len, lines)) < 80


def test_evaluate_says_what_more_would_buy(folder):
    X, y = skpot.read(folder / "train.xyz")
    regressor = skpot.SparseGPRCV(n_sparse=20, sigma_energy=[1e-4, 1.0], cv=3)
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1), regressor).fit(X, y)
    skpot.dump(model, folder / "searched.skpot")
    result = run("evaluate", folder / "searched.skpot", folder / "test.xyz")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith("errors of models that"))
    curves = regressor.learning_curves_
    for k, name in ((1, "structures"), (5, "references")):
        head, *rows = lines[begin + k : begin + k + 4]
        numbers = curves[name]["number"]
        assert head.split()[: len(numbers) + 1] == [name, *(f"{n:.0f}" for n in numbers)]
        (forces,) = (row for row in rows if row.strip().startswith("forces"))
        errors = curves[name]["forces"]
        assert forces.split()[2 : 2 + len(errors)] == [f"{e:.4f}" for e in errors]
        ratio = (errors[-1] / errors[-2]) ** (np.log(2) / np.log(numbers[-1] / numbers[-2]))
        assert f"{100 * min(0.0, ratio - 1):+.0f} % at most" in forces
    means = regressor.cv_results_["mean_test_neg_energy_rmse"]
    worse = means.argmax() != regressor.best_index_
    assert any(line.startswith("  energy meV/atom") and "but" in line for line in lines) == worse
    assert max(map(len, lines)) < 80


def test_evaluate_without_common_labels(folder):
    X, y = skpot.read(folder / "train.xyz")
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1), skpot.SparseGPR(n_sparse=10))
    skpot.dump(model.fit(X, np.array(y.energy)), folder / "energies.skpot")
    for atoms in X:
        atoms.calc = SinglePointCalculator(atoms, forces=np.zeros((len(atoms), 3)))
    ase.io.write(folder / "forces.xyz", X)
    result = run("evaluate", folder / "energies.skpot", folder / "forces.xyz")
    assert result.exit_code == 0, result.output
    assert "squared error" not in result.output


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "-1e12"])
@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_labels_that_cannot_be_are_refused_where_they_are(folder, command, value):
    lines = (folder / "test.xyz").read_text().splitlines()
    second = int(lines[0]) + 3  # the header of the second frame
    lines[second] = re.sub(r"\benergy=\S+", f"energy={value}", lines[second])
    path = folder / "odd.xyz"
    path.write_text("\n".join(lines))
    command = (
        [command, path, "-o", folder / "odd.skpot"]
        if command == "fit"
        else [command, folder / "model.skpot", path]
    )
    message = error(*command)
    assert str(path) in message and "1 of 4 structures" in message
    assert "structure 1: energy " in message and len(message) < 400


def test_atoms_without_a_label_are_left_out_everywhere(folder):
    frames = copper(4, seed=1)
    frames[2].calc.results["forces"][1] = np.nan
    ase.io.write(folder / "gaps.xyz", frames)
    options = ("--plot", folder / "gaps.png", "--force")
    result = run("evaluate", folder / "model.skpot", folder / "gaps.xyz", *options)
    assert result.exit_code == 0, result.output
    assert "nan" not in result.output and "components up to" in result.output
    X, y = skpot.read(folder / "gaps.xyz")
    predicted, std = skpot.load(folder / "model.skpot").predict(X, return_std="all")
    error = (predicted.forces_flat - y.forces_flat)[~np.isnan(y.forces_flat).all(axis=1)]
    assert error.size == 3 * (sum(map(len, X)) - 1)
    found, deviation = errors_and_deviations(y, predicted, std, "forces")
    np.testing.assert_array_equal(found, error.ravel())
    assert len(deviation) == error.size
    assert residual_report(y, predicted, X)


def test_evaluate_takes_models_without_uncertainty(folder):
    X, y = skpot.read(folder / "train.xyz")
    pipeline = make_pipeline(skpot.SOAP(n_max=2, l_max=1), skpot.LinearRidge())
    # A search predicts without deviations.
    model = GridSearchCV(pipeline, {"linearridge__alpha": [1.0, 2.0]}, cv=2).fit(X, y)
    skpot.dump(model, folder / "ridge.skpot")
    plot = folder / "ridge.png"
    result = run("evaluate", folder / "ridge.skpot", folder / "test.xyz", "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "std of labels" not in result.output and plot.exists()


@pytest.mark.parametrize(
    "args",
    [
        ["fit", "{d}/train.xyz", "-o", "{d}/train.xyz"],
        ["fit", "{d}/train.xyz", "--test", "{d}/test.xyz", "-o", "{d}/test.xyz"],
        ["evaluate", "{d}/model.skpot", "{d}/test.xyz", "--plot", "{d}/test.xyz"],
        ["md", "{d}/model.skpot", "{d}/test.xyz", "-o", "{d}/test.xyz"],
        ["md", "{d}/model.skpot", "{d}/link.xyz", "-o", "{d}/test.xyz"],
        ["md", "{d}/model.skpot", "{d}/test.xyz@0", "-o", "{d}/test.xyz"],
        ["evaluate", "{d}/model.skpot", "{d}/test.xyz@:2", "--plot", "{d}/test.xyz"],
        ["md", "{d}/model.skpot", "{d}/test.xyz", "--record", "{d}/test.xyz", "-o", "{d}/x.xyz"],
        ["export", "lammps", "{d}/model.skpot", "-o", "{d}/model.skpot"],
    ],
)
def test_what_a_command_reads_is_never_replaced(folder, args):
    link = folder / "link.xyz"
    link.unlink(missing_ok=True)
    link.symlink_to("test.xyz")
    files = [folder / name for name in ("train.xyz", "test.xyz", "model.skpot")]
    before = [path.read_bytes() for path in files]
    assert "read by this command" in error(*(a.format(d=folder) for a in args), "--force")
    assert [path.read_bytes() for path in files] == before


def test_warmup_and_doctor():
    result = run("warmup")
    assert result.exit_code == 0, result.output
    assert " s\n" in result.output
    result = run("doctor")
    assert result.exit_code == 0, result.output
    for word in ("scikit-learn", "blas", "passed", "all is well"):
        assert word in result.output


def test_doctor_fails_with_wrong_derivatives(monkeypatch):
    predict = skpot.SparseGPR.predict

    def wrong(self, X, **kwargs):
        y = predict(self, X, **kwargs)
        return skpot.Targets(y.energy, [1.01 * f for f in y.forces])

    monkeypatch.setattr(skpot.SparseGPR, "predict", wrong)
    result = run("doctor")
    assert result.exit_code == 1
    assert "FAILED: [" in result.output
    assert "self-test of Si failed" in result.stderr


def test_quick_demo_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("demo", "--quick")
    assert result.exit_code == 0, result.output + str(result.exception)
    written = sorted(p.name for p in (tmp_path / "demo").iterdir())
    assert written == ["md.png", "md.xyz", "parity.png", "report.html", "silicon.skpot"]
    assert "meV/atom" in result.output
    assert "no mistakes found" in result.output
    assert "Fix: multiply the energies by" in result.output
    assert "skpot fit train.xyz" in result.output
    assert run("evaluate", "demo/silicon.skpot", "demo/md.xyz").exit_code == 0


@pytest.mark.parametrize(
    ("regressor", "noise"),
    [
        (skpot.SparseGPR(n_sparse=8, sigma_forces={"a": 0.1, "default": 0.2}), lambda r: 0.2),
        # Calibrated deviations are those of labels: they have the noise already.
        (skpot.AutoGPR(max_pairs=0, n_sparse=8), lambda r: 0.0),
        (skpot.LinearRidge(sigma_forces=0.3), lambda r: 0.3 * r.noise_scale_),
        (
            skpot.SparseGPR(RBF(), 8, sigma_forces=0.3, optimizer="fmin_l_bfgs_b", subsample=30),
            lambda r: 0.3 * r.noise_scale_["forces"],
        ),
    ],
    ids=["by group", "chosen", "one scale", "a scale by kind"],
)
def test_deviations_of_labels_have_the_noise_in_use(regressor, noise):
    X, y, _, _ = load_silicon(return_X_y=True)
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1), regressor).fit(X[:6], y[:6])
    _, std = predict_with_std(model, X[:2])
    own = model.predict(X[:2], return_std="all")[1]
    expected = np.sqrt(own.forces_flat**2 + noise(model[-1]) ** 2)
    np.testing.assert_allclose(std.forces_flat, expected, rtol=1e-12)
