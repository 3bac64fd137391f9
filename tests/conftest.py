"""Small structures with features and labels, for all tests that need no others."""

import numpy as np
import pytest

import skpot
from skpot.testing import sample_structures
from tests import registry


@pytest.fixture(scope="package")
def structures():
    return [atoms for seed in range(3) for atoms in sample_structures(random_state=seed)]


@pytest.fixture(scope="package")
def targets(structures):
    rng = np.random.default_rng(0)
    return skpot.Targets(
        [-4.0 * len(atoms) + rng.normal() for atoms in structures],
        [rng.normal(size=(len(atoms), 3)) for atoms in structures],
    )


@pytest.fixture(scope="package")
def features(structures):
    return registry.DESCRIPTORS["SOAP"].fit_transform(structures)
