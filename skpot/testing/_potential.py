"""Checks of what every fitted potential promises."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import cell_volumes
from . import _structures as equivalent
from ._compare import EXACT, GEOMETRIC, compare, property_named, selected, serially, uncached
from ._finite_difference import finite_difference_forces, finite_difference_stress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.base import BaseEstimator

    from skpot.typing import Structures


def check_potential(
    model: BaseEstimator,
    structures: Structures,
    *,
    rtol: float = 1e-6,
    skip: Sequence[str] = (),
    random_state: int = 0,
) -> None:
    """Raise `AssertionError` unless a fitted potential keeps every promise.

    The model must fulfill the following:

    - energies, forces and stress are finite;
    - by finite differences, forces are minus the gradient of the energy, and stress is its strain
      derivative;
    - energies do not depend on rotation, translation, the order of atoms or the choice of cell, and
      they double with the crystal;
    - predictions do not depend on the batch, its order, or the number of threads;
    - inputs are not written to;
    - pickle preserves the model bit for bit.

    Parameters
    ----------
    model : estimator
        Fitted pipeline whose `predict` takes structures. If it was fitted to energies alone, so
        that `predict` returns an array, only energies are checked.
    structures : list[Atoms]
        A few small structures of species that the model knows; see `sample_structures`.
    rtol : float, default=1e-6
        Tolerance of forces and stress against finite differences, relative to the largest
        component of the structure.
    skip : sequence of str, default=()
        Properties that are not checked, by the names that messages show in brackets.
    random_state : int, default=0
        Seed of the transformations.

    Examples
    --------
    >>> import numpy as np
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> from skpot.testing import check_potential, sample_structures
    >>> X = sample_structures()
    >>> forces = [np.zeros((len(atoms), 3)) for atoms in X]
    >>> y = skpot.Targets([-16.0, -15.0, -18.0, -2.0], forces)
    >>> soap = skpot.SOAP(cutoff=3.0, n_max=2, l_max=2)
    >>> model = make_pipeline(soap, skpot.SparseGPR(n_sparse=5)).fit(X, y)
    >>> check_potential(model, X)
    """
    checks = selected(_PROPERTIES, skip)
    structures = list(structures)
    with property_named("predict"):
        expected = _predict(model, structures)
    for name, check in checks.items():
        with property_named(name):
            check(model, structures, expected, np.random.default_rng(random_state), rtol)


class _Prediction(NamedTuple):
    energy: np.ndarray  # (n_structures,)
    forces: list | None  # (n_atoms, 3) each
    stress: np.ndarray | None  # (n_structures, 6)

    @property
    def scale(self) -> float:
        """The magnitude in eV to which rounding errors of energies are relative."""
        return max(np.abs(self.energy).max(), 1.0)


def _predict(model, structures):
    y = model.predict(structures)
    forces, stress = getattr(y, "forces", None), getattr(y, "stress", None)
    return _Prediction(np.asarray(y, float), forces, stress)


def _compare_all(what, actual, expected, order=slice(None), rtol=EXACT):
    chosen = np.arange(len(expected.energy))[order]
    energy = expected.energy[chosen]
    compare(f"energies {what}", actual.energy, energy, rtol=rtol, scale=expected.scale)
    if expected.forces is not None:
        for mine, s in zip(actual.forces, chosen, strict=True):
            compare(f"forces {what}", mine, expected.forces[s], rtol=rtol, atol=rtol)
    if expected.stress is not None:
        finite = np.isfinite(expected.stress[chosen])
        theirs = expected.stress[chosen][finite]
        mine = np.empty(0) if actual.stress is None else actual.stress[finite]
        compare(f"stress {what}", mine, theirs, rtol=rtol, atol=rtol)


def _check_finite(model, structures, expected, rng, rtol):
    assert expected.energy.shape == (len(structures),), f"energies of shape {expected.energy.shape}"
    assert np.isfinite(expected.energy).all(), f"energies {expected.energy}"
    for s, atoms in enumerate(structures):
        if expected.forces is not None:
            forces = expected.forces[s]
            shape = np.shape(forces)
            assert shape == (len(atoms), 3), f"structure {s}: forces of shape {shape}"
            assert np.isfinite(forces).all(), f"structure {s}: forces not finite"
        if expected.stress is not None:
            exists = np.isfinite(cell_volumes([atoms.cell.array])[0])
            finite = np.isfinite(expected.stress[s])
            assert finite.all() if exists else not finite.any(), (
                f"structure {s} with cell={atoms.cell.array.tolist()}: stress {expected.stress[s]}"
            )


def _check_forces(model, structures, expected, rng, rtol):
    if expected.forces is None:
        return
    for s, atoms in enumerate(structures):
        with property_named("finite differences", s):
            noise = 1e-11 * expected.scale
            numerical = finite_difference_forces(model, atoms)
            compare("forces", expected.forces[s], numerical, rtol=rtol, atol=noise)
            total = np.sum(expected.forces[s], axis=0)
            scale = np.abs(expected.forces[s]).max()
            compare("sum of forces", total, np.zeros(3), rtol=EXACT, scale=scale, atol=1e-12)


def _check_stress(model, structures, expected, rng, rtol):
    if expected.stress is None:
        return
    for s, atoms in enumerate(structures):
        volume = cell_volumes([atoms.cell.array])[0]
        if np.isfinite(volume):
            with property_named("finite differences", s):
                noise = 3e-11 * expected.scale / volume
                numerical = finite_difference_stress(model, atoms)
                compare("stress", expected.stress[s], numerical, rtol=rtol, atol=noise)


def _check_rotation(model, structures, expected, rng, rtol):
    for s, atoms in enumerate(structures):
        turned, rotation = equivalent.rotated(atoms, rng)
        with property_named("rotation", s):
            _compare_equivalent(model, turned, expected, s, lambda f, r=rotation: f @ r)


def _check_translation(model, structures, expected, rng, rtol):
    moved = [equivalent.translated(atoms, rng) for atoms in structures]
    _compare_energies(_predict(model, moved), expected, range(len(structures)))


def _check_permutation(model, structures, expected, rng, rtol):
    for s, atoms in enumerate(structures):
        mixed, order = equivalent.permuted(atoms, rng)
        with property_named("permutation", s):
            _compare_equivalent(model, mixed, expected, s, lambda f, order=order: f[order])


def _check_cell(model, structures, expected, rng, rtol):
    for s, atoms in enumerate(structures):
        for name, variant in equivalent.with_other_cells(atoms, rng).items():
            with property_named(name, s):
                other = _predict(model, [variant])
                _compare_energies(other, expected, [s], len(variant) // len(atoms))


def _compare_equivalent(model, atoms, expected, s, transform):
    """Compare an equivalent of structure s, whose forces are `transform` of those of s."""
    other = _predict(model, [atoms])
    _compare_energies(other, expected, [s])
    if expected.forces is not None:
        forces = transform(expected.forces[s])
        compare("forces", other.forces[0], forces, rtol=GEOMETRIC, atol=GEOMETRIC)


def _compare_energies(other, expected, chosen, copies=1):
    energies = copies * expected.energy[list(chosen)]
    compare("energies", other.energy, energies, rtol=GEOMETRIC, scale=copies * expected.scale)


def _check_batches(model, structures, expected, rng, rtol):
    for s, atoms in enumerate(structures):
        _compare_all(f"of structure {s} alone", _predict(model, [atoms]), expected, [s])
    order = equivalent.shuffled(len(structures), rng)
    other = _predict(model, [structures[s] for s in order])
    _compare_all(f"of the structures {order.tolist()}", other, expected, order)


def _check_inputs(model, structures, expected, rng, rtol):
    other = _predict(uncached(model), equivalent.frozen(structures))
    _compare_all("with read-only input", other, expected)


def _check_threads(model, structures, expected, rng, rtol):
    model = uncached(model)
    other = serially(lambda: _predict(model, structures))
    _compare_all("on one thread", other, expected)


def _check_copies(model, structures, expected, rng, rtol):
    copies = {"pickle": pickle.loads(pickle.dumps(model)), "second call": uncached(model)}
    for name, copy in copies.items():
        _compare_all(f"after {name}", _predict(copy, structures), expected, rtol=0.0)


_PROPERTIES = {
    "finite": _check_finite,
    "forces": _check_forces,
    "stress": _check_stress,
    "rotation": _check_rotation,
    "translation": _check_translation,
    "permutation": _check_permutation,
    "cell": _check_cell,
    "batches": _check_batches,
    "inputs": _check_inputs,
    "threads": _check_threads,
    "copies": _check_copies,
}
