r"""What labels of structures would tell a model, in rows of whitened coefficients.

Energies are linear in coefficients whose prior is the unit matrix: those of references, or of the
columns of a linear model. The labels of a structure s, each divided by its noise, have the rows
:math:`A_s`, and what is known is the upper triangle R of

.. math:: R^T R = P = 1 + \sum_{\mathrm{known}} A^T A

so that all that a query compares follows from :math:`B_s = R^{-T} A_s^T`: the covariance of what
is left open of the labels of s is :math:`B_s^T B_s`, in units of the noise.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..data import LABEL_KINDS, Targets
from ..data.order import environment_keys
from ..kernels import RBF
from ..processes.gradient_references import references_with
from ..processes.nystrom import sparse_posterior
from ..processes.variance import ExactProcess, LinearProcess, SparseProcess
from ..rows.blocks import whitened_blocks
from ..rows.memory import BlockPlan
from ..rows.noise import with_noise
from ..rows.training_set import TrainingSet
from ..selection import select_references
from ..solvers import TriangularFactor
from ._subject import is_fitted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.active._subject import Subject
    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Covariance
    from skpot.rows.contracts import TrainingColumns
    from skpot.typing import FloatArray

_PLAN = BlockPlan(24e6, 16e6)  # bytes of rows and of Jacobians that are held at a time
_JITTER = 1e-7  # of references, relative
_KNOWN = 1e-8  # of the prior: references of which others leave less add nothing
_LEVELS = {"energy": 4e-4, "forces": 0.02, "stress": 2e-3}  # noise where nothing is said of it


class LabelRows(NamedTuple):
    """The rows of all labels that one structure would get: energy, forces, stress."""

    matrix: np.ndarray  # (n_labels, n_coefficients), each divided by its noise
    n_energy: int  # 0 or 1
    n_forces: int  # 0 or three times the number of atoms
    n_atoms: int

    @property
    def of_forces(self) -> slice:
        """Return which of the rows are forces."""
        return slice(self.n_energy, self.n_energy + self.n_forces)

    @property
    def parts(self) -> tuple[slice, slice, slice]:
        """Return which of the rows are of each kind of label, in the order of LABEL_KINDS."""
        of_forces = self.of_forces
        return slice(of_forces.start), of_forces, slice(of_forces.stop, None)


class Knowledge:
    """What labels have told of coefficients, and what further labels would.

    Parameters
    ----------
    columns : TrainingColumns
        What energies are linear in.
    factor : ndarray or dict
        The factor that whitens its rows.
    triangle : ndarray of shape (m, m)
        R, of what is known.
    levels : dict of str to float
        Noise by kind of label, for the kinds that structures will get.
    """

    def __init__(
        self, columns: TrainingColumns, factor: Any, triangle: FloatArray, levels: dict[str, float]
    ) -> None:
        self.columns, self.factor, self.levels = columns, factor, levels
        self.triangle = triangle

    def rows(self, features: AtomicFeatures) -> Iterator[tuple[int, LabelRows]]:
        """Yield structures, by index and in no particular order, with the rows of their labels."""
        training = _as_if_labeled(features, self.levels)
        m = len(self.columns)
        for part, kinds in whitened_blocks(self.columns, self.factor, training, _PLAN, 0):
            inside = training.take(part)
            rows = np.concatenate([rows[:, :m] for _, rows in kinds])
            owner = inside.of_structures(np.arange(len(part)))
            order = np.argsort(owner, kind="stable")
            edges = np.searchsorted(owner[order], np.arange(1, len(part)))
            forces = 3 * inside.features.n_atoms * inside.labels.has_forces
            for k, own in enumerate(np.split(order, edges)):
                n_energy = int(inside.labels.has_energy[k])
                n_atoms = int(inside.features.n_atoms[k])
                yield int(part[k]), LabelRows(rows[own], n_energy, int(forces[k]), n_atoms)

    def left_open(self, rows: FloatArray) -> FloatArray:
        """Return B = R^-T A^T, shape (m, n_labels)."""
        return solve_triangular(self.triangle, rows.T, trans="T", check_finite=False)

    def learn(self, rows: FloatArray) -> None:
        """Count the labels of these rows as known."""
        factor = TriangularFactor(self.triangle)
        factor.fold(np.hstack([rows, np.zeros((len(rows), 1))]))
        self.triangle = factor.matrix

    def forces_std(self, rows: LabelRows) -> FloatArray:
        """Return the deviation of each atom's force vector, shape (n_atoms,), in eV/Å."""
        left = self.left_open(rows.matrix[rows.of_forces])
        return self.levels["forces"] * np.sqrt(np.sum(left**2, axis=0).reshape(-1, 3).sum(axis=1))


