"""Checkpoints that were damaged, edited or left by another run; disks that are full."""

import os

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

import skpot
from skpot.cli import app
from skpot.exceptions import FileError, SkpotError
from skpot.md.checkpoint import Checkpoint
from skpot.md.dynamics import run
from skpot.md.frames import TrajectoryFile, replace_file
from tests.md.conftest import copper as thermal_copper

SETTINGS = {"ensemble": "nvt", "interval": 5}


def copper():
    return thermal_copper(repeat=1, rattle=0.05)


@pytest.fixture
def left(tmp_path):
    """Return the checkpoint and the unfinished trajectory of a run that was stopped at step 10."""
    state, path = tmp_path / "state", tmp_path / "x.xyz"
    file = TrajectoryFile(path)
    run(copper(), 10, trajectory=file, checkpoint=Forced(Checkpoint(state, SETTINGS)), **SETTINGS)
    file.close()  # as after a kill
    return state, path


class Forced:
    """A checkpoint that is written at each entry."""

    def __init__(self, checkpoint):
        self._checkpoint = checkpoint
        self.restore = checkpoint.restore

    def save(self, dynamics, trajectory):
        self._checkpoint.save(dynamics, trajectory, force=True)


def go_on(state, path, atoms, steps=20):
    checkpoint = Checkpoint(state, SETTINGS)
    length = checkpoint.load(atoms)
    with TrajectoryFile(path, length, checkpoint.tail) as trajectory:
        run(atoms, steps, trajectory=trajectory, checkpoint=checkpoint, **SETTINGS)


def arrays_of(state):
    with np.load(state) as file:
        return dict(file)


def edit(**changes):
    def damage(state):
        rewrite(state, **arrays_of(state) | changes)

    return damage


def rewrite(state, **arrays):
    with open(state, "wb") as file:
        np.savez(file, **arrays)


def objects(state):
    rewrite(state, header=np.array([{"step": 1}], dtype=object))


def many(state):
    """Declare more numbers than fit into any memory."""
    data = state.read_bytes()
    assert data.count(b"(4, 3), }      ")
    state.write_bytes(data.replace(b"(4, 3), }      ", b"(40000000000,)}"))


