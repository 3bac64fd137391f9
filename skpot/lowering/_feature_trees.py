"""Fitted steps before the regressor as what `skpot.core.feature_rows` evaluates."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from ..compose import PerAtom, PrincipalComponents
from ..core.feature_rows import Beside, Leaf, Mapped, Selected, matrices
from ..data.origin import Origin, joined, refuse_other_origin
from ..descriptors import PairDescriptor
from ..exceptions import InputError, NotCompilableError


class FeatureTree(NamedTuple):
    """Raw columns and the scaling that ends them: scale * column + shift."""

    node: tuple  # of core.feature_rows
    width: int
    cutoff: float  # Å
    species: np.ndarray  # (n_species,) atomic numbers, ascending
    scale: np.ndarray  # (width,)
    shift: np.ndarray  # (width,)


def feature_tree(step):
    """Return the `FeatureTree` of a fitted descriptor, pipeline or union of them.

    Raises
    ------
    NotCompilableError
        If a step is neither a descriptor of neighbourhoods nor an affine map of its rows.
    """
    if isinstance(step, FrozenEstimator):
        return feature_tree(step.estimator)
    if isinstance(step, PairDescriptor):
        width = step.n_features_out_
        leaf = Leaf(step._tables(), width)
        return FeatureTree(
            leaf, width, step._radius(), step.species_, np.ones(width), np.zeros(width)
        )
    if isinstance(step, Pipeline):
        return mapped_tree([s for _, s in step.steps])
    if isinstance(step, FeatureUnion):
        return _union(step)
    raise _refusal(step)


def origin_of(steps):
    """Return the `Origin` of what fitted steps make, one after the other; None if not known.

    Raises
    ------
    InputError
        If a step was fitted on features that the steps before it do not make any more.
    """
    origin = None
    for step in map(_thawed, steps):
        if step in (None, "passthrough"):
            continue
        refuse_other_origin(step, SimpleNamespace(origin=origin))
        origin = _made_by(step)
    return origin


def _made_by(step):
    if isinstance(step, Pipeline):
        return origin_of([s for _, s in step.steps])
    if isinstance(step, FeatureUnion):
        parts = [s for _, s in step.transformer_list if s not in (None, "drop", "passthrough")]
        return joined("beside", [origin_of([part]) for part in parts])
    made = getattr(step, "origin_", None)
    return made and Origin(*made)


def mapped_tree(steps):
    """Return the `FeatureTree` of a descriptor and the maps of its rows that follow."""
    steps = [s for s in map(_thawed, steps) if s not in (None, "passthrough")]
    if not steps:
        raise NotCompilableError("there is no descriptor before the regressor.")
    tree = feature_tree(steps[0])
    for step in steps[1:]:
        tree = _map(tree, step)
    return tree


def _thawed(step):
    return step.estimator if isinstance(step, FrozenEstimator) else step


def _refusal(step):
    return NotCompilableError(
        f"{type(step).__name__} has no compiled form. Descriptors of neighbourhoods (SOAP, "
        "SymmetryFunctions, PairBasis, TripletBasis, ZBL), PrincipalComponents, and PerAtom with "
        "affine transformers have."
    )


def _union(union):
    if union.transformer_weights:
        raise NotCompilableError("FeatureUnion with transformer_weights has no compiled form.")
    parts = [s for _, s in union.transformer_list if s not in (None, "drop", "passthrough")]
    tree = feature_tree(parts[0])
    for part in parts[1:]:
        other = feature_tree(part)
        if not np.array_equal(other.species, tree.species):
            raise NotCompilableError(
                "descriptors of a FeatureUnion that know different species have no compiled form; "
                "give all of them the same species=[...]."
            )
        tree = FeatureTree(
            Beside(tree.node, other.node, tree.width),
            tree.width + other.width,
            max(tree.cutoff, other.cutoff),
            tree.species,
            np.concatenate([tree.scale, other.scale]),
            np.concatenate([tree.shift, other.shift]),
        )
    return tree


def require_width(step, width):
    """Refuse a fitted step that saw another number of columns than it gets."""
    if step.n_features_in_ != width:
        raise InputError(
            f"{type(step).__name__} was fitted with {step.n_features_in_} features but gets "
            f"{width}: was a step before it fitted again on its own? Fit the whole pipeline."
        )


def _map(tree, step):
    if isinstance(step, PrincipalComponents | PerAtom):
        require_width(step, tree.width)
    if isinstance(step, PrincipalComponents):
        known = np.isin(tree.species, step.species_)
        maps = np.zeros((len(tree.species), *step.matrices_.shape[1:]))
        maps[known] = step.matrices_[np.searchsorted(step.species_, tree.species[known])]
        return _times(tree, maps, np.zeros(step.n_features_out_))
    if not isinstance(step, PerAtom):
        raise _refusal(step)
    if step.columns_ is not None:
        columns = step.columns_.astype(np.int64)
        node = Selected(tree.node, columns, tree.width)
        return tree._replace(
            node=node, width=len(columns), scale=tree.scale[columns], shift=tree.shift[columns]
        )
    if step.matrix_ is None:
        raise _refusal(step.transformer_)
    constant = step._apply(np.zeros((1, step.n_features_in_)))[0]
    if step.matrix_.ndim == 1:
        shift = tree.shift * step.matrix_ + constant
        return tree._replace(scale=tree.scale * step.matrix_, shift=shift)
    maps = np.repeat(step.matrix_[None], len(tree.species), axis=0)
    return _times(tree, maps, constant)


def _times(tree, maps, constant):
    """Return the tree times matrices (n_species, n_in, n_out), plus a constant."""
    # A shift before a map of the species' own would be a constant of the species' own.
    if tree.shift.any() and not (maps == maps[:1]).all():
        raise NotCompilableError(
            "a map that shifts columns has no compiled form before PrincipalComponents."
        )
    constant = constant + tree.shift @ maps[0]
    forward, back = matrices(tree.scale[:, None] * maps)
    width = maps.shape[2]
    return tree._replace(
        node=Mapped(tree.node, forward, back, constant),
        width=width,
        scale=np.ones(width),
        shift=np.zeros(width),
    )
