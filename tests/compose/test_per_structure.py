"""Rows of whole structures: pooling, transformers on them, ordinary regressors after them."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

import skpot
from skpot import SOAP, CoulombMatrix, PerAtom, PerStructure, SparseGPR, Targets
from skpot.data import _derivatives
from skpot.testing import check_descriptor, check_potential, sample_structures
from tests.samples import small_structures

SMALL = dict(cutoff=3.0, n_max=2, l_max=2, sigma=0.4)


@pytest.fixture(scope="module")
def structures():
    return small_structures(["Si", "O"], 4)


@pytest.fixture(scope="module")
def energies(structures):
    rng = np.random.default_rng(0)
    return np.array([-4.0 * len(atoms) + rng.normal(0, 0.1) for atoms in structures])


@pytest.fixture(scope="module")
def features(structures):
    return SOAP(**SMALL).fit_transform(structures)


@pytest.mark.parametrize("pool", ["sum", "mean"])
def test_values(features, pool):
    pooled = PerStructure(pool=pool).fit_transform(features)
    for s in range(len(features)):
        rows = features[s].values
        np.testing.assert_allclose(pooled.values[s], getattr(rows, pool)(axis=0), rtol=1e-13)
    assert pooled.shape == features.shape
    assert pooled.n_atoms.tolist() == features.n_atoms.tolist()
    assert pooled.n_rows.tolist() == [1] * len(features)


@pytest.mark.parametrize("pool", ["sum", "mean"])
@pytest.mark.parametrize(
    "transformer", [None, StandardScaler(), PCA(3), Normalizer()], ids=lambda t: str(t)
)
def test_promises(structures, pool, transformer):
    pipeline = make_pipeline(SOAP(**SMALL), PerStructure(transformer, pool=pool))
    check_descriptor(pipeline, structures[:4] if transformer is None else structures[:8])


def test_steps_before_and_after(structures):
    steps = PerAtom(PCA(4)), PerStructure(), PerAtom(StandardScaler()), PerStructure(PCA(2))
    check_descriptor(make_pipeline(SOAP(**SMALL), *steps), structures[:5])


def test_the_jacobian_does_not_depend_on_how_it_is_cut(features, monkeypatch):
    pooled = PerStructure().fit_transform(features)
    whole = pooled.jacobian([2, 0, 2])
    monkeypatch.setattr(_derivatives, "BLOCK_BYTES", 1.0)
    cut = pooled.jacobian([2, 0, 2])
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


def test_rows_of_structures_are_left_alone():
    features = CoulombMatrix().fit_transform([Atoms("H2", [[0, 0, 0], [0, 0, 0.8]])])
    assert PerStructure().fit_transform(features) is features


def test_ordinary_regressors_follow(structures, energies):
    model = make_pipeline(SOAP(**SMALL), PerStructure(StandardScaler()), Ridge(1e-3))
    assert np.isfinite(cross_val_score(model, structures, energies, cv=4)).all()
    assert model.fit(structures, energies).score(structures, energies) > 0.99
    search = GridSearchCV(model, {"perstructure__pool": ["sum", "mean"]}, cv=2, n_jobs=2)
    assert search.fit(structures, energies).best_params_ == {"perstructure__pool": "sum"}


def test_ordinary_transformers_follow(structures, features):
    pooled = PerStructure().fit_transform(features)
    scaled = make_pipeline(SOAP(**SMALL), PerStructure(), StandardScaler()).fit_transform(
        structures
    )
    np.testing.assert_allclose(scaled, StandardScaler().fit_transform(pooled.values), atol=1e-12)


def test_rows_of_atoms_are_refused_by_ordinary_regressors(structures, energies):
    with pytest.raises(TypeError, match=r"skpot.PerStructure\(\)"):
        make_pipeline(SOAP(**SMALL), Ridge()).fit(structures, energies)


def test_supervised_selection(structures, energies):
    step = PerStructure(SelectKBest(f_regression, k=5))
    labels = Targets(energies, [np.zeros((len(atoms), 3)) for atoms in structures])
    pipeline = make_pipeline(SOAP(**SMALL), step).fit(structures, labels)
    check_descriptor(
        make_pipeline(pipeline[0], _Fitted(pipeline[1])), structures[:3], skip=("copies",)
    )


class _Fitted(PerStructure):
    """A step that was fitted with labels, as part of a pipeline that is fitted without."""

    def __init__(self, step):
        self.step = step

    def fit(self, X, y=None):
        vars(self).update(vars(self.step))
        return self

    def __sklearn_clone__(self):
        return self


def test_missing_energies_only_matter_to_supervised_steps(structures, features):
    labels = Targets([None] * len(structures), [np.zeros((len(a), 3)) for a in structures])
    assert PerStructure(StandardScaler()).fit(features, labels).matrix_ is not None
    with pytest.raises(ValueError, match="y"):
        PerStructure(SelectKBest(f_regression, k=5)).fit(features, labels)


def test_nonlinear_transformers_are_refused_with_advice(features):
    with pytest.raises(TypeError, match="register_jacobian"):
        PerStructure(FunctionTransformer(np.exp)).fit(features)


def test_arrays_are_refused_with_advice():
    with pytest.raises(TypeError, match="PerStructure takes AtomicFeatures.*put a descriptor"):
        PerStructure().fit(np.ones((3, 2)))


@pytest.mark.parametrize("pool", ["sum", "mean"])
def test_a_potential_on_pooled_features(structures, energies, pool):
    rng = np.random.default_rng(0)
    labels = Targets(energies, [0.1 * rng.normal(size=(len(a), 3)) for a in structures])
    model = make_pipeline(
        SOAP(**SMALL), PerStructure(pool=pool), SparseGPR(skpot.kernels.RBF(), n_sparse=12)
    )
    model.fit(structures, labels)
    assert model[-1].e0_source_ == "isolated (Si), least_squares (O)"
    # With a kernel of sums, the energy need not double with the cell.
    check_potential(model, structures[:4], skip=("cell",))


def test_blocks_side_by_side(structures):
    union = FeatureUnion(
        [
            ("coulomb", CoulombMatrix()),
            ("soap", make_pipeline(SOAP(**SMALL), PerStructure())),
        ]
    )
    clusters = [atoms for atoms in structures if not atoms.pbc.any()]
    features = union.fit_transform(clusters)
    assert features.per_structure and len(features.blocks) == 2
    check_descriptor(union, clusters, skip=("cutoff",))  # Coulomb terms have no cutoff


def test_feature_names():
    X = sample_structures()
    soap = SOAP(**SMALL).fit(X)
    names = list(soap.get_feature_names_out())
    assert list(make_pipeline(soap, PerStructure()).fit(X).get_feature_names_out()) == names
    reduced = make_pipeline(soap, PerStructure(PCA(2))).fit(X)
    assert list(reduced.get_feature_names_out()) == ["pca0", "pca1"]
