"""Threads of the pair style: the same numbers, bit for bit, and the same errors."""

import numpy as np
import pytest
from ase.build import bulk

from tests.md.lammps.program import WATCH, lammps, prepare, run
from tests.md.lammps.test_plugin import rattled

GRADES = """
fix grades all pair 1 skpot grade 1
dump grades all custom 1 grades.txt id f_grades
dump_modify grades sort id format float %.17g
"""
SUFFIX = ("-sf", "omp", "-pk", "omp", "3")


def crystal():
    return rattled(bulk("Si", cubic=True) * 4)  # four blocks


def style(path, threads=""):
    return f"pair_style skpot {path} {threads}\npair_coeff * * Si\n"


def results(folder, potential, plugins, n_ranks=1, options=()):
    """Return what LAMMPS prints, and all numbers of atoms and of the system as text."""
    folder.mkdir()
    text = prepare(folder, crystal(), ["Si"]) + potential + GRADES + WATCH + "run 0\n"
    output = lammps(folder, text, n_ranks, plugins, options=options)
    (row,) = [line for line in output.splitlines() if line.split()[:1] == ["0"]]
    files = [(folder / name).read_text() for name in ("dump.txt", "grades.txt")]
    return output, row, *files


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_results_do_not_depend_on_the_number_of_threads(n_ranks, library, plugins, tmp_path):
    output, *one = results(tmp_path / "1", style(library.path), plugins, n_ranks)
    assert "elements H C O Si, threads 1" in output
    runs = {"2": ("threads 2", ()), "9": ("threads 9", ()), "3": ("", SUFFIX)}
    for n, (threads, options) in runs.items():  # 9 are more than there are blocks
        folder, potential = tmp_path / n, style(library.path, threads)
        output, *other = results(folder, potential, plugins, n_ranks, options)
        assert f"elements H C O Si, threads {n}" in output
        assert other == one


def test_forces_on_threads(library, plugins, tmp_path):
    potential = style(library.path, "threads 2")
    found = run(tmp_path, crystal(), ["Si"], potential, plugins=plugins)
    expected = library.predict(crystal())
    np.testing.assert_allclose(found.frames[0].forces, expected.forces, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.virial[0], expected.virials[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", [(), SUFFIX])
def test_motion_on_threads(options, library, plugins, tmp_path):
    text = prepare(tmp_path, crystal(), ["Si"]) + style(library.path, "threads 2")
    text += "velocity all create 3000 4928 loop all\nfix motion all nve\n"
    for name in ("begin", "end"):
        text += f'run {0 if name == "begin" else 50}\nprint "{name} $(etotal:%.17g) $(ke)"\n'
    output = lammps(tmp_path, text, plugins=plugins, options=options)
    lines = [line.split() for line in output.splitlines() if line.startswith(("begin", "end"))]
    (_, first, kinetic), (_, last, _) = lines
    assert abs(float(last) - float(first)) < 1e-2 * float(kinetic)


def test_an_error_on_a_thread_ends_the_run_with_one_line(library, plugins, tmp_path):
    atoms = crystal()
    atoms.positions[300] = atoms.positions[299] + 0.05
    text = prepare(tmp_path, atoms, ["Si"]) + style(library.path, "threads 3") + "run 0\n"
    output = lammps(tmp_path, text, plugins=plugins, check=False)
    (line,) = [line for line in output.splitlines() if "two atoms meet" in line]
    assert "300 and 301 are 0.0866 Angstrom apart" in line


def test_the_second_model_of_a_script_on_threads(library, silicon_library, plugins, tmp_path):
    text = prepare(tmp_path, crystal(), ["Si"])
    for path in (silicon_library.path, library.path):
        text += style(path, "threads 2") + "run 0\n"
    output = lammps(tmp_path, text + 'print "second $(pe:%.17g)"\n', plugins=plugins)
    (line,) = [line for line in output.splitlines() if line.startswith("second ")]
    energy = library.predict(crystal()).energies.sum()
    np.testing.assert_allclose(float(line.split()[1]), energy, rtol=1e-11)
