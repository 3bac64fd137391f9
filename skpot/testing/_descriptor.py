"""Checks of what every descriptor promises."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from sklearn.base import clone

from . import _structures as equivalent
from ._compare import EXACT, GEOMETRIC, compare, property_named, selected, serially, uncached
from ._finite_difference import finite_difference_forces, finite_difference_virial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.base import BaseEstimator

    from skpot.typing import Structures


def check_descriptor(
    descriptor: BaseEstimator,
    structures: Structures,
    *,
    rtol: float = 1e-6,
    skip: Sequence[str] = (),
    random_state: int = 0,
) -> None:
    """Raise `AssertionError` unless a descriptor keeps every promise.

    A copy of the descriptor is fitted to the structures. It must then fulfill the following:

    - features are finite;
    - forces and virials of random linear functions of the features agree with finite differences,
      and Jacobian blocks and push-forward agree with the pull-back;
    - features do not depend on rotation, translation, the order of atoms or the choice of cell;
    - features do not depend on the batch, its order, or the number of threads;
    - inputs are not written to;
    - features change smoothly where a neighbor leaves the cutoff;
    - pickle and clone preserve the transformer.

    Features may have one row for each atom or one for each structure.

    Parameters
    ----------
    descriptor : estimator
        Transformer of structures to `AtomicFeatures`, or a pipeline of such steps. It is not
        changed.
    structures : list[Atoms]
        A few small structures, best with atoms off symmetric positions, where derivatives vanish;
        see `sample_structures`.
    rtol : float, default=1e-6
        Tolerance of derivatives against finite differences, relative to the largest component.
    skip : sequence of str, default=()
        Properties that are not checked, by the names that messages show in brackets. For example,
        skip "permutation" if rows depend on the order of atoms, and "cutoff" if not all features
        vanish there.
    random_state : int, default=0
        Seed of the random functions and transformations.

    Examples
    --------
    >>> import skpot
    >>> from skpot.testing import check_descriptor, sample_structures
    >>> soap = skpot.SOAP(cutoff=3.0, n_max=2, l_max=2)
    >>> check_descriptor(soap, sample_structures())
    """
    checks = selected(_PROPERTIES, skip)
    with property_named("fit"):
        fitted = clone(descriptor).fit(structures)
        features = fitted.transform(structures)
    for name, check in checks.items():
        rng = np.random.default_rng(random_state)
        with property_named(name):
            check(fitted, list(structures), features, rng, rtol)


def _rows(features, s):
    return slice(features.offsets[s], features.offsets[s + 1])


def _atoms(features, s):
    return slice(features.atom_offsets[s], features.atom_offsets[s + 1])


def _scale(features):
    return max(np.abs(features.values).max(), np.finfo(float).tiny)


def _check_container(fitted, structures, features, rng, rtol):
    counts = [len(atoms) for atoms in structures]
    assert len(features) == len(structures), f"{len(features)} entries, not one per structure"
    assert features.n_atoms.tolist() == counts, "n_atoms is not the number of atoms"
    numbers = np.concatenate([atoms.numbers for atoms in structures])
    assert np.array_equal(features.numbers, numbers), "numbers are not the atomic numbers"
    if features.per_structure:
        assert len(features.values) == len(structures), "rows are not one per structure"
        assert not features.species.any(), "rows of whole structures have a species"
    else:
        assert features.n_rows.tolist() == counts, "rows are not one per atom"
    bad = np.flatnonzero(~np.isfinite(features.values).all(axis=1))
    assert len(bad) == 0, f"environments {bad.tolist()} have NaN or infinite features"
    if hasattr(fitted, "get_feature_names_out"):
        names = fitted.get_feature_names_out()
        assert len(set(names)) == features.shape[1], (
            f"{len(set(names))} distinct feature names for {features.shape[1]} features"
        )


def _check_derivatives(fitted, structures, features, rng, rtol):
    g = rng.normal(size=features.values.shape)
    forces, virials = features.pull_back(g)
    for s, atoms in enumerate(structures):
        rows = _rows(features, s)

        def energy(copies, weights=g[rows]):
            values = fitted.transform(copies).values
            return np.einsum("sij,ij->s", values.reshape(len(copies), *weights.shape), weights)

        with property_named("finite differences", s):
            # The rounding of the energy divided by the step limits the accuracy of differences.
            noise = 1e-12 * np.abs(g[rows] * features.values[rows]).sum()
            numerical = finite_difference_forces(energy, atoms)
            compare("forces", forces[_atoms(features, s)], numerical, rtol=rtol, atol=noise)
            numerical = finite_difference_virial(energy, atoms)
            compare("virial", virials[s], numerical, rtol=rtol, atol=3 * noise)


def _check_jacobian(fitted, structures, features, rng, rtol):
    g = rng.normal(size=features.values.shape)
    forces, virials = features.pull_back(g)
    structure = np.repeat(np.arange(len(features)), np.diff(features.offsets))
    sizes = np.asarray(features.neighborhood_sizes())
    order = rng.permutation(len(g))  # blocks may be computed for any environments in any order
    for centers in np.array_split(order, min(3, len(order))):
        block = features.jacobian(centers)
        counts = np.diff(block.start)
        assert (counts <= sizes[centers]).all(), "more rows than neighborhood_sizes announces"
        for k, i in enumerate(centers):
            entries = slice(block.start[k], block.start[k + 1])
            atoms = block.atom[entries]
            assert len(set(atoms.tolist())) == len(atoms), f"environment {i}: an atom occurs twice"
            np.add.at(forces, atoms, block.values[entries] @ g[i])
            virials[structure[i]] += block.strain[k] @ g[i]
    scale = np.abs(features.pull_back(g)[0]).max() + np.abs(features.pull_back(g)[1]).max()
    compare("forces minus Jacobian", forces, np.zeros_like(forces), rtol=EXACT, scale=scale)
    compare("virials minus Jacobian", virials, np.zeros_like(virials), rtol=EXACT, scale=scale)


def _check_push_forward(fitted, structures, features, rng, rtol):
    g = rng.normal(size=features.values.shape)
    moves = rng.normal(size=(len(features.numbers), 3)), rng.normal(size=(len(features), 6))
    change = features.push_forward(*moves)
    forward = [np.sum(g * change)]
    backward = [-np.sum(a * b) for a, b in zip(features.pull_back(g), moves, strict=True)]
    scale = np.abs(g * change).sum()
    compare("push-forward", forward, [sum(backward)], rtol=EXACT, scale=scale)


def _check_rotation(fitted, structures, features, rng, rtol):
    g = rng.normal(size=features.values.shape)
    forces, virials = features.pull_back(g)
    for s, atoms in enumerate(structures):
        turned, rotation = equivalent.rotated(atoms, rng)
        other = fitted.transform([turned])
        with property_named("rotation", s):
            rows = _rows(features, s)
            scale = _scale(features)
            compare("features", other.values, features.values[rows], rtol=GEOMETRIC, scale=scale)
            new_forces, new_virials = other.pull_back(g[rows])
            scale = np.abs(forces).max()
            expected = forces[_atoms(features, s)] @ rotation
            compare("forces", new_forces, expected, rtol=GEOMETRIC, scale=scale)
            tensor = virials[s][[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
            tensor = rotation.T @ tensor @ rotation
            expected = tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            scale = np.abs(virials).max()
            compare("virial", new_virials[0], expected, rtol=GEOMETRIC, scale=scale)


def _check_translation(fitted, structures, features, rng, rtol):
    moved = fitted.transform([equivalent.translated(atoms, rng) for atoms in structures])
    scale = _scale(features)
    compare("features", moved.values, features.values, rtol=GEOMETRIC, scale=scale)
    forces, _ = features.pull_back(rng.normal(size=features.values.shape))
    sums = np.add.reduceat(forces, features.atom_offsets[:-1])
    scale = np.abs(forces).max() + 1e-300
    compare("sum of forces", sums, np.zeros_like(sums), rtol=GEOMETRIC, scale=scale)


def _check_permutation(fitted, structures, features, rng, rtol):
    for s, atoms in enumerate(structures):
        mixed, order = equivalent.permuted(atoms, rng)
        expected = features.values[_rows(features, s)]
        expected = expected if features.per_structure else expected[order]
        with property_named("permutation", s):
            values = fitted.transform([mixed]).values
            compare("features", values, expected, rtol=EXACT, scale=_scale(features))


def _check_cell(fitted, structures, features, rng, rtol):
    for s, atoms in enumerate(structures):
        expected = features.values[_rows(features, s)]
        for name, variant in equivalent.with_other_cells(atoms, rng).items():
            if features.per_structure and len(variant) > len(atoms):
                continue  # rows of whole structures may grow with them or not
            with property_named(name, s):
                values = fitted.transform([variant]).values
                images = np.tile(expected, (len(values) // len(expected), 1))
                compare("features", values, images, rtol=GEOMETRIC, scale=_scale(features))


def _check_batches(fitted, structures, features, rng, rtol):
    scale = _scale(features)
    g = rng.normal(size=features.values.shape)
    forces, virials = features.pull_back(g)
    for s, atoms in enumerate(structures):
        with property_named("one by one", s):
            rows = _rows(features, s)
            alone = fitted.transform([atoms])
            compare("features", alone.values, features.values[rows], rtol=EXACT, scale=scale)
            single_forces, single_virials = alone.pull_back(g[rows])
            own = forces[_atoms(features, s)]
            compare("forces", single_forces, own, rtol=EXACT, atol=EXACT)
            compare("virial", single_virials[0], virials[s], rtol=EXACT, atol=EXACT)
    order = equivalent.shuffled(len(structures), rng)
    rows = np.concatenate([np.arange(len(g))[_rows(features, s)] for s in order])
    atoms = np.concatenate([np.arange(len(forces))[_atoms(features, s)] for s in order])
    chosen = {
        "features[indices]": features[order],
        "transform of a selection": fitted.transform([structures[s] for s in order]),
    }
    for name, part in chosen.items():
        compare(name, part.values, features.values[rows], rtol=EXACT, scale=scale)
        part_forces, part_virials = part.pull_back(g[rows])
        compare(f"forces of {name}", part_forces, forces[atoms], rtol=EXACT, atol=EXACT)
        compare(f"virials of {name}", part_virials, virials[order], rtol=EXACT, atol=EXACT)
    joined = np.concatenate([features[:1], features[1:]]) if len(features) > 1 else features
    joined_forces, _ = joined.pull_back(g)
    compare("forces of concatenated features", joined_forces, forces, rtol=EXACT, atol=EXACT)


def _check_inputs(fitted, structures, features, rng, rtol):
    constant = equivalent.frozen(structures)
    again = uncached(fitted).transform(constant)
    assert np.array_equal(again.values, features.values), "read-only input gives other features"
    g = rng.normal(size=features.values.shape)
    g.flags.writeable = False
    again.pull_back(g)


def _check_threads(fitted, structures, features, rng, rtol):
    g = rng.normal(size=features.values.shape)
    fitted = uncached(fitted)

    def run():
        other = fitted.transform(structures)
        return other.values, *other.pull_back(g)

    for name, serial, parallel in zip(
        ("features", "forces", "virials"), serially(run), run(), strict=True
    ):
        compare(f"{name} on one thread", serial, parallel, rtol=EXACT, atol=EXACT)


def _check_copies(fitted, structures, features, rng, rtol):
    g = rng.normal(size=features.values.shape)
    loaded = pickle.loads(pickle.dumps(fitted)).transform(structures)
    cloned = clone(fitted).fit(structures).transform(structures)
    again = uncached(fitted).transform(structures)
    for name, other in {"pickle": loaded, "clone": cloned, "second call": again}.items():
        assert np.array_equal(other.values, features.values), f"{name} gives other features"
    thawed = pickle.loads(pickle.dumps(features))
    for mine, other in zip(features.pull_back(g), thawed.pull_back(g), strict=True):
        assert np.array_equal(mine, other), "pickled features have other derivatives"


def _check_cutoff(fitted, structures, features, rng, rtol):
    cutoff = _cutoff(fitted)
    if cutoff is None:
        return
    numbers = sorted({int(z) for atoms in structures for z in atoms.numbers})
    delta = 1e-5
    for other in numbers[:2]:

        def dimer(r, other=other):
            return Atoms([numbers[0], other], [[0, 0, 0], [0.6 * r, 0, 0.8 * r]])

        inner = fitted.transform([dimer(r) for r in np.linspace(0.5, 0.95, 10) * cutoff])
        edge = fitted.transform([dimer(cutoff - delta), dimer(cutoff + delta)])
        g = rng.normal(size=inner.values.shape[1])
        inside, outside = np.split(edge.values, 2)
        compare("features across the cutoff", inside, outside, rtol=1e-4, scale=_scale(inner))
        slopes = np.abs(inner.pull_back(np.tile(g, (len(inner.values), 1)))[0]).max()
        forces, _ = edge.pull_back(np.tile(g, (len(edge.values), 1)))
        zero = np.zeros_like(forces[:2])
        compare("forces just inside the cutoff", forces[:2], zero, rtol=2e-2, scale=slopes)
        compare("forces outside the cutoff", forces[2:], zero, rtol=0.0)


def _cutoff(estimator):
    """Return the largest cutoff (Å) among an estimator and its steps, None if none has one."""
    values = [
        value
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "cutoff" and np.ndim(value) == 0 and value is not None
    ]
    return max(values) if values else None


_PROPERTIES = {
    "container": _check_container,
    "derivatives": _check_derivatives,
    "jacobian": _check_jacobian,
    "push-forward": _check_push_forward,
    "rotation": _check_rotation,
    "translation": _check_translation,
    "permutation": _check_permutation,
    "cell": _check_cell,
    "batches": _check_batches,
    "inputs": _check_inputs,
    "threads": _check_threads,
    "copies": _check_copies,
    "cutoff": _check_cutoff,
}
