"""One page about the errors of a model."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import estimator_html_repr

import skpot

from ..persistence import whole_file
from ._costs import cost_rows
from ._coverage import ENVIRONMENTS, environments_of, map_figures, share_outside
from ._deviations import advice, coverage_rows, coverages_of, deviation_figures
from ._errors import POINTS, error_figures
from ._labels import HEADS
from ._learning import curve_figures
from ._page import Page, bullets, grid, note, paragraphs, table, tiles
from ._predictions import is_calibrated
from ._sections import controls, distance_section, error_table, picture, species_key
from ._subject import subject_of
from ._summary import (
    beside_training,
    card_rows,
    number,
    size_of_errors,
    what_is_outside,
    what_was_tested,
    where_the_error_is,
)
from ._theme import require_plotly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from skpot.data import Targets
    from skpot.data.contracts import TargetsLike
    from skpot.typing import ArrayLike, PathLike, Structures

_PICTURES = 6


def write_report(
    path: PathLike,
    model: Any,
    X: Structures,
    y: TargetsLike,
    *,
    X_train: Structures | None = None,
    y_train: TargetsLike | None = None,
    groups: ArrayLike | None = None,
    y_pred: TargetsLike | None = None,
    std: Targets | None = None,
    card: Mapping[str, Any] | None = None,
    title: str = "Errors of a potential",
) -> None:
    """Write one HTML page about the errors of a model, which opens without a network.

    It shows predictions beside labels, errors by group and species, how well standard deviations
    fit the errors, learning curves if the fit has made some, the worst structures with the errors
    of their forces, which environments and distances the training set covers, and costs. What it
    all means is said first, in plain sentences.

    Parameters
    ----------
    path : str or Path
        File to write; an existing one is replaced.
    model : estimator
        A fitted pipeline from structures to energies, forces and stress.
    X : list[Atoms]
        Structures, best those that the model has not learned from.
    y : Targets or array-like of shape (n_structures,)
        Their labels, in eV, eV/Å and eV/Å³.
    X_train : list[Atoms], optional
        The structures that the model has learned from. With them the page shows what they cover,
        and says which of X are among them.
    y_train : Targets or array-like of shape (n_training_structures,), optional
        Their labels. With them the page also has the errors on the training set.
    groups : array-like of str of shape (n_structures,), optional
        Group of each structure in X, by which figures are colored and filtered. The default is
        ``info["config_type"]``, else the groups of `y`.
    y_pred : Targets or array-like of shape (n_structures,), optional
        Predictions of X, if they are known already, which saves their time.
    std : Targets, optional
        Standard deviations of labels that belong to `y_pred`, as `predict_with_std` returns them.
    card : dict, optional
        What is known about the model, as `skpot.persistence.read_card` returns it.
    title : str, default="Errors of a potential"
        Heading of the page.

    Raises
    ------
    MissingDependencyError
        If plotly is not installed. It is an `ImportError`.
    ValueError
        If lengths differ, or there is no label to compare with.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import skpot, tempfile
    >>> data = skpot.datasets.load_silicon()
    >>> model = skpot.make_potential("fast").fit(data.X[:12], data.y[:12])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/report.html"
    ...     X, y = data.X_test[:4], data.y_test[:4]
    ...     skpot.reports.write_report(path, model, X, y, X_train=data.X[:12])
    ...     "none of which is in the training set" in open(path, encoding="utf-8").read()
    True
    """
    require_plotly()
    subject = subject_of(model, X, y, X_train, y_train, groups, y_pred, std)
    page = Page(title, f"Written by skpot {skpot.__version__} on {date.today()}.")
    sides = subject.deviations()
    coverages = [] if sides is None else coverages_of(*sides)
    here, there, outside = _environments(subject)
    _add_summary(page, subject, coverages, outside)
    _add_errors(page, subject)
    if coverages:
        _add_deviations(page, coverages, sides)
    curves = getattr(subject.regressor, "learning_curves_", None)
    if curves:
        page.section(
            "learning", "Learning curves",
            paragraphs(["How the errors on held-out folds fall as the model learns from more."]),
            grid(curve_figures(curves)),
        )  # fmt: skip
    _add_pictures(page, subject)
    if here is not None:
        _add_map(page, subject, here, there)
    page.section("distances", "Distances", distance_section(subject.X, subject.X_train))
    costs = cost_rows(subject.model, subject.X, subject.std is not None)
    page.section("cost", "Cost", table([], costs))
    if card:
        page.section("card", "Model card", table([], card_rows(card)))
    page.section("model", "Model", f'<div class="model">{estimator_html_repr(model)}</div>')
    with whole_file(path) as file:
        file.write(page.html(controls(subject.groups)).encode())


def _environments(subject):
    """Return features of environments here and in the training set, and the share outside."""
    here = environments_of(subject.model, subject.X)
    if here is None or subject.X_train is None:
        return here, None, None
    there = environments_of(subject.model, subject.X_train)
    return here, there, share_outside(there, here)


def _add_summary(page, subject, coverages, outside):
    species = np.unique(np.concatenate([atoms.numbers for atoms in subject.X]))
    meaning = [where_the_error_is(part, subject.groups) for part in subject.labels]
    if not subject.all_known():  # else there is nothing to compare with
        if subject.labels_train is not None:
            meaning += beside_training(*subject.without_free_atoms())
        if outside is not None:
            meaning.append(what_is_outside(outside))
    calibrated = is_calibrated(subject.regressor)
    parts = {
        "How large the errors are": [size_of_errors(part, subject.X) for part in subject.labels],
        "What they mean": [text for text in meaning if text],
        "Standard deviations": advice(coverages, calibrated),
    }
    entries = [
        (f"{HEADS[part.kind]}, RMSE", f"{number(part.rmse)} {part.error_unit}",
         f"MAE {number(part.mae)}")
        for part in subject.labels
    ]  # fmt: skip
    entries += [
        (f"{HEADS[c.kind]} within 1 std", f"{100 * c.within_one:.0f} %",
         "off: 68 % is right" if c.is_off else "good: 68 % is right")
        for c in coverages
    ]  # fmt: skip
    text = paragraphs([what_was_tested(subject.X, species, subject.n_known())])
    told = [f"<h3>{head}</h3>{bullets(texts)}" for head, texts in parts.items() if texts]
    page.section("summary", "Summary", text, tiles(entries), *told)


def _add_errors(page, subject):
    page.section(
        "errors", "Errors", error_table(subject.labels, subject.groups, subject.labels_train)
    )
    for part in subject.labels:
        remarks = ""
        if len(part.error) > POINTS:
            remarks = note(
                f"Of {len(part.error)} labels, about {POINTS} are drawn as points, evenly spaced "
                "when sorted by error in each group, the largest errors included. Tables, "
                "distributions and sentences count all labels."
            )
        remarks += note(
            "The outermost bars of the distribution hold all errors beyond. A click on a name "
            "shows one group alone; further clicks add groups."
            if len(subject.groups) > 1
            else "The outermost bars of the distribution hold all errors beyond."
        )
        figures = grid(error_figures(part, subject.groups))
        page.section(part.kind, HEADS[part.kind], figures, remarks)


def _add_deviations(page, coverages, sides):
    figures = deviation_figures(coverages, *sides)
    page.section(
        "reliability", "Reliability of standard deviations",
        paragraphs(
            ["Standard deviations of labels include their noise. An interval of nominal coverage "
             "90 % should hold 90 % of the labels; above the dotted line deviations are too "
             "large, below it too small."]
        ),
        grid(figures), table(*coverage_rows(coverages)),
    )  # fmt: skip


def _add_pictures(page, subject):
    errors = subject.force_errors()
    if errors is not None:
        sizes = [np.nan_to_num(np.linalg.norm(e, axis=1)) for e in errors]
        worst = np.array([size.max() for size in sizes])
        text = (
            "Structures with the largest error of the force on one atom, which has a red edge. "
            "Arrows show predicted minus reference force; that of this atom has the length "
            "in the caption. Of periodic structures, the surroundings of the atom are drawn."
        )
    else:
        part = next(p for p in subject.labels if p.kind != "forces")
        sizes, worst = None, np.zeros(len(subject.X))
        np.maximum.at(worst, part.frame, np.abs(part.error))
        text = f"Structures with the largest errors of {part.kind}."
    order = np.argsort(-worst, kind="stable")[:_PICTURES]
    pictures = []
    for i in order[worst[order] > 0]:
        center, unit = 0, "eV/Å" if sizes is not None else part.error_unit
        caption = f"error {number(worst[i])} {unit}."
        if sizes is not None:
            center = int(sizes[i].argmax())
            symbol = subject.X[i].get_chemical_symbols()[center]
            caption = f"error {number(worst[i])} {unit} on atom {center} ({symbol})."
        error = None if errors is None else errors[i]
        pictures.append(
            picture(subject.X, int(i), error, center, caption, subject.groups, subject.species)
        )
    page.section(
        "worst", "Worst structures", paragraphs([text]),
        f'<div class="pictures">{"".join(pictures)}</div>', species_key(subject.species),
    )  # fmt: skip


def _add_map(page, subject, here, there):
    errors = subject.force_errors()
    size = None
    if errors is not None:
        size = np.array([
            np.linalg.norm(errors[f][a]) for f, a in zip(here.frame, here.atom, strict=True)
        ])  # fmt: skip
    figures = map_figures(there, here, size, subject.species)
    if figures:
        page.section(
            "map", "Map of environments",
            paragraphs(
                ["Each point is an atom with its neighbors; near points look alike to the model. "
                 "Axes are the two directions in which the features vary most."]
                + (["Points far from the gray ones are unlike anything in the training set."]
                   if there is not None else [])
            ),
            grid(figures),
            note(f"At most {ENVIRONMENTS} environments of each side are drawn, evenly spaced."),
        )  # fmt: skip
