"""Labelers, and what they do if what labels hangs, dies or writes nonsense."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from joblib.externals.loky import process_executor

from skpot.active import CommandLabeler, FolderLabeler, LabelFailed, OnTheFly, _commands, _labelers
from skpot.active._apart import as_labeler
from skpot.exceptions import InputError, InputTypeError, SkpotWarning

WATER = molecule("H2O")
ZEROS = np.zeros((3, 3))


def copper():
    return bulk("Cu", cubic=True).repeat((2, 1, 1))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((0.0, np.full((3, 3), np.nan)), "forces: NaN or infinite"),
        ((np.inf, ZEROS), "energy: NaN or inf"),
        ((None, ZEROS), "energy and forces are needed"),
        ((0.0, ZEROS[:2]), r"forces: an array of shape \(2, 3\) instead of \(3, 3\)"),
        ((ZEROS[0], ZEROS), "instead of one number"),
        ((0.0, ZEROS, ZEROS), r"stress: an array of shape \(3, 3\)"),
        ((0.0, ZEROS + 1j), "forces: complex128 instead of real"),
        (("-3.0 eV", ZEROS), "energy: .* instead of real"),
        ((0.0, np.ma.masked_less(ZEROS, 1.0)), "masked"),
        ((0.0, np.full((3, 3), 1e3)), "no force of a sound"),
        (3.0, "must return"),
    ],
)
def test_labels_that_cannot_be_learned_are_failures(given, told):
    with pytest.raises(LabelFailed, match=told):
        as_labeler(lambda atoms: given)(WATER, 0)


def misbehaving(atoms):
    """Label hydrogen; sleep where no signal is heard for He, die for Li, and time out for Be."""
    number = int(atoms.numbers[0])
    if number == 2:
        ctypes.CDLL(None).sleep(60)
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        raise TimeoutError("no license")
    return float(os.getpid()), np.zeros((1, 3))


def test_a_calculator_that_hangs_or_dies_costs_a_label():
    labeler = as_labeler(misbehaving, patience=60.0)
    first, second, *others = (ase.Atoms(name) for name in ("H", "H", "He", "Li", "Be"))
    there = labeler(first, 0).energy
    assert there != os.getpid() and labeler(second, 1).energy == there
    labeler.patience = 0.3
    with pytest.raises(LabelFailed, match="no label after 0.3 s"):
        labeler(others[0], 2)
    labeler.patience = 60.0
    with pytest.raises(TimeoutError, match="no license"):
        labeler(others[2], 3)
    with pytest.raises(LabelFailed, match="has died.*SIGKILL"):
        labeler(others[1], 3)
    with pytest.raises(ProcessLookupError):
        os.kill(int(there), 0)
    lock = threading.Lock()
    with pytest.raises(InputTypeError, match="cannot be sent"):
        as_labeler(lambda atoms: lock, patience=1.0)
    with pytest.raises(InputError, match="patience of the FolderLabeler itself"):
        as_labeler(FolderLabeler("labels"), patience=1.0)
    with pytest.raises(ValueError, match="patience"):
        OnTheFly(EMT(), 0.1, "run", patience=-1.0)


def growing(atoms):
    """Label, in a process that loky then takes for one whose memory leaks."""
    process_executor._MAX_MEMORY_LEAK_SIZE = -1e12
    process_executor._MEMORY_LEAK_CHECK_DELAY = -1.0
    return float(os.getpid()), np.zeros((1, 3))


@pytest.mark.filterwarnings("error")
def test_a_process_that_is_replaced_since_it_has_grown_labels_on():
    pytest.importorskip("psutil")  # by which loky sees the memory
    labeler = as_labeler(growing, patience=60.0)
    seen = {labeler(ase.Atoms("H"), k).energy for k in range(3)}
    labeler._end()
    assert len(seen) > 1


class _Lost:
    """Cannot be received."""

    def __reduce__(self):
        return __import__, ("module_that_is_not_installed",)

    def __call__(self, atoms):
        raise AssertionError


def test_a_labeler_that_cannot_be_received_says_so_each_time():
    labeler = as_labeler(_Lost(), patience=60.0)
    for k in range(2):
        with pytest.raises(ModuleNotFoundError, match="module_that_is_not_installed"):
            labeler(WATER, k)
    labeler._end()


def shell(line, folder, **options):
    return CommandLabeler(f"bash -c '{line}'", folder, **options)


def test_a_command_that_hangs_is_ended_with_all_that_it_has_started(tmp_path, monkeypatch):
    monkeypatch.setattr(_commands, "_GRACE", 0.2)
    began = time.monotonic()
    line = "sleep 60 & echo $! > pid; trap true TERM; sleep 60; sleep 60"
    with pytest.raises(LabelFailed, match="more than 0.3 s"):
        shell(line, tmp_path, patience=0.3)(WATER, 0)
    assert time.monotonic() - began < 20.0
    child = (tmp_path / "00000" / "pid").read_text().strip()
    told = subprocess.run(["ps", "-o", "stat=", "-p", child], capture_output=True, text=True)
    assert told.stdout.strip()[:1] in ("", "Z")


@pytest.mark.parametrize(
    ("line", "error", "told"),
    [
        ("kill -9 $$", LabelFailed, r"bash was killed by signal 9 \(SIGKILL\)"),
        ("head -c 9999 /dev/urandom; echo; echo out of memory; exit 3", LabelFailed,
         "exit code 3: out of memory"),
        ("exit 0", LabelFailed, "has not written"),
        ("head -c 999 /dev/urandom > label.xyz", InputError, "label.xyz cannot be read"),
        ("cp structure.xyz label.xyz", LabelFailed, "label.xyz has no energy or no forces"),
    ],
)  # fmt: skip
def test_commands_that_fail_say_how(tmp_path, line, error, told):
    with pytest.raises(error, match=told):
        shell(line, tmp_path)(WATER, 0)


def test_commands_that_cannot_run_are_refused_at_once(tmp_path, monkeypatch):
    for command, told in {
        "no-such-program structure.xyz": "is not found",
        "vasp > out.txt": "no shell runs it",
        " ": "is empty",
        "echo 'a": "No closing quotation",
    }.items():
        with pytest.raises(InputError, match=told):
            CommandLabeler(command, tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "label.py").write_text(SCRIPT)
    assert CommandLabeler(f"{sys.executable} label.py", "labels")(copper(), 0).forces.shape == (
        8,
        3,
    )


def test_a_command_that_is_still_at_work_is_awaited(tmp_path):
    """So the label is not paid twice if a run was killed while its command went on."""
    (tmp_path / "label.py").write_text("import time\ntime.sleep(0.7)\n" + SCRIPT)
    labeler = CommandLabeler(f"{sys.executable} {tmp_path / 'label.py'}", tmp_path / "labels")
    earlier = threading.Thread(target=labeler, args=(copper(), 0))
    earlier.start()
    until = time.monotonic() + 30.0
    while not (tmp_path / "labels" / "00000" / ".running").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.1)
    assert labeler(copper(), 0).forces.shape == (8, 3)
    earlier.join()
    assert (tmp_path / "labels" / "00000" / "runs.txt").read_text() == "x"


def test_what_a_command_has_left_behind_is_not_awaited(tmp_path, monkeypatch):
    """Nor is a command elsewhere awaited for ever, or without a word."""
    line = f"setsid sleep 60 & echo $! >> {tmp_path}/pids; cp {tmp_path}/answer.xyz label.xyz"
    atoms = copper()
    atoms.calc = EMT()
    atoms.get_forces()
    ase.io.write(tmp_path / "answer.xyz", atoms)
    labeler = shell(line, tmp_path / "labels")
    assert labeler(copper(), 0).forces.shape == (8, 3)
    for is_there in (True, False):
        if not is_there:
            (tmp_path / "labels" / "00000" / "label.xyz").unlink()
        with pytest.warns(SkpotWarning, match="something that it started still runs"):
            assert labeler(copper(), 0).forces.shape == (8, 3)
    servers = (tmp_path / "pids").read_text().split()
    assert len(servers) == 2
    for server in servers:
        os.kill(int(server), signal.SIGKILL)
    monkeypatch.setattr(_commands, "_GRACE", 0.0)
    running = tmp_path / "labels" / "00000" / ".running"
    with open(running, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("1 node7")
        file.flush()
        with pytest.warns(SkpotWarning, match="on node7, and is awaited. If it is not, remove"):
            with pytest.raises(LabelFailed, match="bash is still at work on node7 after 0.3 s"):
                shell(line, tmp_path / "labels", patience=0.3)(copper(), 0)


def test_what_is_dropped_and_cannot_be_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(_labelers, "_SETTLED", -1.0)
    labeler = FolderLabeler(tmp_path, patience=0.0)
    for text in ("garbage", "1\n\nH 0 0 0 nan nan nan\n"):
        (tmp_path / "00000.labeled.xyz").write_text(text)
        with (
            pytest.warns(SkpotWarning, match="00000.labeled.xyz.*Another file is awaited"),
            pytest.raises(LabelFailed, match="was not there"),
        ):
            labeler(WATER, 0)


SCRIPT = """
import sys
from ase.calculators.emt import EMT
from ase.io import read, write
atoms = read("structure.xyz")
atoms.calc = EMT()
atoms.get_forces()
open("runs.txt", "a").write("x")
write("label.xyz", atoms)
"""


def test_commands_label_in_folders_of_their_own(tmp_path):
    (tmp_path / "label.py").write_text(SCRIPT)
    labeler = CommandLabeler(f"{sys.executable} {tmp_path / 'label.py'}", tmp_path / "labels")
    atoms = copper()
    atoms.rattle(0.1)
    first, again = labeler(atoms, 3), labeler(atoms, 3)
    assert (tmp_path / "labels" / "00003" / "runs.txt").read_text() == "x"
    other = atoms.copy()
    other.calc = EMT()
    np.testing.assert_allclose(first.forces, other.get_forces(), atol=1e-6)
    np.testing.assert_array_equal(first.forces, again.forces)


def test_labels_of_atoms_in_another_order_are_refused(tmp_path):
    script = SCRIPT.replace("atoms.calc", "atoms = atoms[::-1]\natoms.calc")
    (tmp_path / "label.py").write_text(script)
    labeler = CommandLabeler(f"{sys.executable} {tmp_path / 'label.py'}", tmp_path / "labels")
    with pytest.raises(LabelFailed, match="another order"):
        labeler(copper(), 0)


def test_labels_of_atoms_that_were_moved_into_the_cell_are_used():
    def wrapped(atoms):
        atoms.wrap()
        atoms.calc = EMT()
        atoms.get_forces()
        return atoms

    atoms = copper()
    atoms.positions += 5.0
    atoms.rattle(0.1)
    assert as_labeler(wrapped)(atoms, 0).forces.shape == (8, 3)


def test_labels_may_be_dropped_into_a_folder(tmp_path):
    atoms = copper()
    atoms.rattle(0.1)
    with pytest.raises(LabelFailed, match="was not there"):
        FolderLabeler(tmp_path, patience=0.0)(atoms, 0)
    asked = ase.io.read(tmp_path / "00000.xyz")
    np.testing.assert_allclose(asked.positions, atoms.positions, atol=1e-7)
    asked.calc = EMT()
    asked.get_forces()
    other = copper()
    other.calc = EMT()
    other.get_forces()
    ase.io.write(tmp_path / "00000.labeled.xyz", other)
    with (
        pytest.warns(SkpotWarning, match="another structure.*file is awaited"),
        pytest.raises(LabelFailed, match="was not there"),
    ):
        FolderLabeler(tmp_path, patience=0.0)(atoms, 0)
    ase.io.write(tmp_path / "00000.labeled.xyz", asked)
    label = FolderLabeler(tmp_path, patience=0.0)(atoms, 0)
    np.testing.assert_allclose(label.forces, asked.get_forces(), atol=1e-6)
    (tmp_path / "00001.failed").write_text("no memory")
    with pytest.raises(LabelFailed, match="no memory"):
        FolderLabeler(tmp_path)(atoms, 1)
