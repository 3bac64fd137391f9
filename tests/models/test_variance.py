"""Standard deviations of energies, forces and stress against dense algebra; the grade."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skpot
from skpot import GPR, SOAP, SparseGPR, Targets
from skpot.kernels import RBF, DotProduct
from skpot.models import _variance
from skpot.testing import sample_structures
from tests.naive.exact import ExactGP, gaussian
from tests.naive.kernel import SparseGP, Structure, dot_product
from tests.naive.variance import exact_variance, projected_variance

SMALL = dict(cutoff=3.0, n_max=2, l_max=2, sigma=0.4)
NOISE = dict(sigma_energy=0.02, sigma_forces=0.1, sigma_stress=0.01)
E0 = {"Si": -2.5, "O": -2.0}


def labelled(symbols=("Si", "O"), n=1):
    """Return structures with random labels, of which some lack one kind."""
    rng = np.random.default_rng(0)
    X = [a for seed in range(n) for a in sample_structures(list(symbols), random_state=seed)]
    energy = [-3.0 * len(a) + rng.normal() for a in X]
    forces = [rng.normal(size=(len(a), 3)) for a in X]
    stress = [rng.normal(size=6) * 1e-2 if a.pbc.all() else None for a in X]
    energy[1], forces[2] = None, None
    return X, Targets(energy, forces, stress)


@pytest.fixture(scope="module")
def silicon():
    X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    soap = SOAP(cutoff=4.0, n_max=4, l_max=3)
    return soap.fit_transform(X[:12]), y[:12], soap.transform(X_test[:6]), y_test[:6]


def naive(atoms, energy=None, forces=None, stress=None):
    cell = atoms.cell.array
    return Structure(atoms.numbers, atoms.positions, cell, atoms.pbc, energy, forces, stress)


def training(X, y):
    return [
        naive(
            atoms,
            y.energy[i] if y.has_energy[i] else None,
            y.forces[i],
            y.stress[i] if y.has_stress[i] else None,
        )
        for i, atoms in enumerate(X)
    ]


def features_of(soap):
    def features(numbers, positions, cell, pbc):
        return soap.transform([Atoms(numbers, positions, cell=cell, pbc=pbc)]).values

    return features


def compare(model, X, variance):
    """Compare all deviations of a pipeline with `variance(structure, name)`."""
    features = model[0].transform(X)
    _, std = model.predict(X, return_std="all")
    atoms = np.split(model[1].energies_std(features), features.offsets[1:-1])
    tolerance = dict(rtol=1e-3, atol=1e-6)
    for i, structure in enumerate(X):
        s = naive(structure)
        np.testing.assert_allclose(std.energy[i] ** 2, variance(s, "energy"), **tolerance)
        np.testing.assert_allclose(atoms[i][1] ** 2, variance(s, ("atom", 1)), **tolerance)
        for name in [(0, 1), (len(structure) - 1, 2)]:
            np.testing.assert_allclose(std.forces[i][name] ** 2, variance(s, name), **tolerance)
        assert std.has_stress[i] == structure.pbc.all()
        for v in (0, 4) if std.has_stress[i] else ():
            np.testing.assert_allclose(
                std.stress[i, v] ** 2, variance(s, v), rtol=1e-3, atol=1e-9
            )


KERNELS = [(RBF(0.6, 2.0), gaussian(0.6, 2.0)), (DotProduct(3), dot_product(3))]


@pytest.mark.parametrize("kernel, plain", KERNELS, ids=["RBF", "DotProduct"])
def test_sparse_equals_dense_algebra(kernel, plain):
    X, y = labelled()
    X, y = X[:4], y[:4]
    gpr = SparseGPR(kernel, n_sparse=6, e0=E0, jitter=1e-12, **NOISE)
    model = make_pipeline(SOAP(**SMALL), gpr).fit(X, y)
    references = list(zip(gpr.reference_features_, gpr.reference_species_, strict=True))
    e0 = {14: -2.5, 8: -2.0}
    oracle = SparseGP(features_of(model[0]), plain, references, e0, **NOISE).fit(training(X, y))
    compare(model, X[:3], lambda s, name: projected_variance(oracle, s, name))


@pytest.mark.parametrize("kernel, plain", KERNELS, ids=["RBF", "DotProduct"])
def test_exact_equals_dense_algebra(kernel, plain):
    X, y = labelled()
    X, y = X[:3], y[:3]
    model = make_pipeline(SOAP(**SMALL), GPR(kernel, e0=E0, **NOISE)).fit(X, y)
    e0 = {14: -2.5, 8: -2.0}
    oracle = ExactGP(features_of(model[0]), plain, e0, **NOISE).fit(training(X, y))

    compare(model, X, lambda s, name: exact_variance(oracle, s, name))
