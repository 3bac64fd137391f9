"""Draws of the posterior in the form that `skpot.core.evaluation` evaluates.

Each is a potential of the type of the model's own, so that the function that is compiled for the
model serves them, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator

from ..core import borrow, give_back, run_blocks
from ..core.evaluation import Potential, evaluate_range
from ..core.expansion import Sum, Term
from ..core.pairs import scatter
from ..data import Targets
from ..exceptions import NotCompilableError
from ..metrics import calibrated_deviations
from ..models import posterior_draws
from ._expansions import Prior, expansion_of
from ._uncoupled import uncoupled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.core.pairs import Pairs
    from skpot.data import StructureBatch
    from skpot.lowering._feature_trees import FeatureTree
    from skpot.typing import FloatArray, IntArray

N_DRAWS = 4  # more would cost more than five times the forces


class Uncertain(NamedTuple):
    """What standard deviations of forces are computed from."""

    drawn: list[Potential]
    calibrations: list[tuple[dict[str, Any], dict[int, float]]]  # one after another

    def forces_std(self, batch: StructureBatch, species: IntArray, cutoff: float) -> FloatArray:
        """Return calibrated standard deviations of forces, shape (n_atoms, 3) in eV/Å."""
        graph = batch.neighbors(cutoff)
        squares, virials = np.zeros((graph.n_atoms, 3)), np.zeros((len(graph), 6))
        owner = graph.atom_structure()
        for gradient in self.gradients(graph.pairs, species):
            forces = np.zeros((graph.n_atoms, 3))
            scatter(graph.pairs, owner, gradient, forces, virials)
            squares += forces**2
        return self.calibrated(squares, batch.numbers)

    def gradients(self, pairs: Pairs, species: IntArray) -> Iterator[FloatArray]:
        """Yield what `evaluate_pairs` returns as gradient for each draw, in the same array."""
        n = len(pairs.start) - 1
        energies, gradient = np.empty(n), borrow((len(pairs.neighbor), 3))
        for draw in self.drawn:
            run_blocks(evaluate_range, n, pairs, species, draw, energies, gradient)
            yield gradient
        give_back(gradient)

    def calibrated(self, squares: FloatArray, numbers: IntArray) -> FloatArray:
        """Return calibrated deviations of forces from sums over draws of the forces' squares.

        Parameters
        ----------
        squares : ndarray of shape (n_atoms, 3)
            The sums, in (eV/Å)².
        numbers : ndarray of int of shape (n_atoms,)
            Atomic numbers.
        """
        std = np.sqrt(squares / len(self.drawn))
        for calibration, factors in self.calibrations:
            known = {kind: own for kind, own in calibration.items() if kind == "forces"}
            both = Targets(np.zeros(1), [std])
            std = calibrated_deviations(both, known, factors, [numbers]).forces[0]
        return std


def calibrations(model: Any) -> list[tuple[dict[str, Any], dict[int, float]]]:
    """Return how a model and what it wraps calibrate deviations, the innermost first."""
    if isinstance(model, FrozenEstimator):  # it seems to have all attributes of what it holds
        return calibrations(model.estimator)
    inner = model[-1] if hasattr(model, "steps") else getattr(model, "estimator_", None)
    own = []
    if hasattr(model, "calibration_"):
        own = [(model.calibration_, model.species_factors_)]
    return own if inner is None else [*calibrations(inner), *own]


def drawn(regressor: Any, tree: FeatureTree, columns: slice, kind: Any) -> list[Potential]:
    """Return draws of a fitted regressor's posterior, as potentials of the type of its own.

    Parameters
    ----------
    regressor : Potential
        The regressor.
    tree : FeatureTree
        The features that go into it.
    columns : slice
        The columns of the tree that it has learned from.
    kind : dtype
        Type of references.

    Raises
    ------
    NotCompilableError
        If the posterior has no draws, or these no compiled form.
    """
    process = getattr(regressor, "posterior_", None)
    if process is None:
        raise NotCompilableError(
            f"{type(regressor).__name__} has no posterior, so that there are no deviations to "
            "compile. skpot.distill fits a SparseGPR to any model."
        )
    coupling = tree.coupling
    draws = posterior_draws(process, list(regressor.e0_) if coupling is None else [], N_DRAWS)
    terms = []
    forms: list[Any] = draws.forms
    for k, form in enumerate(forms):
        if coupling is not None:
            form = uncoupled(coupling, form, type(regressor).__name__)
        prior = [
            _prior(*own, k, tree, columns) for own in zip(draws.waves, draws.weights, strict=True)
        ]
        terms.append(expansion_of(form, tree, columns, kind, prior))
    none, no_columns = np.zeros(len(tree.species)), np.empty(0, dtype=np.int64)
    return [Potential(tree.node, term, tree.width, none, no_columns) for term in _sharing(terms)]


def _prior(waves, weights, k, tree, columns):
    """Return draw k of the prior for each species of the tree.

    To `SpeciesCoupling` all atoms are of one species, and what tells them apart are columns behind
    the others, which only change the phase.
    """
    phases = np.tile(waves.phases, (len(tree.species), 1))
    if tree.coupling is None:
        none = np.zeros((len(waves.phases), k + 1))
        return Prior(
            waves, phases, np.array([weights.get(int(z), none)[:, k] for z in tree.species])
        )
    n, vectors = columns.stop - columns.start, tree.coupling.species_vectors_
    behind = waves.directions[:, n:]
    phases += [behind @ vectors.get(int(z), np.zeros(behind.shape[1])) for z in tree.species]
    (common,) = weights.values()
    return Prior(waves, phases, np.tile(common[:, k], (len(tree.species), 1)))


def _sharing(terms: list[Any]) -> list[Any]:
    """Return terms in equal references with these in memory only once."""
    first = terms[0]
    if isinstance(first, Sum):
        left, right = (_sharing([getattr(t, side) for t in terms]) for side in ("left", "right"))
        return [Sum(a, b) for a, b in zip(left, right, strict=True)]
    if not isinstance(first, Term):
        return terms
    shared = ("rows", "wave_rows", "wave_phases")
    own = {name: getattr(first, name) for name in shared}
    return [term._replace(**own) for term in terms]
