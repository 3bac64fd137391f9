"""Predictions of any model with the standard deviations of labels, if it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import LABEL_KINDS, Targets
from ..progress import progress

if TYPE_CHECKING:
    from typing import Any

_PART = 2000  # atoms that are predicted at a time, between two steps of the bar


def regressor_of(model: Any) -> Any:
    """Return the last step of a pipeline, and any other model as it is."""
    return model[-1] if hasattr(model, "steps") else model


def predict_with_std(model: Any, X: Any) -> tuple[Any, Targets | None]:
    """Return predictions and standard deviations of labels, which are None for some models.

    Parameters
    ----------
    model : estimator
        Fitted.
    X : list[Atoms]
        The structures.

    Returns
    -------
    y_pred : Targets or ndarray of shape (n_structures,)
        What `predict` returns.
    std : Targets or None
        Standard deviations of labels, including their noise, in eV, eV/Å and eV/Å³.
    """
    regressor = regressor_of(model)
    with_std = hasattr(regressor, "predict_std") or hasattr(regressor, "calibrate")
    predicted, deviations = [], []
    with progress(len(X), "predict") as bar:
        for part in _parts(X):
            some = [X[i] for i in part]
            if with_std:
                y, std = model.predict(some, return_std="all")
                deviations.append(label_std(regressor, some, std))
            else:
                y = model.predict(some)
            predicted.append(y)
            bar.update(len(some))
    joined: Any = np.concatenate  # of Targets, too
    return joined(predicted), joined(deviations) if with_std else None


def _parts(X):
    """Return ranges of structures, of about `_PART` atoms each."""
    ends = np.cumsum([len(atoms) for atoms in X]) // _PART
    return np.split(np.arange(len(X)), np.flatnonzero(np.diff(ends)) + 1)


def is_calibrated(regressor: Any) -> bool:
    """Return whether the deviations of a fitted regressor were adjusted to errors."""
    return hasattr(regressor, "calibrate") or bool(getattr(regressor, "calibration_", None))


def label_std(regressor: Any, X: Any, std: Any) -> Targets:
    """Return standard deviations of labels, which include the noise of labels.

    Parameters
    ----------
    regressor : estimator
        What has predicted `std`.
    X : list[Atoms]
        The structures.
    std : Targets or ndarray of shape (n_structures,)
        Standard deviations as `predict` returns them.

    Returns
    -------
    Targets
        In eV, eV/Å and eV/Å³.
    """
    std = std if isinstance(std, Targets) else Targets(std)
    if is_calibrated(regressor):  # these deviations include the noise already
        return std
    noise = getattr(regressor, "estimator_", regressor)  # a committee has it in its estimator
    n_atoms = np.array([len(atoms) for atoms in X])
    sigma = {kind: default_noise(noise, kind) for kind in LABEL_KINDS}
    forces, stress = std.forces, std.stress
    return Targets(
        np.sqrt(std.energy**2 + n_atoms * sigma["energy"] ** 2),
        None if forces is None else [np.hypot(f, sigma["forces"]) for f in forces],
        None if stress is None else np.hypot(stress, sigma["stress"]),
    )


def default_noise(regressor: Any, kind: str) -> float:
    """Return the noise that a fit has used for structures without a group.

    Parameters
    ----------
    regressor : estimator
        Fitted.
    kind : {"energy", "forces", "stress"}
        Which labels.

    Returns
    -------
    float
        In eV per atom, eV/Å or eV/Å³; 0 for regressors without such a noise.
    """
    name = f"sigma_{kind}"
    sigma = getattr(regressor, f"{name}_", None)  # chosen by the fit
    if sigma is None:
        sigma = getattr(regressor, "best_params_", {}).get(name, getattr(regressor, name, 0.0))
    if isinstance(sigma, dict):
        sigma = sigma.get("default", max(sigma.values()))
    scale = getattr(regressor, "noise_scale_", None) or 1.0  # for all labels, or by kind
    return sigma * (scale.get(kind, 1.0) if isinstance(scale, dict) else scale)