DAMAGES = {
    "empty": lambda s: s.write_bytes(b""),
    "text": lambda s: s.write_text("step 10"),
    "half": lambda s: s.write_bytes(s.read_bytes()[: s.stat().st_size // 2]),
    "without its end": lambda s: s.write_bytes(s.read_bytes()[:-1]),
    "positions NaN": edit(positions=np.full((4, 3), np.nan)),
    "positions moved": lambda s: edit(positions=arrays_of(s)["positions"] + 1e-9)(s),
    "fewer positions": edit(positions=np.zeros((3, 3))),
    "momenta of text": edit(momenta=np.full((4, 3), "x")),
    "cell zero": edit(cell=np.zeros((3, 3))),
    "header": edit(header=np.array('{"settings": {}, "step": 5, "length": 0}')),
    "no header": lambda s: rewrite(s, positions=np.zeros((4, 3))),
    "objects": objects,
    "sizes": many,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_nothing_is_lost(left, name):
    state, path = left
    DAMAGES[name](state)
    check_refusal(state, path, "damaged|no checkpoint")


def check_refusal(state, path, message, atoms=None, steps=20):
    atoms = copper() if atoms is None else atoms
    before = {p: p.read_bytes() for p in path.parent.iterdir()}
    positions, momenta = atoms.positions.copy(), atoms.get_momenta()
    with pytest.raises(SkpotError, match=message):
        go_on(state, path, atoms, steps)
    assert {p: p.read_bytes() for p in path.parent.iterdir()} == before
    np.testing.assert_array_equal(atoms.positions, positions)
    np.testing.assert_array_equal(atoms.get_momenta(), momenta)


def test_flipped_bits_are_refused_or_change_nothing(left):
    state, _ = left
    data, rng, refused = state.read_bytes(), np.random.default_rng(0), 0
    expected = copper()
    Checkpoint(state, SETTINGS).load(expected)
    for _ in range(150):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        state.write_bytes(flipped)
        atoms = copper()
        try:
            Checkpoint(state, SETTINGS).load(atoms)
        except SkpotError:
            refused += 1
            continue
        np.testing.assert_array_equal(atoms.positions, expected.positions)
        np.testing.assert_array_equal(atoms.get_momenta(), expected.get_momenta())
    assert refused > 75


def another_model():
    atoms = copper()
    atoms.calc = LennardJones(sigma=2.3, epsilon=0.4)
    return atoms


def another_isotope():
    atoms = copper()
    atoms.set_masses(np.full(4, 65.0))
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [(another_model, "with another model"), (another_isotope, "other masses")],
)
def test_a_checkpoint_of_another_run_is_refused(left, atoms, message):
    check_refusal(*left, message, atoms())


def shorter(part):
    part.write_bytes(part.read_bytes()[:-10])


def other_numbers(part):
    part.write_bytes(part.read_bytes().replace(b"Cu", b"Ag"))


@pytest.mark.parametrize("damage", [shorter, other_numbers])
@pytest.mark.parametrize("complete", [False, True])
def test_frames_that_were_changed_are_refused(left, damage, complete):
    state, path = left
    part = path.with_name("x.xyz.part")
    damage(part)
    if complete:
        os.replace(part, path)
    atoms, before = copper(), {p: p.read_bytes() for p in path.parent.iterdir()}
    with pytest.raises(SkpotError, match="was it changed"):
        go_on(state, path, atoms)
    assert {p: p.read_bytes() for p in path.parent.iterdir()} == before


def test_frames_that_are_gone_are_missed(left):
    state, path = left
    path.with_name("x.xyz.part").unlink()
    with pytest.raises(SkpotError, match="are lost"):
        go_on(state, path, copper())


def test_a_full_disk_names_the_file_and_the_run_goes_on_later(left, monkeypatch):
    state, path = left

    def full(*args):
        raise OSError(28, "No space left on device")

    for place in ("os.write", "os.fsync", "os.replace"):
        monkeypatch.setattr(f"skpot.md.frames.{place}", full)
        checkpoint, atoms = Checkpoint(state, SETTINGS), copper()
        file = TrajectoryFile(path, checkpoint.load(atoms), checkpoint.tail)
        options = SETTINGS | {"trajectory": file, "checkpoint": Forced(checkpoint)}
        with pytest.raises(FileError, match="No space") as caught:
            run(atoms, 20, **options)
        assert caught.value.filename in (str(state), f"{path}.part")
        monkeypatch.undo()
        file.close()
        assert not state.with_name("state.tmp").exists()
    atoms = copper()
    go_on(state, path, atoms)
    times = [frame.info["time_ps"] for frame in ase.io.read(path, ":")]
    np.testing.assert_allclose(times, [0.0, 0.005, 0.01, 0.015, 0.02])


def test_nothing_of_a_killed_write_stays(left):
    state, path = left
    state.with_name("state.tmp").write_bytes(b"half")
    go_on(state, path, copper())
    Checkpoint(state, SETTINGS).remove()
    assert [p.name for p in path.parent.iterdir()] == ["x.xyz"]


def test_a_file_that_cannot_be_replaced_stays(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(FileError, match="what was written before is kept"):
        replace_file(tmp_path / "x", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, copper_models):
    folder = tmp_path_factory.mktemp("md")
    skpot.dump(copper_models["compiled"], folder / "model.skpot")
    X = [copper() for _ in range(4)]
    another = make_pipeline(skpot.SOAP(cutoff=4.5, n_max=4, l_max=3), skpot.GPR())
    another.fit(X, skpot.Targets.from_atoms(X))
    skpot.dump(another, folder / "another.skpot")
    ase.io.write(folder / "cu.xyz", bulk("Cu", cubic=True))
    ase.io.write(folder / "ag.xyz", bulk("Ag", cubic=True))
    ase.io.write(folder / "open.xyz", ase.Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]]))
    close = bulk("Cu", cubic=True)
    close.positions[1] = close.positions[0] + 0.02
    ase.io.write(folder / "close.xyz", close)
    moving = bulk("Cu", cubic=True)
    moving.set_momenta(np.full((4, 3), np.nan))
    ase.io.write(folder / "moving.xyz", moving)
    (folder / "notes.xyz").write_text("notes")
    return folder


def md(folder, *arguments):
    """Run the command in the folder; return its result and the new files."""
    os.chdir(folder)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    result = CliRunner().invoke(app, ["md", *map(str, arguments)])
    after = {p: p.read_bytes() for p in folder.iterdir()}
    return result, {p.name for p in after if after[p] != before.get(p)}


