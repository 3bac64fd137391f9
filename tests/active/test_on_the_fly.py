"""Runs that label by themselves: what they learn, pay, keep and continue."""

import contextlib
import json

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import skpot
from skpot.active import Futile, LabelFailed, OnTheFly, _on_the_fly, read_trail
from skpot.active._rule import Rule, factor, ratio
from skpot.active._starts import start_structures
from skpot.active._state import Snapshot, State, Wanted
from skpot.active._trail import Trail
from skpot.active._walk import Walker
from skpot.exceptions import FileError, InputError, InputTypeError, SkpotWarning
from skpot.md.frames import FrameFile
from tests.active import killed_run
from tests.project import ROOT

KILLS = 3


def copper():
    return bulk("Cu", cubic=True).repeat((2, 1, 1))


def heated(folder, labeler=None, tol=0.04, steps=300, max_calls=None, **options):
    events = []
    learner = OnTheFly(
        EMT() if labeler is None else labeler, tol, folder, check=5,
        on_event=lambda what, text: events.append((what, text)), **options,
    )  # fmt: skip
    learner.run(copper(), steps, temperature=(300.0, 2000.0), timestep=2.0, max_calls=max_calls)
    return learner, events


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption: its folder, the learner, and the file of paid labels."""
    folder = tmp_path_factory.mktemp("whole")
    learner = killed_run.run(folder)
    return folder, learner


def test_the_factor_is_a_mean_of_logarithms_with_a_prior():
    assert factor([]) == 2.0
    ratios = [0.5, 3.0, 4.0]
    expected = np.exp((3 * np.log(2) + np.sum(np.log(ratios))) / 6)
    assert factor(ratios) == pytest.approx(expected)
    assert factor([9.0] * 3 + [0.01] * 10) == 1.0  # the last ten, and never below one
    assert ratio(0.2, 0.1) == pytest.approx(2.0) and ratio(1.0, 0.0) == 100.0
    rule = Rule(0.1, 1.0)
    verdicts = [rule.verdict(u) for u in (0.1, 0.2, 1.0, 1.1, np.nan)]
    assert verdicts == ["trusted", "collect", "label", "beyond", "beyond"]


def test_the_trail_has_what_was_paid_for_and_why(whole):
    folder, learner = whole
    frames = ase.io.read(folder / "run" / "trail.xyz", ":")
    assert learner.n_calls_ == len(frames) > 5 and not learner.stopped_
    assert len((folder / "paid.txt").read_text().split()) == len(frames)
    X, y = skpot.read(folder / "run" / "trail.xyz")
    for k, atoms in enumerate(frames):
        assert atoms.info["number"] == k and atoms.info["tolerance"] == 0.04
        other = atoms.copy()
        other.calc = EMT()
        np.testing.assert_allclose(y.forces[k], other.get_forces(), atol=1e-6)
        np.testing.assert_allclose(y.energy[k], other.get_potential_energy(), atol=1e-6)
        if atoms.info["reason"] == "start":
            assert k < 4 and atoms.info["model"] == -1
            continue
        assert atoms.info["factor"] >= 1.0 and "temperature" in atoms.info
        model = skpot.load(folder / "run" / "models" / f"{atoms.info['model']:03d}.skpot")
        said = model.predict([atoms])
        np.testing.assert_allclose(atoms.arrays["model_f"], said.forces[0], atol=1e-6)
        error = np.linalg.norm(y.forces[k] - said.forces[0], axis=1).max()
        assert atoms.info["largest_error"] == pytest.approx(error, abs=1e-5)
        std = np.linalg.norm(atoms.arrays["forces_std"], axis=1).max()
        expected = atoms.info["factor"] * std
        if atoms.info["reason"] == "deviation":
            assert atoms.info["expected"] == pytest.approx(expected, rel=1e-3)
            assert atoms.info["expected"] > 0.08
    assert not (folder / "run" / "pending.xyz").exists()


def test_every_model_is_kept_and_the_last_one_is_good(whole):
    folder, learner = whole
    models = sorted((folder / "run" / "models").glob("*.skpot"))
    assert [path.stem for path in models] == [f"{k:03d}" for k in range(len(models))]
    X = [copper() for _ in range(4)]
    for k, atoms in enumerate(X):
        atoms.rattle(0.1, seed=k)
        atoms.calc = EMT()
    y = skpot.Targets.from_atoms(X)
    first, last = (
        skpot.metrics.forces_rmse(y, skpot.load(path).predict(X))
        for path in models[:: len(models) - 1]
    )
    assert last < 0.05 and last < first
    assert learner.model_.predict(X[:1]).energy == skpot.load(models[-1]).predict(X[:1]).energy


def test_checks_are_noted(whole):
    folder, _ = whole
    lines = (folder / "run" / "checks.jsonl").read_text().splitlines()
    checks = [json.loads(line) for line in lines]
    assert checks[0]["step"] == 5 and checks[-1]["step"] == 300
    assert all(check["closest"] > 1.5 for check in checks)
    assert len(checks) >= 60


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """The folder of a run without interruption in a process of its own, on one thread."""
    folder = tmp_path_factory.mktemp("apart")
    with pytest.MonkeyPatch.context() as patch:
        run_on(1, patch, folder)
    return folder


def run_on(n_threads, patch, folder, kills=0):
    """Run in processes with this number of threads; return how many were killed."""
    patch.setenv("PYTHONPATH", str(ROOT))
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        patch.setenv(name, str(n_threads))
    return killed_run.run_with_kills(folder, kills, np.random.default_rng(0))


def test_a_killed_run_ends_as_if_it_had_not_been(apart, tmp_path, monkeypatch):
    assert run_on(1, monkeypatch, tmp_path, KILLS) > 0
    assert killed_run.differences(tmp_path, apart) == ([], 0)


def test_a_run_does_not_depend_on_threads(apart, tmp_path, monkeypatch):
    run_on(2, monkeypatch, tmp_path)
    assert killed_run.differences(tmp_path, apart) == ([], 0)


class Interrupted:
    """A labeler that is interrupted at one of its calls."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, atoms):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        atoms.calc = EMT()
        return atoms


