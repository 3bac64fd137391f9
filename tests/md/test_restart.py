"""Runs that were killed are continued from their last state."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

import skpot
from skpot.cli import app
from skpot.md.checkpoint import Checkpoint
from skpot.md.dynamics import run
from skpot.md.frames import TrajectoryFile
from tests.md.conftest import copper
from tests.project import ROOT
from tests.samples import crystals, labels_of_emt


@pytest.mark.parametrize("ensemble", ["nve", "nvt", "npt"])
def test_a_continued_run_is_the_run(tmp_path, ensemble):
    settings = {"ensemble": ensemble, "interval": 5, "random_state": 4}
    whole = copper()
    with TrajectoryFile(tmp_path / "whole.xyz") as trajectory:
        run(whole, 40, trajectory=trajectory, **settings)

    path, parts = tmp_path / "parts.xyz", copper()
    with TrajectoryFile(path) as trajectory:
        checkpoint = Checkpoint(tmp_path / "state", settings)
        run(parts, 20, trajectory=trajectory, checkpoint=Saves(checkpoint, until=15), **settings)
    parts = copper()
    checkpoint = Checkpoint(tmp_path / "state", settings)
    with TrajectoryFile(path, checkpoint.load(parts)) as trajectory:
        assert checkpoint.step == 15
        trace = run(parts, 40, trajectory=trajectory, checkpoint=checkpoint, **settings)

    np.testing.assert_allclose(parts.positions, whole.positions, atol=1e-10)
    np.testing.assert_allclose(parts.get_momenta(), whole.get_momenta(), atol=1e-10)
    np.testing.assert_allclose(parts.cell, whole.cell, atol=1e-10)
    assert trace.time[0] == pytest.approx(0.02)
    one, other = (ase.io.read(tmp_path / f"{name}.xyz", ":") for name in ("whole", "parts"))
    assert [a.info["time_ps"] for a in one] == [a.info["time_ps"] for a in other]
    assert len(one) == 9


class Saves:
    """A checkpoint that is written at each entry up to a step."""

    def __init__(self, checkpoint, until):
        self._checkpoint, self._until = checkpoint, until
        self.restore = checkpoint.restore

    def save(self, dynamics, trajectory):
        if dynamics.nsteps <= self._until:
            self._checkpoint.save(dynamics, trajectory, force=True)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    with TrajectoryFile(tmp_path / "x.xyz") as trajectory:
        checkpoint = Checkpoint(tmp_path / "state", {"timestep": 1.0})
        run(copper(), 1, interval=1, trajectory=trajectory, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="timestep 1.0 .now 2.0"):
        Checkpoint(tmp_path / "state", {"timestep": 2.0}).load(copper())
    with pytest.raises(ValueError, match="other atoms than these 4"):
        Checkpoint(tmp_path / "state", {"timestep": 1.0}).load(bulk("Cu", cubic=True))
    (tmp_path / "state").write_bytes(b"PK")
    with pytest.raises(ValueError, match="no checkpoint of a run"):
        Checkpoint(tmp_path / "state", {}).load(copper())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_kills_at_any_moment(tmp_path, monkeypatch):
    """Kill it at any time, also while it writes; a state is written after every frame."""
    monkeypatch.setattr("skpot.md.checkpoint._PAUSE", 0.0)
    atoms, path, state = copper(), tmp_path / "x.xyz", tmp_path / "state"
    rng = np.random.default_rng(0)

    def go_on():
        checkpoint = Checkpoint(state, {})
        length = checkpoint.load(atoms) if state.exists() else None
        settings = {"ensemble": "nvt", "interval": 1, "checkpoint": checkpoint}
        with TrajectoryFile(path, length) as trajectory:
            run(atoms, 40, trajectory=trajectory, **settings)

    def version():
        return state.stat().st_mtime_ns if state.exists() else None

    n_kills, deadline = 0, time.monotonic() + 60
    while not path.exists():
        if (child := os.fork()) == 0:
            try:
                go_on()
            finally:
                os._exit(0)
        seen, enough = {version()}, rng.integers(2, 12)
        while len(seen) < enough and not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.0005)
            with contextlib.suppress(FileNotFoundError):  # removed since it was seen
                seen.add(version())
        time.sleep(rng.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        n_kills += 1
    assert n_kills > 1
    go_on()  # adds nothing if the last kill came too late
    frames = ase.io.read(path, ":")
    times = [round(1000 * frame.info["time_ps"]) for frame in frames]
    assert times == list(range(41))
    whole = copper()
    run(whole, 40, ensemble="nvt")
    np.testing.assert_allclose(frames[-1].positions, whole.positions, atol=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restart")
    X = crystals(n=10, rattle=0.08)
    soap = skpot.SOAP(cutoff=3.5, n_max=3, l_max=2)
    model = make_pipeline(soap, skpot.SparseGPR(n_sparse=20))
    skpot.dump(model.fit(X, labels_of_emt(X)), folder / "model.skpot")
    ase.io.write(folder / "start.xyz", bulk("Cu", cubic=True))
    return folder


def arguments(folder, output, *options):
    files = [folder / "model.skpot", folder / "start.xyz", "-o", folder / output]
    common = ["--temperature", 200, "--log-interval", 20]
    return [str(a) for a in ("md", *files, *common, *options)]


def md(folder, output, *options):
    return CliRunner().invoke(app, arguments(folder, output, *options))


def kill_after_a_checkpoint(folder, output, *options):
    """Run the command and kill it when it has written frames and states."""
    part, saved = folder / f"{output}.part", folder / f"{output}.checkpoint"
    before = saved.stat().st_mtime_ns if saved.exists() else None
    process = subprocess.Popen(
        [sys.executable, "-m", "skpot.cli", *arguments(folder, output, *options)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen, deadline = {before}, time.monotonic() + 60
    while len(seen) < 3:  # the earlier state, that of the first entry, and a later one
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
        if saved.exists():
            seen.add(saved.stat().st_mtime_ns)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert part.exists()
    assert not (folder / output).exists()


def test_a_killed_run_goes_on_and_loses_nothing(folder):
    output = "killed.xyz"
    for _ in range(2):
        kill_after_a_checkpoint(folder, output, "--steps", 10**8, "--restart")
    part, saved = folder / f"{output}.part", folder / f"{output}.checkpoint"
    done = json.loads(str(np.load(saved)["header"]))["step"]
    assert done > 0
    with open(part, "ab") as file:  # as if the last frame had been written in part
        file.write(b"4\nLattice=")
    steps = done + 100
    result = md(folder, output, "--steps", steps, "--restart")
    assert result.exit_code == 0, result.output
    assert f"state of step {done} from" in result.output
    assert not part.exists() and not saved.exists()
    frames = ase.io.read(folder / output, ":")
    times = [round(1000 * atoms.info["time_ps"]) for atoms in frames]
    assert times == list(range(0, steps + 1, 20))

    # The same run without interruption; rounding differs where neighbors were searched anew.
    assert md(folder, "whole.xyz", "--steps", min(steps, 1000)).exit_code == 0
    whole = ase.io.read(folder / "whole.xyz", ":")
    for one, other in zip(frames[: len(whole)], whole, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-6)
        np.testing.assert_allclose(one.get_momenta(), other.get_momenta(), atol=1e-5)


def test_what_a_killed_run_left_is_not_overwritten(folder):
    (folder / "left.xyz.checkpoint").write_bytes(b"state")
    result = md(folder, "left.xyz", "--steps", 20)
    assert "add --restart to continue it, or --force" in result.output
    assert result.exit_code == 1
    assert md(folder, "left.xyz", "--steps", 20, "--force").exit_code == 0
    assert not (folder / "left.xyz.checkpoint").exists()
    result = md(folder, "left.xyz", "--steps", 20, "--restart")
    assert "exists already" in result.output  # that run was complete


def test_a_run_stopped_by_its_user_goes_on(folder, monkeypatch):
    def interrupt(step, trace):
        if step == 40:
            raise KeyboardInterrupt

    monkeypatch.setattr("skpot.cli._md.line", interrupt)
    assert md(folder, "user.xyz", "--steps", 100).exit_code == 130
    assert len(ase.io.read(folder / "user.xyz", ":")) == 3
    monkeypatch.undo()
    assert md(folder, "user.xyz", "--steps", 100, "--restart").exit_code == 0
    times = [atoms.info["time_ps"] for atoms in ase.io.read(folder / "user.xyz", ":")]
    np.testing.assert_allclose(times, [0.0, 0.02, 0.04, 0.06, 0.08, 0.1])


def test_limits_on_the_command_line(folder):
    result = md(folder, "limit.xyz", "--steps", 200, "--max-temperature", 150)
    assert re.search(r"stopped at step \d+: max_temperature 150 is passed", result.output)
    assert result.exit_code == 1
    assert len(ase.io.read(folder / "limit.xyz", ":")) >= 1
    result = md(folder, "grade.xyz", "--steps", 200, "--max-grade", 1e-6)
    assert "the run was stopped at step 0: max_grade 1e-06 is passed" in result.output
    close = folder / "close.xyz"
    result = md(folder, "r.xyz", "--steps", 100, "--min-distance", 3, "--record", close)
    assert result.exit_code == 0, result.output
    assert f"{close}: 6 frames beyond limits" in result.output
    assert len(ase.io.read(close, ":")) == 6  # every 20 steps
