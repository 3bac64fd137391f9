"""The checks notice every defect that they are for."""

import threading

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import BaseEstimator

import skpot
from skpot.testing import check_descriptor, check_potential, sample_structures

X = sample_structures(["Si", "O"])


class Scaled:
    """Derivative chain whose results are multiplied by factors."""

    def __init__(self, chain, pull_back=1.0, jacobian=1.0, push_forward=1.0):
        self.chain, self.factors = chain, (pull_back, jacobian, push_forward)

    def pull_back(self, g):
        forces, virials = self.chain.pull_back(g)
        return self.factors[0] * forces, self.factors[0] * virials

    def jacobian(self, centers):
        block = self.chain.jacobian(centers)
        return block._replace(values=self.factors[1] * block.values)

    def push_forward(self, displacements, strains):
        return self.factors[2] * self.chain.push_forward(displacements, strains)

    def take(self, structures):
        return Scaled(self.chain.take(structures), *self.factors)

    def neighborhood_sizes(self):
        return self.chain.neighborhood_sizes()


class Defective(skpot.SOAP):
    """SOAP with a defect in what `transform` returns."""

    def __init__(self, defect=None):
        super().__init__(cutoff=3.0, n_max=2, l_max=1, cache=False)
        self.defect = defect

    def transform(self, X):
        if self.defect == "wraps its input":
            for atoms in X:
                atoms.positions += 0.0
        features = super().transform(X)
        if self.defect is not None:
            features = getattr(self, "_" + self.defect.replace(" ", "_"))(features, X)
        return features

    def _scale(self, features, factors):
        repeats = np.diff(features.offsets)
        features.values *= np.repeat(np.asarray(factors, float), repeats)[:, None]
        return features

    def _wrong_forces(self, features, X):
        features.derivatives = Scaled(features.derivatives, pull_back=1 + 3e-6)
        return features

    def _wrong_jacobian(self, features, X):
        features.derivatives = Scaled(features.derivatives, jacobian=1 + 1e-8)
        return features

    def _wrong_push_forward(self, features, X):
        features.derivatives = Scaled(features.derivatives, push_forward=1 + 1e-8)
        return features

    def _nan(self, features, X):
        features.values[-1, 0] = np.nan
        return features

    def _depends_on_direction(self, features, X):
        x = np.concatenate([atoms.positions[:, 0] - atoms.positions[:, 0].mean() for atoms in X])
        features.values += 1e-5 * x[:, None]
        return features

    def _depends_on_origin(self, features, X):
        features.values += 1e-5 * np.concatenate([atoms.positions for atoms in X])[:, :1]
        return features

    def _depends_on_order(self, features, X):
        features.values += 1e-7 * np.concatenate([np.arange(len(atoms)) for atoms in X])[:, None]
        return features

    def _depends_on_cell(self, features, X):
        return self._scale(features, [1 + 1e-5 * atoms.cell.lengths().max() for atoms in X])

    def _depends_on_batch(self, features, X):
        return self._scale(features, [1 + 1e-7 * len(X)] * len(X))

    def _wraps_its_input(self, features, X):
        return features

    def _depends_on_threads(self, features, X):
        alone = threading.current_thread() is not threading.main_thread()
        return self._scale(features, [1 + 1e-7 * alone] * len(X))

    def _forgets_in_pickle(self, features, X):
        return self._scale(features, [getattr(self, "factor_", 1.0)] * len(X))

    def __setstate__(self, state):
        super().__setstate__(state)
        self.factor_ = 1 + 1e-14


DEFECTS = {
    "wrong forces": "derivatives",
    "wrong jacobian": "jacobian",
    "wrong push forward": "push-forward",
    "nan": "container",
    "depends on direction": "rotation",
    "depends on origin": "translation",
    "depends on order": "permutation",
    "depends on cell": "cell",
    "depends on batch": "batches",
    "wraps its input": "inputs",
    "depends on threads": "threads",
    "forgets in pickle": "copies",
}


def others(name):
    from skpot.testing._descriptor import _PROPERTIES

    return [known for known in _PROPERTIES if known != name]


def test_the_descriptor_without_defect_passes():
    check_descriptor(Defective(), X)


@pytest.mark.parametrize(("defect", "name"), DEFECTS.items(), ids=DEFECTS)
def test_defects_of_descriptors_are_noticed(defect, name):
    with pytest.raises(AssertionError, match=rf"\[{name}\]"):
        check_descriptor(Defective(defect), X, skip=others(name))


def test_a_sudden_cutoff_is_noticed():
    with pytest.raises(AssertionError, match=r"\[cutoff\]"):
        soap = skpot.SOAP(cutoff=3.0, n_max=2, l_max=1, cutoff_width=0.01)
        check_descriptor(soap, X, skip=others("cutoff"))


def test_messages_name_structure_and_error():
    message = r"\[derivatives\] \[finite differences, structure 0\] forces: .* exceeds 1e-06"
    with pytest.raises(AssertionError, match=message):
        check_descriptor(Defective("wrong forces"), X)


def test_unknown_properties_are_refused():
    with pytest.raises(ValueError, match="unknown properties.*'rotations'.*known:"):
        check_descriptor(skpot.SOAP(), X, skip=["rotations"])


class Springs(BaseEstimator):
    """Harmonic energy of all pairs of an open structure, with defects on demand."""

    def __init__(self, defect=None):
        self.defect = defect

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        energies, forces = [], []
        for atoms in X:
            r = atoms.positions
            delta = r[:, None] - r[None]
            energy = 0.25 * np.sum(delta**2)
            force = -delta.sum(axis=1)
            if self.defect == "forces":
                force = force * (1 + 1e-5)
            if self.defect == "rotation":
                energy += 1e-3 * np.ptp(r[:, 2])
            if self.defect == "translation":
                energy += 1e-3 * r[0, 0]
            if self.defect == "permutation":
                energy += 1e-3 * atoms.numbers[0]
            if self.defect == "batches":
                energy += 1e-6 * len(X)
            if self.defect == "finite":
                energy = np.nan
            energies.append(energy)
            forces.append(force)
        return skpot.Targets(energies, forces)


CLUSTERS = [
    Atoms("H3", [[0, 0, 0], [1.1, 0.2, 0.1], [0.3, 1.2, -0.4]]),
    Atoms("OH", [[0, 0, 0], [0, 0.6, 0.8]]),
]


def test_the_potential_without_defect_passes():
    check_potential(Springs(), CLUSTERS)


@pytest.mark.parametrize(
    "name", ["finite", "forces", "rotation", "translation", "permutation", "batches"]
)
def test_defects_of_potentials_are_noticed(name):
    from skpot.testing._potential import _PROPERTIES

    skip = [known for known in _PROPERTIES if known != name]
    error = "predict|finite" if name == "finite" else name
    with pytest.raises(AssertionError, match=rf"\[({error})\]"):
        check_potential(Springs(name), CLUSTERS, skip=skip)


def test_sample_structures_hold_every_species_and_keep_their_distance():
    for symbols in (["Si"], ["Si", "O"], ["H", "C", "N", "O", "S"]):
        structures = sample_structures(symbols, random_state=3)
        assert all(set(symbols) == set(atoms.get_chemical_symbols()) for atoms in structures[:3])
        for atoms in structures[:3]:
            distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
            assert distances.min() > 1.4
    again = sample_structures(["Si"], random_state=3)
    assert all(
        a == b for a, b in zip(again, sample_structures(["Si"], random_state=3), strict=True)
    )
