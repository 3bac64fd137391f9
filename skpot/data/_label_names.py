"""What the names of a file's columns and keys say: labels, other programs' predictions, or neither.

A name is read without regard to case and separators, as a sequence of known words: "REF_energy",
"dftEnergy" and "energy_dft" are reference energies. A name that means a label but has another word
in it, such as "MACE_energy", is taken for nobody knows what: it is told and not used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

# What each kind of label is called; "free" is the energy that forces derive from.
_NOUNS = {
    "free energy": ("freeenergy",),
    "energy": ("energy", "etot", "toten"),
    "forces": ("forces", "force"),
    "stress": ("stress",),
    "virial": ("virials", "virial"),
}
# Words that say no more than that it is the reference.
_REFERENCE = ("reference", "ref", "dft", "qm", "abinitio", "target", "label")
_REFERENCE_OF_ENERGY = (*_REFERENCE, "total", "tot", "potential", "pot")

# Energies and stresses of atoms, which add up to a label in some programs only.
_OF_ATOMS = re.compile(
    r"energies|stresses|(local|atomic|atom|peratom|site).*(energy|stress|virial)"
    r"|(energy|stress|virial).*(local|atomic|peratom|site)"
)
# How well something is known or counted, or how it is written, is no label either.
_ABOUT_LABELS = re.compile(
    r"sigma|weight|std|stdev|deviation|variance|uncertainty|error|rmse|mae|mask|unit|shift|scale"
    r"|type|method|converge|tolerance|threshold|cutoff|kinetic|fermi|temperature"
)
_LOOKS_LIKE = (("free energy", "freeenergy"), ("energy", "energy"), ("forces", "force"))
_LOOKS_LIKE += (("stress", "stress"), ("virial", "virial"))
# What could be labels, though nothing in it says so, or as something else than is asked for.
_ANY = f"(?:{'|'.join(_REFERENCE)})*"
_OTHER_NOUNS = {
    "other": {
        "energy": "e|pe|epot|etotal|poteng|toteng|eform|enthalpy",
        "forces": "f",
        "stress": "pressure|press",
    },
    "minus": {"forces": "(?:energy)?grad(?:ients?)?"},
    "component": {"forces": "f(?:orces?)?[xyz]", "stress": "(?:stress|pressure|p|s)[xyz]{2}"},
}
_OTHERS = [
    (kind, role, re.compile(f"{_ANY}(?:{nouns}){_ANY}"))
    for role, kinds in _OTHER_NOUNS.items()
    for kind, nouns in kinds.items()
]
_UNITS = {"hartree", "ha", "rydberg", "ry", "kcal", "kj", "mev", "gpa", "kbar", "bar"}


def _pattern(kind):
    words = _REFERENCE_OF_ENERGY if "energy" in kind else _REFERENCE
    words, nouns = "|".join(words), "|".join(_NOUNS[kind])
    return re.compile(f"(?:{words})*(?:{nouns})(?:{words})*")


_PATTERNS = {kind: _pattern(kind) for kind in _NOUNS}


def label_kind(name: str) -> tuple[str | None, Any]:
    """Return what a name means.

    Parameters
    ----------
    name : str
        Of a column or key.

    Returns
    -------
    kind : {"energy", "free energy", "forces", "stress", "virial"} or None
        None if it has nothing to do with labels.
    role : {"label", "of atoms", "minus", "component", "other unit", "other"} or None
        Whether it is a reference label; a quantity of single atoms, minus the label, a component
        of it or in another unit, which are none; or something else, such as the prediction of
        another model.
    """
    plain = re.sub(r"[\W_]+", "", str(name)).lower()
    for kind, pattern in _PATTERNS.items():
        if pattern.fullmatch(plain):
            return kind, "label"
    for kind, role, pattern in _OTHERS:
        if pattern.fullmatch(plain):
            return kind, role
    kind = next((kind for kind, word in _LOOKS_LIKE if word in plain), None)
    if kind is None and _OF_ATOMS.search(plain):
        kind = "energy"  # "energies" is all that has no such word in it
    if kind is None or _ABOUT_LABELS.search(plain):
        return None, None
    if _OF_ATOMS.search(plain):
        return kind, "of atoms"
    words = re.split(r"[\W_]+", str(name).lower())
    return kind, "other" if _UNITS.isdisjoint(words) else "other unit"
