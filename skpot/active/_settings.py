"""What must be the same when a run is continued."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np

from ..exceptions import InputError
from ._apart import ApartLabeler
from ._labelers import CalculatorLabeler, CommandLabeler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skpot.active._labelers import Labeler
    from skpot.active._state import State
    from skpot.data import Targets
    from skpot.typing import Structures

_PLAIN = bool, int, float, str, type(None)


def model_settings(model: Any) -> dict[str, str]:
    """Return the parameters of a model that is not fitted, as text by name."""
    parameters = model.get_params(deep=True)
    return {"": type(model).__name__} | {k: _text(v) for k, v in sorted(parameters.items())}


def labeler_settings(labeler: Labeler) -> dict[str, str]:
    """Return what tells a labeler from others: of functions and folders no more than that.

    Its patience is no part of it: that may change when a run is continued.
    """
    labeler = labeler.inner if isinstance(labeler, ApartLabeler) else labeler
    if isinstance(labeler, CalculatorLabeler):
        calculator = labeler.calculator
        given = dict(getattr(calculator, "parameters", None) or {})
        own = {str(name): _text(value) for name, value in sorted(given.items())}
        return {"": type(calculator).__name__} | own
    own = {"command": labeler.command} if isinstance(labeler, CommandLabeler) else {}
    return {"": type(labeler).__name__} | own


def structures_text(structures: Structures) -> str:
    """Return a text by which these structures can be told from others."""
    digest = hashlib.blake2b(digest_size=8)
    for atoms in structures:
        for array in (atoms.numbers, atoms.positions, atoms.cell.array):
            digest.update(np.ascontiguousarray(array).tobytes())
    return f"{len(structures)} of digest {digest.hexdigest()}"


def data_text(X: Structures, y: Targets) -> str:
    """Return a text by which these labeled structures can be told from others."""
    digest = hashlib.blake2b(digest_size=8)
    stress = [] if y.stress is None else y.stress
    for array in (y.energy, y.force_offsets, y.forces_flat, stress):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return f"{structures_text(X)}, labels of digest {digest.hexdigest()}"


def differing(
    before: dict[str, Any], now: dict[str, Any], of: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield names of settings that differ, and what they were and are."""
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differing(old, new, f"{name} ")
        elif old != new:
            yield f"{of}{name}".strip(), old, new


def require_same(
    path: Path, before: dict[str, Any], now: dict[str, Any], state: State, labeled: bool
) -> None:
    """Refuse to continue a run with other settings; more steps may be asked for.

    Parameters
    ----------
    path : Path
        The folder of the run.
    before, now : dict
        Settings of the run, and what it is continued with.
    state : State
        Where it stands.
    labeled : bool
        Whether its labeler has given anything yet; if not, it may be another one.
    """
    told = []
    for name, old, new in differing(before, now):
        why = _why_not_these_steps(now, old, new, state) if name == "steps" else ""
        if why is not None and (labeled or not name.startswith("labeler")):
            told.append(f"{name} {old} (now {new}{why})")
    if told:
        raise InputError(
            f"{path} has a run with {', '.join(told)}. Continue it with what it has, or choose "
            "another folder, where its trail.xyz can be the data to begin with."
        )


def _why_not_these_steps(now, old, new, state):
    """Return why a run cannot have another number of steps; None if it can."""
    if new < old:
        return ", which may be more, but not fewer"
    if now["ensemble"]["last_temperature"] is not None:
        return ", over which a ramp of the temperature would be another one"
    if state.leg > 0:
        return ", but the first of its structures has done its steps already"
    return None


def _text(value):
    """Return a text that is the same in each process."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_text(v)}' for k, v in value.items())}}}"
    name = getattr(value, "__qualname__", type(value).__name__)
    if callable(value) or hasattr(value, "get_params"):
        return name  # the parameters of estimators have lines of their own
    if hasattr(value, "get_property"):  # a calculator
        return f"{name}({_text(dict(getattr(value, 'parameters', None) or {}))})"
    return f"{name} of digest {joblib.hash(value)}"
