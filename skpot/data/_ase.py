"""Everything the data layer asks of ASE: reading files, labels of calculators, plain arrays."""

import io
import os

import numpy as np

from ._elements import electronegativity
from ._structure_info import cell_volumes

NOTHING = {}


def read_frames(path, index=":"):
    """Read structures from one file in any format ASE knows.

    Parameters
    ----------
    path : str or Path
        The file.
    index : int, str or slice, default=":"
        Which frames, as in `ase.io.read`.

    Returns
    -------
    frames : list[Atoms]
        With their calculators, which hold the labels.
    """
    from ase.io.formats import filetype, get_compression, open_with_compression, read

    path = os.fspath(path)
    source, options = path, {"do_not_split_by_at_sign": True}
    if get_compression(path)[1] and filetype(path) == "extxyz":
        # This reader jumps back and forth, which costs a decompression each time.
        with open_with_compression(path) as file:
            source, options = io.StringIO(file.read()), {"format": "extxyz"}
    frames = read(source, index=index, **options)
    return frames if isinstance(frames, list) else [frames]


def stored_results(atoms):
    """Return the results a file left in the calculator of a structure.

    Parameters
    ----------
    atoms : Atoms
        A structure as read.

    Returns
    -------
    results : dict
        By ASE's names of properties; without the projections that constraints make.
    """
    return getattr(atoms.calc, "results", None) or NOTHING


def lookup(atoms, key):
    """Return what a file calls `key`.

    Parameters
    ----------
    atoms : Atoms
        A structure as read.
    key : str
        Searched in `atoms.info`, `atoms.arrays` and the results of the calculator.

    Returns
    -------
    value : object
        None if there is no such key.
    """
    for place in (atoms.info, atoms.arrays, stored_results(atoms)):
        if key in place:
            return place[key]
    return None


def calculator_labels(atoms):
    """Ask the calculator of a structure for its labels.

    Parameters
    ----------
    atoms : Atoms
        A structure with a calculator.

    Returns
    -------
    energy : float or None
        In eV; the one that is consistent with the forces if there are two.
    forces : ndarray of shape (n_atoms, 3) or None
        In eV/Å, not projected on constraints.
    stress : ndarray of shape (6,) or None
        In eV/Å³; only asked for where there is one, see `cell_volumes`.
    """
    from ase.calculators.calculator import PropertyNotImplementedError

    def ask(name):
        try:
            return atoms.calc.get_property(name, atoms)
        except PropertyNotImplementedError:
            return None

    if atoms.calc is None:
        return None, None, None
    forces = ask("forces")
    energy = ask("free_energy") if forces is not None else None
    if energy is None:
        energy = ask("energy")
    has_stress = np.isfinite(cell_volumes([atoms.cell.array])[0])
    return energy, forces, ask("stress") if has_stress else None


def labels_by(calculator, structures):
    """Ask one calculator for the labels of structures, which keep their own calculators.

    Parameters
    ----------
    calculator : ase.calculators.calculator.Calculator
        Asked for one structure after the other.
    structures : list[Atoms]
        Structures.

    Returns
    -------
    labels : list of (float or None, ndarray or None, ndarray or None)
        Energy, forces and stress of each structure, as in `calculator_labels`. Errors of the
        calculator carry a note that names the structure.
    """
    labels = []
    for i, atoms in enumerate(structures):
        atoms = atoms.copy()
        atoms.calc = calculator
        if hasattr(calculator, "reset"):  # rounding errors of a neighbour list's history
            calculator.reset()
        try:
            labels.append(calculator_labels(atoms))
        except Exception as error:
            error.add_note(f"raised by {type(calculator).__name__} for structure {i}")
            raise
    return labels


def without_calculator(atoms):
    """Take the calculator, and with it the labels, off a structure.

    Parameters
    ----------
    atoms : Atoms
        A structure as read; changed in place.

    Returns
    -------
    atoms : Atoms
        The same object.
    """
    atoms.calc = None
    return atoms


def extract_arrays(structures):
    """Return the geometry of structures as flat arrays.

    Works on anything with `positions`, `numbers`, `cell` and `pbc`; ASE itself is not imported.

    Parameters
    ----------
    structures : list[Atoms]
        Structures.

    Returns
    -------
    positions : ndarray of shape (n_atoms_total, 3)
        In Å.
    numbers : ndarray of int64 of shape (n_atoms_total,)
        Atomic numbers.
    cells : ndarray of shape (n_structures, 3, 3)
        Cell vectors in rows (Å).
    pbc : ndarray of bool of shape (n_structures, 3)
        Periodic directions.
    offsets : ndarray of int64 of shape (n_structures + 1,)
        Structure i owns atoms `offsets[i]:offsets[i + 1]`.
    """
    n = len(structures)
    cells = np.zeros((n, 3, 3))
    pbc = np.zeros((n, 3), dtype=bool)
    offsets = np.zeros(n + 1, dtype=np.int64)
    positions, numbers = [np.empty((0, 3))], [np.empty(0, dtype=np.int64)]
    for i, atoms in enumerate(structures):
        positions.append(atoms.positions)
        numbers.append(atoms.numbers)
        cells[i] = atoms.cell
        pbc[i] = atoms.pbc
        offsets[i + 1] = offsets[i] + len(atoms.numbers)
    return (
        np.concatenate(positions, dtype=np.float64),
        np.concatenate(numbers, dtype=np.int64),
        cells,
        pbc,
        offsets,
    )


def covalent_radius(number):
    """Return the covalent radius of an element in Å (Cordero et al., Dalton Trans. 2832 (2008))."""
    from ase.data import covalent_radii

    return float(covalent_radii[number])


def alchemical_coordinates(numbers):
    """Return Pauling's electronegativity and the covalent radius in half Å, shape (n, 2).

    Gaussians of their distance are the similarity of elements of M. J. Willatt, F. Musil, M.
    Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018).
    """
    return np.array([(electronegativity(z), covalent_radius(z) / 0.5) for z in numbers])
