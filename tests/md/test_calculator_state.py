"""A calculator after any sequence of good and bad calls is as good as a new one."""

import copy
import pickle
import threading

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import SkpotError
from skpot.md import BatchCalculator, CompiledPotential
from tests.md.conftest import slab, training_set

MODELS = ["compiled", "by steps", "delta"]
BOUNDED = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def good():
    strained = bulk("Cu", cubic=True)
    strained.set_cell(strained.cell.array * 1.03, scale_atoms=True)
    strained.rattle(0.05, seed=1)
    other = strained.copy()
    other.rattle(0.05, seed=2)
    open_ = strained.copy()
    open_.pbc = False
    dimer = Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]])
    return [bulk("Cu"), strained, other, open_, slab(), dimer]


def bad():
    unknown = bulk("Cu", cubic=True)
    unknown.symbols[1] = "Ag"
    together = bulk("Cu", cubic=True)
    together.positions[1] = together.positions[0] + 0.01
    nowhere = bulk("Cu", cubic=True)
    nowhere.positions[2, 1] = np.nan
    flat = bulk("Cu", cubic=True)
    flat.cell[2] = 0.0
    no_cell = bulk("Cu", cubic=True)
    no_cell.cell[:] = np.inf
    return [unknown, together, nowhere, flat, no_cell, Atoms()]


class Calls(RuleBasedStateMachine):
    """Good and bad calls of one calculator, compared with predictions of the model."""

    model = None

    @initialize()
    def begin(self):
        self.calc = skpot.Calculator(self.model)
        self.frames = good()
        self.handed_out = []

    def expect(self, atoms):
        y = self.model.predict([atoms])
        expected = {"energy": y.energy[0], "free_energy": y.energy[0], "forces": y.forces[0]}
        if y.has_stress[0]:
            expected["stress"] = y.stress[0]
        return expected

    def check(self, atoms, names=("energy", "free_energy", "forces", "stress")):
        expected = self.expect(atoms)
        for name in names:
            if name in expected:
                found = self.calc.get_property(name, atoms)
                np.testing.assert_allclose(found, expected[name], atol=1e-8)
        assert self.calc.atoms == atoms
        assert set(expected) <= set(self.calc.results)

    @rule(i=st.integers(0, 5), name=st.sampled_from(["energy", "forces", "energy_std"]))
    def ask(self, i, name):
        self.calc.get_property(name, self.frames[i])
        self.check(self.frames[i])

    @rule(i=st.integers(0, 5), seed=st.integers(0, 99), size=st.sampled_from([0.01, 0.3]))
    def move(self, i, seed, size):
        atoms, rng = self.frames[i], np.random.default_rng(seed)
        atoms.positions += size * rng.uniform(-0.3, 0.3, size=atoms.positions.shape)
        if atoms.cell.rank == 3:
            strain = np.eye(3) + 0.1 * size * rng.uniform(-1, 1, size=(3, 3))
            atoms.set_cell(atoms.cell.array @ strain, scale_atoms=bool(seed % 2))
        self.check(atoms)

    @rule(i=st.integers(0, 5), name=st.sampled_from(["energy", "forces", "stress_std"]))
    def refuse(self, i, name):
        for _ in range(2):  # the second call must fail, too
            with pytest.raises(SkpotError):
                self.calc.get_property(name, bad()[i])
            assert not self.calc.results

    @rule(i=st.integers(0, 5))
    def refuse_direct_call(self, i):
        before = dict(self.calc.results), self.calc.atoms
        with pytest.raises(SkpotError):
            self.calc.calculate(bad()[i], ["energy"], all_changes)
        assert (dict(self.calc.results), self.calc.atoms) == before

    @rule(i=st.integers(0, 5), changes=st.sampled_from([[], ["positions"], all_changes]))
    def direct_call(self, i, changes):
        """The calculator does not rely on `system_changes`."""
        self.calc.calculate(self.frames[i], ["forces"], changes)
        self.check(self.frames[i])

    @rule(i=st.integers(0, 5))
    def write_into_results(self, i):
        atoms = self.frames[i]
        self.calc.get_property("forces", atoms)[:] = 7.0
        for value in self.calc.results.values():
            if isinstance(value, np.ndarray):
                with pytest.raises(ValueError, match="read-only"):
                    value[...] = 7.0
        self.check(atoms)

    @rule(i=st.integers(0, 5))
    def keep_results(self, i):
        forces = self.calc.get_property("forces", self.frames[i])
        self.handed_out.append((self.calc.results["forces"], forces))
        for kept, as_they_were in self.handed_out:
            np.testing.assert_array_equal(kept, as_they_were)

    @rule()
    def move_the_calculators_own_atoms(self):
        if self.calc.atoms is not None:
            self.calc.atoms.positions += 0.1
            self.check(self.calc.atoms.copy())

    @rule(skin=st.sampled_from([0.0, 0.3, 2.0]))
    def set_skin(self, skin):
        assert self.calc.set(skin=skin) in ({}, {"skin": skin})

    @rule(value=st.sampled_from([-1, np.nan, np.inf, 1e9, "1", None, True]))
    def set_nonsense(self, value):
        before = self.calc.skin
        with pytest.raises((ValueError, TypeError)):
            self.calc.skin = value
        with pytest.raises((ValueError, TypeError)):
            self.calc.set(uncertainty=False, skin=value)
        assert self.calc.skin == before

    @rule(i=st.integers(0, 5), after=st.sampled_from(["_structure", "_evaluated", "_take_over"]))
    def interrupt(self, i, after):
        method = getattr(self.calc, after)

        def interrupted(*args):
            method(*args)
            raise KeyboardInterrupt

        setattr(self.calc, after, interrupted)
        try:
            with pytest.raises(KeyboardInterrupt):
                atoms = self.frames[i].copy()
                atoms.positions[0] += 0.01
                self.calc.calculate(atoms, ["energy"])
        finally:
            delattr(self.calc, after)
        self.check(self.frames[i])

    @rule(how=st.sampled_from([copy.copy, copy.deepcopy]))
    def go_on_with_a_copy(self, how):
        self.calc = how(self.calc)

    @rule()
    def reset(self):
        self.calc.reset()