REFUSED = {
    "species": (["model.skpot", "ag.xyz"], "species Ag did not occur in fit; this model knows Cu"),
    "coincident": (["model.skpot", "close.xyz"], "0.0346 Å apart"),
    "velocities": (["model.skpot", "moving.xyz"], "velocities of the start structure"),
    "no structure": (["model.skpot", "notes.xyz"], "notes.xyz cannot be read"),
    "no file": (["model.skpot", "none.xyz"], "none.xyz"),
    "no model": (["none.skpot", "cu.xyz"], "none.skpot"),
    "other model file": (["cu.xyz", "cu.xyz"], "cu.xyz"),
    "repeated nothing": (["model.skpot", "open.xyz", "--repeat", 2, 1, 1], "no cell vector a"),
    "barostat": (["model.skpot", "open.xyz", "--ensemble", "npt"], "three periodic directions"),
    "limit": (["model.skpot", "cu.xyz", "--max-grade", "nan"], "max_grade must be"),
    "no temperature": (["model.skpot", "cu.xyz", "--temperature", 0], "temperature of nvt"),
    "timestep": (["model.skpot", "cu.xyz", "--timestep", "inf"], "timestep must be"),
    "pressure": (["model.skpot", "cu.xyz", "--pressure", "nan"], "pressure must be"),
    "trajectory": (["model.skpot", "cu.xyz", "-o", "run.cif"], "cannot be appended"),
    "compressed": (
        ["model.skpot", "cu.xyz", "-o", "run.xyz.gz"],
        "cannot be appended",
    ),
    "no suffix": (["model.skpot", "cu.xyz", "-o", "run"], "run: ASE writes no files of this name"),
    "record": (["model.skpot", "cu.xyz", "--record", "far.traj"], "far.traj would be read as"),
    "one file": (["model.skpot", "cu.xyz", "--record", "traj.xyz"], "are the same file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_before_the_run(folder, name):
    arguments, message = REFUSED[name]
    result, appeared = md(folder, *arguments)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line and "blew up" not in line
    assert result.exit_code == 1 and not appeared


def test_a_negative_seed_is_no_use_of_the_command(folder):
    result, appeared = md(folder, "model.skpot", "cu.xyz", "--seed", -1)
    assert "--seed" in result.stderr and "blew up" not in result.stderr
    assert result.exit_code == 2 and not appeared


def test_a_wrong_start_takes_no_checkpoint_away(folder):
    left = folder / "traj.xyz.checkpoint"
    left.write_bytes(b"state")
    for files in (["model.skpot", "ag.xyz"], ["none.skpot", "cu.xyz"]):
        result, appeared = md(folder, *files, "--force")
        assert result.exit_code == 1 and not appeared
    result, appeared = md(folder, "model.skpot", "cu.xyz", "--restart")
    assert "traj.xyz.checkpoint is no checkpoint of a run, or it is damaged" in result.stderr
    assert result.exit_code == 1 and not appeared
    left.unlink()


def test_a_restart_with_another_model_or_fewer_steps(folder, monkeypatch):
    def interrupt(step, trace):
        if step == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr("skpot.cli._md.line", interrupt)
    monkeypatch.setattr("skpot.md.checkpoint._PAUSE", 0.0)
    result, _ = md(folder, "model.skpot", "cu.xyz", "--steps", 100, "-o", "user.xyz")
    assert result.exit_code == 130
    monkeypatch.undo()
    common = ["-o", "user.xyz", "--restart"]
    for files, message in (
        (["another.skpot", "cu.xyz", *common], "with another model"),
        (["model.skpot", "cu.xyz", *common, "--steps", 5], "give more --steps"),
        (["model.skpot", "cu.xyz", *common, "--timestep", 2], "timestep 1.0 (now 2.0)"),
    ):
        result, appeared = md(folder, *files)
        assert message in result.stderr, result.stderr
        assert result.exit_code == 1 and not appeared
    result, _ = md(folder, "model.skpot", "cu.xyz", *common, "--steps", 40)
    assert result.exit_code == 0, result.output
    assert len(ase.io.read(folder / "user.xyz", ":")) == 3  # one every 20 steps


def test_a_real_blow_up_says_so(folder):
    arguments = ["model.skpot", "cu.xyz", "--timestep", 300, "-o", "hot.xyz", "--ensemble", "nve"]
    result, _ = md(folder, *arguments, "--temperature", 3000)
    assert "the run blew up at step" in result.stderr and "smaller --timestep" in result.stderr
    assert "hot.xyz holds the frames up to there" in result.stderr
