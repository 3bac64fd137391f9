"""Whether energies and forces belong to each other: units, signs, order of frames, zeros."""

from __future__ import annotations

import copy
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._findings import Finding
from ._frames import usual
from ._likelihood import Judge, learn
from ._scale import SPREAD
from ._units import ENERGY, FORCES

if TYPE_CHECKING:
    from skpot.checks._probe import Probe
    from skpot.typing import FloatArray

NOISES = 10.0 ** np.arange(-4.0, 4.01, 0.5)  # of energies, eV per root of the number of atoms
_PRIOR = 5.0  # what speaks for labels as they should be, in units of the log likelihood
SURE = 15.0  # gain of the log likelihood from which on something is said
_SURE_OF_UNITS = 6.0  # gain of the log likelihood beyond _PRIOR, which holds for each unit
# Small models are wrong in how energies follow from forces: the standard deviation of the logarithm
# of the factor.
TELLING = 0.25
_LOG_SCALES = np.arange(-14.0, 14.01, 0.05)
_LEAST_ZERO = 0.05  # eV per atom between two zeros of energy
_LEAD = 3.0  # standard deviations by which energies fit better than those of other frames do
# Units that come together, so that both are one mistake.
_SYSTEMS = {
    ("eV", "eV/Å"),
    ("kcal/mol", "kcal/mol/Å"),
    ("kJ/mol", "kJ/mol/Å"),
    ("kJ/mol", "kJ/mol/nm"),
    ("Hartree", "Hartree/Bohr"),
    ("Rydberg", "Rydberg/Bohr"),
    ("meV", "meV/Å"),
}
_PER_ATOM = ("eV", "Hartree", "kcal/mol", "Rydberg", "kJ/mol")
_SHUFFLES = 20
_ODD = 5.0  # standard deviations beyond which an energy is looked at on its own
_FEW = 0.15  # largest share of the frames that may be odd
_ALL_ELECTRONS = 10.0  # what speaks for units in which energies are those of all electrons
_MANY = 5  # frames on each side of a change of the zero of energies


class Reading(NamedTuple):
    """One way to read energies and forces."""

    energy: str  # unit
    forces: str
    energy_sign: int
    forces_sign: int
    per_atom: bool


class EnergyJudge:
    """Likelihood of energies, given what forces tell.

    Parameters
    ----------
    probe : Probe
        The structures.
    forces : ndarray of shape (n_atoms, 3)
        Their forces, less the repulsion.
    """

    def __init__(self, probe: Probe, forces: FloatArray) -> None:
        known = np.isfinite(forces).all(axis=1)
        posterior = learn(probe.rows_of_forces(known), forces[known].ravel())
        self._mean = probe.energy_rows @ posterior.mean
        self._root = probe.energy_rows @ posterior.root
        self._probe = probe
        self._all_electrons = np.bincount(probe.owner, _energies_of_atoms(probe.numbers))
        self._keep(np.flatnonzero(np.isfinite(probe.energy)))

    def without_outliers(self, energy: FloatArray) -> EnergyJudge:
        """Return a judge without the few frames whose energies (n,) are far off.

        They would hide what the others tell.
        """
        distance = np.abs(self.judge.residuals(energy))
        limit = _ODD * max(1.0, float(np.median(distance)) / 0.6745)
        fine = distance <= max(limit, float(np.quantile(distance, 1.0 - _FEW)))
        fewer = copy.copy(self)
        fewer._keep(self.told[fine])
        return fewer

    def _keep(self, told):
        self.told = told
        self.n_atoms = self._probe.n_atoms[told].astype(float)
        self.counts = self._probe.counts[told].astype(float)
        self.mean, self.root = self._mean[told], self._root[told]
        self.judge = Judge(self.mean, self.root, self.n_atoms, self.counts, NOISES)

    def log_likelihood(self, energy: FloatArray) -> float:
        """Return that of energies (n,) to the scale of the forces."""
        return self.judge.log_likelihood(energy)

    def by_scale(self, energy: FloatArray) -> FloatArray:
        """Return that of energies (n,) that are to be divided by each of `_LOG_SCALES`."""
        found = self.judge.log_likelihoods(energy, np.exp(_LOG_SCALES))
        return found - len(energy) * _LOG_SCALES

    def has_all_electrons(self, energy: FloatArray, reading: Reading) -> bool:
        """Return whether energies are the total ones of all electrons, if read in this way."""
        expected = self._all_electrons[self.told]
        sizes = self.n_atoms if reading.per_atom else 1.0
        ratio = energy * sizes / (reading.energy_sign * ENERGY[reading.energy]) / expected
        return bool(abs(float(np.median(ratio)) - 1.0) < 0.03)

    def with_zeros(self, second: FloatArray) -> Judge:
        """Return the judge if frames (bool) have another zero of energy, per atom."""
        columns = np.column_stack([self.counts, np.where(second, self.n_atoms, 0.0)])
        return Judge(self.mean, self.root, self.n_atoms, columns, NOISES)


