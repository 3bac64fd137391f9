"""Symmetry functions from the files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import ParameterError
from ._symmetry_sets import SymmetryFunction

if TYPE_CHECKING:
    from skpot.typing import PathLike

_BOHR = 0.529177210903  # Å
_SIMPLE_NN_KINDS = {"2": "G2", "4": "G4", "5": "G5"}
# How many words follow the type in a line of n2p2; the last of types 3 and 9 is optional.
_N2P2_WORDS = {"2": (4, 4), "3": (6, 7), "9": (6, 7), "12": (3, 3), "13": (5, 5)}


def read_simple_nn(path_by_element: dict[str, PathLike]) -> list[SymmetryFunction]:
    """Read `params_XX` files of SIMPLE-NN.

    A line is `type neighbor neighbor cutoff` and three coefficients: eta, shift and an unused
    one for type 2; eta, zeta and lambda for types 4 and 5. Neighbors are numbers that count the
    elements from 1. Lengths are in Å.

    Parameters
    ----------
    path_by_element : dict of str to path
        A file for each element, in the order of `params` in `input.yaml`: the numbers in the files
        refer to it.

    Returns
    -------
    functions : list of SymmetryFunction
        For `skpot.SymmetryFunctions(functions=...)`; cutoff functions are cosines.

    Raises
    ------
    ValueError
        If a line cannot be understood; the message names file and line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skpot.descriptors import read_simple_nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "params_Si")
    ...     _ = path.write_text("2 1 0 6.0 0.003214 0.0 0.0")
    ...     [function] = read_simple_nn({"Si": path})
    >>> function.kind, function.center, function.neighbors, function.cutoff, function.eta
    ('G2', 'Si', ('Si',), 6.0, 0.003214)
    """
    elements = list(path_by_element)

    def parse(words, center):
        kind = _SIMPLE_NN_KINDS.get(words[0])
        if kind is None:
            raise ParameterError(f"type {words[0]} is none of 2, 4 and 5")
        if len(words) != 7:
            raise ParameterError(f"{len(words)} words, not 7")
        indices = [int(w) for w in (words[1:2] if kind == "G2" else words[1:3])]
        if not all(1 <= k <= len(elements) for k in indices):
            raise ParameterError(
                f"neighbors {indices} are not among the {len(elements)} elements "
                f"{', '.join(elements)}; give a file for every element"
            )
        cutoff, *coefficients = (float(w) for w in words[3:])
        names = ("eta", "shift") if kind == "G2" else ("eta", "zeta", "lambda_")
        return SymmetryFunction(
            kind,
            tuple(elements[k - 1] for k in indices),
            center,
            cutoff=cutoff,
            cutoff_function="cosine",
            # The file has a third coefficient for every kind; that of G2 means nothing.
            **dict(zip(names, coefficients, strict=False)),
        )

    functions = []
    for center, path in path_by_element.items():
        for place, words in _lines(path, "#!"):
            functions.append(_located(place, parse, words, center))
    return functions


def read_n2p2(path: PathLike, units: str | None = None) -> list[SymmetryFunction]:
    r"""Read the `symfunction_short` and `cutoff_type` lines of an `input.nn` of n2p2.

    Types 2, 3, 9, 12 and 13 are G2, G4, G5 and the weighted G2 and G4. Other lines are ignored.
    Words and formulas are those of n2p2's sources (CompPhysVienna/n2p2, src/libnnp:
    SymFncExp*.h for the functions, the enumeration of CutoffFunction.h, from 0, for cutoff_type): 1
    is the cosine, 2 is :math:`\tanh^3(1 - r/r_c)`, which takes no notice of an inner cutoff, and 6
    is the polynomial. A file with more than one cutoff_type line is refused, and so are the compact
    functions, types 20 to 25.

    Parameters
    ----------
    path : path
        The file.
    units : {"bohr", "angstrom"}
        Unit of length in the file, which is the one of the data it was made for; the file does not
        say it, so it has to be given.

    Returns
    -------
    functions : list of SymmetryFunction
        In Å, for `skpot.SymmetryFunctions(functions=...)`; each with the file's cutoff function.

    Raises
    ------
    ValueError
        If no units are given, or a line cannot be understood or asks for something that skpot does
        not have; the message names file and line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skpot.descriptors import read_n2p2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "input.nn")
    ...     _ = path.write_text("symfunction_short H 2 O 0.5 0.0 12.0")
    ...     [function] = read_n2p2(path, units="bohr")
    >>> function.kind, function.center, function.neighbors, round(function.cutoff, 4)
    ('G2', 'H', ('O',), 6.3501)
    """
    if units not in (None, "bohr", "angstrom"):
        raise ParameterError(f"units={units!r} is neither 'bohr' nor 'angstrom'")
    length = _BOHR if units == "bohr" else 1.0
    functions, seen = [], None
    switch, fraction = "cosine", 0.0
    for place, words in _lines(path, "#!"):
        if words[0] == "cutoff_type":
            if seen is not None:
                raise ParameterError(f"{place}: cutoff_type occurs again, after {seen}; keep one")
            seen = place
            switch, fraction = _located(place, _cutoff_type, words[1:])
        elif words[0] == "symfunction_short":
            functions.append(_located(place, _n2p2_function, words[1:], length))
    if not functions:
        raise ParameterError(f"{path} has no symfunction_short line")
    if units is None:
        largest = max(f.cutoff for f in functions)
        raise ParameterError(
            f'{path} does not say its unit of length: give units="bohr" (the largest cutoff, '
            f'{largest:g}, is {largest * _BOHR:.3f} Å then) or units="angstrom" ({largest:g} Å); '
            "it is the unit of the data that the file was made for."
        )
    return [
        f._replace(cutoff_function=switch, cutoff_width=(1.0 - fraction) * f.cutoff)
        for f in functions
    ]


def _cutoff_type(words):
    kinds = {"1": "cosine", "2": "tanh", "6": "polynomial"}
    if not words or words[0] not in kinds:
        raise ParameterError(
            "only the cutoff types 1 (cosine), 2 (tanh^3) and 6 (poly2) are available, got "
            f"{' '.join(words) or 'none'}"
        )
    fraction = float(words[1]) if len(words) > 1 else 0.0
    if not 0.0 <= fraction < 1.0:
        raise ParameterError(f"the inner cutoff's fraction {fraction} is not in [0, 1)")
    return kinds[words[0]], 0.0 if kinds[words[0]] == "tanh" else fraction


def _n2p2_function(words, length):
    center, kind, *rest = words
    if kind not in _N2P2_WORDS:
        raise ParameterError(f"type {kind} is none of {', '.join(_N2P2_WORDS)}")
    fewest, most = _N2P2_WORDS[kind]
    if not fewest <= len(rest) <= most:
        raise ParameterError(f"type {kind} takes {fewest} words after it, not {len(rest)}")
    n_neighbors = {"2": 1, "3": 2, "9": 2}.get(kind, 0)
    neighbors = tuple(rest[:n_neighbors]) or None
    values = [float(w) for w in rest[n_neighbors:]]
    names = {
        "2": ("eta", "shift", "cutoff"),
        "3": ("eta", "lambda_", "zeta", "cutoff", "shift"),
        "9": ("eta", "lambda_", "zeta", "cutoff", "shift"),
        "12": ("eta", "shift", "cutoff"),
        "13": ("eta", "shift", "lambda_", "zeta", "cutoff"),
    }[kind]
    # The last words may be left out; how many there may be has been checked above.
    fields = dict(zip(names, values, strict=False))
    fields["eta"] /= length**2
    for name in ("shift", "cutoff"):
        fields[name] = fields.get(name, 0.0) * length
    symmetry = {"2": "G2", "3": "G4", "9": "G5", "12": "G2", "13": "G4"}[kind]
    return SymmetryFunction(symmetry, neighbors, center, weighted=neighbors is None, **fields)


def _lines(path, comment):
    """Yield (where, words) of lines that are neither empty nor comments."""
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        for sign in comment:
            line = line.partition(sign)[0]
        if words := line.split():
            yield f"{path}, line {number}", words


def _located(place, function, *arguments):
    """Call a function, and say where, if it raises."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ParameterError(f"{place}: {error}") from error
