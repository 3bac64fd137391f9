"""Whether energies seem to be in other units: per atom, or some of them in Hartree."""

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
_FEW, _FEW_EACH = 10, 6  # with fewer structures, or fewer per species, nothing is said
_MANY = 5000  # so many structures are looked at
_UNEXPLAINED = 0.02  # share of squared energies not explained by composition that is no problem
_EXPLAINED = 0.05  # largest such share in the right unit
_BETTER = 0.3  # factor by which another unit must lower that share
_SHARE = 0.02  # smallest share of structures in each of two units
_APART = 20.0  # eV per atom; energies of one composition do not differ by so much
_N_TRIALS = 8
_MAKES_SENSE = "composition explains them much better if they are taken as "


def suspected_units(energy: FloatArray, counts: FloatArray) -> str | None:
    """Return a text that says what is suspicious about energies, or None.

    Total energies are nearly sums over atoms: what bonds and strain change is small in comparison,
    unless the energies of free atoms were subtracted. In that case composition explains nothing,
    which is no mistake. Therefore another unit is only suspected if composition explains energies
    well in this unit and badly in eV. Energies above zero, such as those of formation and of EMT,
    are relative to crystals; those of surfaces and clusters are then not judged.

    Parameters
    ----------
    energy : ndarray of shape (n_structures,)
        Energies as they were passed.
    counts : ndarray of shape (n_structures, n_species)
        Numbers of atoms of each species.

    Returns
    -------
    suspicion : str or None
    """
    sizes = counts.sum(axis=1)
    rows = np.flatnonzero(sizes > 1.0)  # not free atoms, which are unlike all others
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
            f"those of one composition differ by more than {_APART:.0f} eV per atom, as if they "
            "were in different units, or from programs with different zeros of energy"
        )
    return suspicion


def _other_unit(fractions, energy, sizes, unexplained):
    """Return a text that names the unit in which composition explains energies, or None."""
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
    """Return what is unexplained if the energies that fit better that way are multiplied."""
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