def _energies_of_atoms(numbers):
    """Return the total energies of atoms (eV) by the statistical model.

    They are within a percent of the true ones beyond boron: J. Schwinger, Phys. Rev. A 24, 2353
    (1981).
    """
    z = numbers.astype(float)
    return -27.211386 * (0.768745 * z ** (7 / 3) - 0.5 * z**2 + 0.2699 * z ** (5 / 3))


class Explanation(NamedTuple):
    """A way to understand energies, and how much likelier it makes them."""

    gain: float  # of the log likelihood over labels as given
    findings: list  # of Finding
    energy: np.ndarray  # (n,) to the scale of the forces as given
    judge: Judge
    reading: Reading


AS_GIVEN = Reading("eV", "eV/Å", 1, 1, False)


def by_units(judge: EnergyJudge, energy: FloatArray, stiffness: float | None) -> Explanation:
    """Return the units and signs that energies and forces are likeliest to have.

    Parameters
    ----------
    judge : EnergyJudge
        Made with the forces as given.
    energy : ndarray of shape (n,)
        Energies of the frames of the judge.
    stiffness : float or None
        See `stiffness_ratio`, of the forces as given.
    """
    curves = {
        (sign, per_atom): judge.by_scale(sign * energy * (judge.n_atoms if per_atom else 1.0))
        for sign in (1, -1)
        for per_atom in (False, True)
    }
    scores = {}
    for reading in _readings():
        factor = ENERGY[reading.energy] / FORCES[reading.forces]
        curve = curves[reading.energy_sign * reading.forces_sign, reading.per_atom]
        off = (_LOG_SCALES - np.log(factor)) / TELLING
        jacobian = np.sum(np.log(judge.n_atoms)) if reading.per_atom else 0.0
        likelihood = float(np.max(curve - 0.5 * off**2)) + jacobian
        likelihood += _ALL_ELECTRONS * judge.has_all_electrons(energy, reading)
        scores[reading] = likelihood + _prior(reading, stiffness)
    best = max(scores, key=scores.__getitem__)
    gain = scores[best] - scores[AS_GIVEN]
    scaled = energy * in_units_of_forces(best, judge.n_atoms)
    return Explanation(gain, unit_findings(best, gain), scaled, judge.judge, best)


def as_given(judge: EnergyJudge, energy: FloatArray) -> Explanation:
    """Return that energies are what they should be."""
    return Explanation(0.0, [], energy, judge.judge, AS_GIVEN)


def _readings():
    for energy, forces in product(ENERGY, FORCES):
        for signs in product((1, -1), (1, -1)):
            yield Reading(energy, forces, *signs, False)
            if energy in _PER_ATOM:
                yield Reading(energy, forces, *signs, True)


