"""Errors of predicted labels. Structures and atoms without a label do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skpot.data._checks import some
from skpot.data._energy_units import GPA
from skpot.data._targets import Targets
from skpot.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from numpy.typing import ArrayLike

    from skpot.data.contracts import TargetsLike
    from skpot.typing import FloatArray, IntArray, Weights

    _Metric = TypeVar("_Metric", bound=Callable[..., float])


def _document(sections: str) -> Callable[[_Metric], _Metric]:
    """Return a decorator that puts sections that metrics share before the examples of one."""

    def decorate(metric):
        if metric.__doc__:  # Python removes docstrings with -OO
            metric.__doc__ = metric.__doc__.replace("Examples\n", f"{sections}Examples\n", 1)
        return metric

    return decorate


_OF_ENERGIES = _document("""Parameters
    ----------
    y_true, y_pred : Targets or array-like of shape (n_structures,)
        Reference and prediction; arrays hold total energies (eV).
    n_atoms : array-like of int of shape (n_structures,), default=None
        Atoms in each structure. By default their number is taken from the forces in `y_true` or
        `y_pred`; if neither has any, the error is that of total energies.
    sample_weight : array-like of shape (n_structures,), default=None
        Weights of the structures.

    Returns
    -------
    error : float
        In eV/atom; in eV if the numbers of atoms are not known.

    """)


def _of_components(kind, unit):
    return _document(f"""Parameters
    ----------
    y_true, y_pred : Targets
        Reference and prediction; structures without {kind} are left out.
    sample_weight : array-like of shape (n_structures,), default=None
        Weights of the structures.

    Returns
    -------
    error : float
        In {unit}.

    """)


_OF_FORCES = _of_components("forces", "eV/Å")
_OF_STRESS = _of_components("stress", "eV/Å³")


@_OF_ENERGIES
def energy_rmse(
    y_true: TargetsLike,
    y_pred: TargetsLike,
    *,
    n_atoms: ArrayLike | None = None,
    sample_weight: Weights = None,
) -> float:
    """Root mean square error of the energies per atom.

    Examples
    --------
    >>> from skpot.metrics import energy_rmse
    >>> energy_rmse([-8.0, -16.0], [-8.2, -16.4], n_atoms=[2, 4])
    0.1
    """
    return _rms(*_energy_errors(y_true, y_pred, n_atoms, sample_weight)[:2])


@_OF_ENERGIES
def energy_mae(
    y_true: TargetsLike,
    y_pred: TargetsLike,
    *,
    n_atoms: ArrayLike | None = None,
    sample_weight: Weights = None,
) -> float:
    """Mean absolute error of the energies per atom.

    Examples
    --------
    >>> from skpot.metrics import energy_mae
    >>> energy_mae([-8.0, -16.0], [-8.2, -16.0], n_atoms=[2, 4])
    0.05
    """
    return _mean_abs(*_energy_errors(y_true, y_pred, n_atoms, sample_weight)[:2])


@_OF_FORCES
def forces_rmse(y_true: Targets, y_pred: Targets, *, sample_weight: Weights = None) -> float:
    """Root mean square error of the force components.

    Examples
    --------
    >>> from skpot import Targets
    >>> from skpot.metrics import forces_rmse
    >>> y_true = Targets([0.0], forces=[[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    >>> y_pred = Targets([0.0], forces=[[[0.1, 0.1, 0.1], [0.1, 0.1, -0.1]]])
    >>> forces_rmse(y_true, y_pred)
    0.1
    """
    return _rms(*_forces_errors(y_true, y_pred, sample_weight))


@_OF_FORCES
def forces_mae(y_true: Targets, y_pred: Targets, *, sample_weight: Weights = None) -> float:
    """Mean absolute error of the force components.

    Examples
    --------
    >>> from skpot import Targets
    >>> from skpot.metrics import forces_mae
    >>> y_true = Targets([0.0], forces=[[[0.0, 0.0, 0.0]]])
    >>> y_pred = Targets([0.0], forces=[[[0.3, 0.0, -0.3]]])
    >>> forces_mae(y_true, y_pred)
    0.2
    """
    return _mean_abs(*_forces_errors(y_true, y_pred, sample_weight))


@_OF_STRESS
def stress_rmse(y_true: Targets, y_pred: Targets, *, sample_weight: Weights = None) -> float:
    """Root mean square error of the six components of the stress.

    Examples
    --------
    >>> from skpot import Targets
    >>> from skpot.metrics import stress_rmse
    >>> y_true = Targets([0.0, 0.0], stress=[[0.01] * 6, None])
    >>> y_pred = Targets([0.0, 0.0], stress=[[0.03] * 6, [0.0] * 6])
    >>> stress_rmse(y_true, y_pred)
    0.02
    """
    return _rms(*_stress_errors(y_true, y_pred, sample_weight))


@_OF_STRESS
def stress_mae(y_true: Targets, y_pred: Targets, *, sample_weight: Weights = None) -> float:
    """Mean absolute error of the six components of the stress.

    Examples
    --------
    >>> from skpot import Targets
    >>> from skpot.metrics import stress_mae
    >>> y_true = Targets([0.0], stress=[[0.0] * 6])
    >>> y_pred = Targets([0.0], stress=[[0.02, -0.02, 0.02, 0.0, 0.0, 0.0]])
    >>> stress_mae(y_true, y_pred)
    0.01
    """
    return _mean_abs(*_stress_errors(y_true, y_pred, sample_weight))


# How tables show errors of each kind, and the factor to that unit.
UNITS = {"energy": ("meV/atom", 1000.0), "forces": ("eV/Å", 1.0), "stress": ("GPa", GPA)}
METRICS = (energy_mae, energy_rmse, forces_mae, forces_rmse, stress_mae, stress_rmse)


def summary(
    y_true: TargetsLike, y_pred: TargetsLike, *, n_atoms: ArrayLike | None = None
) -> dict[str, Any]:
    """Collect the errors of all labels that both sides have, in the units of tables.

    Parameters
    ----------
    y_true, y_pred : Targets or array-like of shape (n_structures,)
        Reference and prediction.
    n_atoms : array-like of int of shape (n_structures,), default=None
        As in `energy_rmse`.

    Returns
    -------
    errors : dict of str to dict
        For each of "energy", "forces" and "stress" that can be compared: "rmse", "mae", "count"
        (structures; for forces atoms) and "unit": meV/atom, or meV if the numbers of atoms are not
        known; eV/Å; GPa.

    Examples
    --------
    >>> from skpot.metrics import summary
    >>> summary([-8.0, -16.0], [-8.2, -16.4], n_atoms=[2, 4])["energy"]
    {'rmse': 100.0, 'mae': 100.0, 'count': 2, 'unit': 'meV/atom'}
    """
    y_true, y_pred = aligned_targets(y_true, y_pred)
    errors = {}
    if (y_true.has_energy & y_pred.has_energy).any():
        error, weight, per_atom = _energy_errors(y_true, y_pred, n_atoms, None)
        errors["energy"] = _entry("energy", 1, error, weight)
        errors["energy"]["unit"] = errors["energy"]["unit"] if per_atom else "meV"
    if (y_true.has_forces & y_pred.has_forces).any():
        errors["forces"] = _entry("forces", 3, *_forces_errors(y_true, y_pred, None))
    if (y_true.has_stress & y_pred.has_stress).any():
        errors["stress"] = _entry("stress", 6, *_stress_errors(y_true, y_pred, None))
    return errors


def _entry(kind, n_components, error, weight):
    unit, factor = UNITS[kind]
    return {
        "rmse": _rms(factor * error, weight),
        "mae": _mean_abs(factor * error, weight),
        "count": len(error) // n_components,
        "unit": unit,
    }


def _rms(error, weight):
    return float(np.sqrt(np.average(error**2, weights=weight)))


def _mean_abs(error, weight):
    return float(np.average(np.abs(error), weights=weight))


def aligned_targets(y_true: TargetsLike, y_pred: TargetsLike) -> list[Targets]:
    """Return both sides as `Targets`, or refuse different numbers of structures."""
    sides = [y if isinstance(y, Targets) else Targets(y) for y in (y_true, y_pred)]
    if len(sides[0]) != len(sides[1]):
        raise InputError(f"y_true has {len(sides[0])} structures, y_pred has {len(sides[1])}.")
    return sides


def _common(y_true, y_pred, kind):
    """Return which structures have labels of a kind on both sides."""
    for name, y in (("y_true", y_true), ("y_pred", y_pred)):
        if not getattr(y, f"has_{kind}").any():
            reason = ""
            if name == "y_pred" and kind != "energy":
                reason = (
                    " A regressor predicts the kinds of labels that it was fitted to: pass Targets "
                    "with them to fit, use features with derivatives, and no meta-estimator that "
                    "takes the energies only."
                )
            raise InputError(f"{name} has no {kind} to compare.{reason}")
    common = getattr(y_true, f"has_{kind}") & getattr(y_pred, f"has_{kind}")
    if not common.any():
        raise InputError(f"no structure has {kind} in both y_true and y_pred.")
    return common


def _weights(sample_weight, n):
    if sample_weight is None:
        return np.ones(n)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n,):
        raise InputError(
            f"sample_weight has shape {weight.shape}, but must have one weight for "
            f"each of {n} structures."
        )
    return weight


def finite_errors(error: FloatArray, kind: str, owners: IntArray) -> Any:
    """Return errors if all are finite; `owners` has the structure of each row."""
    bad = ~np.isfinite(error.reshape(len(owners), -1)).all(axis=1)
    if bad.any():
        where = some(np.unique(owners[bad]))
        raise InputError(f"{kind} of y_true or y_pred hold NaN or infinity: structures {where}.")
    return error


def atom_counts(
    y_true: Targets, y_pred: Targets, n_atoms: ArrayLike | None, common: Any
) -> IntArray | None:
    """Return the number of atoms of each structure, or None if it is not known."""
    known = [np.diff(y.force_offsets) for y in (y_true, y_pred)]
    if n_atoms is not None:
        given = np.asarray(n_atoms, dtype=np.int64)
        if given.shape != (len(y_true),) or (given < 1).any():
            raise InputError(f"n_atoms must be {len(y_true)} positive numbers, got {n_atoms!r}")
        known.append(given)
    sizes = np.max(known, axis=0)
    for other in known:
        if (wrong := np.flatnonzero((other > 0) & (other != sizes))).size:
            i = wrong[0]
            raise InputError(
                f"structure {i} has {other[i]} atoms in one of y_true, y_pred and n_atoms and "
                f"{sizes[i]} in another; are they in the same order?"
            )
    if not sizes.any():
        return None
    if (missing := np.flatnonzero(common & (sizes == 0))).size:
        raise InputError(
            f"the number of atoms of structures {some(missing)} is not known, as they have no "
            "forces: pass n_atoms."
        )
    return sizes


def _energy_errors(y_true, y_pred, n_atoms, sample_weight):
    """Return errors and weights of structures, and whether the errors are per atom."""
    y_true, y_pred = aligned_targets(y_true, y_pred)
    common = _common(y_true, y_pred, "energy")
    error = (y_true.energy - y_pred.energy)[common]
    sizes = atom_counts(y_true, y_pred, n_atoms, common)
    if sizes is not None:
        error = error / sizes[common]
    weight = _weights(sample_weight, len(y_true))[common]
    return finite_errors(error, "energies", np.flatnonzero(common)), weight, sizes is not None


def _forces_errors(y_true, y_pred, sample_weight):
    """Return errors and weights of components."""
    y_true, y_pred = aligned_targets(y_true, y_pred)
    common = _common(y_true, y_pred, "forces")
    sizes = atom_counts(y_true, y_pred, None, common)  # also refuses different numbers of atoms
    weight = np.repeat(_weights(sample_weight, len(y_true))[common], 3 * sizes[common])
    error = y_true[common].forces_flat - y_pred[common].forces_flat
    known = ~np.isnan(y_true[common].forces_flat).all(axis=1)  # other atoms have no label
    owners = np.repeat(np.flatnonzero(common), sizes[common])[known]
    weight = weight.reshape(-1, 3)[known].ravel()
    return finite_errors(error[known], "forces", owners).ravel(), weight


def _stress_errors(y_true, y_pred, sample_weight):
    """Return errors and weights of components."""
    y_true, y_pred = aligned_targets(y_true, y_pred)
    common = _common(y_true, y_pred, "stress")
    weight = np.repeat(_weights(sample_weight, len(y_true))[common], 6)
    error = y_true.stress[common] - y_pred.stress[common]
    return finite_errors(error, "stresses", np.flatnonzero(common)).ravel(), weight
