"""Chemical symbols, electronegativities and radii."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from skpot.typing import FloatArray, IntArray

_NAMES = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu "
    "Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba "
    "La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi "
    "Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds "
    "Rg Cn Nh Fl Mc Lv Ts Og "
)
SYMBOLS = tuple(_NAMES.split())  # by atomic number

# Pauling's scale by atomic number from hydrogen on (CRC Handbook of Chemistry and Physics); noble
# gases without a value have Allen's, Mann, Meek, Allen, J. Am. Chem. Soc. 122, 2780 (2000).
_ELECTRONEGATIVITIES = (
    "2.20 4.16 0.98 1.57 2.04 2.55 3.04 3.44 3.98 4.79 0.93 1.31 1.61 1.90 2.19 2.58 3.16 3.24 "
    "0.82 1.00 1.36 1.54 1.63 1.66 1.55 1.83 1.88 1.91 1.90 1.65 1.81 2.01 2.18 2.55 2.96 3.00 "
    "0.82 0.95 1.22 1.33 1.6 2.16 1.9 2.2 2.28 2.20 1.93 1.69 1.78 1.96 2.05 2.1 2.66 2.6 "
    "0.79 0.89 1.10 1.12 1.13 1.14 1.13 1.17 1.2 1.20 1.2 1.22 1.23 1.24 1.25 1.1 1.27 1.3 1.5 "
    "2.36 1.9 2.2 2.2 2.28 2.54 2.00 1.62 2.33 2.02 2.0 2.2 2.2 0.7 0.9 1.1 1.3 1.5 1.38 1.36 "
    "1.28 1.3 1.3"
)
_PAULING = tuple(float(x) for x in _ELECTRONEGATIVITIES.split())

# Covalent radii in Å by atomic number from hydrogen on, Cordero et al., Dalton Trans. 2832 (2008).
_COVALENT_RADII = (
    "0.31 0.28 1.28 0.96 0.84 0.76 0.71 0.66 0.57 0.58 1.66 1.41 1.21 1.11 1.07 1.05 1.02 1.06 "
    "2.03 1.76 1.70 1.60 1.53 1.39 1.39 1.32 1.26 1.24 1.32 1.22 1.22 1.20 1.19 1.20 1.20 1.16 "
    "2.20 1.95 1.90 1.75 1.64 1.54 1.47 1.46 1.42 1.39 1.45 1.44 1.42 1.39 1.39 1.38 1.39 1.40 "
    "2.44 2.15 2.07 2.04 2.03 2.01 1.99 1.98 1.98 1.96 1.94 1.92 1.92 1.89 1.90 1.87 1.87 1.75 "
    "1.70 1.62 1.51 1.44 1.41 1.36 1.36 1.32 1.45 1.46 1.48 1.40 1.50 1.50 2.60 2.21 2.15 2.06 "
    "2.00 1.96 1.90 1.87 1.80 1.69"
)
_RADII = tuple(float(x) for x in _COVALENT_RADII.split())


def covalent_radius(number: int) -> float:
    """Return the covalent radius in Å; 0.2 where none is known, beyond curium."""
    return _RADII[number - 1] if 1 <= number <= len(_RADII) else 0.2


def electronegativity(number: int) -> float:
    """Return Pauling's electronegativity; 1.3 beyond curium, where none is known."""
    return _PAULING[number - 1] if 1 <= number <= len(_PAULING) else 1.3


def alchemical_coordinates(numbers: IntArray) -> FloatArray:
    """Return Pauling's electronegativity and the covalent radius in half Å, shape (n, 2).

    Gaussians of their distance are the similarity of elements of M. J. Willatt, F. Musil, M.
    Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018).
    """
    return np.array([(electronegativity(z), covalent_radius(z) / 0.5) for z in numbers])


def atomic_number(element: Any) -> int:
    """Return the atomic number of a symbol; integers pass through.

    Raises
    ------
    ValueError
        If there is no such element.
    """
    if isinstance(element, str):
        if element in SYMBOLS:
            return SYMBOLS.index(element)
        raise InputError(f"no chemical element has the symbol {element!r}")
    if isinstance(element, Integral) and 0 <= element < len(SYMBOLS):
        return int(element)
    raise InputError(f"a chemical element must be a symbol or an atomic number, got {element!r}")


def by_number(name: str, given: Mapping[Any, Any]) -> dict[int, Any]:
    """Return a dictionary of species with atomic numbers as keys; refuse species named twice."""
    out = {}
    for element, value in given.items():
        number = atomic_number(element)
        if number in out:
            raise InputError(f"{name} has two entries for {SYMBOLS[number]}: remove one.")
        out[number] = value
    return out
