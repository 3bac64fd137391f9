"""Summaries of data and tables of errors, narrow enough for 80 columns."""

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skpot.data import LABEL_KINDS, Frames, Targets, check_label_values, check_structures, read
from skpot.data.elements import SYMBOLS
from skpot.data.label_errors import GPA, UNITS
from skpot.exceptions import LabelError, StructureWarning
from skpot.metrics import (
    calibration_error,
    error_correlation,
    errors_and_deviations,
    residual_report,
    summary,
)
from skpot.reports import default_noise

from ._console import reading, say, title, wrapped
from ._splits import free_atoms, numbers_of

if TYPE_CHECKING:
    from pathlib import Path

    from skpot.data import LabelReport
    from skpot.reports import Coverage
    from skpot.typing import Structures

    from ._search import Found

_DISPLAYED = {"energy": (1000.0, 2), "forces": (1.0, 4), "stress": (GPA, 3)}  # factor, digits
_GEOMETRY = {"positions", "numbers"}
_SHOWN = 12  # names of a file
_LOOKED_AT = 1000  # frames whose names are told where there are no labels
_SIGMAS = tuple(f"sigma_{kind}" for kind in LABEL_KINDS)
_HEADS = ("energy meV/atom", "forces eV/Å", "stress GPa")


def read_file(
    paths: "Sequence[Path | str]", keys: dict[str, Any]
) -> "tuple[Structures, Targets, Any]":
    """Read labeled structures from files; also return the report of what was read as labels."""
    names = " ".join(map(str, paths))
    with reading(names):
        X, y, report = read(paths, **keys, return_report=True)
    where = files_of(report)
    with reading(f"{names} ({where})" if where else names), warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)  # commands that compute warn
        if not isinstance(X, Frames):  # which are checked as they are read
            check_structures(X)
            check_label_values(y, X)
    if not (y.has_energy.any() or y.has_forces.any() or y.has_stress.any()):
        raise LabelError(_without_labels(names, X[:_LOOKED_AT]))
    return X, y, report


def files_of(report: "LabelReport") -> str:
    """Return which structures are of which file, if there are several."""
    if len(report.files) < 2:
        return ""
    ends = np.cumsum([n for _, n in report.files])
    return ", ".join(
        f"{end - n}-{end - 1}: {os.path.basename(name)}"
        for end, (name, n) in zip(ends, report.files, strict=True)
        if n
    )


def _without_labels(names, X):
    """Return that there are no labels, and what there is instead."""
    found = sorted({str(key) for atoms in X for key in [*atoms.info, *atoms.arrays]} - _GEOMETRY)
    if not found:
        return f"{names} has no labels: no energies, forces or stress, nor anything else."
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (
        f"{names} has no labels that skpot recognizes as energies, forces or stress. Other names "
        f"in the file are {', '.join(found[:_SHOWN])}{more}; if these are labels, name them, as in "
        "--energy-key NAME --forces-key NAME."
    )


def describe(name: str, X: "Structures", y: "Targets", report: Any = None) -> None:
    """Print what a data set holds and, if there is a report, which labels were read."""
    n_atoms, numbers = numbers_of(X)
    species = np.unique(numbers)
    sizes = f"{n_atoms.min()}" if n_atoms.min() == n_atoms.max() else _range(n_atoms, "d", " to ")
    title(name)
    say(f"  {len(X)} frames of {sizes} atoms, {n_atoms.sum()} atoms in all")
    say(f"  species  {', '.join(SYMBOLS[z] for z in species)}")
    if y.has_energy.any():
        per_atom = (y.energy / n_atoms)[y.has_energy]
        say(f"  energy   {y.has_energy.sum():5d} frames   {_range(per_atom, '.3f')} eV/atom")
    if y.has_forces.any():
        # Atoms without a label have NaN.
        largest = max(np.nanmax(np.abs(p.forces_flat), initial=0.0) for _, p in y.in_parts())
        say(f"  forces   {y.has_forces.sum():5d} frames   components up to {largest:.2f} eV/Å")
    if y.has_stress.any():
        stress = GPA * y.stress[y.has_stress]
        say(f"  stress   {y.has_stress.sum():5d} frames   {_range(stress, '.1f')} GPa")
    if report and (where := files_of(report)):
        say(wrapped(where, "  frames   "))
    for head, uses in (("read", report.used), ("not read", report.unused)) if report else ():
        for use in uses:
            say(wrapped(f"{use.kind}: {use}", f"  {head:9}"))
    kinds = kinds_of(X)
    if kinds is not None:
        names, counts = np.unique(kinds, return_counts=True)
        text = ", ".join(
            f"{k}\xa0{n}" for k, n in zip(names, counts, strict=True)
        )  # not torn apart
        say(wrapped(text, "  kinds    "))


