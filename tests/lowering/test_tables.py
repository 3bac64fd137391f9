"""Compiled functions are entered only with arrays whose sizes agree."""

import copy

import numpy as np
import pytest
from ase.build import bulk
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

import skpot
from skpot.core.pairs import Pairs
from skpot.data import as_batch
from skpot.exceptions import SkpotError
from skpot.lowering import CompiledPotential
from tests.md.conftest import training_set
from tests.samples import crystal


@pytest.fixture(scope="module")
def model():
    soap = skpot.SOAP(cutoff=4.5, n_max=4, l_max=3)
    return make_pipeline(soap, skpot.SparseGPR(n_sparse=60)).fit(*training_set())


@pytest.fixture(scope="module")
def potential(model):
    return skpot.compile(model, grades=True)


@pytest.fixture(scope="module")
def pairs(potential):
    return as_batch([crystal("Cu", 0.05)]).neighbors(potential.cutoff).pairs


SPECIES = np.zeros(4, dtype=np.int64)


def changed(pairs, **parts):
    return pairs._replace(**parts), SPECIES


WRONG = {
    "start longer": lambda p: changed(p, start=np.append(p.start, p.start[-1])),
    "start shorter": lambda p: changed(p, start=p.start[:-1]),
    "start beyond the pairs": lambda p: changed(p, start=p.start * 2),
    "start not from 0": lambda p: changed(p, start=p.start + 1),
    "start falls": lambda p: changed(p, start=p.start[[0, 2, 1, 3, 4]]),
    "start of floats": lambda p: changed(p, start=p.start.astype(float)),
    "no start": lambda p: changed(p, start=np.empty(0, dtype=np.int64)),
    "neighbor out of range": lambda p: changed(p, neighbor=np.where(p.neighbor == 3, 4, 0)),
    "neighbor negative": lambda p: changed(p, neighbor=p.neighbor - 1),
    "neighbor too short": lambda p: changed(p, neighbor=p.neighbor[:-1]),
    "neighbor of floats": lambda p: changed(p, neighbor=p.neighbor.astype(float)),
    "vector too short": lambda p: changed(p, vector=p.vector[:-1]),
    "vector transposed": lambda p: changed(p, vector=p.vector.T),
    "vector of text": lambda p: changed(p, vector=p.vector.astype(str)),
    "vector of objects": lambda p: changed(p, vector=p.vector.astype(object)),
    "vector not finite": lambda p: changed(p, vector=np.where(p.vector > 3, np.nan, p.vector)),
    "vector infinite": lambda p: changed(p, vector=np.where(p.vector > 3, np.inf, p.vector)),
    "two atoms at one place": lambda p: changed(p, vector=0.0 * p.vector),
    "species out of range": lambda p: (p, SPECIES + 1),
    "species negative": lambda p: (p, SPECIES - 1),
    "species too few": lambda p: (p, SPECIES[:-1]),
    "species of floats": lambda p: (p, SPECIES.astype(float)),
    "species a table": lambda p: (p, SPECIES[:, None]),
    "species atomic numbers": lambda p: (p, SPECIES + 29),
}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("method", ["evaluate_pairs", "grade_pairs"])
def test_arrays_that_do_not_fit_are_refused(potential, pairs, method, how):
    with pytest.raises(SkpotError):
        getattr(potential, method)(*WRONG[how](pairs))


SAME = {
    "32 bits": lambda p: Pairs(p.start.astype(np.int32), p.neighbor.astype(np.uint32), p.vector),
    "every second": lambda p: Pairs(
        np.repeat(p.start, 2)[::2], np.repeat(p.neighbor, 2)[::2], np.repeat(p.vector, 2, 1)[:, ::2]
    ),
    "column by column": lambda p: p._replace(vector=np.asfortranarray(p.vector)),
    "read only": lambda p: Pairs(
        *(np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for a in p)
    ),
    "lists": lambda p: Pairs(*(a.tolist() for a in p)),
}


