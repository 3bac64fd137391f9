"""What a page about a model is made of, checked and computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from ..data import LABEL_KINDS, Targets, as_batch, check_structures
from ..exceptions import InputError
from ._groups import groups_of
from ._labels import labels_of
from ._predictions import predict_with_std, regressor_of

if TYPE_CHECKING:
    from typing import Any

    from skpot.data.contracts import TargetsLike
    from skpot.typing import ArrayLike, BoolArray, FloatArray, IntArray, Structures

    from ._groups import Groups
    from ._labels import Labels


class Subject(NamedTuple):
    """A model, structures with labels and predictions, and its training set if that is known."""

    model: Any
    X: Structures
    y: Targets
    y_pred: Any
    std: Targets | None  # of labels, with their noise
    labels: list[Labels]
    groups: Groups
    species: IntArray  # atomic numbers of X and of the training set
    X_train: Structures | None
    labels_train: list[Labels] | None
    known: BoolArray | None  # which of X are in the training set

    @property
    def regressor(self) -> Any:
        """The last step of the model."""
        return regressor_of(self.model)

    def n_known(self) -> int | None:
        """Return how many of the structures are in the training set; None if it is not known."""
        return None if self.known is None else int(self.known.sum())

    def all_known(self) -> bool:
        """Return whether the model has learned from all of the structures."""
        return self.known is not None and bool(self.known.all())

    def deviations(self) -> tuple[Any, Any, Any] | None:
        """Return labels, predictions and deviations of structures outside the training set.

        None if there are no deviations or no such structures. On what a model has learned from,
        errors are smaller than the deviations say.
        """
        if self.std is None or self.all_known():
            return None
        rows = np.arange(len(self.X)) if self.known is None else np.flatnonzero(~self.known)
        return self.y[rows], self.y_pred[rows], self.std[rows]

    def without_free_atoms(self) -> tuple[list[Labels], list[Labels]]:
        """Return labels of structures of several atoms, here and in the training set.

        The few energies of free atoms are fitted apart, and may have errors of their own.
        """
        sides = []
        for X, labels in ((self.X, self.labels), (self.X_train, self.labels_train)):
            several = np.array([len(atoms) > 1 for atoms in X])
            parts = [part.take(several[part.frame]) for part in labels]
            sides.append([part for part in parts if len(part.error)])
        return sides[0], sides[1]

    def force_errors(self) -> list[FloatArray] | None:
        """Return the errors of forces (n_atoms, 3) of each structure, NaN where unknown."""
        forces = next((part for part in self.labels if part.kind == "forces"), None)
        if forces is None:
            return None
        first = np.cumsum([0, *(len(atoms) for atoms in self.X)])
        flat = np.full((first[-1], 3), np.nan)
        flat[first[forces.frame] + forces.atom, forces.component] = forces.error
        return [flat[i:j] for i, j in zip(first[:-1], first[1:], strict=True)]


def subject_of(
    model: Any,
    X: Structures,
    y: TargetsLike,
    X_train: Structures | None,
    y_train: TargetsLike | None,
    groups: ArrayLike | None,
    y_pred: Any,
    std: Any,
) -> Subject:
    """Check the arguments of `write_report` and predict."""
    model = getattr(model, "best_estimator_", model)  # of a search
    check_is_fitted(regressor_of(model))
    X = check_structures(X)
    y = y if isinstance(y, Targets) else Targets(y)
    check_consistent_length(X, y)
    labels_train = None
    if X_train is not None:
        X_train = check_structures(X_train)
        if y_train is not None:
            y_train = y_train if isinstance(y_train, Targets) else Targets(y_train)
            check_consistent_length(X_train, y_train)
            labels_train = labels_of(X_train, y_train, model.predict(X_train))
    elif y_train is not None:
        raise InputError("y_train was given without X_train, the structures it belongs to.")
    by_group = groups_of(X, y, groups)
    known = None
    if X_train is not None:
        known = np.isin(as_batch(X).keys(), as_batch(X_train).keys())
    if y_pred is None and known is not None and known.all():
        y_pred = model.predict(X)  # deviations, which take long, could not be judged
    elif y_pred is None:
        y_pred, std = predict_with_std(model, X)
    check_consistent_length(X, y_pred, std)
    labels = labels_of(X, y, y_pred)
    if not labels:
        raise InputError(
            "y has no label that the model predicts, so there is nothing to report; labels are "
            f"any of {', '.join(LABEL_KINDS)}."
        )
    species = np.unique(np.concatenate([atoms.numbers for atoms in [*X, *(X_train or [])]]))
    return Subject(
        model, X, y, y_pred, std, labels, by_group, species, X_train, labels_train, known
    )
