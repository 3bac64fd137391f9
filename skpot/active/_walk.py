"""Molecular dynamics of a model, as far as it is trusted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from ..exceptions import SkpotError
from ..md import Calculator, default_limits
from ..md.dynamics import Ensemble, closest_distance, integrator, set_temperature, thermalize
from ._state import Snapshot, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.active._rule import Rule
    from skpot.active._state import State
    from skpot.typing import Atoms, FloatArray

_SEGMENT = 20  # checks between two states on the disk
_TOGETHER = 5  # structures that are collected before they are labeled
_APART = 5  # checks between two that are collected
_CLOSE = 0.85  # of the smallest distance in the training set, below which atoms have collided
_NO_BETTER = 3.0  # times the expected error where the way began, up to which it has not gone astray
_TOO_HOT = 4.0, 500.0  # times the temperature of the thermostat, and K: what is above has blown up


# Products of matrices differ in last digits with the number of threads, and a run must not.
one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")


class Leg(NamedTuple):
    """A structure that moves, and how."""

    start: Atoms
    ensemble: Ensemble
    steps: int
    timestep: float  # fs
    check: int  # steps between two checks


class Walker:
    """Moves atoms of a run by one model, and says what became of them.

    Parameters
    ----------
    leg : Leg
        What moves.
    model : estimator
        The fitted model.
    rule : Rule
        What is tolerated.
    f : float
        The factor of deviations, see `skpot.active._rule`.
    seed : int
        Of thermostats and velocities.
    """

    def __init__(self, leg: Leg, model: Any, rule: Rule, f: float, seed: int) -> None:
        self.leg, self.rule, self.f, self.seed = leg, rule, f, seed
        self.calculator = Calculator(model, draws=True)
        atoms = self._atoms()
        self.closest = _CLOSE * default_limits(model, atoms)["min_distance"]
        heat = leg.ensemble
        hottest = max(heat.hottest, leg.start.get_temperature())
        self.hottest = _TOO_HOT[0] * hottest + _TOO_HOT[1]
        self.lines: list[str] = []  # of the file of checks

    def _atoms(self):
        atoms = self.leg.start.copy()
        atoms.calc = self.calculator
        return atoms

    def drawn(self, snapshot: Snapshot, redraws: int) -> Snapshot:
        """Return a state with other velocities, and with an integrator that begins anew."""
        atoms = snapshot.put(self._atoms())
        atoms.set_momenta(np.zeros((len(atoms), 3)))
        done = snapshot.step / max(self.leg.steps, 1)
        thermalize(atoms, self.leg.ensemble.temperature_at(done), self.seed + 7919 * (redraws + 1))
        return Snapshot.of(atoms, None, snapshot.step)

    @one_blas_thread
    def expected(self, snapshot: Snapshot) -> float:
        """Return u of a structure, in eV/Å."""
        self.calculator.reset()
        atoms = self._atoms()
        return self.f * float(forces_std(snapshot.put(atoms)).max())

    @one_blas_thread
    def walk(self, state: State, path: Any) -> State:
        """Move atoms until something happens or it is time to write the state."""
        self.calculator.reset()  # so that nothing depends on what was before the state
        atoms = state.here.put(self._atoms())
        heat, leg = self.leg.ensemble, self.leg
        ramp = heat.last_temperature is not None
        dynamics = integrator(atoms, heat, leg.timestep, self.seed + state.redraws)
        state.here.drive(dynamics, path)
        last = min(leg.steps, (state.here.step // leg.check + _SEGMENT) * leg.check)
        while dynamics.nsteps < last:
            if ramp:
                set_temperature(dynamics, heat.temperature_at(dynamics.nsteps / leg.steps))
            broken = self._step(dynamics)
            step = dynamics.nsteps
            if broken:
                return self._returned(state, step, broken)
            if not (state.fine or step % leg.check == 0 or step == leg.steps):
                continue
            expected = self._checked(atoms, state, step)
            state, event = self._judged(state, atoms, dynamics, expected)
            if event:
                return state
        here = Snapshot.of(atoms, dynamics, dynamics.nsteps)
        return state.but(here=here)

    def _step(self, dynamics):
        """Do a step; return what has gone wrong, if anything."""
        atoms = dynamics.atoms
        before = dynamics.nsteps
        try:
            dynamics.run(1)
            hot = atoms.get_temperature()
            if not np.isfinite(atoms.get_potential_energy()) or not np.isfinite(hot):
                return "not finite"
        except (SkpotError, ArithmeticError, np.linalg.LinAlgError):
            dynamics.nsteps = before + 1
            return "not finite"
        dynamics.nsteps = before + 1
        if hot > self.hottest:
            return "too hot"
        return "too close" if closest_distance(atoms) < self.closest else ""

    def _checked(self, atoms, state, step):
        """Return u, and note the check."""
        expected = self.f * float(forces_std(atoms).max())
        self.lines.append(
            json.dumps(
                {
                    "leg": state.leg,
                    "step": step,
                    "temperature": round(atoms.get_temperature(), 1),
                    "expected": float(f"{expected:.4g}"),
                    "closest": float(f"{closest_distance(atoms):.4g}"),
                    "model": state.generation,
                    "labels": state.n_labels,
                }
            )
        )
        return expected

    def _judged(self, state, atoms, dynamics, expected):
        """Return the state after a check, and whether the walk ends there."""
        step = dynamics.nsteps
        verdict = self.rule.verdict(expected)
        if verdict == "beyond" and expected <= _NO_BETTER * self.expected(state.safe):
            verdict = "unknown"
        here = Snapshot.of(atoms, dynamics, step)
        if verdict == "trusted":
            beyond = step > state.reached
            state = state.but(futile=0, lowest=np.inf, fine=False) if beyond else state
            return state.but(safe=here), False
        if verdict == "beyond":
            return self._returned(state, step, "ceiling"), True
        wanted = Wanted(state.leg, "deviation", here, expected)
        if verdict == "unknown":  # nor does the model know where it came from: no way would do
            return self._asked(state, wanted.because("unknown")), True
        if verdict == "label":
            return self._asked(state, wanted), True
        state = state.but(safe=here)
        if step - state.collected_at < _APART * self.leg.check:
            return state, False
        collected = (*state.collected, wanted.because("collected"))
        state = state.but(collected=collected, collected_at=step)
        if len(collected) < _TOGETHER:
            return state, False
        worst = worst_of(collected)
        state = state.but(collected=tuple(one for one in collected if one is not worst))
        return self._asked(state.but(here=here), worst, stay=True), True

    def _asked(self, state, wanted, stay=False):
        """Return the state in which a structure waits for its label."""
        reached = max(state.reached, wanted.snapshot.step)
        here = state.here if stay else wanted.snapshot
        return state.but(phase="label", queue=(wanted,), here=here, reached=reached, fine=False)

    def _returned(self, state, step, why):
        """Return to the last trusted state: to go on in small steps, or to label it."""
        reached = max(state.reached, step)
        if not state.fine and state.safe.step < step - 1:
            return state.but(here=state.safe, fine=True, reached=reached)
        if state.safe.step == state.labeled_at:  # its label has not helped: take another way
            here, n = self.drawn(state.safe, state.redraws), state.redraws + 1
            futile = state.futile + 1
            return state.but(
                here=here, safe=here, redraws=n, futile=futile, reached=reached, fine=False
            )
        wanted = Wanted(state.leg, f"before: {why}", state.safe, self.expected(state.safe))
        return self._asked(state.but(reached=reached), wanted)


def worst_of(collected: Sequence[Wanted]) -> Wanted:
    """Return the structure of the largest expected error."""
    return max(collected, key=lambda one: one.expected)


def forces_std(atoms: Atoms) -> FloatArray:
    """Return the deviation of each atom's force vector, shape (n_atoms,), in eV/Å."""
    std = atoms.calc.get_property("forces_std", atoms)
    return np.sqrt(np.sum(np.asarray(std) ** 2, axis=1))
