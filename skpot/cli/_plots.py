"""Figures of the commands."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.label_errors import GPA
from ..exceptions import InputError, MissingDependencyError

if TYPE_CHECKING:
    from skpot.data import Targets
    from skpot.md.dynamics import Trace
    from skpot.typing import PathLike, Structures

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingDependencyError(
        'plots need matplotlib: python -m pip install "skpot[plot]" or matplotlib'
    ) from error


_BLUE, _GRAY, _ORANGE = "#2a6fbb", "0.55", "#d1762a"


def require_format(path: "PathLike") -> None:
    """Refuse a name whose suffix is not one of a figure."""
    suffix = os.path.splitext(path)[1]
    if suffix[1:].lower() not in FigureCanvasAgg.get_supported_filetypes():
        raise InputError(f"{path} is no name for a figure: it must end in .png, .pdf or .svg.")


def parity_plot(
    X: "Structures", y_true: "Targets", y_pred: "Targets", std: Any, path: "PathLike"
) -> None:
    """Draw predictions and their errors over the reference, for every kind of label.

    Parameters
    ----------
    X : list[Atoms]
        Structures.
    y_true, y_pred : Targets
        Reference and prediction.
    std : ndarray of shape (n_structures,) or None
        Predicted standard deviation of total energies (eV), including the noise of labels.
    path : str or Path
        File to write; its suffix decides the format.
    """
    panels = _panels(X, y_true, y_pred, std)
    figure = _figure(3.3 * len(panels), 4.9)
    axes = figure.subplots(2, len(panels), squeeze=False, height_ratios=[2.4, 1])
    for (top, bottom), panel in zip(axes.T, panels, strict=True):
        name, reference, predicted, unit, bars, error_scale, error_unit = panel
        error = error_scale * (predicted - reference)
        rmse = np.sqrt(np.mean(error**2))
        low, high = min(reference.min(), predicted.min()), max(reference.max(), predicted.max())
        margin = 0.06 * (high - low or 1.0)
        limits = low - margin, high + margin
        size = 5 if len(reference) > 300 else 12
        style = {"s": size, "color": _BLUE, "alpha": 0.55, "linewidths": 0, "zorder": 3}

        top.plot(limits, limits, color=_GRAY, linewidth=0.8, zorder=1)
        label = f"RMSE {rmse:.3g} {error_unit}"
        top.scatter(reference, predicted, label=label, **style)
        top.set(xlim=limits, ylim=limits, title=name, ylabel=f"predicted ({unit})")
        top.set_aspect("equal")
        top.tick_params(labelbottom=False)
        top.legend(loc="upper left", fontsize=8, frameon=False, handletextpad=0.2, borderpad=0.1)

        bottom.axhline(0.0, color=_GRAY, linewidth=0.8, zorder=1)
        bottom.scatter(reference, error, **style)
        if bars is not None:
            bottom.errorbar(
                reference, error, yerr=2 * error_scale * bars, fmt="none", ecolor=_ORANGE,
                elinewidth=0.8, capsize=1.5, alpha=0.8, zorder=2, label="±2 predicted std",
            )  # fmt: skip
            bottom.legend(loc="best", fontsize=7, frameon=False)
        bottom.set(xlim=limits, xlabel=f"reference ({unit})", ylabel=f"error ({error_unit})")
        bottom.set_box_aspect(1 / 2.4)
    _save(figure, path)


def _panels(X, y_true, y_pred, std):
    """Return name, reference, prediction, unit, bars, scale and unit of errors of each panel."""
    panels = []
    both = y_true.has_energy & y_pred.has_energy
    if both.any():
        n_atoms = np.array([len(atoms) for atoms in X])[both]
        panels.append((
            "energy", y_true.energy[both] / n_atoms, y_pred.energy[both] / n_atoms, "eV/atom",
            None if std is None else std[both] / n_atoms, 1000.0, "meV/atom",
        ))  # fmt: skip
    both = y_true.has_forces & y_pred.has_forces
    if both.any():
        true, predicted = y_true[both].forces_flat, y_pred[both].forces_flat
        labeled = ~np.isnan(true).all(axis=1)  # atoms without a label have NaN
        true, predicted = true[labeled].ravel(), predicted[labeled].ravel()
        panels.append(("force components", true, predicted, "eV/Å", None, 1.0, "eV/Å"))
    both = y_true.has_stress & y_pred.has_stress
    if both.any():
        true, predicted = GPA * y_true.stress[both].ravel(), GPA * y_pred.stress[both].ravel()
        panels.append(("stress components", true, predicted, "GPa", None, 1.0, "GPa"))
    return panels


def md_plot(trace: "Trace", path: "PathLike", n_equilibration: int = 0) -> None:
    """Draw energy and temperature of a run over time.

    Parameters
    ----------
    trace : Trace
        Result of `skpot.md.dynamics.run`; several runs in one trace count as one run.
    path : str or Path
        File to write.
    n_equilibration : int, default=0
        Number of entries at the beginning, with a thermostat, that are shaded.
    """
    time = np.asarray(trace.time)
    total = 1000.0 * (np.asarray(trace.total) - trace.total[n_equilibration])
    potential = 1000.0 * (np.asarray(trace.potential) - trace.potential[n_equilibration])
    figure = _figure(6.8, 4.6)
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.plot(time, potential, color=_GRAY, linewidth=0.8, label="potential")
    top.plot(time, total, color=_BLUE, linewidth=1.4, label="total")
    top.set_ylabel("energy (meV/atom)")
    top.legend(loc="best", fontsize=8, frameon=False)
    bottom.plot(time, trace.temperature, color=_ORANGE, linewidth=0.9)
    bottom.set(xlabel="time (ps)", ylabel="temperature (K)", xlim=(time[0], time[-1]))
    if n_equilibration:
        for axes, text in ((top, "NVT"), (bottom, "")):
            axes.axvspan(time[0], time[n_equilibration], color="0.93", zorder=0)
            axes.text(0.01, 0.04, text, transform=axes.transAxes, fontsize=8, color="0.4")
    _save(figure, path)


def _figure(width, height):
    # Without pyplot, so that no display is needed and no global state is left behind.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path):
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1]
    temporary = f"{path}.tmp{suffix}"
    try:
        figure.savefig(temporary, dpi=150)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
