"""SOAP against the formula in plain Python, and every promise of a descriptor."""

import copy
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_numbers
from sklearn.exceptions import NotFittedError

from skpot import SOAP
from skpot.data import AtomicFeatures
from skpot.testing import check_descriptor, sample_structures
from skpot.testing._structures import rotated
from tests.naive import soap as naive

SPECIES = [["Si"], ["Si", "O"], ["H", "C", "N", "O"]]


def oracle(soap, atoms, species):
    """Features by plain loops; what `soap` learned in fit is taken from it."""
    weights = {atomic_numbers[s]: w for s, w in (soap.species_weights or {}).items()}
    pairs = {
        tuple(atomic_numbers[s] for s in pair): cutoff
        for pair, cutoff in (soap.pair_cutoffs or {}).items()
    }
    l_max = 0 if soap.body_order == 2 else soap.l_max
    c = naive.coefficients(
        atoms.numbers,
        atoms.positions,
        atoms.cell.array,
        atoms.pbc,
        species=sorted(species),
        cutoff=soap.cutoff,
        n_max=soap.n_max,
        l_max=l_max,
        sigma=soap.sigma,
        cutoff_width=soap.cutoff_width,
        basis=soap.radial_basis,
        radial_scaling=soap.radial_scaling,
        pair_cutoffs=pairs,
        central_weight=soap.central_weight,
        species_weights=weights,
    )
    if soap.compression == "totals":
        rows = [naive.totals(one, l_max, soap.n_max) for one in c]
        return naive.scaled(rows, soap.normalize)
    if soap.compression is not None or soap.body_order == 4:
        c = naive.mixed(c, soap.mix_)
    if soap.body_order == 2:
        rows = [one[:, 0] for one in c]
    elif soap.body_order == 4:
        rows = [naive.bispectrum(one, l_max) for one in c]
    elif soap.compression == "tensor":
        rows = [naive.diagonal(one, l_max) for one in c]
    else:
        rows = [naive.triangle(one, l_max) for one in c]
    return naive.scaled(rows, soap.normalize)


def compare_with_oracle(soap, structures, rtol=1e-8):
    features = soap.fit_transform(structures)
    species = {int(z) for atoms in structures for z in atoms.numbers}
    expected = np.concatenate([oracle(soap, atoms, species) for atoms in structures])
    assert features.values.shape == expected.shape
    np.testing.assert_allclose(features.values, expected, rtol=0, atol=rtol * abs(expected).max())


def test_the_oracle_is_rotation_invariant():
    rng = np.random.default_rng(0)
    soap = SOAP(cutoff=3.0, n_max=2, l_max=3, sigma=0.4)
    for atoms in sample_structures(["Si", "O"])[:3]:
        turned, _ = rotated(atoms, rng)
        difference = oracle(soap, atoms, {8, 14}) - oracle(soap, turned, {8, 14})
        assert abs(difference).max() < 1e-13


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
def test_values_of_all_kinds_of_cells(symbols):
    compare_with_oracle(SOAP(cutoff=3.6, n_max=3, l_max=3, sigma=0.4), sample_structures(symbols))


@pytest.mark.parametrize(
    "options",
    [
        {"normalize": False},
        {"radial_scaling": (2.0, 3.0)},
        {"cutoff_width": 2.0},
        {"sigma": 0.25},
        {"sigma": 1.0},
        {"n_max": 1, "l_max": 0},
        {"n_max": 2, "l_max": 9},
        {"radial_basis": "bessel"},
        {"pair_cutoffs": {("O", "Si"): 2.7}},
        {"pair_cutoffs": {("Si", "O"): 2.7, ("O", "O"): 3.6}, "radial_basis": "bessel"},
        {"central_weight": 0.0, "normalize": False},
        {"central_weight": 0.3, "species_weights": {"O": 0.6}},
        {"body_order": 2},
        {"body_order": 2, "normalize": False, "compression": "alchemical"},
        {"body_order": 4, "n_channels": 2, "l_max": 3},
        {"body_order": 4, "n_channels": 3, "l_max": 1, "normalize": False},
        {"compression": "totals"},
        {"compression": "alchemical", "n_channels": 1},
        {"compression": "alchemical", "alchemical_width": 2.0},
        {"compression": "tensor", "n_channels": 5, "normalize": False},
    ],
    ids=str,
)
def test_values_for_each_parameter(options):
    soap = SOAP(**{"cutoff": 3.2, "n_max": 3, "l_max": 2} | options)
    compare_with_oracle(soap, sample_structures(["Si", "O"])[1:])


def test_values_of_the_default_parameters():
    compare_with_oracle(SOAP(), sample_structures()[2:])


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
def test_promises_of_a_descriptor(symbols):
    soap = SOAP(cutoff=4.0, n_max=3, l_max=3, sigma=0.4)
    check_descriptor(soap, sample_structures(symbols))


