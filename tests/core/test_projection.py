"""Jacobian rows through the density against rows of features times a matrix."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from sklearn.pipeline import make_pipeline

from skpot import SOAP, PrincipalComponents
from skpot.core import projection
from skpot.testing import check_descriptor, sample_structures


@pytest.fixture(scope="module")
def structures():
    # Images of a neighbor share an entry, and those of the center itself only strain it.
    X = sample_structures(["H", "C", "O"])
    return [*X, bulk("C"), bulk("NaCl", "rocksalt", a=3.4), Atoms("C", cell=[2.0, 9, 9], pbc=True)]


@pytest.fixture
def descriptor():
    return SOAP(cutoff=3.5, n_max=3, l_max=3, normalize=False)


def by_atom(block):
    """Return the rows of a block in the order of the atoms of each center."""
    center = np.repeat(np.arange(len(block.start) - 1), np.diff(block.start))
    order = np.lexsort([block.atom, center])
    return block.start, block.atom[order], block.values[order], block.strain


def no_way_but(found):
    return lambda *_: found


def test_equals_rows_times_matrix(structures, descriptor, monkeypatch):
    features = descriptor.fit_transform(structures)
    projected = PrincipalComponents(20).fit_transform(features)
    centers = np.random.default_rng(0).permutation(len(features.values))
    monkeypatch.setattr(projection, "saves", no_way_but(False))
    direct = projected.jacobian(centers)
    monkeypatch.setattr(projection, "saves", no_way_but(True))
    for n_bytes in (1e3, 16e6):  # one center at a time, or all
        monkeypatch.setattr("skpot.descriptors._soap._MOVES_BYTES", n_bytes)
        block = projected.jacobian(centers)
        assert (block.atom[block.start[:-1]] == centers).all()  # each center comes first
        for mine, other in zip(by_atom(block), by_atom(direct), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-12 * np.abs(direct.values).max())


def test_is_the_derivative(descriptor, monkeypatch):
    monkeypatch.setattr(projection, "saves", no_way_but(True))
    X = sample_structures(["Si", "O"])
    check_descriptor(make_pipeline(descriptor, PrincipalComponents(10)), X)


def test_is_taken_where_it_saves(structures, descriptor):
    features = descriptor.fit_transform(structures)
    tables = features.derivatives.tables
    n_features, rows = features.shape[1], 3 * 1000 + 6 * 100
    n_lm, n_channels = 16, 3 * len(descriptor.species_)
    # Counts of the formula in the module, for 100 centers that 1000 atoms move.
    own = rows + 600 * (len(descriptor.species_) - 1)
    through = n_lm * (100 * n_channels**2 + 3 * own)
    assert projection.saves(tables, 30, 1000, 100) == (through < 0.8 * n_features * rows)
    assert projection.saves(tables, 30, 1000, 100)
    assert not projection.saves(tables, 1, 1000, 100)
    single = SOAP(cutoff=3.5, n_max=3, l_max=3, normalize=False).fit_transform([bulk("Si")])
    assert not projection.saves(single.derivatives.tables, 30, 1000, 100)


@pytest.mark.parametrize(
    "parameters", [{"normalize": True}, {"compression": "totals"}, {"body_order": 2}]
)
def test_other_spectra_go_the_other_way(structures, parameters):
    setting = {"cutoff": 3.5, "n_max": 3, "l_max": 3, "normalize": False} | parameters
    features = SOAP(**setting).fit_transform(structures)
    assert not projection.saves(features.derivatives.tables, 30, 1000, 100)
