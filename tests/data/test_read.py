import gzip
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write

from skpot.data import Targets, read
from skpot.exceptions import LabelWarning
from tests.samples import crystal

RNG = np.random.default_rng(5)
STRESS = np.array([1.0, 2.0, 3.0, 0.4, 0.5, 0.6]) * 1e-2


def frame(**results):
    atoms = crystal("Cu", 0.05, seed=int(RNG.integers(1000)))
    atoms.info["config_type"] = "test"
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def labeled():
    forces = RNG.normal(size=(3, 4, 3))
    return [
        frame(energy=-1.0, forces=forces[0], stress=STRESS),
        frame(energy=-2.0),
        frame(energy=-3.0, forces=forces[2]),
    ]


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.traj", "a.xyz.gz", "odd@name.xyz"])
def test_standard_results(labeled, tmp_path, name):
    path = tmp_path / name
    write(path, labeled, format="traj" if name.endswith("traj") else "extxyz")
    X, y = read(path)
    assert isinstance(y, Targets) and len(X) == 3
    np.testing.assert_allclose(y.energy, [-1, -2, -3])
    np.testing.assert_array_equal(y.has_forces, [True, False, True])
    np.testing.assert_allclose(y.forces[2], labeled[2].calc.results["forces"], atol=1e-8)
    np.testing.assert_allclose(y.stress[0], STRESS)
    np.testing.assert_array_equal(y.has_stress, [True, False, False])
    for atoms in X:
        assert atoms.calc is None and atoms.info["config_type"] == "test"
        assert "forces" not in atoms.arrays


def test_names_may_choose_frames(labeled, tmp_path):
    xyz, db = tmp_path / "a.xyz", tmp_path / "b.db"
    write(xyz, labeled, format="extxyz")
    write(db, labeled)
    X, y, report = read([f"{xyz}@::2", f"{db}@1:", xyz], return_report=True)
    np.testing.assert_allclose(y.energy, [-1, -3, -2, -3, -1, -2, -3])
    assert report.files == [(f"{xyz}@::2", 2), (f"{db}@1:", 2), (str(xyz), 3)]
    np.testing.assert_allclose(read([f"{xyz}@-1", xyz], "0")[1].energy, [-3, -1])
    odd = tmp_path / "a.xyz@1"  # a file of that name is that file
    write(odd, labeled[2:], format="traj")
    np.testing.assert_allclose(read(odd)[1].energy, [-3])
    with pytest.raises(FileNotFoundError, match="none.xyz"):
        read(tmp_path / "none.xyz@::2")
    with pytest.raises(FileNotFoundError, match="no@where.xyz"):
        read(tmp_path / "no@where.xyz")
    with pytest.raises(ValueError, match="cannot be read"):
        read(f"{xyz}@a:b")


def test_frames_and_several_files(labeled, tmp_path):
    paths = [tmp_path / "a.xyz", str(tmp_path / "b.xyz.gz")]
    for path in paths:
        write(path, labeled, format="extxyz")
    np.testing.assert_allclose(read(paths, "::2")[1].energy, [-1, -3, -1, -3])
    np.testing.assert_allclose(read(paths[0], -1)[1].energy, [-3])
    np.testing.assert_allclose(read(paths[0], slice(1, None))[1].energy, [-2, -3])


def test_compressed_files_are_not_read_over_and_over(tmp_path, monkeypatch):
    path = tmp_path / "a.xyz.gz"
    write(path, [frame(energy=-1.0) for _ in range(5)], format="extxyz")
    opened = []
    original = gzip.GzipFile.seek
    monkeypatch.setattr(gzip.GzipFile, "seek", lambda *a: opened.append(a) or original(*a))
    read(path)
    assert len(opened) <= 1


def test_named_keys(labeled, tmp_path):
    virials = []
    for k, atoms in enumerate(labeled):
        atoms.info["dft_energy"] = 10.0 + k
        atoms.arrays["dft_forces"] = np.full((4, 3), float(k))
        atoms.info["dft_stress"] = np.diag([1.0, 2.0, 3.0]) * 1e-3
        virials.append(-np.diag([1.0, 2.0, 3.0]) * 1e-3 * atoms.get_volume())
        atoms.info["dft_virial"] = virials[-1]
    del labeled[1].info["dft_energy"]
    write(tmp_path / "a.xyz", labeled, format="extxyz")
    keys = {"energy_key": "dft_energy", "forces_key": "dft_forces"}
    X, y = read(tmp_path / "a.xyz", **keys, stress_key="stress")
    np.testing.assert_array_equal(y.has_energy, [True, False, True])
    assert y.energy[2] == 12.0 and (y.forces[2] == 2.0).all()
    np.testing.assert_allclose(y.stress[0], STRESS)
    for key in ("stress_key", "virial_key"):
        _, y = read(tmp_path / "a.xyz", **keys, **{key: f"dft_{key.split('_')[0]}"})
        np.testing.assert_allclose(y.stress, [[1e-3, 2e-3, 3e-3, 0, 0, 0]] * 3, rtol=1e-6)
    keys = {"energy_key": "energy", "forces_key": "forces", "stress_key": "stress"}
    _, y = read(tmp_path / "a.xyz", **keys)
    np.testing.assert_allclose(y.energy, [-1, -2, -3])
    np.testing.assert_array_equal(y.has_stress, [True, False, False])


