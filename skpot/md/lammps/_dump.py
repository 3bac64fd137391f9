"""Structures in dump files of LAMMPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ase.io import read

from ..._paths import file_name
from ...exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.typing import Atoms, PathLike

_COLUMNS = "ITEM: ATOMS"


def last_frame(path: PathLike, species: Sequence[str] | None = None) -> Atoms:
    """Return the last frame of a dump file, with velocities if it has any.

    Parameters
    ----------
    path : str or Path
        A text file of ``dump custom`` or ``write_dump``, in ``units metal``.
    species : list of str, optional
        Element of each atom type, as in ``["Si", "O"]`` for types 1 and 2. It may be left out if
        the file has the column ``element``.

    Returns
    -------
    atoms : Atoms
        Ordered by ``id``, if the file has this column.

    Raises
    ------
    InputError
        If the file is no dump, was cut off, or does not say which elements its atoms are.
    """
    name = str(file_name(path))
    columns = _columns(name)
    if "element" not in columns and species is None:
        raise InputError(
            f"{name} has no column 'element': say which elements the types 1, 2 ... are."
        )
    try:
        atoms: Any = read(name, -1, format="lammps-dump-text", specorder=species)
    except IndexError as error:
        raise InputError(
            f"{name} has an atom type beyond {', '.join(species or [])}, or was cut off."
        ) from error
    except Exception as error:  # whatever a reader makes of half a line
        raise InputError(f"{name} is no whole dump of LAMMPS: {error}.") from error
    atoms.calc = None
    atoms.set_celldisp([0.0, 0.0, 0.0])
    return atoms


def _columns(name):
    """Return the names of the columns of the last frame."""
    found = None
    try:
        with open(name, encoding="utf-8") as file:
            for line in file:
                if line.startswith(_COLUMNS):
                    found = line.split()[2:]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name} cannot be read: {error}.") from error
    if found is None:
        raise InputError(f"{name} has no line '{_COLUMNS}': it is no text dump of LAMMPS.")
    return found
