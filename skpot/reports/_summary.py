"""What a page says first, in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.elements import SYMBOLS
from ._labels import HEADS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from skpot.typing import FloatArray, IntArray, Structures

    from ._groups import Groups
    from ._labels import Labels

_NAMES = {
    "energy": "energies per atom",
    "forces": "force components",
    "stress": "stress components",
}
_SHORT = 6  # entries of a dictionary in one row of the model card
_MUCH = 0.4  # share of the squared error of one group that is worth a sentence


def number(value: float) -> str:
    """Return three significant digits, without an exponent where that is readable."""
    if value == 0 or not np.isfinite(value):
        return f"{value:.3g}"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{digits}f}" if digits < 7 else f"{value:.2e}"


def percent(share: float) -> str:
    """Return a share in percent, with two digits or as a whole number."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def counted(n: int, what: str) -> str:
    """Return a number and a noun."""
    return f"{n:,}".replace(",", "\u202f") + f" {what}{'' if n == 1 else 's'}"


def what_was_tested(X: Structures, species: IntArray, known: int | None) -> str:
    """Return what the errors are of; `known` structures are in the training set."""
    n_atoms = sum(len(atoms) for atoms in X)
    text = (
        f"Errors of {counted(len(X), 'structure')} with {counted(n_atoms, 'atom')} of "
        f"{', '.join(SYMBOLS[z] for z in species)}"
    )
    if known is None:
        return f"{text}."
    if known == len(X):
        return (
            f"{text}. The model has learned from these very structures: the errors say how well it "
            "fits them, not how good it is on others, and standard deviations cannot be judged."
        )
    if known:
        return (
            f"{text}. {known} of them are also in the training set, so that the errors look "
            "smaller than they would be on new structures; standard deviations are judged on the "
            "others."
        )
    return f"{text}, none of which is in the training set."


def size_of_errors(labels: Labels, X: Structures) -> str:
    """Return how large the errors of one kind of label are, and beside what."""
    size = np.abs(labels.error)
    middle, most = np.quantile(size, [0.5, 0.95])
    unit = labels.error_unit
    text = (
        f"{HEADS[labels.kind]}: half of the {_NAMES[labels.kind]} are within {number(middle)} "
        f"{unit}, 95 % within {number(most)} {unit}; the largest error is {number(size.max())} "
        f"{unit}, in frame {labels.frame[size.argmax()]}."
    )
    spread = _spread(labels, X)
    if spread > 0:
        beyond = " beyond their composition" if labels.kind == "energy" else ""
        text += (
            f" The root mean square error, {number(labels.rmse)} {unit}, is "
            f"{percent(labels.rmse / spread)} of the variation of the labels{beyond}."
        )
    return text


def _spread(labels, X):
    """Return how much labels vary, in the unit of errors; energies as far as elements do not tell.

    Free atoms do not count: beside the energies of bonds any error would look small.
    """
    if labels.kind != "energy":
        return float(np.std(labels.reference))
    labels = labels.take(np.array([len(X[i]) > 1 for i in labels.frame.tolist()]))
    if not len(labels.error):
        return 0.0
    frames = [X[i] for i in labels.frame.tolist()]
    rest = 1000.0 * beyond_composition(labels.reference, frames)
    return float(np.sqrt(np.mean(rest**2))) if np.ptp(rest) > 1e-3 else 0.0


def beyond_composition(per_atom: FloatArray, X: Structures) -> FloatArray:
    """Return energies per atom without what the composition tells, by least squares."""
    species = np.unique(np.concatenate([atoms.numbers for atoms in X]))
    shares = np.array([[np.mean(atoms.numbers == z) for z in species] for atoms in X])
    return per_atom - shares @ np.linalg.lstsq(shares, per_atom, rcond=None)[0]


def where_the_error_is(labels: Labels, groups: Groups) -> str | None:
    """Return which group most of the squared error is in, if that is worth telling."""
    if len(groups) < 2:
        return None
    of_label = groups.of_frame[labels.frame]
    total = float(np.sum(labels.error**2))
    shares = [
        (float(np.sum(labels.error[of_label == name] ** 2)) / (total or 1.0), name)
        for name in groups.names
    ]
    share, name = max(shares)
    part = float(np.mean(of_label == name))
    if share < _MUCH or share < 1.5 * part:
        return None
    return (
        f"{100 * share:.0f} % of the squared error of {labels.kind} comes from the group "
        f"“{name}”, which has {100 * part:.0f} % of these labels."
    )


def beside_training(test: list[Labels], train: list[Labels]) -> list[str]:
    """Return what the ratio of errors on new structures and on the training set means."""
    by_kind = {labels.kind: labels for labels in train}
    texts = []
    for labels in test:
        known = by_kind.get(labels.kind)
        if known is None or not known.rmse > 0:
            continue
        ratio = labels.rmse / known.rmse
        text = (
            f"{HEADS[labels.kind]}: the error here is {ratio:.2g} times that on the training set "
            f"({number(known.rmse)} {labels.error_unit})."
        )
        if ratio > 2.0:
            text += " More training structures like these are the most promising step."
        elif ratio < 0.8:
            text += " These structures are easier than the training set."
        elif ratio < 1.3:
            text += (
                " The model fits its training set no better than new structures: a larger model "
                "or smaller noise may gain more than further data."
            )
        texts.append(text)
    return texts


def what_is_outside(share: float) -> str:
    """Return how many environments the training set does not cover."""
    many = (
        "No environment on the map lies"
        if share == 0
        else f"{percent(share)} of the environments on the map lie"
    )
    return (
        f"{many} further from the training set than 99 % of its own environments lie from each "
        "other." + (" There the model extrapolates." if share else "")
    )


def card_rows(card: Mapping[str, Any], within: str = "") -> list[list[str]]:
    """Return names and values of a model card; short dictionaries share a row."""
    rows = []
    for name, value in card.items():
        name = f"{within}{name}"
        if value in (None, [], {}):
            continue
        if not isinstance(value, dict):
            rows.append([name, _shown(value)])
        elif len(value) > _SHORT or any(isinstance(one, dict) for one in value.values()):
            rows += card_rows(value, f"{name} · ")
        else:
            rows.append([name, "; ".join(f"{key} {_shown(one)}" for key, one in value.items())])
    return rows


def _shown(value):
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)
