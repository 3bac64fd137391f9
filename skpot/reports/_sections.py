"""Sections of a page that need nothing but structures, labels and their errors."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..data.elements import SYMBOLS
from ._coverage import closer_than_training, closest_rows, distance_figures, distances_of
from ._drawings import drawing
from ._labels import HEADS, UNITS
from ._page import bullets, grid, note, table
from ._summary import number
from ._theme import color

if TYPE_CHECKING:
    from skpot.typing import FloatArray, IntArray, Structures

    from ._groups import Groups
    from ._labels import Labels


def controls(groups: Groups) -> str:
    """Return the buttons that filter by group, if there are several groups."""
    if len(groups) < 2:
        return ""
    chips = "".join(
        f'<button type="button" data-group="{escape(name)}" aria-pressed="true">'
        f'<i style="background:{groups.colors[name]}"></i>{escape(name)}</button>'
        for name in groups.names
    )
    return (
        '<div class="controls" role="group" aria-label="Show groups"><span>Show</span>'
        f'<button type="button" id="show-all">all</button>{chips}</div>'
    )


def species_key(species: IntArray) -> str:
    """Return the colors of species in pictures and maps."""
    parts = "".join(
        f'<i style="background:{color(k)}"></i>{SYMBOLS[z]}' for k, z in enumerate(species)
    )
    return f'<p class="note key">{parts}</p>'


def error_table(labels: list[Labels], groups: Groups, train: list[Labels] | None) -> str:
    """Return the table of root mean square and mean absolute errors, by group."""
    head, kinds = [""], [part.kind for part in labels]
    for kind in kinds:
        head += [f"{HEADS[kind]} RMSE ({UNITS[kind][1]})", "MAE", "largest"]
    rows, owners = [_row("all", labels, kinds)], [None]
    if train is not None:
        rows.append(_row("training set", train, kinds))
        owners.append(None)
    for name in groups.names if len(groups) > 1 else ():
        parts = [part.take(groups.of_frame[part.frame] == name) for part in labels]
        rows.append(_row(name, parts, kinds))
        owners.append(name)
    return table(head, rows, owners)


def _row(name, labels, kinds):
    by_kind = {part.kind: part for part in labels if len(part.error)}
    cells = [name]
    for kind in kinds:
        part = by_kind.get(kind)
        if part is None:
            cells += ["–"] * 3
        else:
            cells += [number(v) for v in (part.rmse, part.mae, np.abs(part.error).max())]
    return cells


def picture(
    X: Structures,
    frame: int,
    arrows: FloatArray | None,
    center: int,
    text: str,
    groups: Groups,
    species: IntArray,
    what: str = "error of its force",
) -> str:
    """Return the picture of one structure with a caption; see `drawing`."""
    drawn = drawing(X[frame], arrows, center, species, what)
    name = groups.of_frame[frame]
    mark = f' data-group="{escape(name)}"' if len(groups) > 1 else ""
    group = f" ({escape(name)})" if len(groups) > 1 else ""
    return (
        f"<figure{mark}>{drawn}<figcaption><b>Frame {frame}</b>{group}: {escape(text)}"
        "</figcaption></figure>"
    )


def distance_section(X: Structures, X_train: Structures | None) -> str:
    """Return histograms of distances and the table of the closest ones."""
    here = distances_of(X)
    there = None if X_train is None else distances_of(X_train)
    texts = [] if there is None else closer_than_training(there, here)
    parts = [bullets(texts)] if texts else []
    if there is not None and not texts:
        parts.append(note("No pair of species comes closer than in the training set."))
    return "".join(
        [*parts, grid(distance_figures(there, here)), "<h3>Closest distances</h3>",
         table(*closest_rows(there, here))]
    )  # fmt: skip
