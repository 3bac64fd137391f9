"""Fitted pipelines as one function from pairs to energies and pair gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._parameters import choice, flag, number
from ..compose import CalibratedPotential
from ..core import borrow, give_back, run_blocks
from ..core.evaluation import Potential, evaluate_range
from ..core.leverage import grade_range
from ..core.pairs import scatter
from ..data import StructureBatch, Targets, as_batch, summarize
from ..data.elements import SYMBOLS
from ..exceptions import InputError, InputTypeError, NotCompilableError, NumericalError
from ._expansions import expansion_of
from ._leverages import graded, sparse_model
from ._origins import refuse_steps_fitted_apart
from ._reductions import folded, trimmed
from ._regressors import lower_regressor
from ._steps import lower_steps, require_width
from ._tables import check_tables, checked_pairs, checked_species, integers
from ._uncoupled import uncoupled

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.core.pairs import Pairs
    from skpot.data import AtomicFeatures
    from skpot.typing import FloatArray, IntArray, Structures


def compile(
    model: Any,
    X: Structures | None = None,
    *,
    dtype: str = "float64",
    tolerance: float = 0.0,
    grades: bool = False,
) -> CompiledPotential:
    """Turn a fitted pipeline into one compiled function.

    Descriptors, affine maps, kernels and reference energies become flat arrays that a single loop
    over blocks of atoms goes through (`skpot.core.evaluation`). Scalings, and linear maps where
    that is cheaper, are folded into the references; kernels of degree one and two become linear
    and quadratic forms.

    Parameters
    ----------
    model : Pipeline or CalibratedPotential
        Fitted: descriptors of neighborhoods, affine maps of their rows, and a kernel or linear
        model.
    X : list[Atoms], optional
        Structures on which to compare with `predict`; needed where something is approximated.
    dtype : {"float64", "float32"}, default="float64"
        Type of the references. "float32" halves the time and memory of comparing with them; sums
        and everything else stay float64.
    tolerance : float, default=0.0
        Error of a force component (eV/Å), and of the energy per atom (eV), up to which the smallest
        references are left out, on the structures X.
    grades : bool, default=False
        Whether extrapolation grades of atoms are compiled too, see `SparseGPR`: for sparse models
        with a kernel of one term. They take two matrices of references x references.

    Returns
    -------
    CompiledPotential

    Raises
    ------
    NotCompilableError
        If a step or kernel has no compiled form, or grades have none. It is a `TypeError`.
    ValueError
        If `dtype` is unknown, or there are no structures to measure the error of "float32" or of a
        tolerance on.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> potential = skpot.compile(model.fit(X[:20], y[:20]), X_test[:2])
    >>> potential
    CompiledPotential(Si, cutoff=5.0, dtype='float64')
    >>> bool(potential.errors_.energy < 1e-9)
    True
    """
    choice("dtype", dtype, ("float64", "float32"))
    flag("grades", grades)
    tolerance = number("tolerance", tolerance, low=0.0, unit="eV/Å and eV/atom")
    X = None if X is None else as_batch(X)
    if X is None and (dtype == "float32" or tolerance > 0.0):
        raise InputError(
            "an approximation has an error that depends on the model: give structures to measure "
            'it on, as in skpot.compile(model, X_test, dtype="float32").'
        )
    pipeline = fitted_pipeline(model)
    regressor = _thawed(pipeline[-1])
    steps = [step for _, step in pipeline.steps[:-1]]
    tree = lower_steps(steps)
    refuse_steps_fitted_apart([*steps, regressor])
    form = lower_regressor(regressor)
    if tree.coupling is None:
        require_width(regressor, tree.width)
    else:
        require_width(regressor, tree.coupling.n_features_out_)
        form = uncoupled(tree.coupling, form, type(regressor).__name__)
    sparse = _gradable(regressor, tree) if grades else None
    columns, baseline = _columns(regressor, pipeline, tree)
    e0 = np.array([regressor.e0_.get(int(z), np.nan) for z in tree.species])
    if not len(baseline):  # whose columns must not be mixed with others
        tree, form = folded(tree, form)
        columns = slice(0, tree.width)

    def build(candidate):
        terms = expansion_of(candidate, tree, columns, np.dtype(dtype))
        potential = Potential(tree.node, terms, tree.width, e0, baseline)
        # For grades all references count.
        extra = graded(potential, sparse, form, tree, columns) if grades else None
        return CompiledPotential(potential, tree.species, tree.cutoff, extra)

    def accepts(candidate):
        errors = build(candidate).compare(pipeline, X)
        return max(errors.energy, errors.forces) <= tolerance

    compiled = build(trimmed(form, accepts) if tolerance > 0.0 else form)
    if X is not None:
        compiled.errors_ = compiled.compare(pipeline, X)
    return compiled


def _gradable(regressor, tree):
    """Return the sparse model of a regressor whose grades can be compiled."""
    if tree.coupling is not None:
        raise NotCompilableError("extrapolation grades of coupled species have no compiled form.")
    return sparse_model(regressor)


def fitted_pipeline(model: Any) -> Any:
    """Return the pipeline in a model, without calibration; refuse what is none, or not fitted."""
    inner = model
    if isinstance(model, CalibratedPotential):
        check_is_fitted(model)
        inner = _thawed(model.estimator_)
    if not hasattr(inner, "steps") or not hasattr(inner[-1], "evaluate"):
        hint = "; take its best_estimator_" if hasattr(model, "best_estimator_") else ""
        if hasattr(inner, "steps"):
            hint = f" that ends in {type(inner[-1]).__name__}"
            if isinstance(inner[-1], CalibratedPotential):
                hint += ", which belongs around the pipeline: CalibratedPotential(make_pipeline())"
        raise InputTypeError(
            "a potential is a fitted pipeline that ends in a skpot regressor, as in "
            f"make_pipeline(skpot.SOAP(), skpot.SparseGPR()), but got {type(model).__name__}{hint}."
        )
    check_is_fitted(inner[-1])
    return inner


def _thawed(estimator):
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def _columns(regressor, pipeline, tree):
    """Return the columns that the regressor compares, a slice, and those of its baseline."""
    if getattr(regressor, "baseline_", None) is None:
        return slice(0, tree.width), np.empty(0, dtype=np.int64)
    features = transformed(pipeline, _free_atom(tree.species[:1]))
    begin, end, _ = features.blocks[regressor.baseline_].indices(tree.width)
    if 0 < begin and end < tree.width:
        raise NotCompilableError(
            f'the baseline "{regressor.baseline_}" has columns on both sides; put it first in its '
            "FeatureUnion."
        )
    if (tree.scale[begin:end] != 1.0).any() or tree.shift[begin:end].any():
        raise NotCompilableError("a baseline whose columns are scaled has no compiled form.")
    learned = slice(end, tree.width) if begin == 0 else slice(0, begin)
    return learned, np.arange(begin, end)


def _free_atom(species):
    """Return a batch of one atom without neighbors."""
    cells, pbc = np.zeros((1, 3, 3)), np.zeros((1, 3), dtype=bool)
    return StructureBatch(np.zeros((1, 3)), species, cells, pbc, np.array([0, 1]))


class Errors(NamedTuple):
    """Largest differences between a compiled potential and `predict`."""

    energy: float  # eV/atom
    forces: float  # eV/Å
    stress: float  # eV/Å³, where a cell has three independent vectors


class CompiledPotential:
    """A potential as one function of pairs; made by `compile`, and the same from then on.

    Parameters
    ----------
    potential : Potential
        Arrays and numbers, see `skpot.core.evaluation`.
    species : ndarray of shape (n_species,)
        Atomic numbers it knows, ascending.
    cutoff : float
        Å.
    graded : Graded, optional
        The same with what extrapolation grades take, see `skpot.core.leverage`.

    Attributes
    ----------
    errors_ : Errors
        Largest differences from `predict` on the structures that `compile` was given, if any:
        ``energy`` in eV/atom, ``forces`` in eV/Å, ``stress`` in eV/Å³ (of periodic cells).
    """

    def __init__(
        self, potential: Any, species: IntArray, cutoff: float, graded: Any = None
    ) -> None:
        self._species = np.array(species, dtype=np.int64)
        self._species.flags.writeable = False
        self._cutoff = number("cutoff", cutoff, above=0.0, unit="Å")
        check_tables(potential, len(self._species))
        self._potential, self._graded = potential, graded
        self._known = ~np.isnan(potential.e0)

    potential = property(lambda self: self._potential)
    species = property(lambda self: self._species)
    cutoff = property(lambda self: self._cutoff)
    graded = property(lambda self: self._graded)

    def __repr__(self):
        names = "".join(SYMBOLS[z] for z in self.species)
        return f"CompiledPotential({names}, cutoff={self.cutoff}, dtype={self.dtype!r})"

    @property
    def dtype(self) -> str:
        """Type of the references."""
        expansion = self.potential.expansion
        while hasattr(expansion, "left"):
            expansion = expansion.left
        return str(expansion.rows.dtype) if hasattr(expansion, "rows") else "float64"

    def species_index(self, numbers: IntArray) -> IntArray:
        """Return the index in `species` of atomic numbers; refuse unknown ones."""
        numbers = integers("numbers", numbers)
        index = np.minimum(np.searchsorted(self.species, numbers), len(self.species) - 1)
        unknown = (self.species[index] != numbers) | ~self._known[index]
        if unknown.any():
            bad = np.unique(numbers[unknown]).tolist()
            names = ", ".join(SYMBOLS[z] if 0 <= z < len(SYMBOLS) else str(z) for z in bad)
            known = ", ".join(SYMBOLS[z] for z in self.species[self._known])
            raise InputError(f"species {names} did not occur in fit; this model knows {known}.")
        return index.astype(np.int64)

    def evaluate_pairs(self, pairs: Pairs, species: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return energies of centers and their derivatives along all pairs.

        Parameters
        ----------
        pairs : Pairs
            ``start`` (n_centers + 1,), ``neighbor`` and ``vector`` (n_pairs, 3) in Å from the
            center to the neighbor; all pairs within `cutoff`, longer ones do not matter.
        species : ndarray of int64 of shape (n_atoms,)
            Of the atoms that ``neighbor`` names, the centers first; see `species_index`.

        Returns
        -------
        energies : ndarray of shape (n_centers,)
            In eV.
        gradient : ndarray of shape (n_pairs, 3)
            dE_i/dr_ij in eV/Å.

        Raises
        ------
        ValueError, TypeError
            If arrays do not fit each other, vectors are not finite, or a pair is closer than two
            atoms can be.
        """
        pairs, species = checked_pairs(pairs, species, self._known)
        energies = np.empty(len(pairs.start) - 1)
        gradient = np.empty((len(pairs.neighbor), 3))
        self._run(pairs, species, energies, gradient)
        return energies, gradient

    def grade_pairs(self, pairs: Pairs, species: IntArray) -> FloatArray:
        """Return the extrapolation grades of centers; the arguments are `evaluate_pairs`'s.

        Returns
        -------
        ndarray of shape (n_centers,)
            At most 1 for the environments of the training set.

        Raises
        ------
        ValueError
            If they were not compiled.
        """
        if self.graded is None:
            raise InputError("no extrapolation grades were compiled: skpot.compile(grades=True).")
        pairs, species = checked_pairs(pairs, species, self._known)
        out = np.empty(len(pairs.start) - 1)
        run_blocks(grade_range, len(out), pairs, species, self.graded, out)
        return out

    def _run(self, pairs, species, energies, gradient):
        args = pairs, species, self.potential, energies, gradient
        run_blocks(evaluate_range, len(energies), *args)

    def evaluate(
        self, batch: Structures | StructureBatch, species: IntArray | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return energies of atoms, forces and virials of structures.

        Parameters
        ----------
        batch : StructureBatch or list[Atoms]
            The structures.
        species : ndarray of int64 of shape (n_atoms,), optional
            Their `species_index`, where it is known.

        Returns
        -------
        energies : ndarray of shape (n_atoms,)
            In eV.
        forces : ndarray of shape (n_atoms, 3)
            In eV/Å.
        virials : ndarray of shape (n_structures, 6)
            -dE/d(strain) in eV, Voigt order xx yy zz yz xz xy.
        """
        batch = as_batch(batch, search_follows=True)
        if species is None:
            species = self.species_index(batch.numbers)
        else:
            species = checked_species(species, self._known, len(batch.numbers))
        return self.evaluate_checked(batch, species)

    def evaluate_checked(
        self, batch: StructureBatch, species: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Do the same for a `StructureBatch` and what `species_index` returned for it."""
        graph = batch.neighbors(self.cutoff)
        energies = np.empty(graph.n_atoms)
        gradient = borrow((len(graph.pairs.neighbor), 3))
        self._run(graph.pairs, species, energies, gradient)
        forces, virials = np.zeros((graph.n_atoms, 3)), np.zeros((len(graph), 6))
        scatter(graph.pairs, graph.atom_structure(), gradient, forces, virials)
        give_back(gradient)
        return energies, forces, virials

    def predict(self, X: Structures) -> Targets:
        """Return energies, forces and stress of many structures, a batch at a time.

        Parameters
        ----------
        X : list[Atoms]
            The structures.

        Returns
        -------
        Targets
            In eV, eV/Å and (where a cell has three independent vectors) eV/Å³.
        """
        return predict_with(self.evaluate, X)

    def compare(self, model: Any, X: Any) -> Errors:
        """Return the largest differences from a fitted pipeline's own results, as `Errors`."""
        by_steps, worst = evaluation_by_steps(model), []
        for block in as_batch(X, search_follows=True).in_blocks():
            own, other = self.evaluate(block), by_steps(block)
            energies, forces, virials = (a - b for a, b in zip(own, other, strict=True))
            energies = np.add.reduceat(energies, block.offsets[:-1]) / np.diff(block.offsets)
            stress = virials / block.volumes()[:, None]
            stress = stress[np.isfinite(stress)]
            worst.append([np.abs(a).max(initial=0.0) for a in (energies, forces, stress)])
        return Errors(*np.max(worst, axis=0).tolist())


def predict_with(evaluate: Callable[..., Any], X: Any) -> Targets:
    """Return `Targets` of structures by a function like `CompiledPotential.evaluate`, in pieces."""
    batch = as_batch(X, search_follows=True)
    energy, forces, virials = [], [], []
    for block in batch.in_blocks():
        atoms, f, w = evaluate(block)
        # Feature rows may belong to whole structures.
        rows = block.offsets if len(atoms) == block.offsets[-1] else np.arange(len(block) + 1)
        energy.append(np.add.reduceat(atoms, rows[:-1]))
        forces.append(f)
        virials.append(w)
    energy, forces = np.concatenate(energy), np.concatenate(forces)
    _require_finite(energy, forces, batch.offsets)
    stress = -np.concatenate(virials) / batch.volumes()[:, None]
    return Targets.predicted(energy, forces, batch.offsets, stress)


def _require_finite(energy, forces, offsets):
    """Refuse results that are no numbers, with the structures they are of."""
    broken = np.logical_or.reduceat(~np.isfinite(forces).all(axis=1), offsets[:-1])
    problems = {
        int(s): f"its energy is {energy[s]} eV, and forces are finite: {not broken[s]}"
        for s in np.flatnonzero(~np.isfinite(energy) | broken)
    }
    if problems:
        raise NumericalError(summarize(problems, len(energy)))


def evaluation_by_steps(model: Any) -> Callable[..., Any]:
    """Return a function like `CompiledPotential.evaluate` that runs a pipeline's own steps."""
    regressor = fitted_pipeline(model)[-1]
    return lambda batch: regressor.evaluate(transformed(model, batch))


def transformed(model: Any, features: AtomicFeatures) -> AtomicFeatures:
    """Return what a fitted pipeline's regressor is given."""
    for _, step in fitted_pipeline(model).steps[:-1]:
        features = step.transform(features) if step not in (None, "passthrough") else features
    return features
