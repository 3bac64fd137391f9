"""Figures of the commands."""

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.label_errors import GPA
from ..exceptions import InputError, MissingDependencyError
from ..persistence import whole_file
from ._splits import free_atoms

if TYPE_CHECKING:
    from skpot.data import Targets
    from skpot.md.dynamics import Trace
    from skpot.typing import PathLike, Structures

try:
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise MissingDependencyError(
        'plots need matplotlib: python -m pip install "skpot[plot]" or matplotlib'
    ) from error


_BLUE, _GRAY, _ORANGE = "#2a6fbb", "0.55", "#d1762a"
_MARKERS = "o^sDv"  # for ten kinds of structures each


def require_format(path: "PathLike") -> None:
    """Refuse a name whose suffix is not one of a figure."""
    suffix = os.path.splitext(path)[1]
    if suffix[1:].lower() not in FigureCanvasAgg.get_supported_filetypes():
        raise InputError(f"{path} is no name for a figure: it must end in .png, .pdf or .svg.")


def parity_plot(
    X: "Structures",
    y_true: "Targets",
    y_pred: "Targets",
    std: Any,
    path: "PathLike",
    kinds: Any = None,
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
    kinds : ndarray of str of shape (n_structures,), optional
        Kinds of structures, by which points are colored.
    """
    panels = _panels(X, y_true, y_pred, std)
    styles = _styles(kinds, len(X))
    figure = _figure(3.3 * len(panels), 4.9)
    axes = figure.subplots(2, len(panels), squeeze=False, height_ratios=[2.4, 1])
    for (top, bottom), panel in zip(axes.T, panels, strict=True):
        _draw(top, bottom, panel, styles)
    if kinds is not None:
        _legend(figure, styles, len(panels))
    _save(figure, path)


class _Panel(NamedTuple):
    """One kind of label: a value for each point, and the structure that it belongs to."""

    name: str
    reference: np.ndarray
    predicted: np.ndarray
    structure: np.ndarray
    unit: str
    std: np.ndarray | None = None
    error_scale: float = 1.0
    error_unit: str = ""


class _Style(NamedTuple):
    """How the points of one kind of structures look."""

    name: str
    chosen: np.ndarray  # (n_structures,) of bool
    color: Any
    marker: str


def _styles(kinds, n):
    """Return how kinds of structures look, the most frequent first: rare ones are drawn above."""
    if kinds is None:
        return [_Style("", np.ones(n, bool), _BLUE, "o")]
    names, counts = np.unique(kinds, return_counts=True)
    colors = colormaps["tab10"].colors
    return [
        _Style(
            f"{names[i]} ({counts[i]})", kinds == names[i], colors[k % len(colors)],
            _MARKERS[k // len(colors) % len(_MARKERS)],
        )
        for k, i in enumerate(np.argsort(-counts, kind="stable"))
    ]  # fmt: skip


def _draw(top, bottom, panel, styles):
    """Draw predictions above and errors below."""
    error = panel.error_scale * (panel.predicted - panel.reference)
    both = np.concatenate([panel.reference, panel.predicted])
    margin = 0.06 * (np.ptp(both) or 1.0)
    limits = both.min() - margin, both.max() + margin
    size = 5 if len(error) > 300 else 12
    top.plot(limits, limits, color=_GRAY, linewidth=0.8, zorder=1)
    bottom.axhline(0.0, color=_GRAY, linewidth=0.8, zorder=1)
    for style in styles:
        own = style.chosen[panel.structure]
        look = {"s": size, "color": style.color, "marker": style.marker, "alpha": 0.6}
        for axes, values in ((top, panel.predicted), (bottom, error)):
            axes.scatter(panel.reference[own], values[own], linewidths=0, zorder=3, **look)
    rmse = f"RMSE {np.sqrt(np.mean(error**2)):.3g} {panel.error_unit}"
    top.text(0.04, 0.96, rmse, transform=top.transAxes, va="top", fontsize=8)
    top.set(xlim=limits, ylim=limits, title=panel.name, ylabel=f"predicted ({panel.unit})")
    top.set_aspect("equal")
    top.tick_params(labelbottom=False)
    if panel.std is not None:
        bottom.errorbar(
            panel.reference, error, yerr=2 * panel.error_scale * panel.std, fmt="none",
            ecolor=_GRAY, elinewidth=0.8, capsize=1.5, alpha=0.8, zorder=2,
            label="±2 predicted std",
        )  # fmt: skip
        bottom.legend(loc="best", fontsize=7, frameon=False)
    name = f"reference ({panel.unit})"
    bottom.set(xlim=limits, xlabel=name, ylabel=f"error ({panel.error_unit})")
    bottom.set_box_aspect(1 / 2.4)
    bottom.xaxis.set_major_locator(MaxNLocator(4))
    top.xaxis.set_major_locator(MaxNLocator(4))
    for axis in (top.xaxis, top.yaxis, bottom.xaxis, bottom.yaxis):
        axis.set_tick_params(labelsize=8)


def _legend(figure, styles, n_panels):
    """Draw what colors mean below the panels, and make the figure higher by as much."""
    dots = [
        Line2D([], [], color=style.color, marker=style.marker, linestyle="", markersize=4.5)
        for style in styles
    ]
    longest = max(len(style.name) for style in styles)
    columns = max(1, min(len(styles), int(44 * n_panels / (longest + 4))))
    rows = math.ceil(len(styles) / columns)
    columns = math.ceil(len(styles) / rows)
    height = figure.get_figheight() + 0.1 + 0.17 * rows
    figure.set_figheight(height)
    figure.legend(
        dots, [style.name for style in styles], loc="outside lower center", ncols=columns,
        fontsize=8, frameon=False, handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip


def _panels(X, y_true, y_pred, std):
    panels = []
    n_atoms = np.array([len(atoms) for atoms in X])
    # Energies of free atoms lie so far from the others that these would be one dot.
    both = np.flatnonzero(y_true.has_energy & y_pred.has_energy & ~free_atoms(X))
    if len(both):
        n = n_atoms[both]
        panels.append(_Panel(
            "energy", y_true.energy[both] / n, y_pred.energy[both] / n, both, "eV/atom",
            None if std is None else std[both] / n, 1000.0, "meV/atom",
        ))  # fmt: skip
    both = np.flatnonzero(y_true.has_forces & y_pred.has_forces)
    if len(both):
        true, predicted = y_true[both].forces_flat, y_pred[both].forces_flat
        labeled = ~np.isnan(true).all(axis=1)  # atoms without a label have NaN
        owner = np.repeat(np.repeat(both, n_atoms[both])[labeled], 3)
        true, predicted = true[labeled].ravel(), predicted[labeled].ravel()
        panels.append(_Panel("force components", true, predicted, owner, "eV/Å", error_unit="eV/Å"))
    both = np.flatnonzero(y_true.has_stress & y_pred.has_stress)
    if len(both):
        true, predicted = GPA * y_true.stress[both].ravel(), GPA * y_pred.stress[both].ravel()
        owner = np.repeat(both, 6)
        panels.append(_Panel("stress components", true, predicted, owner, "GPa", error_unit="GPa"))
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
    with whole_file(path) as file:
        figure.savefig(file, dpi=150, format=suffix[1:].lower())