def kinds_of(X: "Structures") -> Any:
    """Return `info["config_type"]` or else `info["kind"]` of each structure.

    None if there are not at least two different ones.
    """
    keys = "config_type", "kind"
    found = [[str(atoms.info.get(key, "none")) for key in keys] for atoms in X]
    for kinds in np.array(found).T:
        if len(np.unique(kinds)) > 1:
            return kinds
    return None


def error_table(parts: Any) -> None:
    """Print RMSE and MAE of energies, forces and stress.

    `parts` maps names to (X, y_true, y_pred). Free atoms are in a row of their own, because their
    energies lie many eV from those of all others. Further rows have the kinds of structures in the
    last part.
    """
    say(f"{'':16}{'frames':>7} " + "".join(f"{head:>17}" for head in _HEADS))
    say(f"{'':24}" + f"{'RMSE':>9}{'MAE':>8}" * 3)
    for name, (X, y_true, y_pred) in parts.items():
        free = free_atoms(X)
        for head, chosen in ((name, ~free), ("  free atoms", free)):
            if chosen.any():
                rows = [X[i] for i in np.flatnonzero(chosen)]
                _error_row(head, rows, y_true[chosen], y_pred[chosen])
    kinds = kinds_of(X)
    if kinds is not None:
        for kind in np.unique(kinds):
            chosen = np.flatnonzero(kinds == kind)
            rows = [X[i] for i in chosen]
            _error_row(f"  {kind}", rows, y_true[chosen], y_pred[chosen])


def _error_row(name, X, y_true, y_pred):
    errors = summary(y_true, y_pred, n_atoms=[len(atoms) for atoms in X])
    cells = []
    for kind, digits in zip(LABEL_KINDS, (2, 4, 3), strict=True):
        if entry := errors.get(kind):
            cells.append(f"{entry['rmse']:9.{digits}f}{entry['mae']:8.{digits}f}")
        else:
            cells.append(f"{'-':>9}{'-':>8}")
    say(f"{name[:16]:16}{len(X):7d} " + "".join(cells))


def residual_table(
    model: Any, X: "Structures", y_true: "Targets", y_pred: "Targets", limit: int = 4
) -> None:
    """Print which labels, species and groups of structures the squared error comes from."""
    y_pred = y_pred if isinstance(y_pred, Targets) else Targets(y_pred)
    sides: Any = [[getattr(y, f"has_{kind}") for kind in LABEL_KINDS] for y in (y_true, y_pred)]
    if not np.logical_and(*sides).any():
        return  # nothing to compare
    regressor = model[-1] if hasattr(model, "steps") else model
    regressor = getattr(regressor, "estimator_", regressor)  # of a calibrated model or committee
    regressor = regressor[-1] if hasattr(regressor, "steps") else regressor
    levels = {name: default_noise(regressor, name.split("_")[1]) for name in _SIGMAS}
    known = {name: level for name, level in levels.items() if level > 0.0}
    report = residual_report(y_true, y_pred, X, groups=kinds_of(X), **known)
    say("where the squared error comes from, in units of the noise")
    for by, head in (("label", "labels"), ("species", "forces on"), ("group", "kinds")):
        parts = [r for r in report if r["by"] == by]
        if len(parts) < 2:
            continue
        text = ", ".join(_share(r, by).replace(" ", "\xa0") for r in parts[:limit])
        rest = f" (and {len(parts) - limit} more)" if len(parts) > limit else ""
        say(wrapped(text + rest, f"  {head:10}"))
    text = ", ".join(
        f"{r['label']}\xa0{r['whitened_rmse']:.2g}" for r in report if r["by"] == "label"
    )
    say(f"  RMSE over noise: {text}".replace("\xa0", " "))


def curve_table(model: Any) -> None:
    """Print what more structures, references or other noise would gain, if the fit knows it."""
    regressor = model[-1] if hasattr(model, "steps") else model
    curves = getattr(regressor, "learning_curves_", None)
    if curves is None:
        return
    say("\nerrors of models that learned from less (RMSE on folds that were held out)")
    for name, curve in curves.items():
        say(f"  {name:16}" + "".join(f"{n:9.0f}" for n in curve["number"]) + "   twice as many")
        for kind, head in zip(LABEL_KINDS, _HEADS, strict=True):
            if kind in curve:
                scale, digits = _DISPLAYED[kind]
                cells = "".join(f"{scale * e:9.{digits}f}" for e in curve[kind])
                say(f"    {head:14}{cells}   {_doubled(curve['number'], curve[kind])}")
    for kind, head in zip(LABEL_KINDS, _HEADS, strict=True):
        means = regressor.cv_results_.get(f"mean_test_neg_{kind}_rmse")
        if means is None or means.argmax() == regressor.best_index_:
            continue
        scale, digits = _DISPLAYED[kind]
        now, best = (-scale * means[k] for k in (regressor.best_index_, means.argmax()))
        params = regressor.cv_results_["params"][means.argmax()].items()
        levels = ", ".join(f"{name}\xa0{value}" for name, value in params)
        text = f"{head} {now:.{digits}f}, but {best:.{digits}f} with {levels}"
        say(wrapped(text, "  ", indent="    "))