@pytest.mark.parametrize("name", MODELS)
def test_any_sequence_of_calls_is_as_good_as_a_new_calculator(copper_models, name):
    machine = type("CallsOfModel", (Calls,), {"model": copper_models[name]})
    run_state_machine_as_test(machine, settings=BOUNDED)


@pytest.mark.parametrize("name", MODELS)
def test_atoms_that_share_a_calculator(copper_models, name):
    """Threads get the results of their own atoms."""
    model = copper_models[name]
    frames = good()[1:5]
    expected = model.predict(frames)
    calc, wrong = skpot.Calculator(model), []
    for atoms in frames:
        atoms.calc = calc

    def ask(s):
        for _ in range(10):
            if not np.allclose(frames[s].get_forces(), expected.forces[s], atol=1e-8):
                wrong.append(s)

    threads = [threading.Thread(target=ask, args=(s,)) for s in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", MODELS[:2])
@pytest.mark.parametrize("kind", [skpot.Calculator, BatchCalculator])
def test_a_model_fitted_again_is_another_model(copper_models, name, kind):
    model = copy.deepcopy(copper_models[name])
    atoms = good()[1]
    expected = model.predict([atoms])
    calculator = kind(model)
    X, y = training_set()
    model[0].set_params(n_max=3)
    model.fit(X[:4], y[:4])
    if kind is BatchCalculator:
        (done,) = calculator.evaluate([atoms])
        np.testing.assert_allclose(done.get_forces(), expected.forces[0], atol=1e-9)
        return
    np.testing.assert_allclose(calculator.get_property("forces", atoms), expected.forces[0])
    std = calculator.get_property("energy_std", atoms)
    original = copper_models[name].predict([atoms], return_std=True)[1]
    assert std == pytest.approx(original[0])


def test_what_cannot_be_set(copper_models):
    calc = skpot.Calculator(copper_models["compiled"])
    with pytest.raises(ValueError, match="no parameters cutoff; it has skin and uncertainty"):
        calc.set(cutoff=3.0)
    with pytest.raises(TypeError, match="uncertainty must be True or False"):
        skpot.Calculator(copper_models["compiled"], uncertainty="False")
    for skin in (-0.1, np.nan, np.inf, 1e3, "0.7"):
        with pytest.raises((ValueError, TypeError), match="skin must be"):
            skpot.Calculator(copper_models["compiled"], skin=skin)
    for name in ("model", "compiled_"):
        with pytest.raises(AttributeError):
            setattr(calc, name, None)
    for use in (calc.get_property, lambda name, *atoms: calc.calculate(*atoms, [name])):
        with pytest.raises(ValueError, match="has not evaluated any atoms"):
            use("energy", None)
        with pytest.raises(TypeError, match="atoms must be ase.Atoms, got list"):
            use("energy", good())


def test_a_calculator_can_be_pickled(copper_models):
    atoms = good()[1]
    calc = skpot.Calculator(copper_models["compiled"])
    expected = calc.get_property("forces", atoms)
    again = pickle.loads(pickle.dumps(calc))
    atoms.positions[0] += 0.0
    np.testing.assert_array_equal(again.get_property("forces", atoms), expected)


@pytest.mark.parametrize("name", MODELS[:2])
def test_a_batch_is_refused_as_a_whole_and_results_are_copies(copper_models, name):
    calculator, frames = BatchCalculator(copper_models[name]), good()
    expected = [f.get_forces() for f in calculator.evaluate(frames)]
    for broken in bad():
        with pytest.raises(SkpotError):
            calculator.evaluate([*frames, broken])
    done = calculator.evaluate(frames)
    for frame in done:
        frame.get_forces()[:] = 7.0
        frame.calc.results["forces"][0] += 1.0
        frame.positions += 1.0
    for frame, forces in zip(calculator.evaluate(frames), expected, strict=True):
        np.testing.assert_allclose(frame.get_forces(), forces, atol=1e-10)
        assert frame.calc.atoms == frame and frame.calc.atoms is not frame


def test_energies_of_a_model_that_are_not_finite(copper_models):
    sound = skpot.compile(copper_models["compiled"])
    broken = sound.potential._replace(e0=np.array([np.inf]))
    broken = CompiledPotential(broken, sound.species, sound.cutoff)
    with pytest.raises(SkpotError, match="energy of these 4 atoms is inf"):
        skpot.Calculator(broken).get_property("forces", good()[1])
    for use in (broken.predict, BatchCalculator(broken).evaluate):
        with pytest.raises(
            SkpotError, match="6 of 6 structures.*\n.*structure 0: its energy is inf"
        ):
            use(good())


def test_energies_of_another_calculator_that_are_not_finite():
    class Overflow(EMT):
        def calculate(self, *args):
            super().calculate(*args)
            self.results["free_energy"] *= scale

    scale = 1.0
    X, y = training_set()
    soap = skpot.SOAP(cutoff=4.0, n_max=3, l_max=2)
    model = skpot.DeltaRegressor(make_pipeline(soap, skpot.SparseGPR(n_sparse=5)), Overflow)
    calc = skpot.Calculator(model.fit(X, y))
    assert np.isfinite(calc.get_property("energy", X[0]))
    scale = np.inf
    with pytest.raises(SkpotError, match="no finite energy"):
        calc.get_property("energy", X[1])