@pytest.mark.parametrize("at", [2, 5])
def test_an_interrupted_run_continues(whole, tmp_path, at):
    labeler = Interrupted(at)
    with pytest.raises(KeyboardInterrupt):
        heated(tmp_path / "run", labeler)
    assert (tmp_path / "run" / "pending.xyz").exists()
    learner, _ = heated(tmp_path / "run", labeler)
    assert labeler.calls == learner.n_calls_ + 1
    trail = (whole[0] / "run" / "trail.xyz").read_bytes()
    assert (tmp_path / "run" / "trail.xyz").read_bytes() == trail
    again, events = heated(tmp_path / "run", labeler)  # it is complete
    assert again.n_calls_ == learner.n_calls_ and not events


def failing_at(*numbers):
    calls = []

    def label(atoms):
        calls.append(1)
        if len(calls) - 1 in numbers:
            raise RuntimeError("SCF not\n converged")
        atoms.calc = EMT()
        return atoms.get_potential_energy(), atoms.get_forces()

    return label


def test_labels_that_fail_are_records_and_the_run_goes_on(tmp_path):
    learner, events = heated(tmp_path / "run", failing_at(1, 5))
    frames = ase.io.read(tmp_path / "run" / "trail.xyz", ":")
    failed = [k for k, atoms in enumerate(frames) if "failed" in atoms.info]
    assert failed == [1, 5]
    assert frames[5].info["failed"] == "RuntimeError: SCF not converged" and frames[5].calc is None
    assert [what for what, _ in events].count("failed") == 2
    assert not learner.stopped_
    assert learner.model_[-1].model_.n_labels_["energy"] == len(frames) - 2


@pytest.mark.parametrize("told", ["5", "T F", "1 2 3", "_JSON {", 'a "b"\\ \0c\nd', " "])
def test_any_reason_of_a_failure_can_be_read(tmp_path, told):
    def fails(atoms):
        raise LabelFailed(told)

    with pytest.raises(Futile, match="no structure to begin with could be labeled"):
        OnTheFly(fails, 0.1, tmp_path).run(bulk("Cu", cubic=True), 10)
    for frame in read_trail(tmp_path / "trail.xyz"):
        last = told.split()[-1:] or ["reason:"]
        assert isinstance(frame.info["failed"], str) and last[0] in frame.info["failed"]


def test_a_run_that_ended_for_want_of_labels_continues_once_they_come(tmp_path, monkeypatch):
    def broken(atoms):
        raise RuntimeError("SCF not converged")

    with pytest.raises(Futile, match="could be labeled.*SCF not converged"):
        heated(tmp_path / "a", broken, steps=20)
    learner, _ = heated(tmp_path / "a", steps=20)  # another labeler
    assert learner.n_calls_ >= 8 and not learner.stopped_
    monkeypatch.setattr(_on_the_fly, "_FUTILE", 2)
    with pytest.raises(Futile, match="2 labels in a row failed.*SCF not converged"):
        heated(tmp_path / "b", failing_at(*range(4, 100)), steps=100)
    learner, events = heated(tmp_path / "b", failing_at(), steps=100)
    assert not learner.stopped_ and "failed" not in dict(events)
    frames = ase.io.read(tmp_path / "b" / "trail.xyz", ":")
    assert sum("failed" in atoms.info for atoms in frames) == 2


