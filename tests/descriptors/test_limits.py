"""Parameters that make no sense are refused by name, before anything is allocated."""

import numpy as np
import pytest
from ase.build import molecule
from sklearn.base import clone

import skpot
from skpot.descriptors import SymmetryFunction
from skpot.exceptions import InputError
from skpot.testing import sample_structures

X = sample_structures(["Si"])
SMALL = {
    "SOAP": skpot.SOAP(3.0, 2, 1),
    "SOAP-auto": skpot.SOAP(hypers="fast"),
    "PairBasis": skpot.PairBasis(3.0, 6),
    "TripletBasis": skpot.TripletBasis(3.0, 4),
    "SymmetryFunctions": skpot.SymmetryFunctions(3.0, 3, 1),
    "ZBL": skpot.ZBL(outer=3.0),
    "CoulombMatrix": skpot.CoulombMatrix(),
    "InverseDistances": skpot.InverseDistances(),
}
NONSENSE = [np.nan, np.inf, -np.inf, -1, 1e300, 10**6, True, "a", 1j, [1], {}, {"Si": np.nan}]
MAY_BE = {  # parameters for which some of these are sensible, and which
    "species_weights": [{}],
    "pair_cutoffs": [{}],
    "random_state": [10**6, True],
    "zetas": [[1]],
}
FLAGS = {"cache", "normalize", "weighted"}


@pytest.mark.parametrize("name", SMALL)
def test_nonsense_is_refused_by_name(name):
    descriptor = SMALL[name]
    structures = X if name not in ("CoulombMatrix", "InverseDistances") else [molecule("CH4")]
    for parameter in descriptor.get_params():
        for value in NONSENSE:
            if value in MAY_BE.get(parameter, []) or (parameter in FLAGS and value is True):
                continue
            broken = clone(descriptor).set_params(**{parameter: value})
            with pytest.raises((ValueError, TypeError), match=rf"{parameter}|functions\[0\]"):
                broken.fit(structures)


@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        (skpot.SOAP(cutoff_width=6.0), "cutoff_width=6.0 Å exceeds cutoff=5.0 Å"),
        (skpot.SOAP(pair_cutoffs={("Si", "Si"): 0.3}), "cutoff_width=0.5 Å exceeds cutoff=0.3"),
        (skpot.SOAP(pair_cutoffs={("Si", "Si"): "a"}), "pair_cutoffs has 'a' for .'Si', 'Si'."),
        (skpot.SOAP(pair_cutoffs={("Si", "Si"): 1e6}), "pair_cutoffs has 1000000.0 for"),
        (skpot.SOAP(species_weights={"Si": -1.0}), "species_weights has -1.0 for 'Si'"),
        (skpot.SOAP(species_weights={"Si": [1.0]}), r"species_weights has \[1.0\] for 'Si'"),
        (skpot.SOAP(radial_scaling=(3.0, np.nan)), r"radial_scaling=\(3.0, nan\)"),
        (skpot.SOAP(radial_scaling=(3.0, 1e6)), "the exponent up to 30"),
        (skpot.SOAP(radial_scaling=("a", 4)), "radial_scaling=.'a', 4."),
        (skpot.SOAP(cutoff=100.0, sigma=0.01), "sigma=0.01 Å is too small for a cutoff of 100 Å"),
        (skpot.SOAP(n_max=100, l_max=15, species=list(range(1, 60))), "make .* features"),
        (skpot.SOAP(body_order=4, n_channels=100, n_max=100, l_max=8), "make .* features"),
        (skpot.SOAP(species=[]), r"species=\[\] must be a list of chemical symbols"),
        (skpot.SOAP(species={"Si": 1}), "must be a list of chemical symbols"),
        (skpot.SOAP(species=["Xx"]), "no chemical element has the symbol 'Xx'"),
        (skpot.PairBasis(3.0, r_min=3.0), "r_min=3.0 Å is not below cutoff=3.0 Å"),
        (skpot.PairBasis(3.0, r_min=3.0 - 1e-9), "knots .* apart"),
        (skpot.TripletBasis(3.0, 64, species=list(range(1, 20))), "make .* features"),
        (skpot.SymmetryFunctions(zetas=(1, np.nan)), r"zetas=\(1, nan\) must be numbers from 1"),
        (skpot.SymmetryFunctions(zetas=(0.5,)), r"zetas=\(0.5,\) must be"),
        (
            skpot.SymmetryFunctions(functions=[SymmetryFunction("G4", zeta=2000)]),
            r"functions\[0\]: zeta=2000 is above",
        ),
        (
            skpot.SymmetryFunctions(functions=[SymmetryFunction("G2", cutoff=np.inf)]),
            r"functions\[0\]: cutoff=inf",
        ),
        (skpot.ZBL(outer=1.0, inner=1.0), "inner=1.0 Å must be smaller than outer"),
        (skpot.SOAP(central_weight=0.0), "normalize=False"),
        (skpot.SOAP(species_weights={"Si": 0.0}), "normalize=False"),
    ],
    ids=lambda v: "" if isinstance(v, str) else repr(v)[:40],
)
def test_parameters_that_contradict_each_other(descriptor, message):
    with pytest.raises(InputError, match=message):
        descriptor.fit(X)


def test_channels_that_keep_nothing_of_a_species():
    frames = sample_structures(["Li", "P", "S"])
    mixed = skpot.SOAP(3.6, 3, 3, sigma=0.4, body_order=4, n_channels=1)
    with pytest.raises(InputError, match="next to nothing of .* last neighbor"):
        mixed.fit(frames)
    clone(mixed).set_params(normalize=False).fit(frames)
    clone(mixed).set_params(n_channels=3).fit(frames)


def test_no_atom_has_a_neighbor():
    for descriptor in SMALL.values():
        if hasattr(descriptor, "cutoff") and descriptor.hypers is None:
            small = clone(descriptor).set_params(cutoff=1.5)
            with pytest.raises(ValueError, match=r"no atom of the 3 .* cutoff of 1.5 Å"):
                small.fit(X[:3])
            small.fit([X[-1]])  # a free atom: it could have none
