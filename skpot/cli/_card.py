"""Model cards: what a file says about the data, the settings and the errors of its model."""

import datetime
import hashlib
import itertools
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from skpot import __version__
from skpot.data.elements import SYMBOLS
from skpot.metrics import summary

from ._console import say, title, wrapped
from ._splits import free_atoms, numbers_of

if TYPE_CHECKING:
    from skpot.data import LabelReport, Targets
    from skpot.typing import Structures

UNITS = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³, tension positive", "lengths": "Å"}
_PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "ase")
_NOISE = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}
_HEADS = {"energy": 3, "forces": 4, "stress": 3}  # digits


def data_hash(X: "Structures", y: "Targets") -> str:
    """Return a text that identifies structures and labels, whatever their order."""
    digests = []
    labels_of = (_single_labels(part) for _, part in y.in_parts())
    for atoms, labels in zip(X, itertools.chain.from_iterable(labels_of), strict=True):
        parts = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, *labels)
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            array = np.array([] if part is None else part, dtype="<f8") + 0.0
            digest.update(f"{array.shape}".encode() + array.tobytes())
        digests.append(digest.digest())
    return hashlib.blake2b(b"".join(sorted(digests)), digest_size=16).hexdigest()


def _single_labels(y):
    """Return energy, forces and stress of each structure."""
    stress = [y.stress[i] if has else None for i, has in enumerate(y.has_stress)]
    return zip(y.energy, y.forces or [None] * len(y), stress, strict=True)


def data_entry(X: "Structures", y: "Targets", report: "LabelReport") -> dict[str, Any]:
    """Return what a card says about structures and labels."""
    species, counts = np.unique(numbers_of(X)[1], return_counts=True)
    return {
        "files": [f"{name}, {n} frames" for name, n in report.files],
        "hash": data_hash(X, y),
        "frames": len(X),
        "atoms": {SYMBOLS[z]: int(n) for z, n in zip(species, counts, strict=True)},
        "labels": {
            "energy": int(y.has_energy.sum()),
            "forces": int(y.has_forces.sum()),
            "stress": int(y.has_stress.sum()),
        },
        "labels used": [f"{use.kind}: {use}" for use in report.used],
        "labels not used": [f"{use.kind}: {use}" for use in report.unused],
    }


def errors(X: "Structures", y: "Targets", y_pred: "Targets") -> dict[str, Any]:
    """Return the errors of predictions, for cards; those of free atoms are left out."""
    rest = np.flatnonzero(~free_atoms(X)).tolist()
    found = summary(y[rest], y_pred[rest], n_atoms=[len(X[i]) for i in rest]) if len(rest) else {}
    return {
        kind: {name: _plain(value) for name, value in entry.items()}
        for kind, entry in found.items()
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def unwrapped(model: Any) -> Any:
    """Return the pipeline within a calibrated model, a committee, a search or a delta model."""
    for name in ("estimator_", "best_estimator_"):
        if hasattr(model, name):
            return unwrapped(getattr(model, name))
    return model


def chosen(model: Any) -> dict[str, Any]:
    """Return what the fit of a model has chosen by itself."""
    inner = unwrapped(model)
    found: dict[str, Any] = {}
    for part in inner.get_params().values():
        if getattr(part, "hypers_", None):
            found[type(part).__name__] = _plain(
                {name: value for name, value in part.hypers_.items() if value is not None}
            )
    regressor = unwrapped(inner[-1] if hasattr(inner, "steps") else inner)
    found["regressor"] = type(getattr(regressor, "model_", regressor)).__name__
    if (expansion := getattr(regressor, "expansion_", None)) is not None:
        if hasattr(expansion, "kernel"):
            found["kernel"] = str(getattr(regressor, "kernel_", expansion.kernel))
            found["references"] = len(expansion.alpha)
    for kind in _NOISE:
        if (level := getattr(regressor, f"sigma_{kind}_", None)) is not None:
            found[f"sigma_{kind}"] = _plain(level)
    if getattr(regressor, "e0_", None):
        found["e0"] = {SYMBOLS[z]: float(e) for z, e in sorted(regressor.e0_.items())}
        found["e0 from"] = getattr(regressor, "e0_source_", "given").replace("_", " ")
    return found


def _plain(value):
    """Return a value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else str(value)


def card_of(model: Any, parts: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card of a fitted model, still without errors.

    Parameters
    ----------
    model : estimator
        The fitted model.
    parts : dict
        Structures, labels and report of what was learned from, "train", and maybe of a "test".
    settings : dict
        The options of the run.
    """
    names = {"train": "training"}
    data = {names.get(name, name): data_entry(*part[:3]) for name, part in parts.items()}
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": "skpot fit",
        **data,
        "settings": dict(settings),
        "chosen": chosen(model),
        "errors": {},
        "units": UNITS,
        "versions": {"skpot": __version__} | {name: _version(name) for name in _PACKAGES},
    }


