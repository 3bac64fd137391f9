"""Odd files: what they have is read, refused or told, whoever wrote them."""

import gzip
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write
from ase.io.formats import ioformats

from skpot.data import Targets, read
from skpot.data._structure_info import cell_volumes
from skpot.exceptions import InputError, InputTypeError, LabelError, LabelWarning, SkpotWarning
from tests.samples import crystal

CELL = 'Lattice="5 0 0 0 5 0 0 0 5"'
COLUMNS = "Properties=species:S:1:pos:R:3"
NINE = '"1 .1 .2 .1 2 .3 .2 .3 4"'
SIX = [1, 2, 4, 0.3, 0.2, 0.1]


def frame(header, columns="", numbers=("", "")):
    rows = [f"Si {k} {k} {k} {row}\n" for k, row in enumerate(numbers)]
    header = header if columns is None else f"{CELL} {COLUMNS}{columns} {header}"
    return f"{len(rows)}\n{header}\n{''.join(rows)}"


FORCES = ":force:R:3", ("1 2 3", "-1 -2 -3")


@pytest.fixture
def reading(tmp_path):
    """Return a function: read text as a file; all warnings of the package are returned, too."""

    def run(text, name="train.xyz", **options):
        path = tmp_path / name
        path.write_text(text)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", "Setting the shape")  # by ASE, since NumPy 2.5
            _, y = read(path, **options)
        assert all(issubclass(w.category, SkpotWarning) for w in caught)
        assert all(w.filename == __file__ for w in caught)
        return y, [str(w.message) for w in caught]

    return run


@pytest.mark.parametrize("change", [str.lower, str.upper, str.capitalize])
@pytest.mark.parametrize("word", ["Lattice", "Properties", "pbc"])
def test_keywords_in_any_case(reading, tmp_path, change, word):
    text = frame(f'energy=-3 virial={NINE} pbc="T F T"', *FORCES)
    y, told = reading(text.replace(word, change(word)))
    np.testing.assert_allclose(y.stress[0], np.array(SIX) / -125.0)
    assert y.forces[0][1].tolist() == [-1, -2, -3] and not told
    assert read(tmp_path / "train.xyz")[0][0].pbc.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "header", ["energy=1 energy=2", f"virial={NINE} x=0 virial={NINE}", CELL, "pbc=T pbc=F"]
)
def test_names_that_occur_twice_are_refused(reading, header):
    name = header.split("=")[0]
    with pytest.raises(InputError, match=f"frame 1 cannot be read: its header has '{name}' twice"):
        reading(frame("energy=1") + frame(header))
    for quotes in ('""', "''", "{}", "[]"):
        comment = "energy=2 energy=3".join(quotes)
        y, _ = reading(frame(f"energy=-1 x=1 x=2 comment={comment} {name}2=1"))
        assert y.energy[0] == -1


@pytest.mark.parametrize("name", ["stress", "REF_stress", "virial", "virials"])
def test_nine_numbers_that_are_no_symmetric_matrix_are_refused(reading, name):
    sound = frame(f"{name}={NINE}")
    with pytest.raises(LabelError, match="structure 1: stress is a matrix that is not symmetric"):
        reading(sound + frame(f'{name}="1 2 3 4 5 6 7 8 9"'))
    scale = -1 / 125.0 if "virial" in name else 1.0
    np.testing.assert_allclose(reading(sound)[0].stress[0], np.array(SIX) * scale)


@pytest.mark.parametrize(
    ("columns", "numbers", "what"),
    [("fx:R:1", "7", "'fx'"), ("force_z:R:1", "7", "'force_z'"), ("f:R:3", "7 8 9", "'f'"),
     ("gradient:R:3", "7 8 9", "'gradient'"), ("dft_grad:R:3", "7 8 9", "'dft_grad'"),
     ("virial:R:9", "1 2 3 4 5 6 7 8 9", "'virial'"), ("stresses:R:6", "1 2 3 4 5 6", "'stresses'"),
     ("", "7 8 9", "3 of 7 columns")],
)  # fmt: skip
def test_columns_that_are_not_read_are_told(reading, columns, numbers, what):
    columns = columns and f":{columns}"
    y, (told,) = reading(frame("energy=-1", columns, [numbers] * 2))
    assert y.energy[0] == -1 and not y.has_forces.any() and what in told
    assert ("_key=" in told) == (what == "'f'")  # as it is, nothing else is a label


