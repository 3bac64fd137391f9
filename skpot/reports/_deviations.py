"""Whether predicted standard deviations agree with errors: figures, a table and advice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import LABEL_KINDS, Targets
from ..metrics import (
    calibration_error,
    error_correlation,
    errors_and_deviations,
    reliability_curve,
)
from ._labels import HEADS
from ._theme import GRAY, color, figure_html, go

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray

_TOLERATED = 0.1  # calibration error that is called good
_OF_CHANCE = 0.31  # expected calibration error of n independent labels that are right, times √n
_MEDIAN = 0.6745  # of the absolute value of a normal variable of deviation 1

_CALIBRATED = (
    "What to do: these structures may be unlike those that the deviations were calibrated on. Add "
    "some of them to the training set and fit again, or adjust the deviations to them: "
    "skpot.CalibratedPotential(sklearn.frozen.FrozenEstimator(model)).fit(X, y)."
)
_UNCALIBRATED = (
    "What to do: wrap the pipeline in skpot.CalibratedPotential and fit again. It adjusts "
    "deviations to errors on data that are held out, and does not change predictions."
)


class Coverage(NamedTuple):
    """How deviations of one kind of label fit the errors."""

    kind: str
    n_labels: int
    nominal: FloatArray
    observed: FloatArray
    within_one: float  # share of the labels
    within_two: float
    calibration_error: float
    correlation: float
    factor: float  # by which deviations would have to be multiplied

    @property
    def is_off(self) -> bool:
        """Whether coverage is worse than tolerated and than chance explains."""
        return self.calibration_error > max(_TOLERATED, 2 * _OF_CHANCE / np.sqrt(self.n_labels))


def coverages_of(y: Targets, y_pred: Any, std: Targets) -> list[Coverage]:
    """Return the coverage of each kind of label that has deviations."""
    found = []
    for kind in LABEL_KINDS:
        error, deviation = errors_and_deviations(y, y_pred, std, kind)
        known = (deviation > 0) | (error != 0)  # free atoms have neither error nor deviation
        if known.sum() < 2 or not error.any():  # such as forces on free atoms
            continue
        ratio = np.abs(error[known]) / np.maximum(deviation[known], np.finfo(float).tiny)
        found.append(
            Coverage(
                kind,
                int(known.sum()),
                *reliability_curve(y, y_pred, std, kind=kind),
                float(np.mean(ratio <= 1.0)),
                float(np.mean(ratio <= 2.0)),
                calibration_error(y, y_pred, std, kind=kind),
                error_correlation(y, y_pred, std, kind=kind),
                float(np.median(ratio)) / _MEDIAN,
            )
        )
    return found


def advice(coverages: list[Coverage], calibrated: bool) -> list[str]:
    """Return in plain sentences how good deviations are, and what to do if they are off."""
    texts = []
    for found in coverages:
        text = (
            f"{HEADS[found.kind]}: {100 * found.within_one:.0f} % of the errors lie within one "
            "standard deviation; 68 % should. "
        )
        if found.is_off:
            text += (
                f"These deviations are too {'small' if found.factor > 1.0 else 'large'}: about "
                f"{found.factor:.2g} times as much would be right here."
            )
        else:
            text += "These deviations can be taken at their word."
        texts.append(text)
    if any(found.is_off for found in coverages):
        texts.append(_CALIBRATED if calibrated else _UNCALIBRATED)
    return texts


def deviation_figures(coverages: list[Coverage], y: Targets, y_pred: Any, std: Any) -> list[str]:
    """Return the HTML of the curves of coverage and of errors over deviations."""
    line = {"color": GRAY, "width": 1, "dash": "dot"}
    traces = [
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    ]
    relations = []
    for k, found in enumerate(coverages):
        style = {"mode": "lines+markers", "name": HEADS[found.kind].lower(),
                 "line": {"color": color(k), "width": 2}, "marker": {"size": 5}}  # fmt: skip
        traces.append(
            go.Scatter(
                x=found.nominal, y=found.observed,
                hovertemplate="%{y:.0%} of the errors within the interval of %{x:.0%}", **style,
            )
        )  # fmt: skip
        predicted, observed = _binned(*errors_and_deviations(y, y_pred, std, found.kind))
        unit = float(np.sqrt(np.mean(observed**2))) or 1.0  # so that kinds share their axes
        relations.append(
            go.Scatter(
                x=predicted / unit, y=observed / unit,
                hovertemplate="predicted %{x:.2g}, observed %{y:.2g}", **style,
            )
        )  # fmt: skip
    percent = {"tickformat": ".0%", "range": [0, 1], "dtick": 0.25}
    curve = _square(
        "reliability",
        traces,
        "Coverage (dotted: right)",
        ("nominal coverage", "observed coverage"),
        percent,
    )
    values = np.concatenate([np.concatenate([t.x, t.y]) for t in relations])
    ends = [float(values[values > 0].min()) / 1.3, float(values.max()) * 1.3]
    relations.insert(
        0, go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    )
    marks = [m * 10.0**n for n in range(-4, 4) for m in (1, 3)]
    log = {"type": "log", "range": np.log10(ends).tolist(), "tickvals": marks}
    relation = _square(
        "relation",
        relations,
        "Do larger deviations mean larger errors?",
        ("predicted deviation over RMSE of all", "RMSE of such labels over RMSE of all"),
        log,
    )
    return [curve, relation]


def _square(name, traces, title, labels, axis):
    """Return a figure whose axes are alike."""
    x, y = ({"title": {"text": label}, **axis} for label in labels)
    layout = {"title": {"text": title}, "xaxis": x, "yaxis": y, "showlegend": True}
    return figure_html(name, traces, layout, height=400)


def _binned(error, deviation, most=10):
    """Return root mean squares of deviations and errors in bins of equally many labels."""
    order = np.argsort(deviation, kind="stable")
    n = min(most, max(1, len(order) // 5))
    parts = np.array_split(order, n)
    pairs = [[np.sqrt(np.mean(a[part] ** 2)) for a in (deviation, error)] for part in parts]
    pairs = np.array(pairs)
    return pairs[(pairs > 0).all(axis=1)].T


def coverage_rows(coverages: list[Coverage]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table of coverage."""
    head = ["", "within 1 std (68 %)", "within 2 std (95 %)", "calibration error",
            "rank correlation", "right factor"]  # fmt: skip
    rows = [
        [
            HEADS[c.kind], f"{100 * c.within_one:.0f} %", f"{100 * c.within_two:.0f} %",
            f"{c.calibration_error:.3f}", f"{c.correlation:.2f}", f"{c.factor:.2f}",
        ]
        for c in coverages
    ]  # fmt: skip
    return head, rows