def show_chosen(found: Mapping[str, Any]) -> None:
    """Print what a fit has chosen."""
    for name, value in found.items():
        if isinstance(value, dict) and name != "e0":
            say(wrapped(_listed(value), f"  {name}: ", indent="    "))
    head = [f"{found['regressor']}"]
    if "references" in found:
        head += [f"{found['references']} references", f"kernel {found['kernel']}"]
    say(wrapped(", ".join(head), "  ", indent="    "))
    levels = [
        f"{kind} {found[f'sigma_{kind}']:.3g} {unit}"
        for kind, unit in _NOISE.items()
        if isinstance(found.get(f"sigma_{kind}"), float)
    ]
    if levels:
        say(wrapped(", ".join(levels), "  noise: ", indent="    "))
    if "e0" in found:
        energies = ", ".join(f"{name} {e:.4f} eV" for name, e in found["e0"].items())
        say(wrapped(energies, f"  free atoms ({found['e0 from']}): ", indent="    "))


def show(card: Mapping[str, Any]) -> None:
    """Print a card that `skpot fit` has written."""
    for part in ("training", "test"):
        if part in card:
            title(f"{part} data")
            _show_data(card[part])
    title("settings")
    given = {name: value for name, value in card["settings"].items() if value not in (None, [])}
    say(wrapped(_listed(given), "  ", indent="  "))
    title("chosen by the fit")
    show_chosen(card["chosen"])
    title("errors (RMSE, MAE), without free atoms")
    for part, entries in card["errors"].items():
        _show_errors(part, entries)
    for part in ("units", "versions"):
        title(part)
        say(wrapped(_listed(card[part]), "  ", indent="  "))


def _show_data(entry):
    for file in entry["files"]:
        say(wrapped(file, "  file     "))
    atoms = ", ".join(f"{name}\xa0{n}" for name, n in entry["atoms"].items())
    say(wrapped(f"{entry['frames']} frames; atoms: {atoms}", "  holds    "))
    labels = ", ".join(f"{kind}\xa0{n}" for kind, n in entry["labels"].items())
    say(wrapped(f"frames with {labels}", "  labels   "))
    for name, head in (("labels used", "read"), ("labels not used", "not read")):
        for text in entry[name]:
            say(wrapped(text, f"  {head:9}"))
    say(f"  hash     {entry['hash']}")


def _show_errors(part, entries):
    cells = [
        f"{kind} {entry['rmse']:.{digits}f}, {entry['mae']:.{digits}f} {entry['unit']}"
        for kind, digits in _HEADS.items()
        if (entry := entries.get(kind))
    ]
    say(wrapped("; ".join(cell.replace(" ", "\xa0") for cell in cells), f"  {part:9}"))


def _listed(values):
    return ", ".join(f"{name}\xa0{_short(value)}" for name, value in values.items())


def _short(value):
    if isinstance(value, list):
        return "(" + ", ".join(map(_short, value)) + ")"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{k} {_short(v)}" for k, v in value.items()) + ")"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