def _doubled(numbers, errors):
    """Return the change by twice as many, from the slope between the last two points."""
    slope = np.log(errors[-1] / errors[-2]) / np.log(numbers[-1] / numbers[-2])
    return f"{100.0 * (min(1.0, 2.0**slope) - 1.0):+.0f} % at most"


def _share(record, by):
    """Return name and share of one part of the error."""
    name = {"label": record["label"], "species": record["part"]}.get(by)
    if name is None:
        name = f"{record['part']} {record['label']}"
    return f"{name} {100.0 * record['share']:.0f} %"


def uncertainty_table(X: Any, y_true: "Targets", y_pred: "Targets", std: Any) -> None:
    """Print how well predicted standard deviations of labels agree with errors."""
    from skpot.reports import coverages_of

    columns = [_uncertainty(X, y_true, y_pred, std, kind) for kind in LABEL_KINDS]
    if not any(columns):
        return
    rows = ("median std", "within 1 std (68 %)", "within 2 std (95 %)", "calibration error",
            "rank correlation")  # fmt: skip
    say(f"{'std of labels':24}" + "".join(f"{head:>17}" for head in _HEADS))
    for k, row in enumerate(rows):
        cells = [column[k] if column else "-" for column in columns]
        say(f"{row:24}" + "".join(f"{cell:>17}" for cell in cells))
    advise_on_coverage(coverages_of(y_true, y_pred, std))


def advise_on_coverage(coverages: "list[Coverage]") -> None:
    """Say in words which deviations do not fit the errors, and what helps."""
    off = [found for found in coverages if found.is_off]
    for found in off:
        too_small = found.factor > 1.0
        factor = found.factor if too_small else 1.0 / max(found.factor, 1e-3)
        text = (
            f"{found.kind}: deviations are too {'small' if too_small else 'large'} here, in the "
            f"median by a factor of {factor:.1f} (calibration error "
            f"{found.calibration_error:.2f}; 0.1 is good)."
        )
        say(wrapped(text, "  "))
    if off:
        text = (
            "These structures may be unlike those of the fit: add some of them to it. Or adjust "
            "the deviations to them, in Python: "
            "skpot.CalibratedPotential(sklearn.frozen.FrozenEstimator(model)).fit(X, y)."
        )
        say(wrapped(text, "  "))


def _uncertainty(X, y_true, y_pred, std, kind):
    """Return the cells of the column for one kind of label, or None without such labels."""
    error, deviation = errors_and_deviations(y_true, y_pred, std, kind)
    if not len(error):
        return None
    typical = deviation
    if kind == "energy":
        n_atoms = np.array([len(atoms) for atoms in X])
        typical = deviation / n_atoms[y_true.has_energy & y_pred.has_energy]
    scale, digits = _DISPLAYED[kind]
    shares = [f"{100.0 * np.mean(np.abs(error) <= k * deviation):.0f} %" for k in (1, 2)]
    sides = y_true, y_pred, std
    correlation = error_correlation(*sides, kind=kind)  # NaN of fewer than three labels
    return [
        f"{scale * np.median(typical):.{digits}f}",
        *shares,
        f"{calibration_error(*sides, kind=kind):.3f}",
        "-" if np.isnan(correlation) else f"{correlation:.2f}",
    ]


def search_table(found: "Found", limit: int = 6) -> None:
    """Print the best candidates of a search that was scored by errors."""
    unit, factor = UNITS[found.kind]
    head = f"{found.kind} {unit}".rjust(12)
    scores = factor * found.scores
    errors, spreads = -scores.mean(axis=1), scores.std(axis=1)
    order = np.argsort(errors, kind="stable")
    say(f"{head}{'± folds':>9}   parameters")
    for i in order[:limit]:
        chosen = "  ".join(f"{k.split('__')[-1]}={v}" for k, v in found.params[i].items())
        say(f"{errors[i]:{len(head)}.4f}{spreads[i]:9.4f}   {chosen}")
    if len(order) > limit:
        say(f"{'':24}(and {len(order) - limit} more)")


def _range(values, form, joint=" ... "):
    values = values[np.isfinite(values)]  # what others are is refused in a moment, with its place
    if not len(values):
        return "not finite"
    return f"{np.min(values):{form}}{joint}{np.max(values):{form}}"
