"""The story of a run that labeled by itself, as a page."""

from __future__ import annotations

import textwrap
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

import skpot

from ..persistence import whole_file
from ._page import Page, grid, paragraphs, table, tiles
from ._summary import number
from ._theme import RED, color, figure_html, go, require_plotly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.typing import FloatArray, PathLike, Structures

_LISTED = 200  # labels in the table at most
_WORDS = 55  # characters at most of why a label failed; the trail has all of it


def write_run_report(
    path: PathLike,
    frames: Structures,
    checks: Sequence[dict[str, Any]],
    tolerance: float,
    title: str = "A run that labels by itself",
) -> None:
    """Write the page about a run of `skpot.active.OnTheFly`.

    It shows when labels were paid for and why, how large errors were against what was expected, and
    temperature, expected errors and closest distances along the run.

    Parameters
    ----------
    path : str or Path
        The page (.html). It needs no network.
    frames : list[Atoms]
        The audit trail, `trail.xyz` of the run.
    checks : list of dict
        What the checks saw, the lines of `checks.jsonl`.
    tolerance : float
        Of the run, in eV/Å.
    title : str
        Heading of the page.

    Raises
    ------
    MissingDependencyError
        If plotly is not installed.
    """
    require_plotly()
    page = Page(title, f"Written by skpot {skpot.__version__} on {date.today()}.")
    page.section("summary", "Summary", *_summary(frames, checks, tolerance))
    figures = _along_the_run(frames, checks, tolerance) if checks else []
    if figures:
        page.section("run", "Along the run", grid(figures))
    known = [atoms for atoms in frames if "largest_error" in atoms.info]
    if known:
        page.section(
            "errors", "Errors against what was expected", grid([_errors(known, tolerance)])
        )
    page.section("labels", "Labels and their reasons", _table(frames))
    with whole_file(path) as file:
        file.write(page.html().encode())


def _summary(frames, checks, tolerance):
    failed = sum("failed" in atoms.info for atoms in frames)
    asked = [atoms for atoms in frames if atoms.info.get("reason") != "start"]
    hot = max((check["temperature"] for check in checks), default=float("nan"))
    trusted = np.mean([check["expected"] <= tolerance for check in checks]) if checks else np.nan
    models = 1 + max((check["model"] for check in checks), default=-1)
    text = (
        f"The run paid for {len(frames)} labels, {len(frames) - len(asked)} of them before it "
        f"began and {failed} of which failed, and made {models} models. "
    )
    if checks:
        text += (
            f"In {100 * trusted:.0f} % of {len(checks)} checks the expected error of the worst "
            f"force was within the tolerance of {tolerance:g} eV/Å."
        )
    return paragraphs([text]), tiles(
        [
            ("Labels", f"{len(frames)}", f"{failed} failed"),
            ("Models", f"{models}", "one after each label or batch"),
            ("Trusted checks", f"{100 * trusted:.0f} %" if checks else "–", f"of {len(checks)}"),
            ("Hottest", f"{hot:.0f} K" if checks else "–", "at a check"),
        ]
    )


def _places(checks, legs, steps) -> FloatArray:
    """Return steps counted over all legs."""
    ends: dict[int, int] = {}
    for check in checks:
        ends[check["leg"]] = max(ends.get(check["leg"], 0), check["step"])
    begin = {leg: sum(end for k, end in ends.items() if k < leg) for leg in ends}
    return np.array([begin.get(leg, 0) + step for leg, step in zip(legs, steps, strict=True)])


def _along_the_run(frames, checks, tolerance):
    x = _places(checks, [c["leg"] for c in checks], [c["step"] for c in checks])
    asked = [a for a in frames if a.info.get("reason") != "start"]
    at = _places(checks, [a.info["leg"] for a in asked], [a.info["step"] for a in asked])
    n_start = len(frames) - len(asked)
    counts = go.Scatter(
        x=[0, *at], y=[n_start, *(n_start + 1 + np.arange(len(at)))], mode="lines+markers",
        line={"shape": "hv", "color": color(0)},
        text=["start", *(a.info["reason"] for a in asked)],
        hovertemplate="%{y} labels at step %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    return [
        _figure("labels", "Labels over steps", [counts], "labels"),
        _figure(
            "expected", "Expected error of the worst force", [_line(x, checks, "expected", 0)],
            "eV/Å", shapes=[_level(tolerance), _level(2.0 * tolerance)], log=True,
        ),
        _figure("temperature", "Temperature", [_line(x, checks, "temperature", 1)], "K"),
        _figure("closest", "Closest distance", [_line(x, checks, "closest", 2)], "Å"),
    ]  # fmt: skip


def _line(x, checks, name, k):
    y = [check[name] for check in checks]
    mode = "lines" if len(checks) > 1 else "markers"  # a line through one point is not seen
    return go.Scatter(x=x, y=y, mode=mode, line={"color": color(k), "width": 1.5})


def _level(y):
    return {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y,
        "line": {"color": RED, "width": 1, "dash": "dot"},
    }  # fmt: skip


def _figure(name, heading, traces, unit, shapes=(), log=False):
    layout = {
        "title": {"text": heading},
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {"title": {"text": unit}, "type": "log" if log else "linear"},
        "shapes": list(shapes),
    }
    return figure_html(name, traces, layout, height=320)


def _errors(frames, tolerance):
    expected = np.array([atoms.info.get("expected", np.nan) for atoms in frames])
    errors = np.array([atoms.info["largest_error"] for atoms in frames])
    both = np.concatenate([expected[np.isfinite(expected)], errors, [tolerance]])
    ends = [0.8 * both.min(), 1.2 * both.max()]
    traces = [
        go.Scatter(
            x=expected, y=errors, mode="markers", marker={"color": color(0), "size": 8},
            text=[f"label {atoms.info['number']}" for atoms in frames],
            hovertemplate="%{text}: expected %{x:.3g}, error %{y:.3g} eV/Å<extra></extra>",
        ),
        go.Scatter(x=ends, y=ends, mode="lines", line={"color": RED, "dash": "dot", "width": 1}),
    ]  # fmt: skip
    layout = {
        "title": {"text": "Largest error of a force, by label"},
        "xaxis": {"title": {"text": "expected (eV/Å)"}, "type": "log"},
        "yaxis": {"title": {"text": "found (eV/Å)"}, "type": "log"},
    }
    return figure_html("errors", traces, layout, height=360)


def _table(frames):
    head = ["label", "leg", "step", "K", "reason", "model", "expected (eV/Å)", "error (eV/Å)"]
    rows = []
    for atoms in frames[:_LISTED]:
        info = atoms.info
        failed = textwrap.shorten(str(info.get("failed", "")), _WORDS, placeholder=" …")
        error = failed or _told(info.get("largest_error"))
        rows.append(
            [
                f"{info['number']}", f"{info['leg']}", f"{info['step']}",
                f"{info.get('temperature', 0.0):.0f}", info["reason"], f"{info['model']}",
                _told(info.get("expected")), error,
            ]
        )  # fmt: skip
    more = len(frames) - len(rows)
    return table(head, rows) + (paragraphs([f"{more} more are in trail.xyz."]) if more else "")


def _told(value):
    return "–" if value is None else number(float(value))
