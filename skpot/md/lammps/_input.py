"""An input of LAMMPS to begin with: molecular dynamics of one structure."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.io.lammpsdata import write_lammps_data

from ...data.elements import SYMBOLS
from ...persistence import whole_file

if TYPE_CHECKING:
    from ase import Atoms

    from skpot.lowering import CompiledPotential
    from skpot.typing import PathLike

_MARGIN = 5.0  # Å around atoms in directions without a cell vector
_TEXT = """\
# Molecular dynamics of {formula} at 300 K; run it in the folder of {library}.
units         metal
atom_style    atomic
boundary      {boundary}
{tilt}read_data     {data}

pair_style    skpot {library}
pair_coeff    * * {elements}

velocity      all create 300.0 1 mom yes
fix           1 all nvt temp 300.0 300.0 0.1  # ps
timestep      0.001                           # ps

thermo        100
thermo_style  custom step time temp pe etotal press
dump          1 all custom 100 {dump} id element x y z fx fy fz
dump_modify   1 element {elements} sort id
run           1000
"""


def write_input(atoms: Atoms, potential: CompiledPotential, library: PathLike) -> tuple[Path, Path]:
    """Write a LAMMPS input for molecular dynamics of a structure, and its data file.

    They stand beside the library and have its name, with the suffixes ".in" and ".data". In
    directions that are not periodic the box follows the atoms.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.
    potential : CompiledPotential
        The model in the library.
    library : str or Path
        What `export` has written.

    Returns
    -------
    input, data : Path
        The files; existing ones are replaced.

    Raises
    ------
    ValueError
        If the model does not know a species of the structure.
    """
    library = Path(library)
    potential.species_index(atoms.numbers)  # refuses species that it does not know
    elements = [SYMBOLS[z] for z in np.unique(atoms.numbers)]
    names = {kind: library.with_suffix(f".{kind}") for kind in ("in", "data", "dump")}
    boxed = _boxed(atoms)
    text = _TEXT.format(
        formula=atoms.get_chemical_formula(),
        library=library.name,
        boundary=" ".join("ps"[not axis] for axis in boxed.pbc),
        tilt="" if boxed.cell.orthorhombic else "box           tilt large\n",
        data=names["data"].name,
        elements=" ".join(elements),
        dump=names["dump"].name,
    )
    data = io.StringIO()
    write_lammps_data(data, boxed, specorder=elements, masses=True, units="metal")
    for kind, content in (("data", data.getvalue()), ("in", text)):
        with whole_file(names[kind]) as file:
            file.write(content.encode())
    return names["in"], names["data"]


def _boxed(atoms):
    """Return a copy with three cell vectors, the missing ones around the atoms."""
    atoms = atoms.copy()
    missing = [axis for axis in range(3) if not atoms.cell.array[axis].any()]
    atoms.set_cell(atoms.cell.complete())
    atoms.pbc[missing] = False
    if missing:
        atoms.center(vacuum=_MARGIN, axis=missing)
    return atoms