def knowledge_of(
    subject: Subject,
    sample: AtomicFeatures,
    known: tuple[AtomicFeatures, Targets] | None,
    n_references: int,
    seed: int,
) -> Knowledge:
    """Return what is known before any candidate is labeled.

    Parameters
    ----------
    subject : Subject
        What is asked; its features are fitted.
    sample : AtomicFeatures
        Structures that references are chosen from: candidates and labeled ones.
    known : tuple of AtomicFeatures and Targets, or None
        Labeled structures. None stands for those that a fitted regressor has learned from, or for
        none.
    n_references : int
        Most references of a model that has none of its own, and most that are added to others.
    seed : int
        Seed of their choice.
    """
    regressor = subject.regressor
    fitted = is_fitted(regressor)
    levels = _levels(regressor, sample)
    process = _process(regressor) if fitted else None
    if isinstance(process, LinearProcess):
        columns, factor = process.terms, process.penalty_factors
        triangle = process.posterior_factor
    else:
        columns, factor, triangle = _with_references(regressor, process, sample, n_references, seed)
    if known is not None:
        triangle = sparse_posterior(columns, factor, _training(*known, levels), 0)
    elif isinstance(process, ExactProcess):
        triangle = sparse_posterior(columns, factor, _learned_by(process), 0)
    return Knowledge(columns, factor, triangle, levels)


def _process(regressor):
    """Return what a fitted regressor knows, of the processes that tell what a label adds.

    Others, such as networks, have a domain: a process that knows their training environments.
    """
    known = SparseProcess, LinearProcess, ExactProcess
    for name in ("posterior_", "domain_"):
        process = getattr(regressor, name, None)
        if isinstance(process, known):
            return process
    return None


