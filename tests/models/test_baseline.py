"""A block of features that enters the energy as it is: nuclear repulsion beside a kernel model."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.pipeline import FeatureUnion, make_pipeline

import skpot
from skpot import ZBL, SparseGPR
from skpot.testing import check_potential
from tests.samples import labeled

SOAP = dict(cutoff=3.5, n_max=3, l_max=2)


def union(**zbl):
    return FeatureUnion([("zbl", ZBL(**zbl)), ("soap", skpot.SOAP(**SOAP))])


@pytest.fixture(scope="module")
def data():
    missing = {"energy": [0], "forces": [8]}
    return labeled(["Si", "O"], 3, lone_atom=False, per_atom=-5.0, missing=missing)


@pytest.mark.parametrize(
    "regressor",
    [SparseGPR(n_sparse=15, baseline="zbl"), skpot.GPR(baseline="zbl")],
    ids=lambda r: type(r).__name__,
)
def test_forces_and_stress_are_derivatives_of_the_whole_energy(data, regressor):
    X, y = data
    model = make_pipeline(union(outer=3.0), regressor).fit(X, y)
    check_potential(model, X[:3])


def test_fitting_with_the_term_is_fitting_to_labels_without_it(data):
    X, y = data
    zbl, soap = ZBL(outer=3.0).fit(X), skpot.SOAP(**SOAP).fit(X)
    term = zbl.transform(X)
    forces, virials = term.pull_back(np.ones((len(term.values), 1)))
    energy = np.add.reduceat(term.values[:, 0], term.offsets[:-1])
    volumes = np.array([a.get_volume() if a.pbc.all() else np.nan for a in X])
    rest = skpot.Targets(
        [y.energy[s] - energy[s] if y.has_energy[s] else None for s in range(len(X))],
        [
            y.forces[s] - f if y.has_forces[s] else None
            for s, f in enumerate(np.split(forces, term.offsets[1:-1]))
        ],
        [y.stress[s] + virials[s] / volumes[s] if y.has_stress[s] else None for s in range(len(X))],
    )
    assert abs(forces).max() > 0.1
    with_term = make_pipeline(union(outer=3.0), SparseGPR(n_sparse=15, baseline="zbl")).fit(X, y)
    without = SparseGPR(n_sparse=15).fit(soap.transform(X), rest)
    one, other = with_term.predict(X), without.predict(soap.transform(X))
    np.testing.assert_allclose(one.energy, other.energy + energy, atol=1e-9)
    np.testing.assert_allclose(one.forces_flat, other.forces_flat + forces, atol=1e-9)
    periodic = np.isfinite(volumes)
    shift = virials[periodic] / volumes[periodic, None]
    np.testing.assert_allclose(one.stress[periodic], other.stress[periodic] - shift, atol=1e-9)
    std = with_term.predict(X, return_std=True)[1]
    np.testing.assert_allclose(std, without.predict(soap.transform(X), return_std=True)[1])


@pytest.mark.filterwarnings("ignore::skpot.exceptions.StructureWarning")
def test_nuclei_that_meet_repel_whatever_was_learned():
    X, y = skpot.datasets.load_silicon(return_X_y=True)[:2]
    plain = make_pipeline(skpot.SOAP(**SOAP), SparseGPR(n_sparse=30)).fit(X[:15], y[:15])
    safe = make_pipeline(union(), SparseGPR(n_sparse=30, baseline="zbl")).fit(X[:15], y[:15])
    pairs = [Atoms("Si2", positions=[[0, 0, 0], [0, 0, r]]) for r in (0.6, 0.45, 0.33)]
    plain_energies, safe_energies = plain.predict(pairs).energy, safe.predict(pairs).energy
    assert (np.diff(safe_energies) > 100.0).all()
    assert abs(np.diff(plain_energies)).max() < 100.0  # a kernel model knows of no nuclei
    np.testing.assert_allclose(safe.predict(X[:3]).energy, plain.predict(X[:3]).energy, atol=1e-8)


def test_a_block_that_is_not_there(data):
    X, y = data
    with pytest.raises(ValueError, match=r'baseline="zbl" but the features have.*soap'):
        make_pipeline(skpot.SOAP(**SOAP), SparseGPR(baseline="zbl")).fit(X, y)
    with pytest.raises(ValueError, match="leaves no features"):
        make_pipeline(ZBL(), SparseGPR(baseline="zbl")).fit(X, y)