def scaled(energy, forces):
    def label(atoms):
        atoms.calc = EMT()
        return energy * atoms.get_potential_energy(), forces * atoms.get_forces()

    return label


@pytest.mark.parametrize(
    ("factors", "told"),
    [((1.0, -1.0), "of the other sign"), ((1 / 27.2114, 1.0), "energies in eV")],
)
def test_energies_and_forces_that_do_not_belong_together_stop_a_run(tmp_path, factors, told):
    with pytest.raises(Futile, match=f"do not belong to each other.*{told}"):
        heated(tmp_path / "run", scaled(*factors), steps=10)
    assert len(ase.io.read(tmp_path / "run" / "trail.xyz", ":")) == 4
    with contextlib.suppress(Futile):
        learner, events = heated(tmp_path / "run", scaled(*factors), steps=10, max_calls=5)
        assert "model" in dict(events)  # the user insists


def labeled_copper():
    X = [copper() for _ in range(6)]
    for k, atoms in enumerate(X):
        atoms.rattle(0.05 + 0.02 * k, seed=k)
        atoms.calc = EMT()
    return X, skpot.Targets.from_atoms(X)


def test_labels_of_another_zero_than_the_data_are_told(tmp_path):
    X, y = labeled_copper()
    shifted = skpot.Targets(y.energy - 30.0, y.forces)
    learner = OnTheFly(EMT(), 0.02, tmp_path / "run", check=5, ceiling=50.0)
    with pytest.warns(SkpotWarning, match="another zero of energies"):
        learner.run(copper(), 20, temperature=1500.0, X=X, y=shifted, max_calls=1)


def test_a_label_is_not_lost_on_a_full_disk(tmp_path, monkeypatch):
    """Its room is taken before it is paid for."""
    append, paid = FrameFile.append, []

    def full(file, frame):
        if (tmp_path / "run" / ".room").exists():
            raise FileError(28, "No space left on device", file.path)
        append(file, frame)

    def label(atoms):
        paid.append(1)
        return scaled(1.0, 1.0)(atoms)

    monkeypatch.setattr(FrameFile, "append", full)
    learner, _ = heated(tmp_path / "run", label, steps=20)
    assert len(paid) == learner.n_calls_ == len(ase.io.read(tmp_path / "run" / "trail.xyz", ":"))
    assert not (tmp_path / "run" / ".room").exists()

    def no_room(trail, size):
        raise FileError(28, "No space left on device", str(trail.path))

    monkeypatch.setattr(Trail, "_make_room", no_room)
    paid.clear()
    with pytest.raises(FileError, match="No space left"):
        heated(tmp_path / "other", label, steps=20)
    assert not paid


def test_a_tolerance_below_what_labels_can_give_is_named(tmp_path):
    rng = np.random.default_rng(0)

    def noisy(atoms):
        atoms.calc = EMT()
        return atoms.get_potential_energy(), atoms.get_forces() + rng.normal(0.0, 0.5, (8, 3))

    with pytest.raises(Futile, match="tolerance of 0.05 eV/Å.*larger tol"):
        heated(tmp_path / "run", noisy, tol=0.05, ceiling=50.0)


def test_a_tolerance_far_below_all_errors_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_on_the_fly, "_FUTILE", 2)
    with pytest.raises(Futile, match="2 ways in a row led from leg 0, step 0.*ceiling of 0.0008"):
        OnTheFly(EMT(), 0.0001, tmp_path / "run").run(bulk("Cu", cubic=True), 50)


def test_what_is_not_physical_is_not_labeled(tmp_path):
    events = []
    learner = OnTheFly(
        EMT(), 0.2, tmp_path / "run", check=20, n_start=2, ceiling=0.5,
        on_event=lambda what, text: events.append(what),
    )  # fmt: skip
    hot = copper()
    hot.rattle(0.2, seed=1)
    with contextlib.suppress(Futile):
        learner.run(hot, 200, temperature=4000.0, timestep=3.0, max_calls=12)
    assert "back" in events
    frames = ase.io.read(tmp_path / "run" / "trail.xyz", ":")
    asked = [atoms for atoms in frames if atoms.info["reason"] == "deviation"]
    assert all(atoms.info["expected"] <= 0.5 for atoms in asked)


