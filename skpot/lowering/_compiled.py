"""One compiled function for a fitted pipeline, from pairs to energies and pair gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._parameters import choice, flag, number
from ..compose import DeltaRegressor
from ..core import borrow, give_back, run_blocks
from ..core.evaluation import Potential, evaluate_range
from ..core.leverage import grade_range
from ..core.pairs import scatter
from ..data import StructureBatch, Targets, as_batch, summarize
from ..data.elements import SYMBOLS
from ..exceptions import (
    InputError,
    InputTypeError,
    NotCompilableError,
    NumericalError,
)
from ._deviations import Uncertain, calibrations, drawn
from ._expansions import expansion_of
from ._leverages import domain_of, graded
from ._origins import refuse_steps_fitted_apart
from ._precision import in_single_precision, precision_of, reference_type, tell_of_rounding
from ._reductions import folded, trimmed
from ._regressors import lower_regressor
from ._steps import lower_steps, require_width
from ._tables import check_tables, checked_pairs, checked_species, integers
from ._uncoupled import uncoupled
from ._wrappers import unwrapped

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
    deviations: bool = False,
) -> CompiledPotential:
    """Turn a fitted pipeline into one compiled function.

    Descriptors, affine maps, kernels and energies of free atoms become flat arrays, which one loop
    over blocks of atoms evaluates (`skpot.core.evaluation`). Scalings are folded into the
    references, and so are linear maps if that saves time. Kernels of degree one and two become
    linear and quadratic forms. Members of networks are evaluated together.

    Parameters
    ----------
    model : Pipeline or CalibratedPotential
        A fitted pipeline of descriptors with a cutoff, affine maps of their rows, and a kernel
        model, a linear model or networks.
    X : list[Atoms], optional
        Structures on which the compiled function is compared with `predict`. They are needed if
        `dtype` or `tolerance` make it an approximation.
    dtype : {"float64", "float32"}, default="float64"
        Type of the references, of matrices between descriptor and model, and of the layers of
        networks. "float32" halves the memory that these take. References of exact models and of
        those with `n_directions` remain float64, because their large contributions cancel each
        other; so do all other numbers, and the sums of products with matrices. A warning says
        if the error is above a tenth of the noise of the labels.
    tolerance : float, default=0.0
        Largest error, on the structures X, of force components (eV/Å) and of the energy per atom
        (eV). As many of the smallest references are left out as it allows.
    grades : bool, default=False
        Whether extrapolation grades of atoms (see `SparseGPR`) are compiled, too. This takes a
        square matrix as wide as the number of references, of which exact models and networks have
        at most 1000 for this purpose, or of columns of linear models.
    deviations : bool, default=False
        Whether standard deviations of forces are compiled, too: the root mean square of the forces
        of a few draws of the posterior (`CompiledPotential.forces_std`), which are always the same
        ones. This takes a few times the memory of the coefficients.

    Returns
    -------
    CompiledPotential

    Raises
    ------
    NotCompilableError
        If a step, the kernel, the grades or the deviations have no compiled form. It is a
        `TypeError`.
    ValueError
        If `dtype` is unknown, or X is missing although the error of an approximation depends on it.

    Examples
    --------
    >>> import skpot
    >>> data = skpot.datasets.load_silicon()
    >>> model = skpot.make_potential("fast").fit(data.X[:10], data.y[:10])
    >>> potential = skpot.compile(model, data.X_test[:2])
    >>> potential.dtype
    'float64'
    >>> bool(potential.errors_.energy < 1e-9)
    True
    """
    choice("dtype", dtype, ("float64", "float32"))
    flag("grades", grades)
    flag("deviations", deviations)
    tolerance = number("tolerance", tolerance, low=0.0, unit="eV/Å and eV/atom")
    X = None if X is None else as_batch(X)
    if X is None and (dtype == "float32" or tolerance > 0.0):
        raise InputError(
            "the error of an approximation depends on the model: give structures to measure it on, "
            'as in skpot.compile(model, X_test, dtype="float32").'
        )
    pipeline = fitted_pipeline(model)
    regressor = unwrapped(pipeline[-1])
    steps = [step for _, step in pipeline.steps[:-1]]
    tree = lower_steps(steps)
    refuse_steps_fitted_apart([*steps, regressor])
    form = lower_regressor(regressor)
    if tree.coupling is None:
        require_width(regressor, tree.width)
    else:
        require_width(regressor, tree.coupling.n_features_out_)
        form = uncoupled(tree.coupling, form, type(regressor).__name__)
    domain = domain_of(regressor, tree.coupling) if grades else None
    columns, baseline = _columns(regressor, pipeline, tree)
    references = reference_type(dtype, form)
    draws = drawn(regressor, tree, columns, references) if deviations else []
    e0 = np.array([regressor.e0_.get(int(z), np.nan) for z in tree.species])
    if not len(baseline):  # a map would mix the columns of a baseline with others
        tree, form, known = folded(tree, form, domain and domain.form)
        domain = domain and domain._replace(form=known)
        columns = slice(0, tree.width)

    node = tree.node if dtype == "float64" else in_single_precision(tree.node)

    def build(candidate):
        terms = expansion_of(candidate, tree, columns, references)
        potential = Potential(node, terms, tree.width, e0, baseline)
        extra = None
        if domain is not None:
            edge = regressor.largest_training_std_
            extra = graded(potential, domain, edge, tree, columns)
        uncertain = Uncertain(draws, calibrations(model)) if deviations else None
        return CompiledPotential(potential, tree.species, tree.cutoff, extra, uncertain)

    def accepts(candidate):
        errors = build(candidate).compare(pipeline, X)
        return max(errors.energy, errors.forces) <= tolerance

    compiled = build(trimmed(form, accepts) if tolerance > 0.0 else form)
    if X is not None:
        compiled.errors_ = compiled.compare(pipeline, X)
        if dtype == "float32":
            tell_of_rounding(compiled.errors_, regressor)
    return compiled


def fitted_pipeline(model: Any) -> Any:
    """Return the fitted pipeline of a model, without calibration; refuse all other models."""
    inner = unwrapped(model)
    if isinstance(inner, DeltaRegressor):
        raise NotCompilableError(
            "a DeltaRegressor has no compiled form, because the calculator that it corrects has "
            "none. Its estimator_, which is the difference alone, has one; add what it corrects "
            "beside it, in LAMMPS by pair_style hybrid/overlay."
        )
    if not hasattr(inner, "steps") or not hasattr(inner[-1], "evaluate"):
        hint = "; take its best_estimator_" if hasattr(model, "best_estimator_") else ""
        if hasattr(inner, "steps"):
            hint = f" that ends in {type(inner[-1]).__name__}"
            if hasattr(inner[-1], "calibrate"):
                hint += ", which belongs around the pipeline: CalibratedPotential(make_pipeline())"
        raise InputTypeError(
            "a potential is a fitted pipeline that ends in a skpot regressor, as in "
            f"make_pipeline(skpot.SOAP(), skpot.SparseGPR()), but got {type(model).__name__}{hint}."
        )
    check_is_fitted(inner[-1])
    return inner


def _columns(regressor, pipeline, tree):
    """Return the columns that the kernel compares, as a slice, and those of the baseline."""
    if getattr(regressor, "baseline_", None) is None:
        return slice(0, tree.width), np.empty(0, dtype=np.int64)
    features = transformed(pipeline, _free_atom(tree.species[:1]))
    begin, end, _ = features.blocks[regressor.baseline_].indices(tree.width)
    if 0 < begin and end < tree.width:
        raise NotCompilableError(
            f'the baseline "{regressor.baseline_}" has no compiled form, because columns are on '
            "both sides of it; put it first in its FeatureUnion."
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
    """A potential as one function of pairs, which `skpot.compile` makes; it does not change.

    Parameters
    ----------
    potential : Potential
        Arrays and numbers of the model, see `skpot.core.evaluation`.
    species : ndarray of shape (n_species,)
        Atomic numbers that the model knows, ascending.
    cutoff : float
        Distance in Å beyond which pairs do not matter.
    graded : Graded, optional
        The model with all that extrapolation grades need, see `skpot.core.leverage`.
    uncertain : Uncertain, optional
        Draws of the posterior, and how deviations are calibrated.

    Attributes
    ----------
    errors_ : Errors
        Largest differences from `predict` on the structures that `skpot.compile` was given, if any:
        ``energy`` in eV/atom, ``forces`` in eV/Å, ``stress`` in eV/Å³.
    """

    def __init__(
        self,
        potential: Any,
        species: IntArray,
        cutoff: float,
        graded: Any = None,
        uncertain: Uncertain | None = None,
    ) -> None:
        self._species = np.array(species, dtype=np.int64)
        self._species.flags.writeable = False
        self._cutoff = number("cutoff", cutoff, above=0.0, unit="Å")
        check_tables(potential, len(self._species))
        self._potential, self._graded, self._uncertain = potential, graded, uncertain
        self._known = ~np.isnan(potential.e0)

    potential = property(lambda self: self._potential)
    species = property(lambda self: self._species)
    cutoff = property(lambda self: self._cutoff)
    graded = property(lambda self: self._graded)
    uncertain = property(lambda self: self._uncertain)

    def __repr__(self):
        names = "".join(SYMBOLS[z] for z in self.species)
        return f"CompiledPotential({names}, cutoff={self.cutoff}, dtype={self.dtype!r})"

    @property
    def dtype(self) -> str:
        """The word "float32" if references, matrices or layers are in single precision."""
        return precision_of((self.potential.features, self.potential.expansion))

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
            All pairs within `cutoff`; longer ones do not matter. ``start`` (n_centers + 1,) has the
            range of each center, ``neighbor`` (n_pairs,) the index of the neighbor and ``vector``
            (n_pairs, 3) the vector from the center to the neighbor in Å.
        species : ndarray of int64 of shape (n_atoms,)
            Species of all atoms that are centers or neighbors, as `species_index` numbers them.
            The centers come first.

        Returns
        -------
        energies : ndarray of shape (n_centers,)
            In eV.
        gradient : ndarray of shape (n_pairs, 3)
            dE_i/dr_ij in eV/Å.

        Raises
        ------
        ValueError, TypeError
            If arrays do not fit each other, vectors are not finite, or two atoms are too close.
        """
        pairs, species = checked_pairs(pairs, species, self._known)
        energies = np.empty(len(pairs.start) - 1)
        gradient = np.empty((len(pairs.neighbor), 3))
        self._run(pairs, species, energies, gradient)
        return energies, gradient

    def grade_pairs(self, pairs: Pairs, species: IntArray) -> FloatArray:
        """Return the extrapolation grades of centers; see `evaluate_pairs` for the arguments.

        Returns
        -------
        ndarray of shape (n_centers,)
            At most 1 for the environments of the training set.

        Raises
        ------
        ValueError
            If the potential was compiled without grades.
        """
        _require(self.graded, "extrapolation grades", "grades")
        pairs, species = checked_pairs(pairs, species, self._known)
        out = np.empty(len(pairs.start) - 1)
        run_blocks(grade_range, len(out), pairs, species, self.graded, out)
        return out

    def forces_std(self, batch: Structures | StructureBatch) -> FloatArray:
        """Return standard deviations of forces, calibrated as the model is; (n_atoms, 3) in eV/Å.

        They are the root mean square of the forces of a few draws of the posterior, whose mean is
        what `predict` returns with ``return_std="all"``. Each scatters around that by about a
        quarter, largest values less.

        Parameters
        ----------
        batch : StructureBatch or list[Atoms]
            The structures.

        Raises
        ------
        ValueError
            If the potential was compiled without deviations.
        """
        _require(self.uncertain, "deviations", "deviations")
        batch = as_batch(batch, search_follows=True)
        return self.uncertain.forces_std(batch, self.species_index(batch.numbers), self.cutoff)

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
            The result of `species_index` for the atoms, if it is known already.

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
        """Return the same as `evaluate`, without checks, for the results of `species_index`."""
        graph = batch.neighbors(self.cutoff)
        energies = np.empty(graph.n_atoms)
        gradient = borrow((len(graph.pairs.neighbor), 3))
        self._run(graph.pairs, species, energies, gradient)
        forces, virials = np.zeros((graph.n_atoms, 3)), np.zeros((len(graph), 6))
        scatter(graph.pairs, graph.atom_structure(), gradient, forces, virials)
        give_back(gradient)
        return energies, forces, virials

    def predict(self, X: Structures) -> Targets:
        """Return energies, forces and stress of many structures, block by block.

        Parameters
        ----------
        X : list[Atoms]
            The structures.

        Returns
        -------
        Targets
            In eV, eV/Å and eV/Å³; stress where a cell has three independent vectors.
        """
        return predict_with(self.evaluate, X)

    def compare(self, model: Any, X: Any) -> Errors:
        """Return the largest differences from the results of the pipeline itself."""
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
    """Return predictions by a function such as `CompiledPotential.evaluate`, block by block."""
    batch = as_batch(X, search_follows=True)
    energy, forces, virials = [], [], []
    for block in batch.in_blocks():
        atoms, f, w = evaluate(block)
        # Each energy belongs to an atom, or to a structure if the features have a row for each.
        rows = block.offsets if len(atoms) == block.offsets[-1] else np.arange(len(block) + 1)
        energy.append(np.add.reduceat(atoms, rows[:-1]))
        forces.append(f)
        virials.append(w)
    energy, forces = np.concatenate(energy), np.concatenate(forces)
    _require_finite(energy, forces, batch.offsets)
    stress = -np.concatenate(virials) / batch.volumes()[:, None]
    return Targets.predicted(energy, forces, batch.offsets, stress)


def _require_finite(energy, forces, offsets):
    """Refuse NaN and infinite results, and name the structures."""
    broken = np.logical_or.reduceat(~np.isfinite(forces).all(axis=1), offsets[:-1])
    problems = {
        int(s): f"its energy is {energy[s]} eV, and forces are finite: {not broken[s]}"
        for s in np.flatnonzero(~np.isfinite(energy) | broken)
    }
    if problems:
        raise NumericalError(summarize(problems, len(energy)))


def evaluation_by_steps(model: Any) -> Callable[..., Any]:
    """Return a function such as `CompiledPotential.evaluate` that runs the pipeline itself."""
    regressor = fitted_pipeline(model)[-1]
    return lambda batch: regressor.evaluate(transformed(model, batch))


def transformed(model: Any, X: Any) -> AtomicFeatures:
    """Return the features that the regressor of a fitted pipeline gets for X."""
    for _, step in fitted_pipeline(model).steps[:-1]:
        X = X if step in (None, "passthrough") else step.transform(X)
    return X


def _require(part, what, option):
    if part is None:
        raise InputError(f"no {what} were compiled; use skpot.compile(model, {option}=True).")
