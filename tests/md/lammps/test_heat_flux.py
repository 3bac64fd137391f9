"""The heat flux of a toy potential in LAMMPS."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from tests.md.lammps import compiled_toy as toy
from tests.md.lammps.program import lammps, prepare
from tests.md.lammps.test_plugin import atoms_number, rattled
from tests.naive import heat_flux as naive
from tests.samples import oxide

MVV2E = 1.0364269e-4  # eV in a u Å²/ps², LAMMPS's own figure for `units metal`
SYMBOLS = ["Si", "O", "C"]

FLUX = """
velocity all create 900 4928 loop all
compute kinetic all ke/atom
compute potential all pe/atom
compute virials all {stress} NULL virial
compute flux all heat/flux kinetic potential virials
dump velocities all custom 1 velocities.txt id vx vy vz
dump_modify velocities sort id format float %.17g
thermo_style custom step c_flux[1] c_flux[2] c_flux[3] c_flux[4] c_flux[5] c_flux[6]
thermo_modify norm no format float %.17g
run 0
"""


def found_flux(folder, atoms, symbols, potential, plugins, n_ranks=1):
    """Return velocities (Å/ps) and what compute heat/flux gives, eV Å/ps: total, convective."""
    text = prepare(folder, atoms, symbols) + potential
    text += FLUX.format(stress="centroid/stress/atom")
    lines = lammps(folder, text, n_ranks, plugins).splitlines()
    row = next(k for k, line in enumerate(lines) if "c_flux[1]" in line and "Step" in line)
    flux = np.array(lines[row + 1].split()[1:], dtype=float)
    return np.loadtxt((folder / "velocities.txt").read_text().splitlines()[9:])[:, 1:], flux


def expected_flux(atoms, velocities, library):
    """Return the double sum over atoms of the toy potential."""
    species = np.searchsorted(library.numbers, atoms.numbers)

    def energy(*environment):
        atoms_of_it, pairs = naive.around(*environment)
        return toy.evaluated(pairs, species[atoms_of_it], library.model)[0][0]

    kinetic = 0.5 * 28.0 * MVV2E * (velocities**2).sum(axis=1)
    return naive.heat_flux(atoms, velocities, kinetic, library.model.cutoff, energy)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("pbc", [True, [True, True, False]])
def test_the_double_sum(pbc, n_ranks, library, plugins, tmp_path):
    atoms = rattled(oxide(), 5)
    if pbc is not True:
        atoms.wrap()
        atoms.pbc = pbc
        atoms.positions[:, 2] += 1.0
        cell = atoms.cell.array
        atoms.set_cell([cell[0], cell[1], [0.0, 0.0, cell[2, 2] + 9.0]])
    velocities, flux = found_flux(
        tmp_path, atoms, SYMBOLS, library.style(*SYMBOLS), plugins, n_ranks
    )
    total, convective = expected_flux(atoms, velocities, library)
    scale = np.abs(total).max()
    np.testing.assert_allclose(flux[:3], total, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(flux[3:], convective, rtol=0, atol=1e-10 * scale)


def test_it_adds_to_that_of_a_pair_style(library, plugins, tmp_path):
    atoms, flux = rattled(oxide(), 5), {}
    zbl = "\n".join(
        f"pair_coeff {a + 1} {b + 1} {{}}{atoms_number(SYMBOLS[a])} {atoms_number(SYMBOLS[b])}"
        for a in range(3)
        for b in range(a, 3)
    )
    both = f"pair_style hybrid/overlay skpot {library.path} zbl 2.0 3.0\n"
    both += f"pair_coeff * * skpot Si O C\n{zbl.format(*['zbl '] * 6)}\n"
    alone = f"pair_style zbl 2.0 3.0\n{zbl.format(*[''] * 6)}\n"
    styles = {"model": library.style(*SYMBOLS), "zbl": alone, "both": both}
    for name, potential in styles.items():
        folder = tmp_path / name
        folder.mkdir()
        found = found_flux(folder, atoms, SYMBOLS, potential, plugins)[1]
        flux[name] = found[:3] - found[3:]
    scale = np.abs(flux["both"]).max()
    np.testing.assert_allclose(
        flux["both"], flux["model"] + flux["zbl"], rtol=0, atol=1e-10 * scale
    )
    assert np.abs(flux["zbl"]).max() > 0.01 * scale


def test_halved_virials_are_refused(library, plugins, tmp_path):
    text = prepare(tmp_path, bulk("Si", cubic=True), ["Si"]) + library.style("Si")
    text += FLUX.format(stress="stress/atom")
    message = " ".join(lammps(tmp_path, text, plugins=plugins, check=False).split())
    assert "compute flux would give a wrong heat flux from stress/atom" in message
    assert "write 'centroid/stress/atom' in place of 'stress/atom'" in message


@pytest.mark.slow
def test_conductivity_of_argon_is_that_of_the_potential_it_was_learned_from(plugins):
    """By a benchmark; each potential has a mean over runs and its standard error."""
    script = Path(__file__).parents[3] / "benchmarks" / "md_conductivity.py"
    options = ["--seeds", "6", "--picoseconds", "60"]
    command = [sys.executable, str(script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    own, learned = record["lj/cut"], record["skpot"]
    assert record["force_error"] < 0.01
    error = np.hypot(own["standard_error"], learned["standard_error"])
    assert error < 0.4 * own["W_m_K"]
    assert abs(own["W_m_K"] - learned["W_m_K"]) < 2.0 * error
