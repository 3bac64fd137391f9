"""One page about what a check of labeled structures found."""

from __future__ import annotations

from datetime import date
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_consistent_length

import skpot

from ..data import Targets, check_structures
from ..data.elements import SYMBOLS
from ..data.label_errors import GPA
from ..persistence import whole_file
from ._groups import groups_of
from ._page import Page, bullets, grid, paragraphs, table, tiles
from ._sections import controls, distance_section, picture, species_key
from ._summary import beyond_composition, counted, number
from ._theme import figure_html, go, require_plotly

if TYPE_CHECKING:
    from typing import Any

    from skpot.data.contracts import TargetsLike
    from skpot.typing import ArrayLike, PathLike, Structures

_PICTURES = 6
_BINS = 60
_UNITS = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}


def write_check_report(
    path: PathLike,
    report: Any,
    X: Structures,
    y: TargetsLike,
    *,
    groups: ArrayLike | None = None,
    title: str = "Check of labeled structures",
) -> None:
    """Write one HTML page about what `skpot.check` found, which opens without a network.

    It has the findings with what to do about them, the labels that are furthest from what the
    others tell, distributions of energies, forces and stress by group, pictures of the structures
    that findings name, and histograms of distances.

    Parameters
    ----------
    path : str or Path
        File to write; an existing one is replaced.
    report : CheckReport
        What `skpot.check` returned for X and y.
    X : list[Atoms]
        The structures.
    y : Targets or array-like of shape (n_structures,)
        Their labels, in eV, eV/Å and eV/Å³.
    groups : array-like of str of shape (n_structures,), optional
        As in `write_report`.
    title : str, default="Check of labeled structures"
        Heading of the page.

    Raises
    ------
    MissingDependencyError, ValueError, OSError
        As in `write_report`.

    Examples
    --------
    >>> import skpot, tempfile
    >>> X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    >>> wrong = skpot.Targets(23.06 * y.energy[:60], y.forces[:60])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/report.html"
    ...     skpot.reports.write_check_report(path, skpot.check(X[:60], wrong), X[:60], wrong)
    ...     "unit of energies" in open(path, encoding="utf-8").read()
    True
    """
    require_plotly()
    X = check_structures(X)
    y = y if isinstance(y, Targets) else Targets(y)
    check_consistent_length(X, y)
    by_group = groups_of(X, y, groups)
    species = np.unique(np.concatenate([atoms.numbers for atoms in X]))
    page = Page(title, f"Written by skpot {skpot.__version__} on {date.today()}.")
    page.section("summary", "Summary", *_summary(report, X, y, species))
    if report.findings:
        page.section("findings", "Findings", "".join(map(_finding, report.findings)))
    if report.notes:
        page.section("notes", "Worth knowing", bullets(report.notes))
    if report.worst:
        page.section(
            "worst", "Labels furthest from what the others tell", _worst_table(report.worst)
        )
    pictures = _pictures(report, X, y, by_group, species)
    if pictures:
        page.section(
            "pictures", "Structures that are named",
            paragraphs(["Arrows are the forces of the labels. The atom with the largest force has "
                        "a red edge; of periodic structures its surroundings are drawn."]),
            f'<div class="pictures">{"".join(pictures)}</div>', species_key(species),
        )  # fmt: skip
    figures = _label_figures(X, y, by_group)
    if figures:
        page.section("labels", "Distribution of labels", grid(figures))
    page.section("distances", "Distances", distance_section(X, None))
    with whole_file(path) as file:
        file.write(page.html(controls(by_group)).encode())


def _summary(report, X, y, species):
    n_atoms = sum(len(atoms) for atoms in X)
    text = (
        f"{counted(len(X), 'structure')} with {counted(n_atoms, 'atom')} of "
        f"{', '.join(SYMBOLS[z] for z in species)}. "
    )
    if report.findings:
        text += f"{counted(len(report.findings), 'finding')}: labels should be mended before a fit."
    else:
        text += "No mistakes were found."
    entries = [
        (f"{head} labels", counted(int(getattr(y, f"has_{kind}").sum()), "frame"), f"of {len(X)}")
        for kind, head in (("energy", "Energy"), ("forces", "Forces"), ("stress", "Stress"))
    ]
    entries.append(("Findings", f"{len(report.findings)}", "see below" if report.findings else ""))
    return paragraphs([text]), tiles(entries)


