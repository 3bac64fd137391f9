"""The meaning of the names of columns and keys in files: labels, predictions, or neither.

A name is read without regard to case and separators, as a sequence of known words: "REF_energy",
"dftEnergy" and "energy_dft" are reference energies. If a name of a label has another word in it, as
in "MACE_energy", its meaning is not known: a warning names it, and it is not used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

# Names of each kind of label; "free energy" is the one whose derivative the forces are.
_NOUNS = {
    "free energy": ("freeenergy",),
    "energy": ("energy", "etot", "toten"),
    "forces": ("forces", "force"),
    "stress": ("stress",),
    "virial": ("virials", "virial"),
}
# Words that only say that a label is a reference.
_REFERENCE = ("reference", "ref", "dft", "qm", "abinitio", "target", "label")
_REFERENCE_OF_ENERGY = (*_REFERENCE, "total", "tot", "potential", "pot")

# Energies and stresses of single atoms. Only in some programs do they add up to the label.
_OF_ATOMS = re.compile(
    r"energies|stresses|(local|atomic|atom|peratom|site).*(energy|stress|virial)"
    r"|(energy|stress|virial).*(local|atomic|peratom|site)"
)
# Words for properties of a label, such as its error, weight or unit.
_ABOUT_LABELS = re.compile(
    r"sigma|weight|std|stdev|deviation|variance|uncertainty|error|rmse|mae|mask|unit|shift|scale"
    r"|type|method|converge|tolerance|threshold|cutoff|kinetic|fermi|temperature"
)
_LOOKS_LIKE = (("free energy", "freeenergy"), ("energy", "energy"), ("forces", "force"))
_LOOKS_LIKE += (("stress", "stress"), ("virial", "virial"))
# Names that may be labels, but do not say so clearly, or labels in another form (such as minus).
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
    """Return the meaning of a name.

    Parameters
    ----------
    name : str
        Name of a column or key.

    Returns
    -------
    kind : {"energy", "free energy", "forces", "stress", "virial"} or None
        None if it does not look like a label.
    role : {"label", "of atoms", "minus", "component", "other unit", "other"} or None
        "label" for a reference label. The others are not used as labels: a quantity of single
        atoms, minus the label, a component of it, the label in another unit, or something else,
        such as the prediction of another model.
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
        kind = "energy"  # the name is "energies", which does not contain "energy"
    if kind is None or _ABOUT_LABELS.search(plain):
        return None, None
    if _OF_ATOMS.search(plain):
        return kind, "of atoms"
    words = re.split(r"[\W_]+", str(name).lower())
    return kind, "other" if _UNITS.isdisjoint(words) else "other unit"
