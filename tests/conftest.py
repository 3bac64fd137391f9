"""Small structures with features and labels, for all tests that need no others."""

import pytest

from tests import registry, samples


@pytest.fixture(scope="package")
def structures():
    return samples.small_structures(n=3)


@pytest.fixture(scope="package")
def targets(structures):
    return samples.random_labels(structures, per_atom=-4.0, stress=None)


@pytest.fixture(scope="package")
def features(structures):
    return registry.DESCRIPTORS["SOAP"].fit_transform(structures)