def _finding(found):
    where = f"{_some(found.frames)}" if len(found.frames) else "all frames"
    sure = "certain" if found.confidence > 0.995 else f"{100 * found.confidence:.0f} % sure"
    return (
        f'<div class="finding"><h3>{escape(found.kind)}</h3>'
        f'<p class="note">{where}; {sure}</p><p>{escape(found.message)}</p>'
        f"<p><b>What to do:</b> {escape(found.fix)}</p></div>"
    )


def _some(frames, most=12):
    names = ", ".join(map(str, frames[:most]))
    more = f" and {len(frames) - most} more" if len(frames) > most else ""
    return f"frame{'' if len(frames) == 1 else 's'} {names}{more}"


def _worst_table(worst):
    head = ["frame", "label", "error", "times the usual error"]
    rows = [
        [f"{w.frame}", w.kind, f"{number(w.error)} {_UNITS[w.kind]}", f"{w.ratio:.1f}"]
        for w in worst
    ]
    return table(head, rows)


def _pictures(report, X, y, groups, species):
    """Return pictures of the structures of findings on few of them, then of the worst labels."""
    named = {}
    for found in report.findings:
        for frame in found.frames[:2] if len(found.frames) < len(X) // 2 else ():
            named.setdefault(int(frame), f"{found.kind}.")
    for label in report.worst:
        text = f"error of {label.kind} {label.ratio:.1f} times the usual one."
        named.setdefault(int(label.frame), text)
    pictures = []
    for frame, text in list(named.items())[:_PICTURES]:
        forces = y.forces[frame] if y.has_forces[frame] else None
        center = 0
        if forces is not None:
            center = int(np.nan_to_num(np.linalg.norm(forces, axis=1)).argmax())
        pictures.append(picture(X, frame, forces, center, text, groups, species, "force"))
    return pictures


def _label_figures(X, y, groups):
    n_atoms = np.array([len(atoms) for atoms in X])
    figures = []
    rows = np.flatnonzero(y.has_energy)
    if len(rows):
        values = beyond_composition(y.energy[rows] / n_atoms[rows], [X[i] for i in rows.tolist()])
        text = "energy beyond composition (eV/atom)"
        figures.append(_histogram("energy", values, groups.of_frame[rows], groups, text))
    rows = np.flatnonzero(y.has_forces)
    if len(rows):
        size = np.linalg.norm(y[rows].forces_flat, axis=1)
        names = np.repeat(groups.of_frame[rows], n_atoms[rows])
        known = np.isfinite(size)
        text = "force on an atom (eV/Å)"
        figures.append(_histogram("forces", size[known], names[known], groups, text))
    rows = np.flatnonzero(y.has_stress)
    if len(rows):
        pressure = -GPA * y.stress[rows, :3].mean(axis=1)
        text = "pressure (GPa)"
        figures.append(_histogram("stress", pressure, groups.of_frame[rows], groups, text))
    return figures


def _histogram(kind, values, names, groups, text):
    what = "atoms" if kind == "forces" else "structures"
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    traces = [
        go.Bar(
            x=0.5 * (edges[1:] + edges[:-1]), y=np.histogram(values[names == name], edges)[0],
            name=name, legendgroup=name, meta={"group": name},
            marker={"color": groups.colors[name]},
        )
        for name in groups.names if (names == name).any()
    ]  # fmt: skip
    return figure_html(
        f"labels-{kind}",
        traces,
        {
            "barmode": "stack",
            "bargap": 0,
            "xaxis": {"title": {"text": text}},
            "yaxis": {"title": {"text": f"number of {what}"}},
        },
        height=330,
    )
