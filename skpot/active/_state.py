"""The state of a run: all that its next step depends on, as one file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..md.checkpoint import integrator_state, read_state, restore_integrator, write_state

if TYPE_CHECKING:
    from typing import Self

    from skpot.typing import Atoms, PathLike


@dataclass(frozen=True)
class Snapshot:
    """Atoms and integrator at a step.

    Without variables of an integrator, it begins anew.
    """

    step: int
    arrays: dict[str, Any]  # positions, momenta, cell; variables of the integrator
    random: dict[str, Any] | None = None
    fresh: bool = True

    @classmethod
    def of(cls, atoms: Atoms, dynamics: Any = None, step: int = 0) -> Self:
        """Return the present state."""
        arrays = {
            "positions": atoms.positions.copy(),
            "momenta": atoms.get_momenta(),
            "cell": atoms.cell.array.copy(),
        }
        if dynamics is None:
            return cls(step, arrays)
        variables, random = integrator_state(dynamics)
        return cls(step, arrays | {k: v.copy() for k, v in variables.items()}, random, False)

    def put(self, atoms: Atoms) -> Atoms:
        """Set atoms to it; return them."""
        atoms.set_cell(self.arrays["cell"], apply_constraint=False)
        atoms.set_positions(self.arrays["positions"], apply_constraint=False)
        atoms.set_momenta(self.arrays["momenta"], apply_constraint=False)
        return atoms

    def drive(self, dynamics: Any, path: PathLike) -> None:
        """Set an integrator to it."""
        dynamics.nsteps = self.step
        if not self.fresh:
            restore_integrator(dynamics, self.step, self.arrays, self.random, path)


@dataclass(frozen=True)
class Wanted:
    """A structure that is to be labeled, or may be."""

    leg: int
    reason: str
    snapshot: Snapshot
    expected: float = np.nan  # u, eV/Å

    def because(self, reason: str) -> Self:
        """Return the same for another reason."""
        return replace(self, reason=reason)


@dataclass(frozen=True)
class State:
    """Where a run stands. Each step of the run makes a new state of it, and nothing else."""

    here: Snapshot
    safe: Snapshot  # the last one that was trusted, to which the run returns
    leg: int = 0  # which of the structures moves
    phase: str = "label"  # what comes next: "label", "fit", "md" or "done"
    queue: tuple[Wanted, ...] = ()  # to be labeled now
    collected: tuple[Wanted, ...] = ()  # that may be labeled together
    collected_at: int = -(10**9)  # step of the last of these
    ratios: tuple[float, ...] = ()  # errors over deviations
    generation: int = -1  # number of the model
    n_labels: int = 0  # of the trail that were used, failed ones too
    futile: int = 0  # models in a row that did not help
    lowest: float = np.inf  # the least error that was expected after a fit, since the last progress
    failures: int = 0  # labels in a row that failed
    redraws: int = 0  # of velocities
    fine: bool = False  # whether every step is checked
    labeled_at: int = -1  # step of this leg whose structure was labeled last
    reached: int = 0  # the last step of this leg at which something happened
    n_checks: int = 0  # bytes of the file of checks
    stopped: str = ""  # why the run ended early

    def but(self, **changes: Any) -> State:
        """Return the state with changes."""
        return replace(self, **changes)

    def save(self, path: PathLike, settings: dict[str, Any]) -> None:
        """Write the state, all or nothing."""
        header = {
            k: v for k, v in vars(self).items() if k not in ("here", "safe", "queue", "collected")
        }
        arrays: dict[str, Any] = {}
        for name, snapshot in self._snapshots().items():
            header[name] = [snapshot.step, snapshot.random, snapshot.fresh]
            arrays |= {f"{name}/{key}": value for key, value in snapshot.arrays.items()}
        for name in ("queue", "collected"):
            header[name] = [[w.leg, w.reason, w.expected] for w in getattr(self, name)]
        write_state(path, {"state": header, "settings": settings}, arrays)

    def _snapshots(self):
        found = {"here": self.here, "safe": self.safe}
        for name in ("queue", "collected"):
            found |= {f"{name}{k}": w.snapshot for k, w in enumerate(getattr(self, name))}
        return found

    @classmethod
    def load(cls, path: PathLike) -> tuple[Self, dict[str, Any]]:
        """Return the state in a file, and the settings of its run."""
        whole, arrays = read_state(path)
        header = whole["state"]

        def snapshot(name):
            step, random, fresh = header.pop(name)
            begin = f"{name}/"
            own = {k.removeprefix(begin): v for k, v in arrays.items() if k.startswith(begin)}
            return Snapshot(step, own, random, fresh)

        lists: dict[str, Any] = {
            name: tuple(
                Wanted(leg, reason, snapshot(f"{name}{k}"), expected)
                for k, (leg, reason, expected) in enumerate(header.pop(name))
            )
            for name in ("queue", "collected")
        }
        header["ratios"] = tuple(header["ratios"])
        here, safe = snapshot("here"), snapshot("safe")
        return cls(here=here, safe=safe, **lists, **header), whole["settings"]
