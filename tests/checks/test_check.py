"""The dataset doctor finds what is wrong with labels, and nothing where nothing is."""

import json

import numpy as np
import pytest
from ase.build import bulk, molecule

import skpot
from skpot.checks import CheckReport, Finding
from skpot.checks._likelihood import Judge, learn
from skpot.checks._scale import expected_stiffness, stiffness_ratio
from tests.mistakes import COMMON, OF_MOLECULES, OF_STRESS, Labeled
from tests.samples import ethanol


@pytest.fixture(scope="module")
def molecules():
    X, y, _, _ = ethanol()
    return Labeled(X[::3], y[::3])


@pytest.fixture(scope="module")
def crystals():
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    return Labeled(X, y)


def kinds_of(X, y, **options):
    return {found.kind for found in skpot.check(X, y, **options).findings}


@pytest.mark.parametrize("name", COMMON | OF_MOLECULES)
def test_mistakes_of_molecules_are_named(molecules, name):
    mistake, kind = (COMMON | OF_MOLECULES)[name]
    assert kind in kinds_of(*mistake(molecules))


@pytest.mark.parametrize("name", OF_STRESS)
def test_mistakes_of_stress_are_named(crystals, name):
    mistake, kind = OF_STRESS[name]
    assert kind in kinds_of(*mistake(crystals))


def test_right_labels_have_no_findings(molecules, crystals):
    for data in (molecules, crystals):
        report = skpot.check(data.X, data.y)
        assert not report, report
        assert "no mistakes found" in str(report)


def test_frames_are_those_of_the_user(molecules):
    X, y = COMMON["forces of one frame times 10"][0](molecules)
    [found] = skpot.check(X, y).findings
    assert found.frames == (molecules.one,)


def test_the_fix_mends_the_labels(crystals):
    X, y = OF_STRESS["stress in kbar as VASP prints it"][0](crystals)
    fixes = [found.fix for found in skpot.check(X, y).findings]
    factor = np.prod([float(fix.split(" by ")[1].split()[0].rstrip(".")) for fix in fixes])
    np.testing.assert_allclose(factor * y.stress, crystals.y.stress, rtol=1e-5)
    assert not skpot.check(X, skpot.Targets(y.energy, y.forces, factor * y.stress))


def test_a_fitted_model_may_judge_single_structures(molecules):
    half = len(molecules.X) // 2
    model = skpot.make_potential("fast").fit(molecules.X[half:], molecules.y[half:])
    X, y = COMMON["one energy 50 eV off"][0](molecules)
    assert "single energies" in kinds_of(X, y, against=model)


def test_findings_do_not_depend_on_the_order_of_structures(molecules):
    order = np.random.default_rng(0).permutation(len(molecules.X))
    X, y = COMMON["energies in kcal/mol"][0](molecules)
    one, other = skpot.check(X, y), skpot.check([X[i] for i in order], y[order])
    assert [found.kind for found in one.findings] == [found.kind for found in other.findings]
    assert [order[w.frame] for w in other.worst[:5]] == [w.frame for w in one.worst[:5]]


def test_reports_are_text_and_plain_data(molecules):
    X, y = COMMON["energies in kcal/mol"][0](molecules)
    report = skpot.check(X, y)
    assert report
    assert all(len(line) <= 80 for line in str(report).splitlines())
    known = json.loads(json.dumps(report.to_dict()))
    assert known["findings"][0]["kind"] == "unit of energies"
    assert known["summary"]["frames"] == len(X)
    assert len(known["worst"]) == 20


@pytest.mark.parametrize("labels", ["energy", "forces"])
def test_labels_of_one_kind(molecules, labels):
    y = molecules.y
    y = skpot.Targets(y.energy) if labels == "energy" else skpot.Targets([None] * len(y), y.forces)
    assert not skpot.check(molecules.X, y)


def test_few_structures(molecules):
    assert not skpot.check(molecules.X[:5], molecules.y[:5])


def test_same_structures_with_the_same_labels_are_a_note(molecules):
    twice = [*range(len(molecules.X)), 0]
    report = skpot.check([molecules.X[i] for i in twice], molecules.y[twice])
    assert not report
    assert any("copies of others" in note for note in report.notes)


def test_forces_that_do_not_add_up_to_zero_are_a_note(molecules):
    X, y = molecules.with_all_forces(lambda f: f + [0.1, 0.0, 0.0])
    assert any("add up to zero" in note for note in skpot.check(X, y).notes)


def test_findings_come_with_the_surest_first():
    few = [Finding("a", "m", "f", confidence=0.9), Finding("b", "m", "f", (1, 2), 1.0)]
    report = CheckReport(few, [], {}, [])
    assert [found.kind for found in report.findings] == ["b", "a"]
    assert "frames 1-2; certain" in str(report)