def in_units_of_forces(reading: Reading, n_atoms: FloatArray) -> FloatArray | float:
    """Return the factor that brings energies to the unit that forces have as given."""
    sizes = n_atoms if reading.per_atom else 1.0
    of_forces = reading.forces_sign * FORCES[reading.forces]
    return sizes * of_forces / (reading.energy_sign * ENERGY[reading.energy])


def _prior(reading, stiffness):
    """Return the logarithm of what speaks for a reading besides the labels' agreement."""
    systems = (reading.energy, reading.forces) in _SYSTEMS
    units = int(reading.energy != "eV") + int(reading.forces != "eV/Å")
    odd = min(units, 1) if systems else units
    odd += (reading.energy_sign < 0) + (reading.forces_sign < 0) + reading.per_atom
    if stiffness is None:
        return -_PRIOR * odd
    if stiffness * reading.forces_sign <= 0.0:
        return -_PRIOR * odd - 50.0  # atoms that fly away from where they stand
    ratio = abs(stiffness) / FORCES[reading.forces]
    return -_PRIOR * odd - 0.5 * (np.log(ratio) / SPREAD) ** 2


def unit_findings(best: Reading, gain: float) -> list[Finding]:
    """Return what is to be said of the best reading."""
    if gain < _SURE_OF_UNITS:
        return []
    sure = confidence(gain)
    found = []
    if best.per_atom:
        found.append(
            Finding(
                "energies per atom",
                "The energies agree with the forces if each is that of one atom of the structure.",
                "multiply each energy by the number of atoms: labels are total energies.",
                confidence=sure,
            )
        )
    if best.energy != "eV":
        found.append(_unit("energies", best.energy, "eV", 1.0 / ENERGY[best.energy], sure))
    if best.energy_sign < 0:
        found.append(_sign("energies", "energies of bound atoms are negative", sure))
    if best.forces != "eV/Å":
        found.append(_unit("forces", best.forces, "eV/Å", 1.0 / FORCES[best.forces], sure))
    if best.forces_sign < 0:
        found.append(_sign("forces", "forces are minus the gradient of the energy", sure))
    return found


def _unit(what, unit, ours, factor, sure):
    return Finding(
        f"unit of {what}",
        f"The {what} are in {unit}: so they agree best with each other and with the stiffness of "
        "bonds.",
        f"multiply the {what} by {factor:.7g} to have them in {ours}.",
        confidence=sure,
    )


def _sign(what, why, sure):
    return Finding(
        f"sign of {what}",
        f"The {what} have the wrong sign: {why}.",
        f"multiply the {what} by -1.",
        confidence=sure,
    )


def confidence(gain: float) -> float:
    """Return how sure a gain of the log likelihood makes, as far as small models are right."""
    return float(1.0 / (1.0 + np.exp(-np.clip(gain / 5.0, 0.0, 50.0))))


def by_order(judge: EnergyJudge, energy: FloatArray, moved: dict[int, FloatArray]) -> list:
    """Return the explanations that each energy is that of a frame some places further.

    `moved` has energies (n,) by the number of places, which may be negative.
    """
    given = judge.log_likelihood(energy)
    out = []
    for step, other in moved.items():
        gain = judge.log_likelihood(other) - given
        found = Finding(
            "energies of other frames",
            f"Each energy agrees with the forces of the frame {'after' if step < 0 else 'before'} "
            "it in the file.",
            "shift the list of energies by one against that of structures.",
            confidence=confidence(gain),
        )
        out.append(Explanation(gain - SURE, [found], other, judge.judge, AS_GIVEN))
    return out


