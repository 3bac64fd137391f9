"""Units that labels come in, as how many of them make one of ours; CODATA 2018."""

from __future__ import annotations

ENERGY = {
    "eV": 1.0,
    "kcal/mol": 23.060548,
    "kJ/mol": 96.485332,
    "Hartree": 1.0 / 27.211386,
    "Rydberg": 1.0 / 13.605693,
    "meV": 1000.0,
}
_BOHR = 0.529177211  # Å

FORCES = {
    "eV/Å": 1.0,
    "kcal/mol/Å": 23.060548,
    "kJ/mol/Å": 96.485332,
    "kJ/mol/nm": 964.85332,
    "Hartree/Bohr": _BOHR / 27.211386,
    "Rydberg/Bohr": _BOHR / 13.605693,
    "meV/Å": 1000.0,
}

STRESS = {
    "eV/Å³": 1.0,
    "GPa": 160.2176634,
    "kbar": 1602.176634,
    "MPa": 160217.6634,
    "bar": 1602176.634,
    "Hartree/Bohr³": _BOHR**3 / 27.211386,
    "Rydberg/Bohr³": _BOHR**3 / 13.605693,
}

# Where other programs put the components that ASE has in the order xx yy zz yz xz xy.
VOIGT = {
    "xx yy zz yz xz xy": (0, 1, 2, 3, 4, 5),
    "xx yy zz xy yz xz": (0, 1, 2, 4, 5, 3),
    "xx yy zz xy xz yz": (0, 1, 2, 5, 4, 3),
    "xx xy xz yy yz zz": (0, 3, 5, 4, 2, 1),
}