def test_several_compositions_share_one_model(tmp_path):
    gold = bulk("Au", cubic=True)
    learner = OnTheFly(EMT(), 0.1, tmp_path / "run", n_start=3, check=5)
    learner.run([bulk("Cu", cubic=True), gold], 40, temperature=600.0, timestep=2.0)
    frames = ase.io.read(tmp_path / "run" / "trail.xyz", ":")
    assert {str(atoms.symbols) for atoms in frames} == {"Cu4", "Au4"}
    assert {atoms.info["leg"] for atoms in frames} == {0, 1}
    assert learner.model_.predict([gold]).energy.shape == (1,)


def test_a_run_begins_with_fewer_structures_if_these_have_many_forces():
    few, many = copper(), copper().repeat((1, 2, 1))
    alloy = many.copy()
    alloy.symbols[:5] = "Au"
    made = start_structures([few, many, alloy, many], None, 0)
    assert [which for which, _ in made] == [0] * 4 + [1] * 3 + [2] * 4  # the last one is a replica


def test_no_run_ends_with_structures_that_are_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(Walker, "_checked", lambda walker, atoms, state, step: 0.3 + 1e-3 * step)
    learner = OnTheFly(EMT(), 0.3, tmp_path / "run", check=1)
    learner.run([copper(), copper()], 12, temperature=300.0)
    frames = ase.io.read(tmp_path / "run" / "trail.xyz", ":")
    last = [(f.info["leg"], f.info["step"]) for f in frames if f.info["reason"] == "collected"]
    assert last == [(0, 11), (1, 11)]  # the worst of those at 1, 6 and 11


def test_replicas_share_their_first_labels_and_differ_in_velocities(tmp_path):
    learner = OnTheFly(EMT(), 0.3, tmp_path / "run", n_start=3, check=5)
    learner.run([copper(), copper()], 20, temperature=600.0, timestep=2.0)
    frames = ase.io.read(tmp_path / "run" / "trail.xyz", ":")
    assert sum(atoms.info["reason"] == "start" for atoms in frames) == 3
    lines = (tmp_path / "run" / "checks.jsonl").read_text().splitlines()
    hot = {(check["leg"], check["step"]): check["temperature"] for check in map(json.loads, lines)}
    assert hot[0, 20] != hot[1, 20]


def test_a_data_set_may_be_the_beginning(tmp_path):
    X, y = labeled_copper()
    learner = OnTheFly(EMT(), 0.3, tmp_path / "run", check=10)
    learner.run(copper(), 50, temperature=300.0, timestep=2.0, X=X, y=y)
    assert learner.n_calls_ == 0
    assert learner.model_[-1].model_.n_labels_["energy"] == 6
    gold = bulk("Au", cubic=True)
    with pytest.raises(InputError, match="Au, which is in none of"):
        OnTheFly(failing_at(0), 0.3, tmp_path / "gold").run(gold, 5, X=X, y=y, label_start=True)
    with pytest.raises(InputError, match=r"data 6 .*labels of digest \w+ \(now"):
        other = skpot.Targets(y.energy, forces=[2.0 * f for f in y.forces])
        learner.run(copper(), 50, temperature=300.0, timestep=2.0, X=X, y=other)
    with pytest.raises(InputTypeError, match="y must be Targets, got ndarray"):
        learner.run(copper(), 50, temperature=300.0, timestep=2.0, X=X, y=np.array(y))
    noisy = skpot.Targets(y.energy, y.forces, sigma_forces=[0.1] * len(X), groups=["a"] * len(X))
    with pytest.raises(InputError, match="have groups, sigma_forces of their own"):
        learner.run(copper(), 50, temperature=300.0, timestep=2.0, X=X, y=noisy)
    X[3].positions += 0.01
    with pytest.raises(InputError, match="has a run with data 6 of digest"):
        learner.run(copper(), 50, temperature=300.0, timestep=2.0, X=X, y=y)


def test_other_ensembles(tmp_path):
    for ensemble in ("nve", "npt"):
        learner = OnTheFly(EMT(), 0.2, tmp_path / ensemble, check=5)
        learner.run(copper(), 30, temperature=300.0, timestep=2.0, ensemble=ensemble)
        assert not learner.stopped_