def test_groups_of_frames(labeled, tmp_path):
    write(tmp_path / "a.extxyz", labeled)
    _, y = read(tmp_path / "a.extxyz", group_key="config_type")
    assert y.groups.tolist() == ["test"] * 3
    assert read(tmp_path / "a.extxyz")[1].groups is None
    with pytest.raises(ValueError, match="group_key='phase': no frame has it"):
        read(tmp_path / "a.extxyz", group_key="phase")


def test_key_that_is_nowhere(labeled, tmp_path):
    labeled[0].info["dft_energy"] = 1.0
    write(tmp_path / "a.xyz", labeled, format="extxyz")
    with pytest.raises(ValueError, match="energy_key='E': no frame has it.*dft_energy.*forces"):
        read(tmp_path / "a.xyz", energy_key="E")


def test_virial_needs_a_cell_and_excludes_stress(tmp_path):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1]], info={"w": np.eye(3)})
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    with pytest.raises(ValueError, match="structure 0: has a stress or virial.* no cell"):
        read(tmp_path / "a.xyz", virial_key="w")
    with pytest.raises(ValueError, match="give one"):
        read(tmp_path / "a.xyz", virial_key="w", stress_key="s")


def test_unlabeled_files(tmp_path):
    write(tmp_path / "plain.xyz", frame(), format="extxyz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X, y = read(tmp_path / "plain.xyz")
    assert len(X) == 1 and not y.has_energy.any()
    atoms = frame()
    atoms.info["MACE_energy"] = 1.0
    write(tmp_path / "named.xyz", atoms, format="extxyz")
    with pytest.warns(LabelWarning, match="MACE_energy.*energy_key"):
        _, y = read(tmp_path / "named.xyz")
    assert not y.has_energy.any()


@pytest.mark.parametrize(
    ("free", "forces", "expected", "warns"),
    [
        ([-1.5, -2.5], True, [-1.5, -2.5], False),
        ([-1.5, -2.5], False, [-1.0, -2.0], False),
        ([-1.5, None], True, [-1.0, -2.0], True),
    ],
)
def test_one_kind_of_energy_throughout(tmp_path, free, forces, expected, warns):
    frames = []
    for energy, other in zip([-1.0, -2.0], free, strict=True):
        results = {"energy": energy}
        if other is not None:
            results["free_energy"] = other
        if forces:
            results["forces"] = np.zeros((4, 3))
        frames.append(frame(**results))
    write(tmp_path / "a.traj", frames)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, y = read(tmp_path / "a.traj")
    np.testing.assert_allclose(y.energy, expected)
    assert any("free energy" in str(w.message) for w in caught) == warns


def test_constraints_do_not_touch_forces(tmp_path):
    atoms = frame(energy=0.0, forces=np.ones((4, 3)))
    atoms.set_constraint(FixAtoms([0, 1]))
    write(tmp_path / "a.traj", atoms)
    _, y = read(tmp_path / "a.traj")
    assert (y.forces[0] == 1.0).all()


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.xyz"):
        read(tmp_path / "nothing.xyz")
    with pytest.raises(ValueError, match="list of paths is empty"):
        read([])


def test_labels_of_calculators():
    stored, live = frame(energy=-1.0), frame()
    live.calc = EMT()
    y = Targets.from_atoms([stored, live, frame()])
    np.testing.assert_array_equal(y.has_energy, [True, True, False])
    np.testing.assert_array_equal(y.has_forces, [False, True, False])
    np.testing.assert_array_equal(y.has_stress, [False, True, False])
    np.testing.assert_allclose(y.forces[1], live.get_forces())
    molecule = Atoms("H2", [[0, 0, 0], [0, 0, 1]], calculator=EMT())
    assert not Targets.from_atoms([molecule]).has_stress.any()
