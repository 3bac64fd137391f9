"""Descriptors one center at a time against the same of a range; what the compiled code calls."""

import re

import numpy as np
import pytest
from ase import Atoms
from numba import njit, typeof

from skpot import SOAP, ZBL, PairBasis, SymmetryFunctions, TripletBasis
from skpot.core import centers
from skpot.core._arena import arena
from skpot.core.pairs import scatter
from skpot.data import as_batch

DESCRIPTORS = {
    "power spectrum": SOAP(3.5, 3, 2, 0.5, pair_cutoffs={("C", "O"): 3.0}, cache=False),
    "tensor": SOAP(3.5, 3, 2, 0.5, compression="tensor", n_channels=5, cache=False),
    "body order 4": SOAP(3.5, 3, 2, 0.5, body_order=4, n_channels=3, normalize=False, cache=False),
    "symmetry functions": SymmetryFunctions(3.5, 3, 2, cache=False),
    "pair basis": PairBasis(3.5, 6, cache=False),
    "triplet basis": TripletBasis(3.5, 5, cache=False),
    "repulsion": ZBL(outer=2.5, cache=False),
}


@njit  # not cached: the cache would not notice changes of what is tested
def run(tables, pairs, species, size, own, kept, values, g, gradient):
    """Do all centers, first all values."""
    scratch = centers.scratch(tables, size, own)
    for i in range(len(values)):
        centers.center_values(tables, i, pairs, species, scratch, kept[i], values[i])
    for i in range(len(values)):
        centers.center_pull_back(tables, i, pairs, species, scratch, kept[i], g[i], gradient)


class Case:
    """A descriptor of a periodic structure of three species."""

    def __init__(self, descriptor):
        rng = np.random.default_rng(0)
        places = np.array(list(np.ndindex(2, 2, 2))) * 2.1 + rng.uniform(-0.3, 0.3, (8, 3))
        cell = [[4.3, 0.0, 0.0], [0.4, 4.1, 0.0], [0.2, -0.3, 4.4]]
        self.batch = as_batch([Atoms("OCH4CO", places, cell=cell, pbc=True)])
        self.features = descriptor.fit_transform(self.batch)
        self.chain, self.radius = self.features.derivatives, descriptor.radius()
        self.graph, self.module = self.chain.graph, self.chain.kernels
        self.tables = descriptor.tables()
        self.g = rng.normal(size=self.features.values.shape)

    def run(self, graph, gradient):
        """Return the values; add to `gradient`."""
        size = int(np.diff(graph.pairs.start).max())
        own = arena(centers.function_of(self.module, "scratch_size")(self.tables, size) + 8)
        own.buffer[:] = np.nan  # nothing may be taken for granted
        kept = np.full(
            (len(self.g), centers.function_of(self.module, "kept_size")(self.tables)), np.nan
        )
        values = np.full(self.g.shape, np.nan)
        args = self.chain.species, size, own, kept, values, self.g, gradient
        run(self.tables, graph.pairs, *args)
        assert own.used[0] == len(own.buffer) - 8
        assert np.isnan(own.buffer[-8:]).all()
        return values


@pytest.fixture(scope="module", params=DESCRIPTORS)
def case(request):
    return Case(DESCRIPTORS[request.param])


def test_centers_agree_with_ranges_and_add_to_the_gradient(case):
    pairs = case.graph.pairs
    expected = np.full((len(pairs.neighbor), 3), np.nan)
    args = 0, len(case.g), pairs, case.chain.species, case.tables
    case.module.pull_back(*args, case.g, expected)
    before = np.random.default_rng(1).normal(size=expected.shape)
    gradient, g = before.copy(), case.g.copy()
    values = case.run(case.graph, gradient)
    scale = abs(case.features.values).max()
    np.testing.assert_allclose(values, case.features.values, rtol=1e-12, atol=1e-12 * scale)
    assert abs(expected).max() > 0.0
    np.testing.assert_allclose(
        gradient - before, expected, rtol=1e-12, atol=1e-12 * (abs(expected).max() + 1.0)
    )
    np.testing.assert_array_equal(case.g, g)


def test_pairs_beyond_the_cutoff_add_nothing(case):
    radius = case.radius
    longer = case.batch.neighbors(radius + 1.2)
    beyond = np.linalg.norm(longer.pairs.vector, axis=1) >= radius
    assert 0.2 < beyond.mean() < 1.0
    results = []
    for graph in (case.graph, longer):
        gradient = np.zeros((len(graph.pairs.neighbor), 3))
        values = case.run(graph, gradient)
        forces, virials = np.zeros((graph.n_atoms, 3)), np.zeros((1, 6))
        scatter(graph.pairs, graph.atom_structure(), gradient, forces, virials)
        results.append((values, forces, virials))
    assert (gradient[beyond] == 0.0).all()
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-12 * (1.0 + abs(one).max()))


def test_an_atom_alone_takes_scratch_for_no_neighbor(case):
    one = as_batch([Atoms("C", pbc=False)]).neighbors(2.0)
    assert len(one.pairs.neighbor) == 0
    own = arena(centers.function_of(case.module, "scratch_size")(case.tables, 0))
    kept = np.empty((1, centers.function_of(case.module, "kept_size")(case.tables)))
    values, gradient = np.full((1, case.g.shape[1]), np.nan), np.empty((0, 3))
    run(case.tables, one.pairs, np.array([1]), 0, own, kept, values, case.g[:1], gradient)
    assert own.used[0] == len(own.buffer)
    assert np.isfinite(values).all()


def test_nothing_is_allocated_nor_raised(case):
    case.run(case.graph, np.zeros((len(case.graph.pairs.neighbor), 3)))
    kind = typeof(case.tables)
    kinds = [s for s in run.signatures if s[0] == kind]
    (signature,) = kinds
    called, wrapper = set(), True
    for line in run.inspect_llvm(signature).splitlines():
        define = re.match(r'define .*?@"?([\w.$]+)', line)
        if define:
            wrapper = define[1].startswith(("_ZN7cpython", "cfunc"))
        elif not wrapper:
            called |= set(re.findall(r'(?:call|invoke) [^@]*@"?([\w.$]+)', line))
    own = re.compile(r"_ZN|llvm\.(?!mem)|llvm\.mem(set|cpy|move)\.|NRT_(inc|dec)ref$")
    outside = {name for name in called if not own.match(name)}
    assert outside <= {"NRT_MemInfo_call_dtor", "sqrt", "exp", "pow", "sin", "cos", "tanh", "floor"}
