"""Exported libraries, called from Python."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from ...core.aot import ABI, check_file
from ...core.pairs import Pairs
from ...exceptions import EngineError, InputError

if TYPE_CHECKING:
    from skpot.typing import FloatArray, IntArray, PathLike

_INTEGERS = np.ctypeslib.ndpointer(np.int64, flags="C_CONTIGUOUS")
_FLOATS = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")
_INTEGER = ctypes.c_int64

UNFIT = 3  # what the process of run_files returns if the library is for other processors


class Library:
    """The functions of a library that `skpot.md.lammps.export` wrote.

    Parameters
    ----------
    path : str or Path
        The library.

    Attributes
    ----------
    cutoff : float
        In Å.
    numbers : ndarray of shape (n_species,)
        Atomic number of each index of species.
    description : str
        The text in the library that says what it was made from.
    has_grade : bool
        Whether it can compute extrapolation grades.
    variants : dict of str to str or None
        The processors that it has code for, from old to new, and the feature that this machine
        lacks for each; None if the code runs.

    Raises
    ------
    ValueError
        If the file is damaged, is not a library, or has another interface.
    """

    def __init__(self, path: PathLike) -> None:
        check_file(path)
        self._library = library = ctypes.CDLL(os.path.abspath(path))
        library.skpot_abi.restype = _INTEGER
        abi = library.skpot_abi()
        if abi != ABI:
            raise InputError(
                f"{path} has interface {abi}, this skpot reads {ABI}; export the model again."
            )
        library.skpot_cutoff.restype = ctypes.c_double
        library.skpot_n_species.restype = _INTEGER
        library.skpot_species.restype = ctypes.POINTER(_INTEGER)
        library.skpot_description.restype = ctypes.c_char_p
        library.skpot_work_size.restype = _INTEGER
        library.skpot_work_size.argtypes = [_INTEGER] * 2
        inputs = [*[_INTEGER] * 4, _INTEGERS, _INTEGERS, _FLOATS, _INTEGERS]
        library.skpot_evaluate.restype = _INTEGER
        library.skpot_evaluate.argtypes = [*inputs, _FLOATS, _FLOATS, _FLOATS, _INTEGER]
        self.has_grade = hasattr(library, "skpot_grade")
        if self.has_grade:
            library.skpot_grade.restype = _INTEGER
            library.skpot_grade.argtypes = [*inputs, _FLOATS, _FLOATS, _INTEGER]
        self.cutoff = library.skpot_cutoff()
        self.numbers = np.array(library.skpot_species()[: library.skpot_n_species()])
        self.description = library.skpot_description().decode()
        self.variants = self._variants(library)

    @staticmethod
    def _variants(library):
        library.skpot_n_variants.restype = _INTEGER
        library.skpot_choose.restype = _INTEGER
        for function in (library.skpot_variant, library.skpot_lacking, library.skpot_choose):
            function.argtypes = [_INTEGER]
        for function in (library.skpot_variant, library.skpot_lacking):
            function.restype = ctypes.c_char_p
        found = {}
        for k in range(library.skpot_n_variants()):
            lacking = library.skpot_lacking(k)
            found[library.skpot_variant(k).decode()] = lacking and lacking.decode()
        return found

    def choose(self, variant: str) -> None:
        """Use the code for one of the processors; without this, it is the newest that runs."""
        if self._library.skpot_choose(list(self.variants).index(variant)):
            raise InputError(
                f"code for {variant} needs {self.variants[variant]}, which this machine lacks"
            )

    def evaluate(self, pairs: Pairs, species: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return energies of centers and derivatives along pairs.

        See `skpot.lowering.CompiledPotential.evaluate_pairs`; species are indices into `numbers`.
        """
        energies, gradient = np.zeros(len(pairs.start) - 1), np.zeros((len(pairs.neighbor), 3))
        self._call(self._library.skpot_evaluate, pairs, species, energies, gradient)
        return energies, gradient

    def grade(self, pairs: Pairs, species: IntArray) -> FloatArray:
        """Return the extrapolation grades of all centers; see `evaluate` for the arguments."""
        grades = np.zeros(len(pairs.start) - 1)
        self._call(self._library.skpot_grade, pairs, species, grades)
        return grades

    def _call(self, function, pairs, species, *outputs):
        n = len(pairs.start) - 1
        size = self._library.skpot_work_size(int(np.diff(pairs.start).max(initial=1)), n)
        work = np.empty(max(size, 0))
        status = function(0, n, n, len(species), *pairs, species, *outputs, work, len(work))
        if status:
            raise EngineError(f"the library failed with status {status}.")


def run_files(library: PathLike, given: PathLike, found: PathLike) -> None:
    """Evaluate the pairs in one file of arrays by all code of a library that runs here.

    Energies, gradient and grades of each variant go to another file of arrays.
    """
    with np.load(given) as arrays:
        pairs = Pairs(arrays["start"], arrays["neighbor"], arrays["vector"])
        species = arrays["species"]
    loaded = Library(library)
    running = [variant for variant, lacking in loaded.variants.items() if lacking is None]
    if not running:
        sys.exit(UNFIT)
    energies, gradient, grades = [], [], []
    for variant in running:
        loaded.choose(variant)
        e, g = loaded.evaluate(pairs, species)
        energies.append(e)
        gradient.append(g)
        grades.append(loaded.grade(pairs, species) if loaded.has_grade else np.zeros(0))
    np.savez(found, energies=energies, gradient=gradient, grades=grades)