@pytest.mark.parametrize("how", SAME)
def test_the_same_numbers_in_other_arrays_give_the_same(potential, pairs, how):
    energies, gradient = potential.evaluate_pairs(pairs, SPECIES)
    found = potential.evaluate_pairs(SAME[how](pairs), SPECIES.astype(np.int32))
    np.testing.assert_array_equal(found[0], energies)
    np.testing.assert_array_equal(found[1], gradient)


def test_species_of_structures_are_checked_too(potential):
    atoms = bulk("Cu", cubic=True)
    for species in (SPECIES[:3], SPECIES + 1, SPECIES - 1, SPECIES.astype(float)):
        with pytest.raises(SkpotError, match="species"):
            potential.evaluate([atoms], species)


def test_atomic_numbers_are_checked(potential):
    assert potential.species_index([29, 29]).tolist() == [0, 0]
    for numbers in (29, ["Cu"], [47], [200], [-1], [29.0], [[29]]):
        with pytest.raises(SkpotError):
            potential.species_index(numbers)
    for pairs in (None, (1, 2, 3)):
        with pytest.raises(TypeError, match="pairs must have start, neighbor, vector"):
            potential.evaluate_pairs(pairs, SPECIES)


def test_a_species_without_an_energy_is_refused(potential, pairs):
    unknown = potential.potential._replace(e0=np.array([np.nan]))
    with pytest.raises(SkpotError, match="did not occur in fit"):
        CompiledPotential(unknown, [29], 4.0).evaluate_pairs(pairs, SPECIES)


def test_tables_that_do_not_fit_are_refused(potential):
    sound = potential.potential
    term = sound.expansion
    others = [
        sound._replace(width=sound.width - 1),
        sound._replace(e0=np.zeros(2)),
        sound._replace(baseline=np.array([sound.width])),
        sound._replace(expansion=term._replace(begin=1)),
        sound._replace(expansion=term._replace(scale=term.scale[:-1])),
        sound._replace(expansion=term._replace(first=term.first[:-1])),
        sound._replace(expansion=term._replace(first=term.first[::-1])),
        sound._replace(expansion=term._replace(first=term.first * 2)),
        sound._replace(expansion=term._replace(alpha=term.alpha[:-1])),
        sound._replace(expansion=term._replace(rows=term.rows[:-1])),
        sound._replace(expansion=term._replace(vector_rows=term.rows[:8])),
    ]
    for other in others:
        with pytest.raises(SkpotError, match="of this model do not fit"):
            CompiledPotential(other, potential.species, potential.cutoff)
    for cutoff in (0.0, -1.0, np.nan, np.inf, "4"):
        with pytest.raises(SkpotError, match="cutoff"):
            CompiledPotential(sound, potential.species, cutoff)


def test_a_compiled_potential_stays_as_it_is(potential):
    for name in ("potential", "species", "cutoff", "graded"):
        with pytest.raises(AttributeError):
            setattr(potential, name, None)
    with pytest.raises(ValueError, match="read-only"):
        potential.species[0] = 1


def test_steps_that_were_fitted_apart_are_refused():
    X, y = training_set()
    soap = skpot.SOAP(cutoff=4.0, n_max=2, l_max=2)
    model = make_pipeline(soap, skpot.PerAtom(PCA(4)), skpot.SparseGPR(n_sparse=8)).fit(X, y)
    for step, change in ((0, {"n_max": 3}), (1, {"transformer": PCA(3)})):
        other = copy.deepcopy(model)
        features = X if step == 0 else other[0].transform(X)
        other[step].set_params(**change).fit(features)
        for use in (skpot.compile, skpot.Calculator, skpot.md.BatchCalculator):
            with pytest.raises(SkpotError, match="Fit the whole pipeline"):
                use(other)


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float16"}, {"dtype": None}, {"tolerance": -1.0}, {"tolerance": np.nan},
        {"tolerance": "0.1"}, {"tolerance": np.inf}, {"grades": "no"}, {"grades": 1},
        {"X": []}, {"X": bulk("Cu")}, {"X": "test.xyz"},
    ],
)  # fmt: skip
def test_parameters_of_compile(model, options):
    with pytest.raises(SkpotError):
        skpot.compile(model, **options)