@pytest.mark.parametrize(
    "options",
    [
        {"normalize": False, "radial_scaling": (2.0, 4.0)},
        {"cache": False, "radial_basis": "bessel"},
        {"radial_basis": "optimal"},
        {"radial_basis": "optimal", "pair_cutoffs": {("Si", "O"): 3.0}},
        {"central_weight": 0.5, "species_weights": {"O": 0.6}},
        {"body_order": 2, "n_max": 4},
        {"body_order": 4, "n_channels": 2},
        {"compression": "totals"},
        {"compression": "alchemical", "n_channels": 1},
        {"compression": "tensor", "n_channels": 5},
    ],
    ids=str,
)
def test_promises_with_other_options(options):
    soap = SOAP(**{"cutoff": 3.5, "n_max": 2, "l_max": 2} | options)
    check_descriptor(soap, sample_structures(["Si", "O"]))


def test_promises_with_default_parameters():
    check_descriptor(SOAP(), sample_structures()[:3])


def test_species_may_be_named_beforehand():
    atoms = sample_structures(["Si"])[2]
    named = SOAP(cutoff=3.0, n_max=2, l_max=1, species=["O", "Si"]).fit_transform([atoms])
    both = SOAP(cutoff=3.0, n_max=2, l_max=1).fit(sample_structures(["Si", "O"]))
    assert np.array_equal(named.values, both.transform([atoms]).values)
    assert named.values.shape[1] == both.n_features_out_


def test_unknown_species_are_refused_with_their_structures():
    soap = SOAP(cutoff=3.0, n_max=2, l_max=1).fit(sample_structures(["Si"]))
    soap.transform([Atoms("Si")])  # what a cache holds counts too
    with pytest.raises(ValueError, match=r"species O.*structures \[1\].*knows only Si"):
        soap.transform([Atoms("Si"), Atoms("O")])


def test_not_fitted():
    with pytest.raises(NotFittedError):
        SOAP().transform([Atoms("Si")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff": 3.0, "cutoff_width": 4.0}, "cutoff_width=4.* exceeds cutoff=3"),
        ({"pair_cutoffs": {("Si", "O"): 0.3}}, "cutoff_width=0.5 Å exceeds cutoff=0.3"),
        ({"pair_cutoffs": {("Si", "O"): -1.0}}, "pair_cutoffs has -1.0 for"),
        ({"pair_cutoffs": {("Si", "C"): 3.0}}, r"key \('Si', 'C'\)"),
        ({"pair_cutoffs": {("Si", "O"): 3.0, ("O", "Si"): 3.1}}, "occur once"),
        ({"body_order": 2, "compression": "tensor"}, "takes body_order=3, not 2"),
        ({"body_order": 4, "compression": "alchemical"}, "takes body_order=2 or 3, not 4"),
        ({"body_order": 4, "compression": "totals"}, "takes body_order=3, not 4"),
        ({"body_order": 4, "n_channels": 30}, "more than the 16 channels"),
        ({"compression": "alchemical", "n_channels": 3}, "more than 2 species"),
        ({"radial_scaling": (2.0,)}, "radial_scaling"),
        ({"radial_scaling": (0.0, 2.0)}, "both positive"),
        ({"radial_basis": "gauss"}, "radial_basis"),
        ({"body_order": 5}, "body_order"),
        ({"dtype": "float16"}, "dtype"),
    ],
    ids=str,
)
def test_contradictory_options(options, message):
    with pytest.raises(ValueError, match=message):
        SOAP(**options).fit([Atoms("Si"), Atoms("O")])


@pytest.mark.parametrize("compression", [None, "alchemical"])
def test_densities_kept_for_the_pull_back_change_nothing(compression):
    structures = sample_structures(["Si", "O"])
    soap = SOAP(cutoff=3.6, n_max=3, l_max=3, compression=compression)
    features = soap.fit_transform(structures)
    g = np.random.default_rng(0).normal(size=features.values.shape)
    assert len(features.derivatives.tables.kept) == len(features.values)
    expected = features.pull_back(g)
    for other in [
        pickle.loads(pickle.dumps(features)),
        copy.deepcopy(features),
        features[np.arange(len(features))],
        AtomicFeatures.vstack([features[:2], features[2:]]),
    ]:
        assert len(other.derivatives.tables.kept) == 0
        for one, two in zip(other.pull_back(g), expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-13, atol=1e-13)


def test_large_batches_keep_no_densities(monkeypatch):
    monkeypatch.setattr("skpot.descriptors._soap._KEPT_BYTES", 0)
    features = SOAP(cutoff=3.0, n_max=2, l_max=2).fit_transform(sample_structures(["Si"]))
    assert len(features.derivatives.tables.kept) == 0


def test_batches_alive_at_once_do_not_share_memory():
    atoms = sample_structures(["Si"])[0].repeat(4)
    soap = SOAP(cutoff=3.0, n_max=4, l_max=4).fit([atoms])
    first = soap.transform([atoms])
    expected = first.pull_back(np.ones(first.values.shape))
    atoms.rattle(0.1, seed=1)
    second = soap.transform([atoms])
    second.pull_back(np.ones(second.values.shape))
    for one, two in zip(first.pull_back(np.ones(first.values.shape)), expected, strict=True):
        np.testing.assert_array_equal(one, two)
