"""How figures of the page look, and how they become HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ..exceptions import MissingDependencyError

if TYPE_CHECKING:
    from typing import Any

try:
    import plotly.graph_objects as go
    from plotly.offline import get_plotlyjs
except ImportError:
    go = None


def require_plotly() -> None:
    """Raise `MissingDependencyError`, an `ImportError`, unless plotly is installed."""
    if go is None:
        raise MissingDependencyError(
            'reports need plotly: python -m pip install "skpot[report]" or plotly'
        )


# Distinct for people who do not see all colors, and dark enough for lines on white.
COLORS = ("#2a6fbb", "#c9641c", "#1f8a70", "#a8407a", "#6a51b5", "#8a6d0f", "#b93333", "#1d8ea6",
          "#59636b", "#7c8b12")  # fmt: skip
GRAY, LIGHT, INK, RED = "#7b858d", "#c9d0d6", "#1d2730", "#b93333"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

_AXIS = {
    "showline": True,
    "linecolor": "#9aa4ac",
    "gridcolor": "#e8ecef",
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": "#9aa4ac",
    "ticklen": 4,
    "title": {"standoff": 8},
    "automargin": True,
}
_LAYOUT = {
    "font": {"family": FONT, "size": 12, "color": INK},
    "paper_bgcolor": "#ffffff",
    "plot_bgcolor": "#ffffff",
    "margin": {"l": 56, "r": 12, "t": 34, "b": 48},
    "title": {
        "font": {"size": 14}, "x": 0.0, "xref": "container", "xanchor": "left", "pad": {"l": 2},
    },
    "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
    "legend": {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top", "font": {"size": 11}},
    "xaxis": _AXIS,
    "yaxis": _AXIS,
    "showlegend": False,
}  # fmt: skip
_CONFIG = {
    "responsive": True,
    "displayModeBar": False,  # a drag zooms, a double click returns
    "scrollZoom": False,
}


def color(index: int) -> str:
    """Return one of the colors, again from the first when they are used up."""
    return COLORS[index % len(COLORS)]


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return both dictionaries as one, nested ones too; the second takes precedence."""
    out = dict(first)
    for key, value in second.items():
        nested = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if nested else value
    return out


def figure_html(name: str, traces: list[Any], layout: dict[str, Any], height: int) -> str:
    """Return the HTML of one figure, without the script of plotly.

    Parameters
    ----------
    name : str
        What it shows; `figure-NAME` is its id on the page.
    traces : list of plotly traces
        What is drawn.
    layout : dict
        What differs from the layout of all figures.
    height : int
        In pixels.
    """
    figure = go.Figure(traces)
    figure.update_layout(template="none")
    figure.update_layout(merged(_LAYOUT, layout), height=height)
    html = figure.to_html(
        full_html=False, include_plotlyjs=False, config=_CONFIG, div_id=f"figure-{name}",
        default_height=f"{height}px",
    )  # fmt: skip
    label = escape(layout.get("title", layout["xaxis"]["title"])["text"])
    return (
        f'<div class="plot" role="group" aria-label="{label}" style="min-height:{height}px">'
        f"{html}</div>"
    )


def plotly_script() -> str:
    """Return the script of plotly, which a page needs once."""
    return get_plotlyjs()