def by_zeros(
    judge: EnergyJudge, base: Explanation, frames: FloatArray, parts: dict[str, FloatArray]
) -> list:
    """Return the explanations that some frames have another zero of energy than the others.

    Parameters
    ----------
    judge : EnergyJudge
        Of the forces.
    base : Explanation
        How energies are read otherwise.
    frames : ndarray of int of shape (n,)
        Which structures these are.
    parts : dict of str to ndarray of bool of shape (n,)
        By name, frames that may have another zero; besides those beyond each place in the file.

    Returns
    -------
    list of Explanation
        Zeros that differ by little are no finding: they make up for errors of small models.
    """
    energy = base.energy
    n, candidates = len(energy), dict(parts)
    for place in np.unique(np.linspace(_MANY, n - _MANY, 20).astype(int)):
        candidates[f"from frame {frames[place]} on"] = np.arange(n) >= place
    plain = base.judge.log_likelihood(energy)
    per_atom = (energy - _of_composition(judge, energy)) / judge.n_atoms
    least = max(
        _LEAST_ZERO, 0.5 * usual(per_atom - np.median(per_atom))
    )  # a second zero widens the whole
    out = []
    for name, second in candidates.items():
        if min(second.sum(), (~second).sum()) < _MANY:
            continue
        split = judge.with_zeros(second)
        gain = split.log_likelihood(energy) - plain
        if gain < 2.0 * SURE:
            continue
        found = list(base.findings)
        if abs(split.last_column(energy)) > least:
            found.append(_second_zero(name, frames[second], confidence(gain)))
        out.append(Explanation(base.gain + gain, found, energy, split, base.reading))
    return out


def _second_zero(name, frames, sure):
    return Finding(
        "zero of energies",
        f"The energies {name} have another zero than the others: structures of two programs, "
        "functionals or pseudopotentials are mixed.",
        "take the energies from one kind of calculation, or subtract from each kind those of its "
        "own free atoms.",
        tuple(int(i) for i in frames),
        sure,
    )


def explain(judge: EnergyJudge, energy: FloatArray, candidates: list, seed: int) -> Explanation:
    """Return the explanation of energies that is best, if one is good.

    Parameters
    ----------
    judge, energy
        See `by_units`.
    candidates : list of Explanation
        Those to choose from; their gain is beyond what would be chance.
    seed : int
        Of the shuffles that show how energies of wrong frames would fit.

    Returns
    -------
    Explanation
        Without findings if labels are fine as they are.
    """
    given = as_given(judge, energy)
    for best in sorted(candidates, key=lambda c: -c.gain):
        if best.gain > 0.0 and _leads(judge, best, seed):
            return best
    if _leads(judge, given, seed) or not _tells(judge):
        return given
    found = Finding(
        "energies of other frames",
        "The energies agree with the forces no better than energies of other frames would.",
        "find out which energy belongs to which structure.",
        confidence=0.95,
    )
    return given._replace(findings=[found])


def _leads(judge, explained, seed):
    """Return whether energies fit better than the same energies in other frames."""
    rng = np.random.default_rng(seed)
    fits = explained.judge.log_likelihood(explained.energy)
    others = [
        explained.judge.log_likelihood(_shuffled(explained.energy, judge, rng))
        for _ in range(_SHUFFLES)
    ]
    return fits - np.mean(others) > _LEAD * max(float(np.std(others)), 0.5)


def _shuffled(energy, judge, rng):
    """Return energies whose part that does not follow from composition is of another frame."""
    fit = _of_composition(judge, energy)
    left = (energy - fit) / np.sqrt(judge.n_atoms)
    return fit + rng.permutation(left) * np.sqrt(judge.n_atoms)


def _of_composition(judge, energy):
    """Return the part of energies that the numbers of atoms of each species tell."""
    return judge.counts @ np.linalg.lstsq(judge.counts, energy, rcond=None)[0]


def _tells(judge):
    """Return whether forces say enough of energies to judge these."""
    left = judge.mean - _of_composition(judge, judge.mean)
    root = judge.root - _of_composition(judge, judge.root)
    unknown = np.sqrt(np.sum(root**2, axis=1) / judge.n_atoms)
    return float(np.std(left / np.sqrt(judge.n_atoms))) > 0.3 * float(np.median(unknown))
