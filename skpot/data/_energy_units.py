"""Whether energies make more sense in other units: per atom, or some of them in Hartree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skpot.typing import FloatArray

GPA = 160.21766208  # GPa in one eV/Å³
# Units that some energies of a set may be in by mistake, in eV.
_UNITS = {
    "Hartree": 27.211386,
    "Rydberg": 13.605693,
    "kcal/mol": 0.04336411,
    "kJ/mol": 0.01036427,
}
_FEW = 10  # structures, and for each species _FEW_EACH, of which nothing can be said
_FEW_EACH = 6
_MANY = 5000  # structures that are enough to tell
_UNEXPLAINED = 0.02  # share of the squared energies that composition may leave in any case
_EXPLAINED = 0.05  # share that it may leave when the unit is the right one
_BETTER = 0.3  # by which another unit must lower that share
_SHARE = 0.02  # of structures that must be in each of two units
_APART = 20.0  # eV per atom; matter of one composition does not differ as much
_N_TRIALS = 8
_MAKES_SENSE = "composition explains them much better if they are taken as "


def suspected_units(energy: FloatArray, counts: FloatArray) -> str | None:
    """Return what is odd about energies, as text, or None.

    Total energies are sums over atoms up to what bonds and strain change, which is small against
    them unless the energies of free atoms are subtracted. Then composition explains nothing, and
    that is no fault. So another unit is only suspected if it makes sense of the energies: if what
    composition leaves unexplained is little with it, and much without. Energies above zero count
    from crystals, as those of formation and of EMT do: surfaces and clusters of a few sizes may
    then look like anything.

    Parameters
    ----------
    energy : ndarray of shape (n_structures,)
        As given.
    counts : ndarray of shape (n_structures, n_species)
        Numbers of atoms.

    Returns
    -------
    suspicion : str or None
    """
    sizes = counts.sum(axis=1)
    rows = np.flatnonzero(sizes > 1.0)  # free atoms are unlike all others
    rows = rows[:: max(1, len(rows) // _MANY)]
    energy, sizes, counts = energy[rows], sizes[rows], counts[rows]
    counts = counts[:, counts.any(axis=0)]
    if len(rows) < max(_FEW, _FEW_EACH * counts.shape[1]) or not energy.any():
        return None
    fractions, each = counts / sizes[:, None], energy / sizes
    unexplained = _unexplained(fractions, each)
    if unexplained < _UNEXPLAINED:
        return None
    suspicion = _other_unit(fractions, energy, sizes, unexplained) if np.median(each) < 0 else None
    apart = np.abs(each - _fitted(fractions, each)) > _APART
    if suspicion is None and apart.mean() > _SHARE:
        suspicion = (
            f"those of one composition differ by more than {_APART:.0f} eV per atom: energies in "
            "another unit, or of codes that put the zero of energy to different places"
        )
    return suspicion


def _other_unit(fractions, energy, sizes, unexplained):
    """Return in which unit the energies make more sense, as text, or None."""
    each = energy / sizes
    limit = min(_EXPLAINED, _BETTER * unexplained)
    if _unexplained(fractions, energy) < limit:
        return _MAKES_SENSE + "energies per atom"
    mixes = {"energies per atom in some structures and total energies in others": sizes}
    for unit, factor in _UNITS.items():
        mixes[f"energies in {unit} in some structures and in eV in others"] = np.full(
            len(each), factor
        )
    left = {text: _best_mix(fractions, each, factor) for text, factor in mixes.items()}
    best = min(left, key=left.get)
    return _MAKES_SENSE + best if left[best] < limit else None


def _fitted(fractions, each):
    return fractions @ np.linalg.lstsq(fractions, each, rcond=None)[0]


def _unexplained(fractions, each):
    """Return the share of squared energies per atom that composition does not explain."""
    return ((each - _fitted(fractions, each)) ** 2).sum() / (each**2).sum()


def _best_mix(fractions, each, factor):
    """Return what is unexplained if some energies are multiplied, those that fit better so."""
    return min(_mix(fractions, each, factor, begin) for begin in (False, True))


def _mix(fractions, each, factor, begin):
    other = np.full(len(each), begin)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_N_TRIALS):
            fitted = _fitted(fractions, np.where(other, factor, 1.0) * each)
            ratio = np.log(np.abs(each / fitted))
            before, other = other, np.abs(ratio + np.log(factor)) < np.abs(ratio)
            if np.array_equal(before, other):
                break
    few = max(2.0, _SHARE * len(each))
    if min(other.sum(), len(other) - other.sum()) < few:
        return 1.0
    return _unexplained(fractions, np.where(other, factor, 1.0) * each)
