"""How well predicted standard deviations agree with errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf
from scipy.stats import spearmanr

from skpot.data import LABEL_KINDS, Targets
from skpot.exceptions import InputError

if TYPE_CHECKING:
    from skpot.data.contracts import TargetsLike
    from skpot.typing import FloatArray


def reliability_curve(
    y_true: TargetsLike,
    y_pred: TargetsLike,
    std: TargetsLike,
    *,
    kind: str = "energy",
    n_levels: int = 20,
) -> tuple[FloatArray, FloatArray]:
    r"""Compare nominal and observed coverage of central intervals.

    An interval of nominal coverage p is the prediction :math:`\pm\, s\, \Phi^{-1}((1 + p) / 2)`, as
    if errors were normal with the predicted standard deviation s.

    Parameters
    ----------
    y_true, y_pred : Targets or array-like of shape (n_structures,)
        Reference and prediction; arrays hold total energies (eV).
    std : Targets or array-like of shape (n_structures,)
        Predicted standard deviations of the labels, as from ``predict(X, return_std="all")``. They
        must include the noise of the reference.
    kind : {"energy", "forces", "stress"}, default="energy"
        Total energies, force components or stress components.
    n_levels : int, default=20
        Number of levels, evenly spaced inside (0, 1).

    Returns
    -------
    nominal : ndarray of shape (n_levels,)
        The levels p.
    observed : ndarray of shape (n_levels,)
        Share of the labels that lie within their intervals.

    References
    ----------
    V. Kuleshov, N. Fenner, S. Ermon, ICML (2018); K. Tran et al., Mach. Learn.: Sci. Technol. 1,
    025006 (2020).

    Examples
    --------
    >>> from skpot.metrics import reliability_curve
    >>> y_pred, std = [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]
    >>> reliability_curve([0.1, -0.6, 0.9, -2.0], y_pred, std, n_levels=2)[1]
    array([0.25, 0.75])
    """
    error, deviation = _compared(y_true, y_pred, std, kind)
    nominal = (np.arange(n_levels) + 0.5) / n_levels
    # The level whose interval just reaches the label.
    reached = np.sort(erf(np.abs(error) / (np.sqrt(2.0) * deviation)))
    return nominal, np.searchsorted(reached, nominal, side="right") / len(reached)


def calibration_error(
    y_true: TargetsLike, y_pred: TargetsLike, std: TargetsLike, *, kind: str = "energy"
) -> float:
    """Mean absolute difference of nominal and observed coverage.

    The area between the curve of `reliability_curve` and the diagonal, also called miscalibration
    area: 0 for standard deviations that are right on average and errors that are normal, at most
    1/2.

    Parameters
    ----------
    y_true, y_pred : Targets or array-like of shape (n_structures,)
        Reference and prediction; arrays hold total energies (eV).
    std : Targets or array-like of shape (n_structures,)
        Predicted standard deviations of the labels.
    kind : {"energy", "forces", "stress"}, default="energy"
        Total energies, force components or stress components.

    Returns
    -------
    error : float
        Between 0 and 1/2.

    References
    ----------
    K. Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020).

    Examples
    --------
    >>> from skpot.metrics import calibration_error
    >>> calibration_error([0.1, -0.6, 0.9, -2.0], [0.0] * 4, [1.0] * 4)
    0.077
    >>> calibration_error([0.1, -0.6, 0.9, -2.0], [0.0] * 4, [0.1] * 4)
    0.421
    """
    nominal, observed = reliability_curve(y_true, y_pred, std, kind=kind, n_levels=200)
    return float(np.mean(np.abs(nominal - observed)))


def error_correlation(
    y_true: TargetsLike, y_pred: TargetsLike, std: TargetsLike, *, kind: str = "energy"
) -> float:
    """Rank correlation (Spearman) of absolute errors and standard deviations.

    It tells whether larger deviations mean larger errors, whatever their scale. Energies are
    compared by structure, forces by atom (lengths of the vectors of error and deviation), and
    stress by structure (norms over six components).

    Parameters
    ----------
    y_true, y_pred : Targets or array-like of shape (n_structures,)
        Reference and prediction; arrays hold total energies (eV).
    std : Targets or array-like of shape (n_structures,)
        Predicted standard deviations.
    kind : {"energy", "forces", "stress"}, default="energy"
        Which errors.

    Returns
    -------
    correlation : float
        Between -1 and 1; NaN if all errors or all deviations are equal.

    Examples
    --------
    >>> from skpot.metrics import error_correlation
    >>> error_correlation([0.1, -0.2, 0.4, -0.3], [0.0] * 4, [1.0, 2.0, 5.0, 3.0])
    1.0
    """
    error, deviation = _compared(y_true, y_pred, std, kind)
    width = {"energy": 1, "forces": 3, "stress": 6}[kind]
    error, deviation = (np.linalg.norm(a.reshape(-1, width), axis=1) for a in (error, deviation))
    if np.ptp(error) == 0.0 or np.ptp(deviation) == 0.0:
        return np.nan
    return float(spearmanr(error, deviation).statistic)


def errors_and_deviations(
    y_true: TargetsLike, y_pred: TargetsLike, std: TargetsLike, kind: str
) -> tuple[FloatArray, FloatArray]:
    """Return errors of all labels of one kind and their standard deviations, flat.

    Parameters
    ----------
    y_true, y_pred, std : Targets or array-like of shape (n_structures,)
        Labels, predictions and standard deviations; arrays hold energies.
    kind : {"energy", "forces", "stress"}
        Which labels.

    Returns
    -------
    error : ndarray of shape (n_labels,)
        Prediction minus label; empty if no structure has such labels in all three.
    std : ndarray of shape (n_labels,)
        Their standard deviations.
    """
    sides = [y if isinstance(y, Targets) else Targets(y) for y in (y_true, y_pred, std)]
    if len({len(side) for side in sides}) > 1:
        sizes = ", ".join(str(len(side)) for side in sides)
        raise InputError(f"y_true, y_pred and std have different lengths: {sizes}.")
    common = np.all([getattr(side, f"has_{kind}") for side in sides], axis=0)
    if not common.any():
        return np.empty(0), np.empty(0)
    name = "forces_flat" if kind == "forces" else kind
    label, prediction, deviation = (getattr(side[common], name) for side in sides)
    if not label.shape == prediction.shape == deviation.shape:
        raise InputError("y_true, y_pred and std have forces on different numbers of atoms.")
    if kind == "forces":
        there = ~np.isnan(label).all(axis=1)  # else atoms without a label
        label, prediction, deviation = label[there], prediction[there], deviation[there]
    return (prediction - label).ravel(), deviation.ravel()


def _compared(y_true, y_pred, std, kind):
    """Return errors and deviations that can be compared, or raise an error if there are none."""
    if kind not in LABEL_KINDS:
        raise InputError(f"kind must be one of {LABEL_KINDS}, got {kind!r}")
    error, deviation = errors_and_deviations(y_true, y_pred, std, kind)
    if not len(error):
        advice = "" if kind == "energy" else '; ask predict for return_std="all"'
        raise InputError(f"no structure has {kind} in all of y_true, y_pred and std{advice}.")
    if not (np.isfinite(error).all() and np.isfinite(deviation).all()):
        raise InputError(f"{kind} of y_true, y_pred or std hold NaN or infinity.")
    if not (deviation >= 0).all():
        raise InputError("standard deviations must not be negative.")
    # Free atoms, whose energy e0 gives exactly, have neither error nor deviation: leave them out.
    known = (deviation > 0) | (error != 0)
    if not known.any():
        raise InputError(f"all errors and standard deviations of {kind} are zero.")
    return error[known], np.maximum(deviation[known], np.finfo(float).tiny)