def test_folders_of_other_runs_are_refused(whole, tmp_path):
    folder = whole[0] / "run"
    with pytest.raises(InputError, match=r"tol 0.04 \(now 0.05\)"):
        heated(folder, tol=0.05)
    with pytest.raises(InputError, match=r"model .*n_sparse.*\(now .*another folder"):
        heated(
            folder, killed_run.labeler(tmp_path / "paid.txt"), model=skpot.make_potential("default")
        )
    with pytest.raises(InputError, match=r"labeler FunctionLabeler \(now EMT\)"):
        heated(folder)
    heated(tmp_path / "run", steps=20)
    with pytest.raises(InputError, match=r"labeler asap_cutoff False \(now True\)"):
        heated(tmp_path / "run", EMT(asap_cutoff=True), steps=20)
    trail = tmp_path / "run" / "trail.xyz"
    (tmp_path / "run" / "state.npz").unlink()
    with pytest.raises(InputError, match="is lost"):
        heated(tmp_path / "run", steps=20)
    file = FrameFile(trail)
    with pytest.raises(InputError, match="another process"):
        heated(tmp_path / "run", steps=20)
    file.close()


def test_a_run_may_be_continued_with_more_steps(tmp_path):
    def go(steps, folder="one", n=1, tol=0.2, **heat):
        learner = OnTheFly(EMT(), tol, tmp_path / folder)
        return learner.run([copper()] * n, steps, **{"temperature": 600.0} | heat)

    short = go(40)
    lines = (tmp_path / "one" / "checks.jsonl").read_text().splitlines()
    more = go(80)
    assert more.n_calls_ >= short.n_calls_ and not more.stopped_
    checks = (tmp_path / "one" / "checks.jsonl").read_text().splitlines()
    assert checks[: len(lines)] == lines and json.loads(checks[-1])["step"] == 80
    assert json.loads((tmp_path / "one" / "settings.json").read_text())["steps"] == 80
    # Where the former end was, nothing was labeled: the run is that of all steps at once.
    go(80, "whole")
    for name in ("checks.jsonl", "trail.xyz"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "one" / name).read_bytes() == whole
    with pytest.raises(InputError, match=r"steps 80 \(now 60, which may be more, but not fewer\)"):
        go(60)
    with pytest.raises(InputError, match=r"ensemble temperature 600.0 \(now 900.0\)"):
        go(90, temperature=900.0)
    go(20, "ramp", temperature=(300.0, 600.0))
    with pytest.raises(InputError, match=r"steps 20 \(now 40, over which a ramp"):
        go(40, "ramp", temperature=(300.0, 600.0))
    go(10, "two", n=2)
    with pytest.raises(InputError, match=r"steps 10 \(now 20, but the first of its structures"):
        go(20, "two", n=2)


def test_what_cannot_be_run_is_refused(tmp_path):
    with pytest.raises(InputTypeError, match="labels come from"):
        OnTheFly(3.0, 0.1, tmp_path)
    for model, told in {
        "fast": r"skpot.make_potential\(.fast.\), got 'fast'",
        skpot.SOAP(): "ends in SOAP",
        skpot.SparseGPR(): "SparseGPR has no descriptor before it",
    }.items():
        with pytest.raises(InputTypeError, match=told):
            OnTheFly(EMT(), 0.1, tmp_path, model=model)
    with pytest.raises(InputError, match="go together"):
        OnTheFly(EMT(), 0.1, tmp_path).run(copper(), 10, X=[copper()])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be the folder.*Nothing was labeled"):
        OnTheFly(EMT(), 0.1, tmp_path / "file").run(copper(), 10)
    with pytest.raises(InputError, match="structure 0 has no cell, whose volume npt"):
        learner = OnTheFly(failing_at(0), 0.1, tmp_path / "run")
        learner.run(molecule("H2O"), 10, ensemble="npt")
    with pytest.raises(InputError, match="goes with labeled structures"):
        OnTheFly(EMT(), 0.1, tmp_path / "run").run(copper(), 10, label_start=True)
    with pytest.raises(ValueError, match="tol must be finite and above 0"):
        OnTheFly(EMT(), 0.0, tmp_path)


def test_the_state_is_read_back_as_it_was(tmp_path):
    atoms = copper()
    atoms.rattle(0.1)
    one = Snapshot.of(atoms, None, 7)
    state = State(one, one, queue=(Wanted(0, "start", one, 0.3),), ratios=(1.0, 2.0), fine=True)
    state.save(tmp_path / "state.npz", {"tol": 0.1})
    found, settings = State.load(tmp_path / "state.npz")
    assert settings == {"tol": 0.1} and found.ratios == (1.0, 2.0) and found.fine
    np.testing.assert_array_equal(found.queue[0].snapshot.arrays["positions"], atoms.positions)
    assert found.queue[0].expected == 0.3 and found.here.step == 7
