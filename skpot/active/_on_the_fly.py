"""Runs that label by themselves: molecular dynamics of a model that learns on its way."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from sklearn.base import clone

from .._parameters import number, whole
from ..compose import make_potential
from ..data import Targets, check_structures, read
from ..exceptions import EngineError, InputError, SkpotWarning, warn_once
from ..md import Calculator
from ..md.dynamics import Ensemble, check_settings, thermalize
from ..md.frames import write_frames
from ..persistence import dump, load, whole_file
from ._apart import as_labeler
from ._rule import Rule, factor, ratio
from ._sense import doubt_of_energy, doubt_of_first, told_futile, warn_of_units
from ._settings import (
    data_text,
    labeler_settings,
    model_settings,
    require_same,
    structures_text,
)
from ._starts import check_first_labels, require_species, start_structures
from ._state import Snapshot, State, Wanted
from ._subject import Subject
from ._trail import Reason, Trail
from ._walk import Leg, Walker, one_blas_thread, worst_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from skpot.typing import PathLike, Structures

_FUTILE = 10  # models in a row that do not help, or labels in a row that fail
_HELPS = 0.9  # of the lowest expected error: a model that brings it below has helped
_CEILING = 8.0  # times the tolerance
_MODELS, _STATE, _CHECKS, _SETTINGS = "models", "state.npz", "checks.jsonl", "settings.json"
_DATA = "start.xyz"
_ON_ITS_WAY = "deviation", "unknown"  # labels at a step from which the run goes on


class Futile(EngineError):
    """A run ended since further labels do not help."""


class OnTheFly:
    r"""Molecular dynamics by a model that asks for labels where it does not trust itself.

    Every `check` steps, the expected error of the worst force, :math:`u = f \max_i |s_i|`, is
    compared with the tolerance: s are the deviations of forces on atoms, and f corrects them by the
    errors of the last ten labels, beginning with 2,

    .. math:: \ln f = \frac{3 \ln 2 + \sum_{10} \ln(e / s)}{3 + n}, \quad f \ge 1.

    Above `tol` a structure is set aside, and of five of them the worst is labeled, or of fewer at
    the end; above twice `tol` the structure is labeled at once. After each label a new model is
    fitted to all of them, from scratch. The run returns to the last structure that was trusted, and
    goes on with a check in every step, if atoms come too close or too hot, which is looked at in
    every step, or if the expected error is above `ceiling`; unless the model knows as little of the
    structure it would return to. It ends if ten models in a row do not help to reach `tol`.

    All that was paid for is in `path`: `trail.xyz` has every label with the reason, what the model
    said, its deviations and its number, failed ones too; `pending.xyz` what is being labeled;
    `models` the model of every generation; `checks.jsonl` what every check saw. A run that was
    killed at any time continues by the same call, pays for no label twice, and ends as if it had
    not been killed.

    Parameters
    ----------
    labeler : ASE calculator, callable, str or Path
        What labels structures: a calculator; a function of `Atoms` that returns (energy, forces) or
        (energy, forces, stress) in eV and Å; or a folder, in which a file is written for each
        structure and its labels are awaited, see `FolderLabeler`.
    tol : float
        The error of a force that is tolerated, in eV/Å.
    path : str or Path
        Folder of the run.
    model : Pipeline, optional
        What is fitted; `make_potential("fast")` by default.
    patience : float, optional
        Seconds after which a label that has not come counts as failed. Calculators and functions
        then work in a process of their own, which is ended. By default labels are awaited without
        end.
    check : int, default=10
        Steps between two checks.
    ceiling : float, optional
        The expected error (eV/Å) above which a structure is not physical and not worth a label;
        eight times `tol` by default.
    n_start : int, optional
        Number of structures that are labeled first, if `run` is given no data: each that it begins
        with, and displaced copies. Three, or four if a species has fewer than twelve atoms.
    random_state : int, default=0
        Seed of velocities, thermostats and displacements.
    on_event : callable, optional
        Called with (what, text) when something happens; what is "asked", "label", "failed",
        "model", "back" or "leg".

    Attributes
    ----------
    model_ : Pipeline
        The model of the last generation.
    n_calls_ : int
        Number of labels that were asked for, failed ones included.
    stopped_ : str
        Why the run ended early; empty if it is complete.

    Examples
    --------
    >>> import tempfile
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from skpot.active import OnTheFly
    >>> learner = OnTheFly(EMT(), tol=0.3, path=tempfile.mkdtemp() + "/run")
    >>> model = learner.run(bulk("Cu", cubic=True), steps=20, temperature=300).model_
    >>> learner.n_calls_ >= 3
    True
    """

    def __init__(
        self,
        labeler: Any,
        tol: float,
        path: PathLike,
        *,
        model: Any = None,
        patience: float | None = None,
        check: int = 10,
        ceiling: float | None = None,
        n_start: int | None = None,
        random_state: int = 0,
        on_event: Callable[[str, str], Any] | None = None,
    ) -> None:
        self.labeler = as_labeler(labeler, patience)
        tol = number("tol", tol, above=0.0, unit="eV/Å")
        ceiling = _CEILING * tol if ceiling is None else number("ceiling", ceiling, above=2.0 * tol)
        self.rule = Rule(tol, ceiling)
        self.path = Path(os.fspath(path))
        self.model = make_potential("fast") if model is None else model
        Subject(self.model).require_descriptor()
        self.check = whole("check", check, low=1)
        self.n_start = None if n_start is None else whole("n_start", n_start, low=1)
        self.random_state = whole("random_state", random_state, low=0)
        self.on_event = on_event
        self.n_calls_ = 0
        self.stopped_ = ""

    def run(
        self,
        atoms: Atoms | Structures,
        steps: int,
        *,
        temperature: float | tuple[float, float] = 300.0,
        timestep: float = 1.0,
        ensemble: str = "nvt",
        pressure: float = 0.0,
        X: Structures | None = None,
        y: Targets | None = None,
        label_start: bool = False,
        max_calls: int | None = None,
    ) -> OnTheFly:
        """Run, or continue a run that was killed.

        Parameters
        ----------
        atoms : Atoms or list[Atoms]
            The structure to start from, or several, which run one after the other with one model.
        steps : int
            Steps of each. A run may be continued with more of them, unless the temperature follows
            a ramp or the first of several structures has done its own already.
        temperature : float or tuple of float, default=300.0
            In K; two for a ramp from the first to the second, with "nvt".
        timestep : float, default=1.0
            In fs.
        ensemble : {"nve", "nvt", "npt"}, default="nvt"
            As in `skpot md`.
        pressure : float, default=0.0
            In GPa.
        X, y : list[Atoms] and Targets, optional
            Labeled structures to begin with, instead of some that are made from `atoms`.
        label_start : bool, default=False
            Whether `atoms` themselves are labeled first, beside X and y: for structures at which a
            run elsewhere has stopped.
        max_calls : int, optional
            Number of labels after which the run ends.

        Returns
        -------
        self : OnTheFly

        Raises
        ------
        Futile
            If further labels do not help, or ten in a row fail.
        InputError
            If the folder has another run.
        """
        legs = self._legs(atoms, steps, temperature, timestep, ensemble, pressure)
        check_first_labels(X, y)
        if X is None and label_start:
            raise InputError("label_start goes with labeled structures X and y to begin with.")
        if X is not None and not label_start:
            require_species([leg.start for leg in legs], X)
        max_calls = whole("max_calls", max_calls, low=1) if max_calls is not None else None
        try:
            (self.path / _MODELS).mkdir(parents=True, exist_ok=True)
            self._trail = Trail(self.path)
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be the folder of a run: {error.strerror or error}. Nothing "
                "was labeled."
            ) from error
        try:
            settings = self._settings(legs, X, y) | {"label_start": bool(label_start)}
            state = self._begin(legs, settings, X, y)
            self._walker = None
            self._write(state, settings)  # before anything is paid for
            with whole_file(self.path / _SETTINGS) as file:
                file.write(json.dumps(settings, indent=1).encode())
            while state.phase != "done" and not state.stopped:
                state = self._next(state, legs, max_calls)
                self._write(state, settings)
        finally:
            self._trail.close()
        self.n_calls_, self.stopped_ = state.n_labels, state.stopped
        if state.generation >= 0:
            self.model_ = load(self._model_path(state.generation))
        if state.stopped and not state.stopped.startswith("max_calls"):
            learned = f" What was learned is in {self.path}." if state.generation >= 0 else ""
            raise Futile(state.stopped + learned)
        return self

    def _legs(self, atoms, steps, temperature, timestep, ensemble, pressure):
        """Return what moves, one after the other."""
        structures = check_structures([atoms] if isinstance(atoms, Atoms) else atoms)
        ramp = isinstance(temperature, tuple | list) and len(temperature) == 2
        first, last = temperature if ramp else (temperature, None)
        heat = Ensemble(ensemble, first, pressure, last_temperature=last)
        check_settings(steps, heat, timestep, 1, self.random_state)
        legs = []
        for k, one in enumerate(structures):
            if ensemble == "npt" and one.cell.rank < 3:
                raise InputError(f"structure {k} has no cell, whose volume npt could change.")
            start = one.copy()
            start.calc = None
            thermalize(start, first, self.random_state + k)
            legs.append(Leg(start, heat, steps, timestep, self.check))
        return legs

    def _settings(self, legs, X, y):
        """Return what must be the same when a run is continued."""
        heat = legs[0].ensemble
        return {
            "tol": self.rule.tol,
            "ceiling": self.rule.ceiling,
            "check": self.check,
            "n_start": self.n_start,
            "random_state": self.random_state,
            "steps": legs[0].steps,
            "timestep": legs[0].timestep,
            "ensemble": heat._asdict(),
            "structures": structures_text([leg.start for leg in legs]),
            "data": "none" if X is None else data_text(check_structures(X), y),
            "model": model_settings(self.model),
            "labeler": labeler_settings(self.labeler),
        }

    def _begin(self, legs, settings, X, y) -> State:
        """Return the state to begin or to go on with; refuse the folder of another run."""
        path = self.path / _STATE
        if path.exists():
            state, before = State.load(path)
            now = json.loads(json.dumps(settings))
            require_same(self.path, before, now, state, bool(self._sound(state)))
            os.truncate(self.path / _CHECKS, state.n_checks)
            more = state.phase == "done" and now["steps"] > before["steps"]
            return state.but(stopped="", phase="md" if more else state.phase)
        if self._trail.frames:
            raise InputError(f"{self._trail.path} has labels, but {path} of its run is lost.")
        begin = Snapshot.of(legs[0].start)
        (self.path / _CHECKS).write_bytes(b"")
        if X is not None:
            write_frames(self.path / _DATA, y.to_atoms(X))
            if not settings["label_start"]:
                return State(begin, begin, phase="fit")
            given = tuple(Wanted(k, "given", Snapshot.of(leg.start)) for k, leg in enumerate(legs))
            return State(begin, begin, queue=given)
        (self.path / _DATA).unlink(missing_ok=True)  # of a run that was killed before it began
        return State(begin, begin, queue=self._first(legs))

    def _first(self, legs):
        """Return what is labeled before there is a model."""
        starts = [leg.start for leg in legs]
        return tuple(
            Wanted(leg, "start", Snapshot.of(one))
            for leg, one in start_structures(starts, self.n_start, self.random_state)
        )

    def _next(self, state, legs, max_calls) -> State:
        """Do what comes next."""
        if state.phase == "label":
            if max_calls is not None and state.n_labels >= max_calls:
                return state.but(stopped=f"max_calls={max_calls} labels were computed.")
            after = self._label(state, legs)
            if state.generation < 0 and after.phase == "fit" and not after.stopped:
                sound = self._sound(after)
                warn_of_units(sound)
                return after.but(stopped=doubt_of_first(sound))
            return after
        if state.phase == "fit":
            return self._fit(state, legs)
        walker = self._walker_of(state, legs)
        after = walker.walk(state, self.path / _STATE)
        self._tell_of_way(state, after)
        if after.futile >= _FUTILE:
            place = f"leg {after.leg}, step {after.here.step}"
            told = told_futile(_FUTILE, self.rule, place, walker.expected(after.here))
            return after.but(stopped=told)
        if after.phase == "md" and after.here.step >= legs[state.leg].steps:
            return self._end_of_leg(after, legs)
        return after

    def _label(self, state, legs):
        """Label the first structure that waits."""
        wanted, *others = state.queue
        leg = legs[wanted.leg]
        atoms = wanted.snapshot.put(leg.start.copy())
        reason = self._reason(state, wanted, atoms, legs)
        n = state.n_labels
        self._tell(
            "asked", f"label {n}: {wanted.reason}, leg {wanted.leg}, step {wanted.snapshot.step}"
        )
        frame = self._trail.label(atoms, n, self.labeler, reason)
        state = state.but(n_labels=n + 1, queue=tuple(others))
        if "failed" in frame.info:
            self._tell("failed", f"label {n} failed: {frame.info['failed']}")
            return self._after_failure(state, legs)
        doubt = doubt_of_energy(frame)
        if doubt:
            warn_once("offset of labels", doubt, SkpotWarning)
        ratios = state.ratios
        if "largest_error" in frame.info:
            error = float(frame.info["largest_error"])
            largest = float(np.linalg.norm(reason.forces_std, axis=1).max())
            ratios = (*ratios, ratio(error, largest))[-10:]
            self._tell(
                "label", f"label {n}: error {error:.3f} eV/Å, expected {wanted.expected:.3f}"
            )
        return state.but(
            ratios=ratios, failures=0, labeled_at=wanted.snapshot.step,
            safe=wanted.snapshot if wanted.reason in _ON_ITS_WAY else state.safe,
            phase="label" if others else "fit",
        )  # fmt: skip

    def _after_failure(self, state, legs):
        """Return the state after a label that failed: back, with other velocities.

        Where it ends the run, it can be continued once the labeler has been repaired.
        """
        failures, stopped = state.failures + 1, ""
        if failures >= _FUTILE:
            stopped = f"{failures} labels in a row failed, the last one by: {self._last_failure()}."
            failures = 0
        state = state.but(failures=failures, stopped=stopped)
        if state.generation < 0:
            if state.queue:
                return state
            if not self._sound(state) and not (self.path / _DATA).exists():
                told = (
                    f"no structure to begin with could be labeled: {self._last_failure()}. The "
                    "run can be continued once that is mended."
                )
                return state.but(stopped=told, failures=0, queue=self._first(legs))
            require_species([leg.start for leg in legs], self._learned(state)[0])
            return state.but(phase="fit")
        walker = self._walker_of(state, legs)
        here = walker.drawn(state.safe, state.redraws)
        return state.but(
            here=here, safe=here, redraws=state.redraws + 1, fine=False,
            phase="label" if state.queue else "md",
        )  # fmt: skip

    @one_blas_thread
    def _reason(self, state, wanted, atoms, legs):
        """Return why a structure is labeled, with what the model says of it."""
        said: dict[str, Any] = {}
        if state.generation >= 0:
            calculator = Calculator(load(self._model_path(state.generation)), draws=True)
            calculator.calculate(atoms, ["energy", "forces_std", "extrapolation_grade"])
            found = calculator.results
            names = {"energy": "energy", "forces": "forces", "forces_std": "forces_std"}
            said = {name: found[key] for name, key in names.items()}
            said["grade"] = found.get("extrapolation_grade")
        temperature = atoms.get_temperature() if wanted.reason != "start" else 0.0
        return Reason(
            wanted.reason, wanted.leg, wanted.snapshot.step, state.generation,
            round(float(temperature), 1), self.rule.tol, factor(state.ratios), wanted.expected,
            **said,
        )  # fmt: skip

    def _last_failure(self):
        return self._trail.frames[-1].info["failed"].rstrip(".")

    def _sound(self, state):
        """Return the frames of the trail with labels."""
        return [f for f in self._trail.frames[: state.n_labels] if "failed" not in f.info]

    @one_blas_thread
    def _fit(self, state, legs):
        """Fit a model to all labels, from scratch."""
        X, y = self._learned(state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkpotWarning)  # few structures say little of e0
            model = clone(self.model).fit(X, y)
        generation = state.generation + 1
        dump(model, self._model_path(generation))
        self._tell("model", f"model {generation}: learned from {len(X)} structures")
        state = state.but(generation=generation, phase="md", fine=False)
        walker = self._walker_of(state, legs)
        state = self._with_progress(state, walker.expected(state.here))
        kept = []
        for one in state.collected:
            expected = walker.expected(one.snapshot) if one.leg == state.leg else np.inf
            if expected > self.rule.tol:
                kept.append(Wanted(one.leg, one.reason, one.snapshot, min(expected, one.expected)))
        return state.but(collected=tuple(kept))

    def _with_progress(self, state, expected):
        """Return the state, with a note of whether its model has helped where the run stands."""
        expected = max(expected, self.rule.tol)
        if expected < _HELPS * state.lowest:
            return state.but(lowest=expected, futile=0)
        return state.but(futile=state.futile + 1)

    def _learned(self, state):
        """Return all structures with labels."""
        X, parts = [], []
        if (self.path / _DATA).exists():
            X, y = read(self.path / _DATA)
            parts.append(y)
        frames = self._sound(state)
        if frames:
            X = [*X, *frames]
            parts.append(Targets.from_atoms(frames))
        return X, np.concatenate(parts)

    def _end_of_leg(self, state, legs):
        """Go on with the next leg; but first label the worst structure that was set aside."""
        if state.collected:
            return state.but(phase="label", queue=(worst_of(state.collected),), collected=())
        self._tell("leg", f"leg {state.leg}: {legs[state.leg].steps} steps are done")
        if state.leg + 1 == len(legs):
            return state.but(phase="done")
        begin = Snapshot.of(legs[state.leg + 1].start)
        return state.but(
            leg=state.leg + 1, here=begin, safe=begin, collected_at=-(10**9),
            lowest=np.inf, reached=0, labeled_at=-1, fine=False,
        )  # fmt: skip

    def _walker_of(self, state, legs):
        """Return what moves atoms by the present model."""
        key = state.generation, state.leg, state.ratios
        if self._walker is None or self._walker[0] != key:
            model = load(self._model_path(state.generation))
            seed = self.random_state + 1000 * state.leg
            walker = Walker(legs[state.leg], model, self.rule, factor(state.ratios), seed)
            self._walker = key, walker
        return self._walker[1]

    def _write(self, state, settings):
        """Write the checks that were made, then the state."""
        lines = self._walker[1].lines if self._walker else []
        path = self.path / _CHECKS
        if lines:
            with open(path, "a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            lines.clear()
        state.but(n_checks=path.stat().st_size).save(self.path / _STATE, settings)

    def _model_path(self, generation):
        return self.path / _MODELS / f"{generation:03d}.skpot"

    def _tell_of_way(self, before, after):
        if after.fine and not before.fine:
            self._tell("back", f"back to step {after.here.step} from step {after.reached}")

    def _tell(self, what, text):
        if self.on_event is not None:
            self.on_event(what, text)
