"""Chemical symbols and electronegativities."""

from numbers import Integral

from ..exceptions import InputError

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


def electronegativity(number):
    """Return Pauling's electronegativity; 1.3 beyond curium, where none is known."""
    return _PAULING[number - 1] if 1 <= number <= len(_PAULING) else 1.3


def atomic_number(element):
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
    raise InputError(f"a chemical element is a symbol or an atomic number, got {element!r}")
