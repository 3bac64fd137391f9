"""Nuclear repulsion against the formula in plain Python, and every promise of a descriptor."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from skpot import ZBL
from skpot.testing import check_descriptor, sample_structures
from tests.naive.repulsion import energies, pair_energy


@pytest.mark.parametrize("symbols", [["Si"], ["H", "C", "N", "O"]], ids="-".join)
def test_energies(symbols):
    X = sample_structures(symbols)
    features = ZBL(outer=3.0, inner=1.0).fit_transform(X)
    expected = np.concatenate([energies(atoms, 1.0, 3.0) for atoms in X])
    np.testing.assert_allclose(features.values[:, 0], expected, rtol=1e-12)
    assert list(features.blocks) == ["zbl"]


def test_promises_of_a_descriptor():
    check_descriptor(ZBL(outer=3.0), sample_structures(["Si", "O"]))


@pytest.mark.filterwarnings("ignore::skpot.exceptions.StructureWarning")
def test_close_nuclei_repel_as_bare_charges():
    close = [Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0.33]])]
    energy = ZBL(outer=1.0).fit_transform(close).values.sum()
    assert energy == pytest.approx(pair_energy(0.33, 14, 14, 0.5, 1.0))
    assert energy < 14.399645 * 14**2 / 0.33  # that of bare charges


def test_radii_stay_below_the_distances_seen():
    crystal = bulk("Si", cubic=True)
    usual = ZBL().fit([crystal])
    assert usual.outer_[0, 0] == pytest.approx(0.7 * 2 * 1.11)
    squeezed = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 1.2]])
    zbl = ZBL().fit([crystal, squeezed])
    assert zbl.outer_[0, 0] == pytest.approx(0.95 * 1.2)
    assert zbl.inner_[0, 0] == pytest.approx(0.5 * 0.95 * 1.2)
    assert not zbl.transform([crystal, squeezed]).values.any()


def test_radii_in_the_wrong_order():
    with pytest.raises(ValueError, match=r"inner=2.0 Å must be smaller than outer=1.5"):
        ZBL(outer=1.5, inner=2.0).fit([bulk("Si")])