@pytest.mark.parametrize(
    ("header", "hint"),
    [("E=-7.5", True), ("etotal=-7", True), ("PotEng=-7", True), ("energy_kcal=-7", False),
     ("REF_energy_Ha=-7", False), ("energy_per_atom=-7", False), ("stress_xx=0.1", False),
     ("pxy=0.1", False), (f"pressure={NINE}", True), (f"stress_GPa={NINE}", False),
     ("virial=3.0", False), ("forces=0.1", False)],
)  # fmt: skip
def test_keys_that_are_not_used_are_told(reading, header, hint):
    y, (told,) = reading(frame(header, *FORCES))
    assert not y.has_energy.any() and not y.has_stress.any() and y.has_forces.all()
    assert repr(header.split("=")[0]) in told and ("_key=" in told) == hint


def test_plain_xyz_with_numbers_that_have_no_name(reading):
    y, (told,) = reading(frame(" -97208.4\n"[:-1], None, ["1 2 3"] * 2))
    assert not y.has_energy.any() and "3 of 7 columns and the number -97208.4" in told
    assert "Properties=species:S:1:pos:R:3:forces:R:3 energy=" in told
    for comment in ("step 3", "17", "", "i = 3, time = 0.5"):
        assert not reading(frame(comment, None, ["", ""]))[1]
        assert not reading(frame(comment, None, ["0.3", "-0.3"]))[1]


@pytest.mark.parametrize("said", ["energy_unit=kcal/mol", "units=Hartree", 'Units="Ry, a.u."'])
def test_other_units_are_told(reading, said):
    text = frame("energy=-3") + frame(f"energy=-3 {said}")
    _, (told,) = reading(text)
    assert said.replace('"', "") in told and "(frames 1)" in told and "eV/Å³" in told
    assert not reading(frame("energy=-3 units=eV energy_unit=eV length_unit=Angstrom"))[1]


@pytest.mark.parametrize("index", [1, -2, "1:", slice(3, None), "group=b"])
def test_no_structures_are_refused(reading, tmp_path, index):
    if index != "group=b":
        with pytest.raises(InputError, match=r"train\.xyz has no structures there \(index"):
            reading(frame("energy=-1"), index=index)
    write(tmp_path / "a.db", bulk("Cu"))
    with pytest.raises(InputError, match=r"a\.db (has no structures|cannot be read).*\(index"):
        read(tmp_path / "a.db", index=index)
    for text in ("\n\n", ""):
        with pytest.raises(InputError, match=r"train\.xyz"):
            reading(text)


def test_what_is_no_file_or_no_index(reading):
    for path in (3, None, b"a.xyz", [None], bulk("Cu"), open(__file__)):
        with pytest.raises(InputTypeError, match="path must be the name of a file"):
            read(path)
    with pytest.raises(InputTypeError, match=r"index must be .*got \[1, 2\]"):
        reading(frame("energy=-1"), index=[1, 2])
    with pytest.raises(InputError, match=r"\(index '1-3'\)"):
        reading(frame("energy=-1"), index="1-3")


def test_groups(reading):
    text = frame('energy=-1 config_type="liquid 300 K"') + frame("energy=-1")
    assert reading(text, group_key="config_type")[0].groups.tolist() == ["liquid 300 K", ""]
    with pytest.raises(LabelError, match=r"group_key='type'.*\['config_type'\]"):
        reading(text, group_key="type")
    with pytest.raises(LabelError, match=r"structure 0: 'positions' is an array of shape \(2, 3\)"):
        reading(text, group_key="positions")


def test_names_of_stress_and_virials_that_are_mixed_up_are_told(reading):
    text = frame(f"energy=-1 virial={NINE}")
    y, (told,) = reading(text, stress_key="virial")
    assert y.stress[0].tolist() == SIX and 'type virial_key="virial"' in told
    assert not reading(text, virial_key="virial")[1]


