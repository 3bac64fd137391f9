"""LAMMPS with toy potentials: results of the plugin, and what it refuses."""

import re
import subprocess

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from skpot.core.aot import ABI, seal
from skpot.core.processors import own_kind
from skpot.datasets import load_ethanol
from skpot.md.lammps._engine import packaged_engine
from skpot.md.lammps._plugin import compile_plugin
from tests.md.lammps import compiled_toy as toy
from tests.md.lammps.conftest import make
from tests.md.lammps.program import lammps, prepare, run
from tests.samples import oxide


def rattled(atoms, seed=0):
    """Displace atoms, and rotate the cell as LAMMPS needs it."""
    atoms = atoms.copy()
    atoms.rattle(0.1, seed=seed)
    if atoms.cell.rank:
        atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    return atoms


def ethanol():
    return load_ethanol().X[-1]


STRUCTURES = {
    "silicon": lambda: bulk("Si", cubic=True) * 3,  # more atoms than a block has
    "oxide": oxide,
    "ethanol": ethanol,
    "slab": lambda: Atoms(
        "SiOC", [[0, 0, 4], [1.8, 0, 4.3], [0, 2, 4]], cell=[4, 5, 9], pbc=[1, 1, 0]
    ),
}


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("name", STRUCTURES)
def test_energies_forces_and_virials_of_atoms(name, n_ranks, library, plugins, tmp_path):
    atoms = rattled(STRUCTURES[name]())
    symbols = sorted(set(atoms.symbols), reverse=True)  # types in another order than species
    result = run(
        tmp_path, atoms, symbols, library.style(*symbols), n_ranks=n_ranks, plugins=plugins
    )
    energies, forces, virials, _ = library.predict(atoms)
    frame = result.frames[0]
    np.testing.assert_allclose(frame.energies, energies, rtol=1e-11)
    np.testing.assert_allclose(frame.forces, forces, rtol=0, atol=1e-11)
    np.testing.assert_allclose(frame.virials.sum(axis=0), virials[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.thermo["PotEng"], energies.sum(), rtol=1e-11)
    np.testing.assert_allclose(result.virial[0], virials[0], rtol=0, atol=1e-9)


def test_a_rank_may_own_no_atoms(library, plugins, tmp_path):
    atoms = ethanol()
    atoms.positions += 5.0 - atoms.positions.min(axis=0)
    atoms.set_cell([40.0, 12.0, 12.0])
    atoms.pbc = True
    symbols = ["C", "H", "O"]
    potential = "comm_modify cutoff 6.0\n" + library.style(*symbols)
    result = run(tmp_path, atoms, symbols, potential, n_ranks=2, plugins=plugins)
    assert "Nlocal:            4.5 ave           9 max           0 min" in result.output
    energies, forces, _, _ = library.predict(atoms)
    np.testing.assert_allclose(result.frames[0].forces, forces, rtol=0, atol=1e-11)
    np.testing.assert_allclose(result.thermo["PotEng"], energies.sum(), rtol=1e-11)


MOTION = """
velocity all create {temperature} 4928 loop all mom yes
neighbor 0.6 bin
neigh_modify every 1 delay 0 check yes
timestep 0.001
fix motion all {fix}
thermo_style custom step pe ke etotal vol temp econserve &
    c_pressure[1] c_pressure[2] c_pressure[3] c_pressure[4] c_pressure[5] c_pressure[6]
thermo_modify norm no format float %.17g
thermo 20
dump_modify all every 20
run {steps}
"""


def moved(folder, n_ranks, fix, library, plugins, steps=200):
    atoms = rattled(bulk("Si", cubic=True) * 2)
    dynamics = MOTION.format(temperature=4000, fix=fix, steps=steps)
    folder = folder / str(n_ranks)
    folder.mkdir()
    return run(folder, atoms, ["Si"], library.style("Si"), dynamics, n_ranks, plugins)


def test_atoms_that_cross_between_ranks(library, plugins, tmp_path):
    one, two = (moved(tmp_path, n, "nve", library, plugins) for n in (1, 2))
    # Two ranks halve one direction; whichever it is, many atoms changed sides.
    begin, end = (frame.positions % 10.86 < 5.43 for frame in (two.frames[0], two.frames[-1]))
    assert ((begin != end).sum(axis=0) > 5).all()
    # Sums in another order differ by 1e-15, and nearby trajectories of a liquid part by a factor e
    # in some 50 fs: 1e-12 is what was seen.
    np.testing.assert_allclose(
        [f.forces for f in one.frames], [f.forces for f in two.frames], rtol=0, atol=1e-10
    )
    for result in (one, two):
        total = result.thermo["TotEng"]
        assert np.ptp(total) < 2e-3 * result.thermo["KinEng"].mean()


def test_a_barostat_conserves_what_it_should(library, plugins, tmp_path):
    fix = "npt temp 3000 3000 0.1 tri 20000 20000 0.2"
    one, two = (moved(tmp_path, n, fix, library, plugins) for n in (1, 2))
    volume, conserved = one.thermo["Volume"], one.thermo["Econserve"]
    np.testing.assert_allclose(volume, two.thermo["Volume"], rtol=1e-11)
    # Virial and energy are linked by the work on the box: a wrong virial would cause a drift.
    work = 20000 / 1.6021765e6 * np.ptp(volume)
    assert work > 1.0
    assert np.ptp(conserved) < 0.01 * work


def test_hybrid_overlay_adds_a_pair_potential(library, plugins, tmp_path):
    atoms = rattled(oxide())
    symbols = ["Si", "O", "C"]
    zbl = [
        f"pair_coeff {a + 1} {b + 1} zbl {atoms_number(symbols[a])} {atoms_number(symbols[b])}"
        for a in range(3)
        for b in range(a, 3)
    ]
    both = (
        f"pair_style hybrid/overlay skpot {library.path} zbl 2.0 3.0\npair_coeff * * skpot Si O C\n"
    )
    both += "\n".join(zbl) + "\n"
    alone = "pair_style zbl 2.0 3.0\n" + "\n".join(zbl).replace(" zbl ", " ") + "\n"
    folders = [tmp_path / name for name in ("both", "alone")]
    for folder in folders:
        folder.mkdir()
    sum_ = run(folders[0], atoms, symbols, both, n_ranks=2, plugins=plugins)
    pair = run(folders[1], atoms, symbols, alone)
    energies, forces, virials, _ = library.predict(atoms)
    assert pair.thermo["PotEng"][0] > 1.0
    np.testing.assert_allclose(
        sum_.frames[0].energies, pair.frames[0].energies + energies, rtol=1e-11
    )
    np.testing.assert_allclose(
        sum_.frames[0].forces, pair.frames[0].forces + forces, rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(sum_.virial[0], pair.virial[0] + virials[0], rtol=0, atol=1e-9)


def atoms_number(symbol):
    return Atoms(symbol).numbers[0]


def test_types_without_an_element_are_left_to_other_styles(library, plugins, tmp_path):
    atoms = rattled(oxide())
    symbols = ["C", "O", "Si"]
    potential = f"""
pair_style hybrid skpot {library.path} lj/cut 4.0
pair_coeff * * skpot C NULL Si
pair_coeff 2 * lj/cut 0.0 1.0
pair_coeff 1 2 lj/cut 0.0 1.0
"""
    result = run(tmp_path, atoms, symbols, potential, n_ranks=2, plugins=plugins)
    known = atoms.numbers != 8
    energies, forces, virials, _ = library.predict(atoms[known])
    frame = result.frames[0]
    np.testing.assert_allclose(frame.energies[known], energies, rtol=1e-11)
    np.testing.assert_allclose(frame.forces[known], forces, rtol=0, atol=1e-11)
    assert not frame.energies[~known].any() and not frame.forces[~known].any()
    np.testing.assert_allclose(result.virial[0], virials[0], rtol=0, atol=1e-9)


def test_two_models_at_once(library, silicon_library, plugins, tmp_path):
    atoms = rattled(bulk("Si", cubic=True))
    potential = f"""
pair_style hybrid/overlay skpot {library.path} skpot {silicon_library.path}
pair_coeff * * skpot 1 Si
pair_coeff * * skpot 2 Si
"""
    frame = run(tmp_path, atoms, ["Si"], potential, plugins=plugins).frames[0]
    one, other = library.predict(atoms), silicon_library.predict(atoms)
    np.testing.assert_allclose(frame.energies, one.energies + other.energies, rtol=1e-11)
    np.testing.assert_allclose(frame.forces, one.forces + other.forces, rtol=0, atol=1e-11)


def test_another_model_in_the_same_script(library, silicon_library, plugins, tmp_path):
    atoms = rattled(bulk("Si", cubic=True))
    text = prepare(tmp_path, atoms, ["Si"]) + silicon_library.style("Si")
    text += 'run 0\nprint "first $(pe:%.17g)"\n' + library.style("Si")
    output = lammps(tmp_path, text + 'run 0\nprint "second $(pe:%.17g)"\n', plugins=plugins)
    found = {line.split()[0]: line.split()[1] for line in output.splitlines() if line[:5] in
             ("first", "secon")}  # fmt: skip
    energy = library.predict(atoms)[0].sum()
    np.testing.assert_allclose(float(found["second"]), energy, rtol=1e-11)
    assert abs(float(found["first"]) - energy) > 0.1


GRADES = """
fix grades all pair 10 skpot grade 1
compute largest all reduce max f_grades
variable grade equal c_largest
fix out all ave/time 10 1 10 c_largest file grade.txt
dump grades all custom 10 grades.txt id x y z f_grades
dump_modify grades sort id format float %.17g
"""


def graded(folder, dynamics, library, plugins, n_ranks=2):
    atoms = rattled(bulk("Si", cubic=True) * 2)
    potential = library.style("Si") + GRADES
    return atoms, run(folder, atoms, ["Si"], potential, dynamics, n_ranks, plugins)


def test_extrapolation_grades_on_some_steps(library, plugins, tmp_path):
    dynamics = "velocity all create 3000 4928 loop all\nfix motion all nve\nrun 20"
    atoms, result = graded(tmp_path, dynamics, library, plugins)
    blocks = (tmp_path / "grades.txt").read_text().split("ITEM: TIMESTEP")[1:]
    tables = [np.array([r.split() for r in b.splitlines()[-64:]], dtype=float) for b in blocks]
    assert len(tables) == 3
    largest = np.loadtxt(tmp_path / "grade.txt")[:, 1]
    for table, value in zip(tables, largest, strict=True):
        atoms.positions = table[:, 1:4]
        grades = library.predict(atoms).grades
        np.testing.assert_allclose(table[:, 4], grades, rtol=1e-11)
        np.testing.assert_allclose(value, grades.max(), rtol=1e-4)


def test_a_grade_halts_a_run(library, plugins, tmp_path):
    dynamics = """
velocity all create 3000 4928 loop all
fix motion all nve
fix stop all halt 10 v_grade > 0.75 error continue
run 500
"""
    _, result = graded(tmp_path, dynamics, library, plugins)
    steps, largest = np.loadtxt(tmp_path / "grade.txt").T
    assert steps[-1] < 500 and "Fix halt condition" in result.output
    assert (largest[:-1] <= 0.75).all() and largest[-1] > 0.75


def test_a_model_without_grades(silicon_library, plugins, tmp_path):
    text = prepare(tmp_path, bulk("Si", cubic=True), ["Si"]) + silicon_library.style("Si")
    output = lammps(tmp_path, text + GRADES, plugins=plugins, check=False)
    assert (
        "cannot extract grades, because it was exported without them: add --grades to"
        in " ".join(output.split())
    )


def test_an_energy_that_is_not_finite_ends_the_run(plugins, tmp_path):
    """The density of this potential, of which it takes the root, is negative in dense matter."""
    fragile = toy.Embedding(np.array([[-1.5]]), 5.0)
    made = make(tmp_path, ("Si",), graded=False, embedding=fragile)
    text = prepare(tmp_path, bulk("Si", a=2.6, cubic=True), ["Si"]) + made.style("Si") + "run 0\n"
    output = " ".join(lammps(tmp_path, text, 2, plugins, check=False).split())
    assert re.search("atom [1-8] has the energy -?nan eV, .* too far from all", output)
    assert "ERROR on proc" in output


SMALL = """
units {units}
atom_style {atom_style}
newton {newton}
lattice diamond 5.43
region box block 0 1 0 1 0 1
create_box 1 box {bonds}
create_atoms 1 box
mass 1 28.0
pair_style skpot {arguments}
pair_coeff * * {elements}
run 0
"""
RIGHT = {
    "units": "metal",
    "atom_style": "atomic",
    "newton": "on",
    "bonds": "",
    "arguments": "{path}",
    "elements": "Si",
}
WRONG = {
    "units": ({"units": "real"}, "write 'units metal' instead of 'units real'"),
    "newton": ({"newton": "off"}, "write 'newton on'"),
    "element": ({"elements": "Ge"}, "does not know Ge, element of type 1; it knows H C O Si"),
    "no element": ({"elements": "NULL"}, "every type is NULL"),
    "elements": ({"elements": "Si O"}, "each of the 1 atom types, got 2 elements"),
    "bonds": (
        {"atom_style": "bond", "bonds": "bond/types 1 extra/special/per/atom 1"},
        "write 'special_bonds lj/coul 1.0 1.0 1.0'",
    ),
}
OTHER, OTHER_CODE = ("aarch64", 183) if own_kind() == "x86-64" else ("x86-64", 62)
FILES = {  # what stands in place of the library, and the error
    "mdoel.so": "mdoel.so cannot be used: it is neither here nor in LAMMPS_POTENTIALS",
    "/tmp": "/tmp cannot be used: it is not a file that can be read",
    "/dev/zero": "cannot be used: it is not a file that can be read",
    "{path} 5.0": "'threads N' if it shall use several, got 2 arguments",
    "{path} threads 0": "threads must be at least 1, got 0",
    "{path} threads many": "Expected integer parameter instead of 'many'",
    "in.txt": "in.txt cannot be used: it is not a library of skpot",
    "other.so": "it is not a library of skpot",
    "later.so": f"interface 99 and this plugin speaks {ABI}, so the plugin is from an older skpot",
    "older.so": f"interface 2 and this plugin speaks {ABI}, so it is from an older skpot: export",
    "cut.so": "it is not a library of skpot, or the end of it is missing: export the model again",
    "edited.so": "edited.so cannot be used: the file is damaged: export the model again",
    "foreign.so": f"was exported for {OTHER} and this machine is {own_kind()}: export the model",
    "unfit.so": "its code for x86-64-v9 needs magic, which this processor lacks: export the model",
}
WRONG |= {file: ({"arguments": file}, message) for file, message in FILES.items()}


def small(folder, library, plugins, n_ranks=1, check=True, **settings):
    settings = {**RIGHT, **settings}
    settings["arguments"] = settings["arguments"].format(path=library.path)
    return lammps(folder, SMALL.format(**settings), n_ranks, plugins, check)


SOURCES = {"other": "int other;"} | {
    name: f"long skpot_abi(void) {{ return {abi}; }}" for name, abi in (("later", 99), ("older", 2))
}
UNFIT = (
    f"long skpot_abi(void) {{ return {ABI}; }}"
    + """
long skpot_n_species(void) { return 1; }
const char *symbols[] = {"Si"};
const char *const *skpot_symbols(void) { return symbols; }
double skpot_cutoff(void) { return 4.0; }
const char *skpot_description(void) { return "unfit"; }
long skpot_work_size(long a, long b) { return -1; }
long skpot_evaluate(void) { return -1; }
long skpot_chosen(void) { return -1; }
const char *skpot_variant(long k) { return "x86-64-v9"; }
const char *skpot_lacking(long k) { return "magic"; }
"""
)


def make_wrong(folder, name, whole):
    """Make the library `name`, which is wrong in some way."""
    path = folder / name
    source = (SOURCES | {"unfit": UNFIT}).get(path.stem)
    if source is not None:
        (folder / "wrong.c").write_text(source)
        subprocess.run(["cc", "-shared", "-fPIC", "wrong.c", "-o", name], cwd=folder, check=True)
        seal(path)
        return
    content = bytearray(whole)
    if path.stem == "cut":
        content = content[: len(content) // 2]
    elif path.stem == "edited":
        content[len(content) // 2] ^= 1
    else:
        content[18:20] = OTHER_CODE.to_bytes(2, "little")
    path.write_bytes(content[:-16] if path.stem == "foreign" else content)
    if path.stem == "foreign":
        seal(path)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name, library, plugins, tmp_path):
    settings, message = WRONG[name]
    if name.endswith(".so") and name != "mdoel.so":
        make_wrong(tmp_path, name, library.path.read_bytes())
    output = small(tmp_path, library, plugins, check=False, **settings)
    assert message in " ".join(output.split())


def test_a_file_that_is_missing_ends_all_ranks(library, plugins, tmp_path):
    output = small(tmp_path, library, plugins, 2, check=False, arguments="mdoel.so")
    assert "write it with: skpot export lammps model.skpot -o mdoel.so" in " ".join(output.split())


def test_what_is_refused_is_all_that_was_wrong(library, plugins, tmp_path):
    assert "cutoff 4 A, elements H C O Si" in small(tmp_path, library, plugins)


def test_another_version_of_lammps_does_without(plugins, library, tmp_path, monkeypatch):
    monkeypatch.setenv("CXXFLAGS", "-O0")  # quicker
    compile_plugin(tmp_path, packaged_engine()._replace(name="3 Mar 2022"))
    output = small(tmp_path, library, tmp_path, check=False)
    text = " ".join(output.split())
    assert "its plugin was built for LAMMPS 20220303, this is" in text
    assert "run: skpot lammps build-plugin" in text
    assert "Unrecognized pair style 'skpot'" in text
