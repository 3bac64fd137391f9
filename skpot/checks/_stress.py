"""Whether stress agrees with energies and forces: unit, sign, order of components, virials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._energies import SURE, TELLING, confidence
from ._findings import Finding
from ._likelihood import Judge, learn
from ._units import STRESS, VOIGT

if TYPE_CHECKING:
    from skpot.checks._probe import Probe
    from skpot.typing import FloatArray

_NOISES = 10.0 ** np.arange(-6.0, 4.01, 0.5)  # eV/Å³
_FRAMES = 80  # whose stress is looked at
_PRIOR = 5.0
_LOG_SCALES = np.arange(-7.0, 16.01, 0.1)
_EV = "eV/Å³"
_ORDER = "xx yy zz yz xz xy"


def stress_findings(probe: Probe, energy: FloatArray, forces: FloatArray) -> list[Finding]:
    """Return what is wrong with the stress, if energies and forces are right.

    Parameters
    ----------
    probe : Probe
        The structures and their stress.
    energy : ndarray of shape (n,)
        Energies less the repulsion, mended.
    forces : ndarray of shape (n_atoms, 3)
        Forces less the repulsion, mended.
    """
    told = np.flatnonzero(np.isfinite(probe.stress).all(axis=1))[:_FRAMES]
    if len(told) < 5:
        return []
    posterior = _learn_both(probe, energy, forces)
    rows = probe.stress_rows.reshape(len(probe.frames), 6, -1)[told].reshape(6 * len(told), -1)
    judge = Judge(rows @ posterior.mean, rows @ posterior.root, np.ones(len(rows)), None, _NOISES)
    given = probe.labels.stress[told]
    repulsion = probe.stress[told] - given
    volumes = probe.volumes[told]
    best, gain = _best_reading(judge, given, repulsion, volumes)
    return _findings(best, gain)


def _learn_both(probe, energy, forces):
    """Return what forces tell, and energies with the noise that forces have per atom."""
    known = np.isfinite(forces).all(axis=1)
    rows, values = probe.rows_of_forces(known), forces[known].ravel()
    told = np.isfinite(energy)
    if not told.any():
        return learn(rows, values)
    more, more_values = probe.energies_to_learn(energy, told)
    return learn(np.concatenate([rows, more]), np.concatenate([values, more_values]))


def _best_reading(judge, given, repulsion, volumes):
    """Return (unit, sign, order) of the likeliest reading, and its gain over the given one.

    A virial is a stress of which every structure has a unit of its own. As small models are wrong
    by a factor, the likelihood of a unit is the largest of any scale near it.
    """
    scores = {}
    for order, places in VOIGT.items():
        turned = given[:, list(places)]
        for sign in (1, -1):
            odd = (order != _ORDER) + (sign < 0)
            plain = _by_scale(judge, sign * turned, repulsion)
            for unit, factor in STRESS.items():
                scores[unit, sign, order] = _near(plain, factor) - _PRIOR * (odd + (unit != _EV))
            mean = float(np.exp(np.mean(np.log(volumes))))
            virial = _by_scale(judge, sign * turned * (mean / volumes)[:, None], repulsion)
            odd = (order != _ORDER) + (sign > 0)  # virials are minus the stress times the volume
            scores["virial", sign, order] = _near(virial, mean) - _PRIOR * (odd + 1)
    best = max(scores, key=scores.__getitem__)
    return best, scores[best] - scores[_EV, 1, _ORDER]


def _by_scale(judge, values, repulsion):
    found = judge.log_likelihoods(values.ravel(), np.exp(_LOG_SCALES), repulsion.ravel())
    return found - values.size * _LOG_SCALES


def _near(curve, factor):
    off = (_LOG_SCALES - np.log(factor)) / TELLING
    return float(np.max(curve - 0.5 * off**2))


def _findings(best, gain):
    unit, sign, order = best
    if gain < SURE:
        return []
    sure = confidence(gain)
    found = []
    if unit == "virial":
        found.append(
            Finding(
                "virial for stress",
                "What stands as stress is a virial, in eV.",
                "divide it by the volume of the cell "
                + (
                    "and change its sign; skpot.read does so under the name given as virial_key."
                    if sign < 0
                    else "as it is."
                ),
                confidence=sure,
            )
        )
        sign = 1
    elif unit != _EV:
        found.append(
            Finding(
                "unit of stress",
                f"The stress is in {unit}.",
                f"multiply it by {1.0 / STRESS[unit]:.7g} to have it in eV/Å³.",
                confidence=sure,
            )
        )
    if sign < 0:
        found.append(
            Finding(
                "sign of stress",
                "The stress has the wrong sign: tension is positive, as in ASE, where VASP and "
                "others print pressure.",
                "multiply the stress by -1.",
                confidence=sure,
            )
        )
    if order != _ORDER:
        found.append(
            Finding(
                "order of stress",
                f"The components of the stress stand in the order {order}.",
                f"put them into ASE's order, {_ORDER}: stress[:, {list(VOIGT[order])}].",
                confidence=sure,
            )
        )
    return found