def _with_references(regressor, process, sample, n_references, seed):
    """Return references, also among the sample, their factor, and what the process knows."""
    own = process.references if isinstance(process, SparseProcess) else None
    if own is not None and own.directions is not None:
        return own, process.covariance_factor, process.posterior_factor
    kernel = _kernel(regressor, process, sample)
    chosen = select_references(
        sample.values, sample.species, n_references, "fps", np.random.default_rng(seed),
        environment_keys(sample),
    )  # fmt: skip
    values, species = sample.values[chosen].astype(float), sample.species[chosen]
    if own is not None:
        new = _unlike(own, process.covariance_factor, values, species)
        values = np.concatenate([own.values, values[new]])
        species = np.concatenate([own.species, species[new]])
    # Within a species those of the model come first, so that their whitened coefficients stay.
    order = np.argsort(species, kind="stable")
    references = references_with(values[order], species[order], kernel, None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly equal references do no harm here
        factor, _ = references.cholesky(_JITTER)
    triangle = np.eye(len(references))
    if own is not None:
        place = np.flatnonzero(order < len(own.values))
        triangle[np.ix_(place, place)] = process.posterior_factor
    return references, factor, triangle


def _unlike(own, factor, values, species):
    """Return which environments references of a model leave something open of."""
    kept = []
    for z in np.unique(species):
        members = np.flatnonzero(species == z)
        prior = np.array(own.kernel.diag(values[members]), dtype=float)
        known = np.zeros(len(members))
        if z in own.columns:
            columns = own.columns[z]
            rows = own.kernel(values[members], own.values[columns]).T
            rows = solve_triangular(factor[columns, columns], rows, lower=True, check_finite=False)
            known = np.sum(rows**2, axis=0)
        kept.append(members[prior - known > max(_KNOWN, 10.0 * _JITTER) * prior])
    return np.sort(np.concatenate(kept))


def _kernel(regressor, process, sample) -> Covariance:
    """Return the kernel of a model, or that which it starts from."""
    if process is not None and hasattr(process, "kernel"):
        return process.kernel
    if hasattr(regressor, "bound_kernel"):
        return regressor.bound_kernel(sample)
    # Other regressors, such as networks, compare features by a kernel as wide as these are spread.
    spread = float(np.sqrt(np.mean(np.sum(sample.values.astype(float) ** 2, axis=1)))) or 1.0
    return RBF(length_scale=spread).bind(sample.blocks, sample.shape[1])


def _levels(regressor, sample):
    """Return the noise of the kinds of labels that structures will get."""
    given = regressor.noise_levels() if hasattr(regressor, "noise_levels") else _LEVELS
    inner = getattr(regressor, "model_", regressor)
    kinds = getattr(inner, "label_shares_", None) or getattr(inner, "n_labels_", LABEL_KINDS)
    if sample.derivatives is None:
        kinds = {"energy"}
    return {kind: given[kind] for kind in LABEL_KINDS if kind in kinds}


def _as_if_labeled(features, levels):
    """Return structures with labels of these kinds, all zero, wherever these exist."""
    n, atoms = len(features), np.zeros((len(features.numbers), 3))
    energy = np.zeros(n) if "energy" in levels else [None] * n
    forces = np.split(atoms, features.atom_offsets[1:-1]) if "forces" in levels else None
    stress = None
    if "stress" in levels and np.isfinite(features.volumes).any():
        stress = [np.zeros(6) if np.isfinite(v) else None for v in features.volumes]
    return _training(features, Targets(energy, forces, stress), levels)


def _training(features, labels, levels):
    """Return the training set of structures with labels, whose values play no part."""
    levels = _LEVELS | levels
    labels = with_noise(
        labels, np.ones(len(features)),
        *({"default": levels[kind]} if labels.groups is not None else levels[kind]
          for kind in LABEL_KINDS),
    )  # fmt: skip
    return TrainingSet(features, labels, np.zeros(len(features)), np.arange(len(features)))


def _learned_by(process):
    """Return the training set of an exact process, whose values play no part."""
    features, known = process.training, process.functionals
    of_energy, of_forces, of_stress = (1.0 / known.scale[part] for part in known.parts)
    n, atoms = len(features), len(features.numbers)
    energy, sigma_energy = np.full(n, None), np.full(n, np.nan)
    energy[known.energy] = 0.0
    sigma_energy[known.energy] = of_energy / np.sqrt(features.n_atoms[known.energy])
    forces, sigma_forces = np.full((atoms, 3), np.nan), np.full(atoms, np.nan)
    forces[known.atoms] = 0.0
    sigma_forces[known.atoms] = of_forces[::3]
    stress, sigma_stress = [None] * n, np.full(n, np.nan)
    for k, s in enumerate(known.stress):
        stress[s], sigma_stress[s] = np.zeros(6), of_stress[6 * k]
    first = features.atom_offsets[1:-1]
    has_forces = [f if np.isfinite(f).any() else None for f in np.split(forces, first)]
    sigmas = [
        None if f is None else s
        for f, s in zip(has_forces, np.split(sigma_forces, first), strict=True)
    ]
    labels = Targets(
        list(energy), has_forces, stress, sigma_energy=sigma_energy, sigma_forces=sigmas,
        sigma_stress=sigma_stress,
    )  # fmt: skip
    return _training(features, labels, {})
