"""How far a run can be trusted: what each logged step shows of it, and where it ends by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError
from ase.data import covalent_radii

from ..core.pairs import closest_squared
from ..data import as_batch

if TYPE_CHECKING:
    from skpot.typing import Atoms

MAX_GRADE = 2.0  # twice the edge of the training set
_NEAR = 3.0  # Å, within which the closest distance is searched first
_FARTHEST = 20.0  # Å, within which it is searched at all
_TOUCHING = 0.6  # share of the sum of covalent radii below which atoms have collided


def largest(atoms: Atoms, name: str) -> float:
    """Return the largest value of an uncertainty of atoms; NaN if the calculator has none."""
    calculator: Any = atoms.calc
    if name not in (*calculator.implemented_properties, *getattr(calculator, "deviations", ())):
        return np.nan
    try:
        value = calculator.get_property(name, atoms)
    except PropertyNotImplementedError:
        return np.nan
    return np.nan if value is None else float(np.max(value))


def closest_distance(atoms: Atoms) -> float:
    """Return the smallest distance of two atoms (Å), infinite if none is within 20 Å."""
    if not np.isfinite(atoms.positions).all():
        return np.nan
    batch = as_batch([atoms], search_follows=True)
    for radius in (_NEAR, _FARTHEST):
        squared = closest_squared(batch.search(radius)[0].vector)
        if np.isfinite(squared):
            return float(np.sqrt(squared))
    return np.inf


def default_limits(model: Any, atoms: Atoms) -> dict[str, float]:
    """Return the limits within which a model can be trusted, as `Guard` takes them.

    The grade must not exceed twice the edge of the training set, where the model has a grade. No
    two atoms may come closer than in the training set, which `ZBL` has seen; without it, than 0.6
    times the smallest sum of covalent radii.

    Parameters
    ----------
    model : estimator
        The fitted model.
    atoms : ase.Atoms
        The atoms of the run, with a calculator of the model.

    Returns
    -------
    dict of str to float
        `min_distance` in Å, and `max_grade` where the model has a grade.

    Examples
    --------
    >>> import skpot
    >>> X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> atoms, model = X_test[0], skpot.make_potential("fast").fit(X[:10], y[:10])
    >>> atoms.calc = skpot.Calculator(model)
    >>> limits = skpot.md.default_limits(model, atoms)
    >>> sorted(limits)
    ['max_grade', 'min_distance']
    >>> guard = skpot.md.Guard(atoms, **limits)
    """
    numbers = np.unique(atoms.numbers)
    limits = {"min_distance": float(2.0 * _TOUCHING * covalent_radii[numbers].min())}
    repulsion = _repulsion(model)
    if repulsion is not None:
        known = np.isin(repulsion.species_, numbers)
        limits["min_distance"] = float(repulsion.outer_[np.ix_(known, known)].min())
    if np.isfinite(largest(atoms, "extrapolation_grade")):
        limits["max_grade"] = MAX_GRADE
    return limits


def _repulsion(model):
    """Return the fitted `ZBL` of a pipeline, or None."""
    for _, step in _parts(model):
        if type(step).__name__ == "ZBL" and hasattr(step, "outer_"):
            return step
    return None


def _parts(model):
    """Yield all steps of a model by name, those of pipelines and unions inside too."""
    inner = getattr(model, "estimator_", None)
    if inner is not None:
        yield from _parts(inner)
    for name, step in (
        *getattr(model, "steps", ()), *getattr(model, "transformer_list", ())
    ):  # fmt: skip
        yield name, step
        yield from _parts(step)
