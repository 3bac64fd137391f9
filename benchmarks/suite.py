"""A pytest-benchmark suite of the descriptors and the neighbor search, for comparing commits.

    pip install pytest-benchmark
    python -m pytest benchmarks/suite.py --benchmark-autosave
    python -m pytest benchmarks/suite.py --benchmark-compare

The bench_*.py scripts give absolute figures and floors; this suite tells what a change made slower.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import _systems  # noqa: E402

import skpot  # noqa: E402
from skpot.data import as_batch  # noqa: E402

SYSTEMS = {"silicon64": [_systems.silicon(2)], "molecules20": _systems.molecules(20)}
SOAP = dict(cutoff=5.0, n_max=8, l_max=6, cache=False)
DESCRIPTORS = {
    "soap": skpot.SOAP(**SOAP),
    "soap_optimal": skpot.SOAP(**SOAP, radial_basis="optimal"),
    "soap_totals": skpot.SOAP(**SOAP, compression="totals"),
    "soap_tensor": skpot.SOAP(**SOAP, compression="tensor"),
    "soap_radial": skpot.SOAP(**SOAP, body_order=2),
    "soap_bispectrum": skpot.SOAP(**SOAP | {"l_max": 3}, body_order=4),
    "symmetry_functions": skpot.SymmetryFunctions(cutoff=5.0, cache=False),
    "pair_basis": skpot.PairBasis(cache=False),
    "triplet_basis": skpot.TripletBasis(cache=False),
}


@pytest.fixture(params=SYSTEMS)
def frames(request):
    return SYSTEMS[request.param]


@pytest.fixture(params=DESCRIPTORS)
def fitted(request, frames):
    return DESCRIPTORS[request.param].fit(frames), frames


def test_neighbors(benchmark, frames):
    batch = as_batch(frames)
    assert len(benchmark(batch.neighbors, 5.0).pairs.neighbor) > 0


def test_values(benchmark, fitted):
    descriptor, frames = fitted
    assert np.isfinite(benchmark(descriptor.transform, frames).values).all()


def test_pull_back(benchmark, fitted):
    descriptor, frames = fitted
    features = descriptor.transform(frames)
    g = np.random.default_rng(0).normal(size=features.values.shape)
    forces, _ = benchmark(features.pull_back, g)
    assert np.isfinite(forces).all()


def test_jacobian(benchmark, fitted):
    descriptor, frames = fitted
    features = descriptor.transform(frames)
    block = benchmark(features.jacobian, np.arange(8))
    assert np.isfinite(block.values).all()