def test_positions_in_bohr(molecules):
    X = [atoms.copy() for atoms in molecules.X]
    for atoms in X:
        atoms.positions /= 0.529177
    assert "unit of positions" in kinds_of(X, molecules.y)


class TestLikelihood:
    def test_the_posterior_is_that_of_a_linear_model(self):
        rng = np.random.default_rng(0)
        rows, truth = rng.normal(size=(400, 5)), rng.normal(size=5)
        values = rows @ truth + 0.1 * rng.normal(size=400)
        found = learn(rows, values)
        np.testing.assert_allclose(found.mean, truth, atol=0.02)
        assert abs(found.noise - 0.1) < 0.01
        expected = 0.01 * np.linalg.inv(rows.T @ rows)
        np.testing.assert_allclose(found.root @ found.root.T, expected, rtol=0.1, atol=1e-6)

    def test_it_is_a_normal_density(self):
        rng = np.random.default_rng(1)
        mean, root = rng.normal(size=6), rng.normal(size=(6, 2))
        weights, values = rng.uniform(1.0, 2.0, 6), rng.normal(size=6)
        judge = Judge(mean, root, weights, None, np.array([0.3]))
        densities = []
        for factor in 4.0 ** np.arange(6):
            matrix = factor * root @ root.T + 0.09 * np.diag(weights)
            left = values - mean
            densities.append(
                -0.5 * (left @ np.linalg.solve(matrix, left) + np.linalg.slogdet(matrix)[1])
                - 3.0 * np.log(2.0 * np.pi)
            )
        np.testing.assert_allclose(judge.log_likelihood(values), max(densities), rtol=1e-10)

    def test_columns_are_free(self):
        rng = np.random.default_rng(2)
        columns = rng.normal(size=(8, 2))
        args = rng.normal(size=8), rng.normal(size=(8, 3)), np.ones(8)
        judge = Judge(*args, columns, np.array([0.2, 1.0]))
        values = rng.normal(size=8)
        shifted = judge.log_likelihood(values + columns @ [3.0, -5.0])
        np.testing.assert_allclose(shifted, judge.log_likelihood(values), rtol=1e-9)

    def test_scales_are_those_one_by_one(self):
        rng = np.random.default_rng(3)
        args = rng.normal(size=8), rng.normal(size=(8, 3)), np.ones(8)
        judge = Judge(*args, np.ones((8, 1)), np.array([0.2, 1.0]))
        values, factors = rng.normal(size=8), np.array([0.1, 1.0, 7.0])
        one_by_one = [judge.log_likelihood(values / factor) for factor in factors]
        np.testing.assert_allclose(judge.log_likelihoods(values, factors), one_by_one, rtol=1e-9)

    def test_an_outlier_stands_out(self):
        rng = np.random.default_rng(4)
        root = rng.normal(size=(30, 2))
        judge = Judge(np.zeros(30), root, np.ones(30), None, 10.0 ** np.arange(-3, 2.0))
        values = root @ rng.normal(size=2) + 0.01 * rng.normal(size=30)
        values[7] += 1.0
        assert np.argmax(np.abs(judge.residuals(values))) == 7


class TestStiffness:
    def test_of_bonds(self):
        # k = 11.6 / (r - d)^3 eV/Å², a third of the sum over bonds of full order.
        [silicon] = expected_stiffness([bulk("Si")])
        bond = 11.6 / (5.43 * np.sqrt(3) / 4 - 2 * 0.61) ** 3
        np.testing.assert_allclose(silicon, 4 * bond / 3, rtol=1e-6)

    def test_atoms_alone_have_none(self):
        [atom] = expected_stiffness([molecule("H")])
        assert (atom == 0.0).all()
        assert stiffness_ratio([molecule("H")], None, 0) is None

    def test_of_springs(self):
        atoms = molecule("H2")
        [expected] = expected_stiffness([atoms])

        def spring(structures):
            forces = []
            for moved in structures:
                along = moved.positions[1] - moved.positions[0]
                length = np.linalg.norm(along)
                pull = 6.0 * (length - atoms.get_distance(0, 1)) * along / length
                forces.append(np.array([pull, -pull]))
            return forces

        found = stiffness_ratio([atoms], spring, 0)
        np.testing.assert_allclose(found, 2.0 / expected[0], rtol=1e-2)


@pytest.mark.parametrize(
    "energy, told", [([float("nan")] * 2, "energy is nan"), ([None, None], "no labels to check")]
)
def test_labels_that_are_none_are_refused(energy, told):
    X = [bulk("Si"), bulk("Ge")]
    with pytest.raises(skpot.exceptions.LabelError, match=told):
        skpot.check(X, skpot.Targets(energy))
