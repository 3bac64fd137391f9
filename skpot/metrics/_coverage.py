"""Maps of standard deviations by which held-out errors have the coverage that they claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import erf

from skpot.data import Targets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.typing import FloatArray, IntArray

_FIXED_BY_SYMMETRY = 1e-3  # below this share of the root mean square, a deviation counts as zero
_PSEUDO_COUNT = 100  # force components by which a species' factor is drawn towards the common one
_PSEUDO_LABELS = 2  # likewise of energies and stress, towards that of forces


def coverage_factors(
    held_out: dict[str, tuple[FloatArray, FloatArray, IntArray]], pooled: bool = True
) -> tuple[dict[str, FloatArray], dict[int, float]]:
    """Return factors of deviations for which held-out errors have their nominal coverage.

    Parameters
    ----------
    held_out : dict of str to tuple
        By kind of label, the errors on data that were held out, their standard deviations, and the
        atomic numbers of the atoms that forces act on, each of shape (n_labels,). Errors are finite
        and deviations not negative.
    pooled : bool, default=True
        Whether energies and stress have one common factor, from the mean errors of all kinds.
        Otherwise each kind has its own, which is drawn to that of forces where labels are few.

    Returns
    -------
    calibration : dict of str to ndarray of shape (2,)
        By kind, the factor f and the noise d of the map from s to the root of (f s)² + d².
    species_factors : dict of int to float
        The factors of forces, by atomic number.
    """
    ratios: dict[str, Any] = {}
    noise, species = {}, np.empty(0, dtype=np.int64)
    for name, (error, std, numbers) in held_out.items():
        certain = std <= _FIXED_BY_SYMMETRY * np.sqrt(np.mean(std**2))
        noise[name] = _factor([np.abs(error[certain])], [1.0]) if certain.any() else 0.0
        ratios[name] = np.abs(error[~certain]) / std[~certain]
        if name == "forces":
            species = numbers[~certain]
    means = [np.mean(r) for r in ratios.values() if len(r)]
    common = np.sqrt(np.pi / 2.0) * np.mean(means) if means else 1.0
    factors, by_species = dict.fromkeys(ratios, common), {}
    forces = ratios.get("forces", [])
    if len(forces):  # symmetry may fix all that there are
        if not pooled:
            for name, own in ratios.items():
                if len(own):
                    factors[name] = _factor([own, forces], [len(own), _PSEUDO_LABELS])
        factors["forces"] = _factor([forces], [1.0])
        for z in np.unique(species[species > 0]).tolist():
            own = forces[species == z]
            by_species[z] = _factor([own, forces], [len(own), _PSEUDO_COUNT])
    return {name: np.array([factors[name], noise[name]]) for name in ratios}, by_species


def calibrated_deviations(
    std: Any,
    calibration: dict[str, FloatArray],
    species_factors: dict[int, float],
    numbers: Sequence[IntArray] | None = None,
) -> Any:
    """Return standard deviations after the map of each kind of label.

    Parameters
    ----------
    std : Targets, or ndarray of shape (n_structures,)
        Deviations; an array holds those of total energies, in eV.
    calibration : dict of str to ndarray
        By kind, the factor and the noise, shape (2,), or the knots of an increasing function, shape
        (n_knots, 2). Kinds that are missing are not changed.
    species_factors : dict of int to float
        Factors of forces by atomic number; other species have the factor in `calibration`.
    numbers : sequence of ndarray, optional
        Atomic numbers of each structure; without them all forces have the same factor.

    Returns
    -------
    Targets or ndarray
        Of the same kind as `std`.
    """
    energy, stress = calibration.get("energy"), calibration.get("stress")
    if not isinstance(std, Targets):
        return _mapped(std, energy)
    forces, known = std.forces, calibration.get("forces")
    if forces is not None and known is not None:
        factors: Any = [None] * len(forces)
        if numbers is not None and species_factors:
            factors = [
                np.array([species_factors.get(z, known[0]) for z in kinds.tolist()])[:, None]
                for kinds in numbers
            ]
        forces = [_mapped(f, known, own) for f, own in zip(forces, factors, strict=True)]
    return Targets(
        _mapped(std.energy, energy),
        forces,
        None if std.stress is None else _mapped(std.stress, stress),
    )


def _mapped(std, known, factor=None):
    """Return deviations after a map, with another factor than the map's own if one is given."""
    if known is None:
        return std
    if known.ndim == 1:
        common, noise = known
        return np.hypot((common if factor is None else factor) * std, noise)
    x, y = known.T
    # Beyond the ends in proportion to std. NaN, where there is no stress, remains.
    inside = np.clip(std, x[0], x[-1])
    return np.interp(inside, x, y) * (std / inside)


def _factor(ratios, weights):
    """Return the factor of deviations at which errors reach a level of one half on average.

    The level of an error is the share of a normal distribution that lies closer to its mean.
    `ratios` has arrays of |error| / deviation, whose mean levels count by their weights.
    """
    weights = np.asarray(weights) / np.sum(weights)

    def excess(log_factor):
        scale = np.exp(-log_factor) / np.sqrt(2.0)
        reached = [np.mean(erf(scale * r)) for r in ratios]
        return weights @ reached - 0.5

    positive = [r[r > 0] for r in ratios]
    if weights @ [len(p) / len(r) for p, r in zip(positive, ratios, strict=True)] <= 0.5:
        return 0.0  # most errors are zero
    ends = np.log([f(np.concatenate(positive)) for f in (np.min, np.max)])
    return float(np.exp(brentq(excess, ends[0] - 8.0, ends[1] + 8.0, xtol=1e-10)))
