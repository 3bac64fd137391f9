"""Figures of predictions beside labels, and of the errors by group and species."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.elements import SYMBOLS
from ._labels import COMPONENTS, thinned
from ._theme import GRAY, INK, figure_html, go

if TYPE_CHECKING:
    from skpot.typing import FloatArray

    from ._groups import Groups
    from ._labels import Labels

POINTS = 3000  # in one figure; a phone draws them in a fraction of a second
_BINS = 61
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def error_figures(labels: Labels, groups: Groups) -> list[str]:
    """Return the HTML of the figures of one kind of label."""
    figures = [_parity(labels, groups), _distribution(labels, groups)]
    boxes = _boxes(labels, groups)
    return [*figures, boxes] if boxes else figures


def _parity(labels, groups):
    shown = thinned(labels, POINTS, groups.of_frame[labels.frame])
    low = float(min(labels.reference.min(), labels.predicted.min()))
    high = float(max(labels.reference.max(), labels.predicted.max()))
    margin = 0.04 * (high - low) or 0.5
    ends = [low - margin, high + margin]
    line = {"color": GRAY, "width": 1}
    traces = [
        go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    ]
    group = groups.of_frame[shown.frame]
    names = COMPONENTS[labels.kind]
    for name in groups.names:
        part = shown.take(group == name)
        if not len(part.error):
            continue
        place = [
            _place(*entry, names)
            for entry in zip(part.frame, part.atom, part.component, part.species, strict=True)
        ]
        traces.append(
            go.Scatter(
                x=_short(part.reference), y=_short(part.predicted), mode="markers", name=name,
                text=place, customdata=_short(part.error), legendgroup=name,
                meta={"group": name},
                marker={"size": 5, "opacity": 0.65, "color": groups.colors[name]},
                hovertemplate=(
                    "%{text}<br>label %{x:.5g}, predicted %{y:.5g} " + labels.unit
                    + "<br>error %{customdata:.3g} " + labels.error_unit
                    + f"<extra>{_escaped(name)}</extra>"
                ),
            )
        )  # fmt: skip
    return figure_html(
        f"parity-{labels.kind}",
        traces,
        {
            "title": {"text": "Predictions beside labels"},
            "xaxis": {"title": {"text": f"label ({labels.unit})"}, "range": ends},
            "yaxis": {"title": {"text": f"predicted ({labels.unit})"}, "range": ends},
            "showlegend": len(groups) > 1,
        },
        height=430 if len(groups) > 1 else 360,
    )


def _place(frame, atom, component, species, names):
    where = f"frame {frame}"
    if atom >= 0:
        where += f", atom {atom} ({SYMBOLS[species]})"
    return f"{where}, {names[component]}" if names[component] else where


def _distribution(labels, groups):
    reach = float(min(np.abs(labels.error).max(), 6.0 * np.quantile(np.abs(labels.error), 0.7)))
    reach = reach or 1.0
    edges = np.linspace(-reach, reach, _BINS + 1)
    centers = 0.5 * (edges[1:] + edges[:-1])
    inside = np.clip(labels.error, centers[0], centers[-1])  # the outermost hold all beyond
    group = groups.of_frame[labels.frame]
    traces = []
    for name in groups.names:
        counts = np.histogram(inside[group == name], edges)[0]
        if counts.any():
            traces.append(
                go.Bar(
                    x=_short(centers), y=counts, name=name, legendgroup=name,
                    meta={"group": name}, marker={"color": groups.colors[name]},
                    hovertemplate="%{y} errors near %{x:.3g} " + labels.error_unit
                    + f"<extra>{_escaped(name)}</extra>",
                )
            )  # fmt: skip
    return figure_html(
        f"errors-{labels.kind}",
        traces,
        {
            "title": {"text": "Distribution of errors"},
            "barmode": "stack",
            "bargap": 0,
            "xaxis": {"title": {"text": f"predicted − label ({labels.error_unit})"}},
            "yaxis": {"title": {"text": "number of labels"}},
        },
        height=360,
    )


def _boxes(labels, groups):
    """Return the figure of absolute errors by group and species, if there are several."""
    size = np.abs(labels.error)
    rows = []  # name, color, quantiles, what a click on a legend hides
    if len(groups) > 1:
        group = groups.of_frame[labels.frame]
        for name in groups.names:
            if (group == name).any():
                rows.append((name, groups.colors[name], _quantiles(size[group == name]), name))
    if labels.kind == "forces":
        for z in np.unique(labels.species).tolist():
            values = _quantiles(size[labels.species == z])
            rows.append((f"on {SYMBOLS[z]}", INK, values, None))
    if len(rows) < 2:
        return ""
    traces = [
        go.Box(
            y=[name], orientation="h", name=name, meta={} if hides is None else {"group": hides},
            lowerfence=[q[0]], q1=[q[1]], median=[q[2]], q3=[q[3]], upperfence=[q[4]],
            line={"color": shade, "width": 1.5}, width=0.6,
        )
        for name, shade, q, hides in rows
    ]  # fmt: skip
    return figure_html(
        f"parts-{labels.kind}",
        traces,
        {
            "title": {"text": "Size of errors: 5, 25, 50, 75, 95 %"},
            "xaxis": {"title": {"text": f"|predicted − label| ({labels.error_unit})"},
                      "rangemode": "tozero"},
            "yaxis": {"autorange": "reversed", "type": "category"},
        },
        height=max(220, 110 + 25 * len(rows)),
    )  # fmt: skip


def _quantiles(values: FloatArray) -> list[float]:
    return [float(q) for q in np.quantile(values, _QUANTILES)]


def _short(values):
    """Return numbers of seven digits, which take half the space."""
    return np.asarray(values, dtype=np.float32)


def _escaped(text):
    """Return a name as plotly shows it in a template, where < begins a tag and % a field."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%", "&#37;")