def test_dumps_of_lammps_have_no_energy(reading):
    text = (
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n"
        "0 4\n0 4\n0 5\nITEM: ATOMS id type x y z fx fy fz\n1 1 0 0 0 1 2 3\n"
    )
    y, (told,) = reading(text, "a.lammpstrj")
    assert "do not say their units" in told and "eV and Å" in told
    assert not y.has_energy.any() and y.forces[0].tolist() == [[1, 2, 3]]


@pytest.mark.skipif("runnerdata" not in ioformats, reason="ASE is too old to know the format")
def test_files_of_runner_are_told_to_be_taken_in_atomic_units(reading):
    text = "begin\nlattice 9 0 0\nlattice 0 9 0\nlattice 0 0 9\natom 0 0 0 Cu 0 0 0 0 1\nenergy 1\n"
    y, (told,) = reading(text + "charge 0\nend\n", "input.data")
    assert y.energy[0] == pytest.approx(27.2114, abs=1e-3) and "Hartree and Bohr" in told


def test_forces_that_constraints_made_zero_are_told(reading, tmp_path):
    columns = ":move_mask:L:1:forces:R:3"
    y, (told,) = reading(frame("energy=-3", columns, ("F 0 0 0", "T 1 2 3")))
    assert y.has_forces.all() and "structures 0" in told
    for rows in (("F 1 1 1", "T 1 2 3"), ("F 0 0 0", "T 0 0 0"), ("T 0 0 0", "T 1 2 3")):
        assert not reading(frame("energy=-3", columns, rows))[1]
    atoms = crystal("Cu")
    atoms.calc = EMT()
    forces = atoms.get_forces().copy()
    atoms.set_constraint(FixAtoms([0, 1]))
    for name in ("a.traj", "a.xyz", "a.db", "a.json"):
        write(tmp_path / name, atoms)
        np.testing.assert_allclose(read(tmp_path / name)[1].forces[0], forces, atol=1e-6)
    np.testing.assert_allclose(Targets.from_atoms([atoms]).forces[0], forces)


@pytest.mark.parametrize(
    ("info", "arrays"),
    [({"virial": np.eye(3)}, {}), ({}, {"force": np.ones((1, 3))}), ({"dft_stress": SIX}, {})],
)
def test_labels_beside_those_of_a_calculator_are_told(info, arrays):
    frames = [bulk("Cu") for _ in range(3)]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
    assert Targets.from_atoms(frames).has_energy.all()
    frames[2].info.update(info)
    frames[2].arrays.update(arrays)
    name = next(iter({**info, **arrays}))
    with pytest.warns(LabelWarning, match=rf"1 structures have \['{name}'\].*: structures 2\."):
        assert Targets.from_atoms(frames).energy.tolist() == [-1.0] * 3
    frames[2].calc = EMT()  # which has all
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Setting the shape")  # by ASE, since NumPy 2.5
        assert Targets.from_atoms(frames).has_energy.all()


def test_one_structure_is_no_list_of_them():
    with pytest.raises(InputTypeError, match="single structure"):
        Targets.from_atoms(bulk("Cu"))
    assert len(Targets.from_atoms([])) == 0


def test_cells_that_are_no_numbers_have_no_volume():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(cell_volumes([np.diag([np.nan, 1, 1]), np.diag([np.inf, 1, 1])])).all()
        assert np.isnan(cell_volumes([Atoms("H").cell.array])).all()


@pytest.mark.parametrize("name", ["train.xyz", "train.xyz.gz"])
def test_frames_that_would_be_left_out_are_told(tmp_path, name):
    """The reader of ASE takes an empty line for the end of a file."""

    def kept(text):
        with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "wt") as file:
            file.write(text)
        return len(read(tmp_path / name)[0])

    one = frame("energy=-3", *FORCES)
    assert kept(one + one) == kept(one + one + "\n \n") == 2
    with pytest.raises(InputError, match="empty line after frame 1, and what is behind it"):
        kept(one + one + "\n" + one)
    assert len(read(tmp_path / name, 0)[0]) == 1  # without a look at all that is behind it
    cell = "VEC1 5 0 0\nVEC2 0 5 0\nVEC3 0 0 5\n"
    with pytest.raises(InputError, match="frame 0 has its cell in lines that begin with VEC"):
        kept(one.replace(CELL, "") + cell + one)
