"""Distillation: a cheap model fitted to what an expensive one predicts."""

from __future__ import annotations

import copy
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._sklearn import InstanceWith, Interval, validate_params
from ..data import Targets, as_batch, check_structures, summarize
from ..data.elements import SYMBOLS
from ..data.order import canonical_order
from ..exceptions import InputError, InputTypeError
from ..metrics import energy_rmse, forces_rmse, stress_rmse
from ..models import SparseGPR, as_targets

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from skpot.typing import RandomState, Structures

# Predictions have no noise. These levels stand for what a sparse model cannot express of them.
_SIGMA_ENERGY = 2e-4
_SIGMA_FORCES = 0.01
_SIGMA_STRESS = 5e-5


@validate_params(
    {
        "model": [InstanceWith(["predict"])],
        "student": [InstanceWith(["fit", "predict"]), None],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "groups": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def distill(
    model: Pipeline,
    frames: Structures,
    student: BaseEstimator | None = None,
    *,
    test_size: float = 0.1,
    groups: ArrayLike | None = None,
    random_state: RandomState = 0,
) -> Pipeline:
    """Fit a cheap model, the student, to predictions of an expensive one, the teacher.

    An exact model takes longer to evaluate the larger its training set is. A sparse model does
    not, and it can learn from as many structures as the exact model can label, none of which needs
    a reference calculation. What is lost is measured by the errors of the student with respect to
    the teacher, on frames that the student has not learned from.

    Parameters
    ----------
    model : Pipeline
        The fitted teacher, for example a Pipeline that ends in `GPR`.
    frames : list[Atoms]
        Structures like those the student will meet, usually from dynamics with the teacher. Labels
        are not needed and not read.
    student : regressor or Pipeline, default=None
        The model that is fitted. A regressor is put behind the fitted steps of the teacher, so that
        features are computed only once; a Pipeline has its own descriptor. None stands for
        `SparseGPR` with the kernel of the teacher, 1000 references and small noise. If `e0` of the
        student is None, it becomes that of the teacher; so does `baseline` of a regressor.
    test_size : float, default=0.1
        Share of the frames that are held out at random. A frame with a species that no other frame
        has is never held out.
    groups : array-like of shape (n_frames,), default=None
        Name of each frame's group, such as a trajectory; groups are held out as a whole.
    random_state : int, RandomState or None, default=0
        Seed of the choice of frames that are held out.

    Returns
    -------
    student : Pipeline
        The fitted student. Its attribute `distillation_loss_` is a dict of the errors "energy_rmse"
        (eV/atom), and "forces_rmse" (eV/Å) and "stress_rmse" (eV/Å³) if the teacher predicts these.
        Its attribute `distillation_test_` has the indices of the frames that were held out.

    Raises
    ------
    ValueError
        If frames have species that the teacher does not know, or if there are too few frames.

    References
    ----------
    G. Hinton, O. Vinyals, J. Dean, arXiv:1503.02531 (2015).

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, frames, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> teacher = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.GPR()).fit(X[:10], y[:10])
    >>> student = skpot.distill(teacher, frames)
    >>> sorted(student.distillation_loss_)
    ['energy_rmse', 'forces_rmse', 'stress_rmse']
    >>> bool(student.distillation_loss_["forces_rmse"] < 0.05)
    True
    """
    frames = check_structures(frames)
    _refuse_unknown(model[-1] if hasattr(model, "steps") else model, frames)
    train, test = _held_out(frames, test_size, groups, random_state)
    own_features = hasattr(student, "steps")
    if not own_features:
        _require_pipeline(model)
    student = _student(model, student)
    if own_features:
        X, y = frames, _labels(model, frames)
        student.fit([frames[i] for i in train], y[train])
        predicted = student.predict([frames[i] for i in test])
    else:
        X = _features(model, frames)
        y = _labels_of(model[-1], X)
        student[-1].fit(X[train], y[train])
        predicted = student[-1].predict(X[test])
    n_atoms = [len(frames[i]) for i in test]
    student.distillation_loss_ = _loss(y[test], predicted, n_atoms)
    student.distillation_test_ = test
    return student


def _refuse_unknown(teacher, frames):
    """Refuse frames with species that the teacher does not know."""
    if not hasattr(teacher, "e0_"):
        return
    problems = {}
    for i, atoms in enumerate(frames):
        if unknown := {int(z) for z in atoms.numbers} - set(teacher.e0_):
            problems[i] = f"the teacher does not know {', '.join(SYMBOLS[z] for z in unknown)}"
    if problems:
        raise InputError(summarize(problems, len(frames)))


def _held_out(frames, test_size, groups, random_state):
    """Return the indices of the frames to learn from and of those to hold out, ascending."""
    if len(frames) < 2:
        raise InputError(
            f"distillation needs two frames or more, got {len(frames)}: it learns from some and "
            "holds out others."
        )
    grouped = groups is not None
    kind = GroupShuffleSplit if grouped else ShuffleSplit
    check_consistent_length(frames, groups)
    split = kind(1, test_size=test_size, random_state=random_state)
    order = canonical_order(as_batch(frames).keys())
    groups = np.asarray(groups) if grouped else np.arange(len(frames))
    rows = np.zeros(len(frames))
    _, test = next(split.split(rows, groups=groups[order] if grouped else None))
    test = _with_known_species(frames, order[np.sort(test)], groups)
    if not len(test):
        raise InputError(
            "no frame can be held out: each has a species that no other has. Give more frames."
        )
    return np.setdiff1d(np.arange(len(frames)), test), np.sort(test)


def _with_known_species(frames, test, groups):
    """Return the frames to hold out without groups that have a species of their own."""
    species = [set(atoms.numbers.tolist()) for atoms in frames]
    known = set().union(*(species[s] for s in np.setdiff1d(np.arange(len(frames)), test)))
    learned = set()
    for s in test:
        if not species[s] <= known and groups[s] not in learned:
            learned.add(groups[s])
            known.update(*(species[k] for k in np.flatnonzero(groups == groups[s])))
    return np.array([s for s in test if groups[s] not in learned], dtype=np.int64)


def _require_pipeline(model):
    if not hasattr(model, "steps"):
        hint = ": take its best_estimator_" if hasattr(model, "best_estimator_") else ""
        raise InputTypeError(
            "a student that uses the teacher's features needs a Pipeline as teacher, but got "
            f"{type(model).__name__}{hint}. Otherwise give a Pipeline as student."
        )


def _student(model, student):
    """Return an unfitted student; a regressor gets copies of the teacher's fitted steps."""
    teacher = model[-1] if hasattr(model, "steps") else model
    if student is None:
        # The fitted kernel is needed, because its lengths and symmetry may come from the data.
        student = SparseGPR(
            getattr(teacher, "kernel_", None),
            sigma_energy=_SIGMA_ENERGY,
            sigma_forces=_SIGMA_FORCES,
            sigma_stress=_SIGMA_STRESS,
        )
    student = clone(student)
    inherited = {"e0": {SYMBOLS[z]: e for z, e in getattr(teacher, "e0_", {}).items()} or None}
    if not hasattr(student, "steps"):
        inherited["baseline"] = getattr(teacher, "baseline_", None)
        # The steps are copied: another fit of the teacher would change the student's features.
        student = Pipeline([*copy.deepcopy(model.steps[:-1]), ("student", student)])
    last = student[-1]
    for name, value in inherited.items():
        if hasattr(last, name) and getattr(last, name) is None:
            last.set_params(**{name: value})
    return student


def _features(model, frames):
    X = frames
    for _, step in model.steps[:-1]:
        X = X if step in (None, "passthrough") else step.transform(X)
    return X


def _labels(model, frames):
    """Return all that the teacher predicts, with forces even if it learned from energies alone."""
    if hasattr(model, "steps") and hasattr(model[-1], "evaluate"):
        return _labels_of(model[-1], _features(model, frames))
    return model.predict(frames)


def _labels_of(regressor, features):
    check_is_fitted(regressor)
    if not hasattr(regressor, "evaluate"):
        return regressor.predict(features)
    energies, forces, virials = regressor.evaluate(features)
    total = np.add.reduceat(energies, features.offsets[:-1])
    return as_targets(total, features, forces, virials)


def _loss(y, predicted, n_atoms):
    if not isinstance(y, Targets) or not isinstance(predicted, Targets):
        y, predicted = Targets(np.asarray(y)), Targets(np.asarray(predicted))
    loss = {"energy_rmse": energy_rmse(y, predicted, n_atoms=n_atoms)}
    if (y.has_forces & predicted.has_forces).any():
        loss["forces_rmse"] = forces_rmse(y, predicted)
    if (y.has_stress & predicted.has_stress).any():
        loss["stress_rmse"] = stress_rmse(y, predicted)
    return loss
