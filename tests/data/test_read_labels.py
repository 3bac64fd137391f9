"""Which labels are found in files: none is lost, and none is taken for another, in silence."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

from skpot.data import LabelReport, Targets, read
from skpot.data._label_names import label_kind
from skpot.exceptions import InputError, LabelError, LabelWarning
from tests.samples import crystal

CELL = 'Lattice="5 0 0 0 5 0 0 0 5" pbc="T T T"'
FORCES = np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
STRESS = np.array([[1.0, 0.6, 0.5], [0.6, 2.0, 0.4], [0.5, 0.4, 3.0]]) * 1e-2
VIRIAL = -125.0 * STRESS


def text(header="", forces=None, cell=CELL):
    """Return a frame of extended XYZ; `forces` is the name of its columns."""
    columns = "species:S:1:pos:R:3" + (f":{forces}:R:3" if forces else "")
    rows = [["Si", 0, 0, 0], ["Si", 2.3, 0, 0]]
    if forces:
        rows = [row + list(f) for row, f in zip(rows, FORCES, strict=True)]
    lines = ["2", f"{cell} Properties={columns} {header}"]
    return "\n".join(lines + [" ".join(map(str, row)) for row in rows]) + "\n"


def numbers(array):
    return '"' + " ".join(map(str, np.ravel(array))) + '"'


@pytest.fixture
def reading(tmp_path):
    """Return a function: read frames given as text; warnings of labels are returned, too."""

    def run(*frames, **options):
        path = tmp_path / "train.xyz"
        path.write_text("".join(frames))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            X, y, report = read(path, return_report=True, **options)
        assert len(X) == len(y) == len(frames) == report.n_frames
        assert isinstance(report, LabelReport)
        return y, report, [str(w.message) for w in caught if w.category is LabelWarning]

    return run


ENERGY_NAMES = [
    "energy", "Energy", "REF_energy", "ref_energy", "dft_energy", "DFT_energy", "energy_dft",
    "energy_ref", "free_energy", "dft_free_energy", "total_energy", "TotEnergy", "potential_energy",
    "DFTenergy", "reference-energy", "TOTEN",
]  # fmt: skip
FORCE_NAMES = ["forces", "force", "Forces", "REF_forces", "dft_force", "forces_ref", "DFT_FORCES"]


@pytest.mark.parametrize("name", ENERGY_NAMES)
def test_usual_names_of_energies(reading, name):
    y, report, told = reading(text(f"{name}=-1.5"), text(f"{name}=-2.5"), text())
    assert y.has_energy.tolist() == [True, True, False] and y.energy[:2].tolist() == [-1.5, -2.5]
    assert not told and not report.unused
    (use,) = report.used
    assert (use.kind, use.name, use.frames) == ("energy", name, (0, 1))


@pytest.mark.parametrize("name", FORCE_NAMES)
def test_usual_names_of_forces(reading, name):
    y, report, told = reading(text("energy=-1", name), text("energy=-1"))
    np.testing.assert_allclose(y.forces[0], FORCES)
    assert y.has_forces.tolist() == [True, False] and not told
    assert [(use.kind, use.name) for use in report.used] == [("energy", "energy"), ("forces", name)]


@pytest.mark.parametrize(
    "name", ["stress", "REF_stress", "Stress", "virial", "dft_virial", "virials"]
)
@pytest.mark.parametrize("six", [False, True])
def test_usual_names_of_stress_and_virials(reading, name, six):
    values = VIRIAL if "virial" in name else STRESS
    if six:
        values = values[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    y, report, told = reading(text(f"energy=-1 {name}={numbers(values)}", "forces"))
    np.testing.assert_allclose(y.stress[0], np.array([1, 2, 3, 0.4, 0.5, 0.6]) * 1e-2)
    assert not told
    note = report.used[2].note
    assert ("virial over volume" in note) == ("virial" in name)
    assert ("xx yy zz yz xz xy" in note) == (six and name != "stress")


@pytest.mark.parametrize(
    ("header", "forces"),
    [("MACE_energy=-7", None), ("energy_gap=-7", None), ("NEP_energy=-7", None),
     ("formation_energy=-7", None), ("", "gap_force"), ("", "MACE_forces"),
     (f"mace_stress={numbers(STRESS)}", None), (f"NEP_virial={numbers(VIRIAL)}", None)],
)  # fmt: skip
@pytest.mark.parametrize("labeled", [True, False])
def test_what_only_looks_like_a_label_is_told_and_not_used(reading, header, forces, labeled):
    standard = "energy=-1 " if labeled else ""
    frames = text(standard + header, forces), text(standard)
    y, report, told = reading(*frames)
    assert y.has_energy.tolist() == [labeled] * 2
    assert not y.has_forces.any() and not y.has_stress.any()
    name = forces or header.split("=")[0]
    assert [(use.name, use.frames) for use in report.unused] == [(name, (0,))]
    (message,) = told
    assert f"{name!r} (frames 0" in message and f'_key="{name}"' in message


@pytest.mark.parametrize(
    "name",
    ["energy_sigma", "force_sigma", "virial_weight", "config_type", "kinetic_energy", "units",
     "energy_units", "energy_error", "momenta", "dipole", "magmoms", "E0", "reinforced"],
)  # fmt: skip
def test_what_is_about_labels_is_none(name):
    assert label_kind(name)[1] != "label"
    assert label_kind(name) == (None, None) or name == "reinforced"


@pytest.mark.parametrize("name", ["energies", "local_energy", "atomic_energy", "Energy"])
def test_energies_of_atoms_are_no_labels(reading, name):
    frame = (
        text("energy=-1").replace("pos:R:3", f"pos:R:3:{name}:R:1").replace("0 0\nSi", "0 0 9\nSi")
    )
    frame = frame[:-1] + " 9\n"
    y, report, told = reading(frame)
    assert y.energy.tolist() == [-1.0] and not told
    assert [use.name for use in report.unused] == [name]
    y, report, told = reading(frame.replace(" energy=-1", ""))
    assert not y.has_energy.any() and len(told) == 1 and name in told[0]


def test_the_same_label_twice_is_no_matter(reading):
    header = f"energy=-1 REF_energy=-1.0000000001 stress={numbers(STRESS)} virial={numbers(VIRIAL)}"
    y, report, told = reading(text(header, "forces"))
    assert y.energy[0] == -1.0 and y.has_stress.all() and not told
    assert [use.name for use in report.used] == ["energy", "forces", "stress"]
    assert sorted(use.name for use in report.unused) == ["REF_energy", "virial"]
    # One of two names has all: it is used, and they agree where both are.
    y, report, _ = reading(text("REF_energy=-1"), text("REF_energy=-2 energy=-2"))
    assert y.energy.tolist() == [-1, -2] and report.used[0].name == "REF_energy"


@pytest.mark.parametrize(
    ("frames", "options", "value"),
    [
        ([text("energy=-1 REF_energy=-2")], {"energy": "REF_energy"}, -2),
        ([text("energy=-1 REF_energy=-2")], {"energy": "energy"}, -1),
        ([text("dft_energy=-1 ref_energy=-2")], {"energy": "dft_energy"}, -1),
        ([text("free_energy=-1 dft_free_energy=-2")], {"energy": "free_energy"}, -1),
        ([text("energy=-1"), text("REF_energy=-2")], {"energy": "energy"}, -1),
        ([text("energy=-1"), text("REF_energy=-2")], {"energy": "REF_energy"}, None),
    ],
)
def test_energies_that_are_ambiguous(reading, frames, options, value):
    with pytest.raises(LabelError) as error:
        reading(*frames)
    for kind, name in options.items():
        assert f'{kind}_key="{name}"' in str(error.value)
        assert f"--{kind}-key {name}" in str(error.value)
    y, report, told = reading(*frames, **{f"{kind}_key": name for kind, name in options.items()})
    assert y.energy[0] == value or not y.has_energy[0]
    assert not told and len(report.unused) == 1


def test_forces_and_stress_that_are_ambiguous(reading):
    two = text("energy=-1", "forces").replace("forces:R:3", "forces:R:3:REF_forces:R:3")
    two = two.replace("-0.3\n", "-0.3 9 9 9\n").replace("0.3\nSi", "0.3 9 9 9\nSi")
    with pytest.raises(LabelError, match='forces_key="REF_forces".*--forces-key REF_forces'):
        reading(two)
    with pytest.raises(LabelError, match="some frames have forces under one name.*frames 1"):
        reading(text("energy=-1", "forces"), text("energy=-1", "force"))
    wrong = f"energy=-1 stress={numbers(STRESS)} virial={numbers(-VIRIAL)}"
    with pytest.raises(
        LabelError, match='stress_key="stress" or virial_key="virial".*--virial-key'
    ):
        reading(text(wrong))
    y, _, told = reading(text(wrong), virial_key="virial")
    np.testing.assert_allclose(y.stress[0, :3], [-0.01, -0.02, -0.03])
    assert not told
    with pytest.raises(LabelError, match="some frames have stress under one name"):
        reading(text(f"stress={numbers(STRESS)}"), text(f"virial={numbers(VIRIAL)}"))


@pytest.mark.parametrize("name", ["energy", "dft_energy", "Energy"])
@pytest.mark.parametrize("value", ['="-5.0 eV"', "=None", '=""', "", "=T", '="1.0 2.0"'])
@pytest.mark.parametrize("explicit", [True, False])
def test_what_is_no_number_is_refused_where_it_is(reading, name, value, explicit):
    options = {"energy_key": name} if explicit else {}
    with pytest.raises(LabelError, match="structure 1: energy (is|has) "):
        reading(text(f"{name}=-4.9"), text(f"{name}{value}"), **options)


@pytest.mark.parametrize(
    "header", [f"virial={numbers(VIRIAL.ravel()[:5])}", "virial=None", "virial", "REF_stress=None"]
)
def test_other_labels_that_are_no_numbers(reading, header):
    name = header.split("=")[0]
    sound = text(f"{name}={numbers(VIRIAL)}")
    with pytest.raises(LabelError, match="structure 1: (virial|stress) "):
        reading(sound, text(header))


def test_stress_where_there_is_none(reading):
    slab = 'Lattice="5 0 0 0 5 0 0 0 20" pbc="T T F"'
    for cell in ("", 'Lattice="5 0 0 0 5 0 0 0 0" pbc="T T F"'):
        for name in ("stress", "virial", "dft_virial"):
            with pytest.raises(LabelError, match="structure 1: has a stress or virial"):
                reading(text("energy=-1"), text(f"energy=-1 {name}={numbers(VIRIAL)}", cell=cell))
            zero = text(f"energy=-1 {name}={numbers(np.zeros(9))}", cell=cell)
            sound = text(f"energy=-1 {name}={numbers(VIRIAL)}", cell=slab)
            y, _, told = reading(zero, sound)
            assert y.has_stress.tolist() == [False, True] and y.energy.tolist() == [-1, -1]
            assert len(told) == 1 and "structures 0. These labels are ignored" in told[0]
            expected = VIRIAL if name == "stress" else -VIRIAL / 500.0
            np.testing.assert_allclose(y.stress[1, :3], np.diag(expected))


def test_files_that_cannot_be_read_are_named(reading):
    with pytest.raises(InputError, match=r"train.xyz, frame 1 cannot be read"):
        reading(text("energy=-1"), text("stress=None"))
    with pytest.raises(InputError, match=r"train.xyz, frame 1 cannot be read"):
        reading(text("energy=-1"), text("energy=-1").replace("Si 2.3", "2.3"))
    with pytest.raises(InputError, match=r"train.xyz, frame 1 cannot be read"):
        reading(text("energy=-1"), "2\n\nSi 0 0 zero\nSi 1 1 1\n")
    with pytest.raises(InputError, match=r"train.xyz cannot be read"):
        reading("what is this?\n")


@pytest.mark.parametrize("kind", ["db", "json"])
def test_databases(tmp_path, kind):
    path = tmp_path / f"train.{kind}"
    with connect(path) as db:
        for k in range(3):
            atoms = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[5, 5, 5], pbc=True)
            if k:
                atoms.calc = SinglePointCalculator(atoms, energy=-1.0 * k, forces=FORCES)
            db.write(atoms, key_value_pairs={"gap_energy": -3.0}, data={"virial": VIRIAL})
    with pytest.warns(LabelWarning, match="gap_energy.*frames 0-2"):
        _, y, report = read(path, return_report=True)
    assert y.has_energy.tolist() == y.has_forces.tolist() == [False, True, True]
    np.testing.assert_allclose(y.stress, np.tile([0.01, 0.02, 0.03, 0.004, 0.005, 0.006], (3, 1)))
    _, y = read(path, energy_key="gap_energy")
    assert y.energy.tolist() == [-3.0] * 3


def test_energies_in_info_beside_a_calculator(tmp_path):
    frames = [Atoms("H", info={"energy": -1.0}) for _ in range(3)]
    write(tmp_path / "a.traj", frames)
    assert read(tmp_path / "a.traj")[1].energy.tolist() == [-1.0] * 3
    frames[1].calc = SinglePointCalculator(frames[1], energy=-2.0)
    write(tmp_path / "a.traj", frames)
    with pytest.raises(LabelError, match="in the calculator and in info"):
        read(tmp_path / "a.traj")


def test_the_report_is_text():
    report = LabelReport(3, [], [])
    assert "no labels" in str(report) and "n_frames=3" in repr(report)


# Labels of calculators.


def stored(**results):
    atoms = crystal("Cu", 0.05, seed=1, repeat=(2, 1, 1))
    results = {"energy": -1.0, "forces": np.ones((8, 3))} | results
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def moved(atoms, by):
    atoms.positions[3] += by @ atoms.cell
    return atoms


@pytest.mark.parametrize(
    "change",
    [
        lambda atoms: moved(atoms, [1, -2, 3]).wrap(),
        lambda atoms: atoms.translate([0.3, 0.4, 0.5]),
        lambda atoms: (atoms.translate([5.0, 0.4, -9.5]), atoms.wrap()),
    ],
)
def test_lattice_vectors_and_common_shifts_change_no_label(change):
    atoms = stored(stress=np.arange(6.0))
    change(atoms)
    y = Targets.from_atoms([atoms])
    assert y.energy[0] == -1 and y.has_forces[0] and y.has_stress[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda atoms: atoms.rattle(0.01), "positions"),
        (lambda atoms: moved(atoms, [0.5, 0, 0]), "positions"),
        (lambda atoms: atoms.set_cell(atoms.cell * 1.01), "cell"),
        (lambda atoms: atoms.set_pbc([True, True, False]), "pbc"),
        (lambda atoms: atoms.symbols.__setitem__(0, "Au"), "numbers"),
        (lambda atoms: (atoms.set_pbc(False), moved(atoms, [1, 0, 0])), "pbc, positions"),
    ],
)
def test_labels_of_what_a_structure_was_are_refused(change, what):
    frames = [stored() for _ in range(4)]
    change(frames[2])
    with pytest.raises(LabelError, match=rf"1 of 4(.|\n)*structure 2: has changed \({what}\)"):
        Targets.from_atoms(frames)


class Failing(Calculator):
    implemented_properties = ("energy",)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        raise NotImplementedError("not for this one")


def test_calculators_that_fail_are_named():
    frames = [stored(), bulk("Cu")]
    frames[1].calc = Failing()
    with pytest.raises(LabelError, match="structure 1: Failing cannot label it.*not for this one"):
        Targets.from_atoms(frames)


def test_labels_beside_no_calculator_are_told():
    frames = [stored(), bulk("Cu"), bulk("Cu")]
    frames[2].info["REF_energy"] = -3.0
    with pytest.warns(LabelWarning, match=r"\['REF_energy'\] in info or arrays.*: structures 2\."):
        y = Targets.from_atoms(frames)
    assert y.has_energy.tolist() == [True, False, False]


def test_stored_stress_where_there_is_none():
    molecule = Atoms("H2", [[0, 0, 0], [0, 0, 0.8]])
    for stress, expected in ((np.zeros(6), LabelWarning), (np.ones(6), LabelError)):
        molecule.calc = SinglePointCalculator(molecule, energy=-1.0, stress=stress)
        catch = (
            pytest.raises
            if issubclass(expected, Exception) and expected is LabelError
            else pytest.warns
        )
        with catch(expected, match="no cell with three independent vectors"):
            Targets.from_atoms([molecule])
    slab = fcc111("Cu", (1, 1, 2), vacuum=5.0)
    slab.calc = EMT()
    np.testing.assert_allclose(Targets.from_atoms([slab]).stress[0], slab.get_stress())


def test_one_kind_of_energy_of_calculators():
    frames = [stored(free_energy=-1.5), stored(free_energy=-2.5)]
    assert Targets.from_atoms(frames).energy.tolist() == [-1.5, -2.5]
    del frames[1].calc.results["free_energy"]
    with pytest.warns(LabelWarning, match="1 of 2 frames have a free energy"):
        assert Targets.from_atoms(frames).energy.tolist() == [-1.0, -1.0]


def test_energies_of_either_kind_are_not_mixed(reading):
    with pytest.raises(
        LabelError, match=r"'energy' only \(0\) and others 'free_energy' only \(1\)"
    ):
        reading(text("energy=-1"), text("free_energy=-2"))
    y, report, _ = reading(text("energy=-1 free_energy=-1.5"), text("free_energy=-2"))
    assert y.energy.tolist() == [-1.5, -2.0] and report.used[0].name == "free_energy"
    assert report.unused[0].note == "'free_energy' is used"
    frames = [stored(), stored(free_energy=-1.5)]
    del frames[1].calc.results["energy"]
    with pytest.raises(LabelError, match="energy_key"):
        Targets.from_atoms(frames)


def test_each_file_may_have_names_of_its_own(tmp_path):
    first, second, third = (tmp_path / f"{name}.xyz" for name in "abc")
    first.write_text(2 * text("REF_energy=-1.5", "REF_forces"))
    second.write_text(text("dft_energy=-2.5 MACE_energy=-2.4", "forces") + text("dft_energy=-3.5"))
    third.write_text(text())
    with pytest.warns(LabelWarning, match="'MACE_energy'"):
        _, y, report = read([first, third, second, first], return_report=True)
    np.testing.assert_array_equal(y.energy, [-1.5, -1.5, np.nan, -2.5, -3.5, -1.5, -1.5])
    np.testing.assert_array_equal(y.has_forces, [1, 1, 0, 1, 0, 1, 1])
    used = {use.name: use.frames for use in report.used}
    assert used["REF_energy"] == (0, 1, 5, 6) and used["dft_energy"] == (3, 4)
    assert [use.name for use in report.unused] == ["MACE_energy"]
    with pytest.raises(LabelError, match="no frame has it"):
        read([first, second], energy_key="TOTEN")
    second.write_text(text("dft_energy=-2.5") + text("REF_energy=-3.5"))
    with pytest.raises(LabelError, match="under one name and some under another"):
        read([first, second])


def test_free_energies_are_taken_from_all_files_or_from_none(tmp_path):
    first, second = tmp_path / "a.xyz", tmp_path / "b.xyz"
    first.write_text(text("energy=-1.5 free_energy=-1.6", "forces"))
    second.write_text(text("energy=-2.5", "forces"))
    np.testing.assert_array_equal(read(first)[1].energy, [-1.6])
    with pytest.warns(LabelWarning, match="1 of 2 frames have a free energy"):
        y = read([first, second])[1]
    np.testing.assert_array_equal(y.energy, [-1.5, -2.5])
