"""Every kernel and combination through the same properties."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skpot import GPR, AtomicFeatures, SparseGPR, dump, load
from skpot.kernels import RBF, DotProduct, Exponentiation, Matern, Product, Sum, Symmetrized
from tests.naive.kernel import dot_product, gaussian, matern

LENGTHS = [0.5, 0.9, 1.4, 0.7]
P = slice(0, 2)
Q = slice(1, 4)


def part(kernel, columns):
    """Oracle on some of the columns."""
    return lambda x, q: kernel(x[columns], q[columns])


GROUP = [[0, 1, 2, 3], [1, 2, 0, 3], [2, 0, 1, 3]]  # no element but the first is its own inverse


def mean(kernel):
    """Oracle averaged over the group."""
    return lambda x, q: sum(kernel(x, q[order]) for order in GROUP) / len(GROUP)


# Kernel and a plain function of two vectors that it equals.
KERNELS = {
    "linear": (DotProduct(zeta=1), dot_product(1)),
    "square": (DotProduct(zeta=2, variance=0.3), lambda x, q: 0.3 * dot_product(2)(x, q)),
    "power": (DotProduct(zeta=5), dot_product(5)),
    "gauss": (RBF(), gaussian(1.0)),
    "gauss-short": (RBF(0.4, 2.0), gaussian(0.4, 2.0)),
    "gauss-lengths": (RBF(LENGTHS, 0.7), gaussian(LENGTHS, 0.7)),
    "matern": (Matern(1.3), matern(1.3, 2.5)),
    "matern-smooth": (Matern(0.8, 3.5, 1.5), matern(0.8, 3.5, 1.5)),
    "matern-gauss": (Matern(0.8, np.inf), gaussian(0.8)),
    "matern-lengths": (Matern(LENGTHS), matern(LENGTHS, 2.5)),
    "block": (RBF(0.9).on((0, 2)), part(gaussian(0.9), P)),
    "sum": (
        RBF(0.9) + 0.5 * DotProduct(zeta=2),
        lambda x, q: gaussian(0.9)(x, q) + 0.5 * dot_product(2)(x, q),
    ),
    "two-lengths": (
        RBF(0.9) + Matern(2.0),
        lambda x, q: gaussian(0.9)(x, q) + matern(2.0, 2.5)(x, q),
    ),
    "sum-of-blocks": (
        RBF(0.9).on((0, 2)) + Matern([0.5, 0.7, 1.1], block=(1, 4)),
        lambda x, q: gaussian(0.9)(x[P], q[P]) + matern([0.5, 0.7, 1.1], 2.5)(x[Q], q[Q]),
    ),
    "product": (
        RBF(1.5, 2.0) * DotProduct(zeta=1),
        lambda x, q: gaussian(1.5, 2.0)(x, q) * dot_product(1)(x, q),
    ),
    "product-alike": (
        RBF(1.5) * Matern(2.0),
        lambda x, q: gaussian(1.5)(x, q) * matern(2.0, 2.5)(x, q),
    ),
    "exponentiation": (
        3.0 * (RBF(1.5) + DotProduct(zeta=2)) ** 2,
        lambda x, q: 3.0 * (gaussian(1.5)(x, q) + dot_product(2)(x, q)) ** 2,
    ),
    "symmetrized": (
        Symmetrized(Matern(1.3) + DotProduct(zeta=2), GROUP),
        mean(lambda x, q: matern(1.3, 2.5)(x, q) + dot_product(2)(x, q)),
    ),
    "symmetrized-lengths": (
        Symmetrized(RBF([0.7, 0.7, 0.7, 1.2]) * DotProduct(zeta=1), GROUP),
        mean(lambda x, q: gaussian([0.7, 0.7, 0.7, 1.2])(x, q) * dot_product(1)(x, q)),
    ),
    "nested": (
        (RBF(0.9).on((0, 2)) * Matern(1.4).on((1, 4)) + DotProduct(zeta=1)) ** 3 * RBF(2.0),
        lambda x, q: (
            (gaussian(0.9)(x[P], q[P]) * matern(1.4, 2.5)(x[Q], q[Q]) + float(x @ q)) ** 3
            * gaussian(2.0)(x, q)
        ),
    ),
}  # fmt: skip

every_kernel = pytest.mark.parametrize(
    "kernel, oracle", [pytest.param(*pair, id=name) for name, pair in KERNELS.items()]
)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 4)), rng.normal(size=(5, 4))


def central(function, x, direction, step=1e-4):
    """Derivative of a function along a direction, of fourth order."""
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    return sum(w * function(x + k * step * direction) for k, w in weights.items()) / step


def close(value, reference):
    np.testing.assert_allclose(value, reference, atol=1e-7 * max(1.0, np.abs(reference).max()))


def gradient_of(function, x, q):
    """Return dk/dx (n, m, n_features) as the module of the functions has it."""
    out = np.zeros((len(x), len(q), x.shape[1]))
    for s, slope in function.with_slope(x, q)[1].items():
        difference = s.against(s.turned(q))[None] - s.centered * s.against(x)[:, None]
        s.take(out)[...] += slope[:, :, None] * difference
    return out


@every_kernel
def test_values_and_gradient(kernel, oracle, rows):
    x, q = rows
    np.testing.assert_allclose(kernel(x, q), [[oracle(a, b) for b in q] for a in x], rtol=1e-10)
    np.testing.assert_allclose(kernel.with_slope(x, q)[0], kernel(x, q), rtol=1e-14)
    np.testing.assert_allclose(kernel.with_curvature(x, q)[0], kernel(x, q), rtol=1e-14)
    gradient = gradient_of(kernel, x, q)
    for d, direction in enumerate(np.eye(4)):
        numerical = [[central(lambda y, b=b: oracle(y, b), a, direction) for b in q] for a in x]
        close(gradient[:, :, d], np.array(numerical))


@every_kernel
def test_expansion_in_single_precision(kernel, oracle, rows):
    x, q = rows
    rng = np.random.default_rng(1)
    q = np.tile(q, (60, 1)) + rng.normal(0, 0.1, (300, 4))
    a, v = rng.normal(size=300), rng.normal(size=(300, 4))
    u, gradient = kernel.expansion(x, q, a, v)
    sides = kernel.sides(q, v, np.float32)
    found = [
        kernel.expansion(x, q, a, v, compared, sides)
        for compared in (None, kernel.compared(x, q), kernel.compared(x, q, derive=True))
    ]
    for other in found[1:]:  # what is at hand changes no bit
        np.testing.assert_array_equal(other[0], found[0][0])
        np.testing.assert_array_equal(other[1], found[0][1])
    assert found[0][0].dtype == found[0][1].dtype == float
    for single, double in zip(found[0], (u, gradient), strict=True):
        error = np.abs(single - double).max() / np.abs(double).max()
        assert 0.0 < error < 2e-5
    energies = kernel.expansion(x, q, a, 0.0 * v, None, kernel.sides(q, 0.0 * v, np.float32))[0]
    np.testing.assert_allclose(energies, kernel(x, q) @ a, rtol=1e-12, atol=1e-12)


def test_what_rows_have_in_common_is_not_rounded():
    rng = np.random.default_rng(0)
    x, q = 1e4 + rng.normal(size=(5, 6)), 1e4 + rng.normal(size=(20, 6))
    a, v = rng.normal(size=20), rng.normal(size=(20, 6))
    double = RBF(2.0).expansion(x, q, a, v)
    single = RBF(2.0).expansion(x, q, a, v, None, RBF(2.0).sides(q, v, np.float32))
    for one, other in zip(single, double, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@every_kernel
def test_expansion(kernel, oracle, rows):
    x, q = rows
    rng = np.random.default_rng(1)
    q = np.tile(q, (60, 1)) + rng.normal(0, 0.1, (300, 4))  # more than a tile
    q[3] = x[2]
    a, v = rng.normal(size=300), rng.normal(size=(300, 4))
    u, gradient = kernel.expansion(x, q, a, v)
    for compared in (kernel.compared(x, q), kernel.compared(x, q, derive=True)):
        for _ in range(2):  # what is at hand stays as it is
            again = kernel.expansion(x, q, a, v, compared)
            np.testing.assert_array_equal(u, again[0])
            np.testing.assert_array_equal(gradient, again[1])
    along = central(lambda t: kernel(x, q + t * v), 0.0, 1.0)
    close(u, kernel(x, q) @ a + along.sum(axis=1))
    for d, direction in enumerate(np.eye(4)):
        close(
            gradient[:, d],
            central(lambda y: kernel.expansion(y, q, a, v)[0], x, direction),  # noqa: B023
        )


@every_kernel
def test_is_a_covariance(kernel, oracle, rows):
    x, _ = rows
    k = kernel(x, x)
    np.testing.assert_allclose(k, k.T, rtol=1e-12)
    np.testing.assert_allclose(np.diag(k), kernel.diag(x), rtol=1e-12)
    assert np.linalg.eigvalsh(k).min() > -1e-10 * np.diag(k).max()


@every_kernel
def test_single_precision_rows_are_computed_in_double(kernel, oracle, rows):
    x, q = (r.astype(np.float32) for r in rows)
    k = kernel(x, q)
    assert k.dtype == float
    np.testing.assert_array_equal(k, kernel(x.astype(float), q.astype(float)))
    a, v = np.ones(len(q)), np.ones(q.shape)
    assert kernel.expansion(x, q, a, v)[1].dtype == float


@every_kernel
def test_theta(kernel, oracle, rows):
    x, q = rows
    theta = kernel.theta
    assert theta.shape == (kernel.n_dims,) == (len(kernel.bounds),)
    assert (kernel.bounds[:, 0] <= theta).all() and (theta <= kernel.bounds[:, 1]).all()
    np.testing.assert_allclose(kernel.clone_with_theta(theta)(x, q), kernel(x, q), rtol=1e-12)
    moved = kernel.clone_with_theta(theta + 0.1)
    np.testing.assert_allclose(moved.theta, theta + 0.1)
    np.testing.assert_array_equal(kernel.theta, theta)
    derivatives = kernel.theta_gradient()
    assert len(derivatives) == len(theta)
    a, v = np.ones(len(q)), np.full(q.shape, 0.3)
    for function, direction in zip(derivatives, np.eye(len(theta)), strict=True):

        def along(value, direction=direction):
            return central(lambda t: value(kernel.clone_with_theta(t)), theta, direction)

        close(function(x, q), along(lambda k: k(x, q)))
        close(gradient_of(function, x, q), along(lambda k: gradient_of(k, x, q)))
        close(
            np.column_stack(function.expansion(x, q, a, v)),
            along(lambda k: np.column_stack(k.expansion(x, q, a, v))),
        )


@every_kernel
def test_copies(kernel, oracle, rows):
    x, q = rows
    assert repr(clone(kernel)) == repr(kernel) == repr(eval(repr(kernel), globals() | NAMES))
    again = pickle.loads(pickle.dumps(clone(kernel)))
    np.testing.assert_array_equal(again(x, q), kernel(x, q))


NAMES = {"inf": np.inf, "Sum": Sum, "Product": Product, "Exponentiation": Exponentiation}


@every_kernel
@pytest.mark.parametrize("model", [GPR(), SparseGPR(n_sparse=4)], ids=["GPR", "SparseGPR"])
def test_fitted_models_keep_it(kernel, oracle, model, rows, tmp_path):
    x, _ = rows
    fitted = clone(model).set_params(kernel=kernel).fit(x, x.sum(axis=1))
    dump(fitted, tmp_path / "model.skops")
    for again in (load(tmp_path / "model.skops"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
        assert repr(again.kernel_) == repr(fitted.kernel_)


def test_a_number_scales_whole_trees(rows):
    x, q = rows
    for kernel, _ in KERNELS.values():
        np.testing.assert_allclose((2.5 * kernel)(x, q), 2.5 * kernel(x, q), rtol=1e-12)
    assert repr(np.float64(2.0) * RBF()) == "RBF(variance=2.0)"
    with pytest.raises(TypeError):
        RBF() * -1.0
    with pytest.raises(TypeError):
        RBF() + 1.0


def test_terms_of_one_similarity_share_a_product():
    assert len((RBF(1.0) + Matern(2.0) * RBF(3.0)).similarities) == 1
    assert len((RBF(1.0) + DotProduct() + RBF([1.0, 2.0])).similarities) == 3


def test_fixed_hyperparameters_are_not_in_theta(rows):
    kernel = RBF(2.0, 3.0, variance_bounds="fixed") * DotProduct(variance=0.5)
    np.testing.assert_allclose(np.exp(kernel.theta), [2.0, 0.5])
    names = ["k1__length_scale", "k1__variance", "k2__variance"]
    assert [h.name for h in kernel.hyperparameters] == names
    assert len(kernel.theta_gradient()) == 2
    with pytest.raises(ValueError, match="theta has shape"):
        kernel.theta = [0.0]


def two_blocks(x):
    n = len(x)
    blocks = {"pair": slice(0, 2), "soap": slice(2, None)}
    return AtomicFeatures(x, np.arange(n + 1), np.ones(n, dtype=int), blocks=blocks)


def test_blocks_by_name(rows):
    x, _ = rows
    named = RBF(0.9).on("pair") + Matern(block="soap")
    with pytest.raises(ValueError, match='on the block "pair"'):
        named(x, x)
    y = x.sum(axis=1)
    model = SparseGPR(named, n_sparse=4).fit(two_blocks(x), y)
    plain = SparseGPR(RBF(0.9).on((0, 2)) + Matern(block=(2, 4)), n_sparse=4).fit(x, y)
    np.testing.assert_array_equal(model.predict(two_blocks(x)), plain.predict(x))
    assert model.kernel.k1.block == "pair" and model.kernel_.k2.block == (2, 4)
    with pytest.raises(ValueError, match=r"block \"soup\" but .* blocks \['pair', 'soap'\]"):
        SparseGPR(RBF().on("soup")).fit(two_blocks(x), y)
    with pytest.raises(ValueError, match="3 length scales but acts on 2 features"):
        SparseGPR(RBF([1.0, 2.0, 3.0]).on("pair")).fit(two_blocks(x), y)
    with pytest.raises(ValueError, match="beyond those of the 4 features"):
        SparseGPR(RBF(block=(2, 5))).fit(x, y)


def test_a_search_reaches_into_trees(rows):
    x, _ = rows
    grid = {"kernel__k1__length_scale": [0.5, 1.0], "kernel__k2__kernel__zeta": [1, 2]}
    search = GridSearchCV(SparseGPR(RBF() + DotProduct() ** 2, n_sparse=3), grid, cv=2)
    search.fit(x, x[:, 0])
    assert set(search.best_params_) == set(grid)


@pytest.mark.parametrize(
    "bad, name",
    [
        (DotProduct(zeta=0), "zeta"),
        (DotProduct(zeta=1.5), "zeta"),
        (RBF(length_scale=0), "length_scale"),
        (RBF(length_scale=[1.0, -1.0]), "length_scale"),
        (Matern(nu=1.5), "nu=1.5"),
        (RBF() + Matern(variance=-1.0), "variance"),
        (RBF() ** 0, "exponent"),
        ((RBF() * DotProduct(zeta=-1)) ** 2, "zeta"),
    ],
)
def test_bad_parameters_are_named(bad, name):
    with pytest.raises(ValueError, match=name):
        SparseGPR(bad).fit(np.ones((3, 2)), np.ones(3))
