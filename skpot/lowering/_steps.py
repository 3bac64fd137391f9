"""How each kind of fitted step before the regressor is compiled.

Only `lower_step` decides by the type of a step; `register_step` adds types to it.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from ..compose import PerAtom, PrincipalComponents, SpeciesCoupling
from ..descriptors import PairDescriptor
from ..exceptions import InputError, InputTypeError, NotCompilableError
from ._feature_trees import FeatureTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_NOTHING = None, "passthrough"


@singledispatch
def lower_step(step: Any, tree: FeatureTree | None) -> FeatureTree:
    """Return the `FeatureTree` after a fitted step.

    Parameters
    ----------
    step : estimator
        The fitted step.
    tree : FeatureTree or None
        The features that go into it; None for a step that takes structures.

    Raises
    ------
    NotCompilableError
        If the step has no compiled form.
    """
    raise NotCompilableError(
        f"{type(step).__name__} has no compiled form. These steps have one: descriptors with a "
        "cutoff (SOAP, SymmetryFunctions, PairBasis, TripletBasis, ZBL), PrincipalComponents, "
        "PerAtom with affine transformers, and steps registered by skpot.lowering.register_step."
    )


def register_step(step_type: type, lower: Callable[..., Any]) -> None:
    """Teach `skpot.compile` a step that is a linear map of the features plus a shift.

    Parameters
    ----------
    step_type : type
        Class of a step that takes `AtomicFeatures`, or of a transformer inside `PerAtom` whose
        derivative is registered by `skpot.compose.register_jacobian`. Subclasses are included.
    lower : callable
        A function of the fitted step and of the `FeatureTree` of the features before it, which
        returns the tree after the step. It makes the tree by ``tree.mapped(matrices, shift)``,
        ``tree.scaled(factors, shift)`` and ``tree.selected(columns)``. If it cannot express the
        step, it raises `skpot.exceptions.NotCompilableError`, and the calculator then runs the
        pipeline itself.

    Raises
    ------
    TypeError
        Not here but by `skpot.compile`, if `lower` returns something else.

    Examples
    --------
    >>> from sklearn.decomposition import TruncatedSVD
    >>> from skpot.lowering import register_step
    >>> class Directions(TruncatedSVD):
    ...     pass
    >>> register_step(Directions, lambda step, tree: tree.mapped(step.components_.T))
    """

    def lower_map(step, tree):
        if tree is None or tree.coupling is not None:
            refuse_step(step if tree is None else tree.coupling)
        require_width(step, tree.width)
        after = lower(step, tree)
        if not isinstance(after, FeatureTree):
            raise InputTypeError(
                f"the function registered for {type(step).__name__} by "
                f"skpot.lowering.register_step returned {type(after).__name__}: "
                "it must return the FeatureTree after the step."
            )
        return after

    lower_step.register(step_type, lower_map)


def refuse_step(step: Any) -> None:
    """Raise the error that `lower_step` raises for unknown steps."""
    lower_step.dispatch(object)(step, None)


def require_width(step: Any, width: int) -> None:
    """Refuse a step that was fitted with another number of columns than it gets."""
    if getattr(step, "n_features_in_", width) != width:
        raise InputError(
            f"{type(step).__name__} was fitted with {step.n_features_in_} features but gets "
            f"{width}: was a step before it fitted again on its own? Fit the whole pipeline again."
        )


def lower_steps(steps: Sequence[Any], tree: FeatureTree | None = None) -> FeatureTree:
    """Return the `FeatureTree` after fitted steps, one after the other."""
    for step in steps:
        if step not in _NOTHING:
            tree = lower_step(step, tree)
    if tree is None:
        raise NotCompilableError("there is no descriptor before the regressor.")
    return tree


@lower_step.register
def _(step: FrozenEstimator, tree):
    return lower_step(step.estimator, tree)


@lower_step.register
def _(step: Pipeline, tree):
    return lower_steps([s for _, s in step.steps], tree)


@lower_step.register
def _(step: PairDescriptor, tree):
    if tree is not None:
        refuse_step(step)
    return FeatureTree.of_descriptor(
        step.checked_tables(), step.n_features_out_, step.radius(), step.species_
    )


@lower_step.register
def _(step: FeatureUnion, tree):
    if tree is not None:
        refuse_step(step)
    if step.transformer_weights:
        raise NotCompilableError("FeatureUnion with transformer_weights has no compiled form.")
    parts = [s for _, s in step.transformer_list if s not in (*_NOTHING, "drop")]
    tree, *others = [lower_step(part, None) for part in parts]
    for other in others:
        tree = tree.beside(other)
    return tree


def _principal_components(step, tree):
    return tree.mapped(dict(zip(step.species_.tolist(), step.matrices_, strict=True)))


def _per_atom(step, tree):
    if step.columns_ is not None:
        return tree.selected(step.columns_)
    if step.matrix_ is None:
        return lower_step(step.transformer_, tree)
    shift = step.apply_to_rows(np.zeros((1, step.n_features_in_)))[0]
    link = tree.scaled if step.matrix_.ndim == 1 else tree.mapped
    return link(step.matrix_, shift)


def _species_coupling(step, tree):
    return tree._replace(coupling=step)


register_step(PrincipalComponents, _principal_components)
register_step(PerAtom, _per_atom)
register_step(SpeciesCoupling, _species_coupling)
