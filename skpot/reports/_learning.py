"""Learning curves that a fit has made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import LABEL_KINDS
from ..data.label_errors import GPA
from ._labels import HEADS, UNITS
from ._theme import color, figure_html, go

if TYPE_CHECKING:
    from typing import Any

_SCALES = {"energy": 1000.0, "forces": 1.0, "stress": GPA}


def curve_figures(curves: dict[str, Any]) -> list[str]:
    """Return the HTML of errors over the number of structures, references and so on.

    Parameters
    ----------
    curves : dict of str to dict of str to ndarray
        As `learning_curves_` of `SparseGPRCV`.
    """
    figures = []
    for name, curve in curves.items():
        kinds = [kind for kind in LABEL_KINDS if kind in curve]
        traces = [
            go.Scatter(
                x=np.asarray(curve["number"], dtype=float),
                # Relative to the last, so that all kinds share an axis.
                y=np.asarray(curve[kind]) / curve[kind][-1],
                customdata=_SCALES[kind] * np.asarray(curve[kind]), mode="lines+markers",
                name=f"{HEADS[kind].lower()}, now {_SCALES[kind] * curve[kind][-1]:.3g} "
                f"{UNITS[kind][1]}",
                line={"color": color(k), "width": 2},
                hovertemplate=f"%{{x:.0f}} {name}: %{{customdata:.3g}} {UNITS[kind][1]}",
            )
            for k, kind in enumerate(kinds)
        ]  # fmt: skip
        figures.append(
            figure_html(
                f"curve-{name}",
                traces,
                {
                    "title": {"text": f"Error over the number of {name}"},
                    "xaxis": {"title": {"text": name}, "type": "log"},
                    "yaxis": {"title": {"text": "held-out error, relative to now"}, "type": "log"},
                    "showlegend": True,
                },
                height=400,
            )
        )
    return figures
