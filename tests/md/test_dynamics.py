import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from skpot.exceptions import InputError, SkpotError
from skpot.md import Guard, LimitPassed
from skpot.md.dynamics import BlowUp, Trace, run, thermalize
from skpot.md.frames import TrajectoryFile
from tests.md.conftest import copper
from tests.samples import crystal


def test_nve_keeps_the_energy_and_runs_append():
    atoms = copper()
    trace = run(atoms, 20, interval=5)
    run(atoms, 20, interval=5, trace=trace)
    np.testing.assert_allclose(trace.time, np.arange(9) * 0.005)
    assert np.ptp(trace.total) < 1e-4
    assert np.ptp(trace.potential) > 1e-3
    assert abs(trace.drift()) < 0.1
    assert np.isnan(trace.energy_std).all()  # this calculator has none


def test_drift_is_the_slope_times_the_time():
    trace = Trace(time=[0.0, 1.0, 2.0], total=[0.0, 0.001, 0.002])
    assert trace.drift() == pytest.approx(2.0)


def test_velocities_that_are_there_stay():
    atoms = copper()
    momenta = atoms.get_momenta()
    assert not thermalize(atoms, 1000.0)
    np.testing.assert_array_equal(atoms.get_momenta(), momenta)


def test_the_same_seed_gives_the_same_run():
    ends = []
    for _ in range(2):
        atoms = copper()
        run(atoms, 5, ensemble="nvt", random_state=3)
        ends.append(atoms.positions)
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_energy_that_is_not_finite_stops_the_run(value):
    atoms = copper()
    calculate = atoms.calc.calculate

    def broken(*args):
        calculate(*args)
        if atoms.calc.results["energy"] != first:
            atoms.calc.results["energy"] = value

    first = atoms.get_potential_energy()
    atoms.calc.calculate = broken
    with pytest.raises(BlowUp, match="step 1: the energy is"):
        run(atoms, 5)


def test_the_trajectory_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "traj.xyz"
    path.write_text("old")
    with TrajectoryFile(path) as trajectory:
        run(copper(), 2, interval=1, trajectory=trajectory)
        assert path.read_text() == "old"
    assert trajectory.n_frames == 3
    assert len(list(tmp_path.iterdir())) == 1
    assert path.read_text().startswith("32\n")


def test_a_run_without_frames_leaves_the_old_file(tmp_path):
    path = tmp_path / "traj.xyz"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), TrajectoryFile(path):
        _ = 1 / 0
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_npt_needs_a_periodic_cell_and_stress():
    atoms = copper()
    with pytest.raises(ValueError, match="ensemble must be one of"):
        run(atoms, 1, ensemble="nvpt")
    atoms.pbc = [True, True, False]
    with pytest.raises(ValueError, match="three periodic directions"):
        run(atoms, 1, ensemble="npt")
    atoms.pbc = True
    atoms.calc = WithoutStress()
    with pytest.raises(ValueError, match="npt needs stress"):
        run(atoms, 1, ensemble="npt")


class WithoutStress(EMT):
    implemented_properties = ["energy", "free_energy", "forces"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, "1", None, True])
@pytest.mark.parametrize(
    "name", ["temperature", "timestep", "pressure", "steps", "interval", "random_state"]
)
def test_parameters_that_make_no_sense_are_refused(name, value):
    if name == "pressure" and value == -1:
        return  # tension
    atoms = copper()
    positions, settings = atoms.positions.copy(), {"steps": 2} | {name: value}
    with pytest.raises(SkpotError, match=name):
        run(atoms, **settings)
    np.testing.assert_array_equal(atoms.positions, positions)


@pytest.mark.parametrize("name", ["timestep", "interval"])
def test_parameters_that_must_not_be_zero(name):
    with pytest.raises(ValueError, match=name):
        run(copper(), 1, **{name: 0})
    for ensemble in ("nvt", "npt"):
        with pytest.raises(ValueError, match=f"temperature of {ensemble}"):
            run(copper(), 1, ensemble=ensemble, temperature=0.0)
    run(copper(), 1, temperature=0.0)


def with_(change):
    atoms = copper()
    change(atoms)
    return atoms


STARTS = {
    "no calculator": (lambda a: setattr(a, "calc", None), "have no calculator"),
    "velocities": (lambda a: a.arrays["momenta"].__setitem__(3, np.nan), "velocities"),
    "masses": (lambda a: a.set_masses(np.zeros(len(a))), "masses must be positive"),
    "positions": (lambda a: a.positions.__setitem__(3, np.nan), "positions are not finite"),
    "coincident": (lambda a: a.positions.__setitem__(3, a.positions[2]), "entered twice"),
    "cell": (lambda a: a.set_cell([5, 5, 0]), "is zero"),
    "fixed": (
        lambda a: (a.set_constraint(FixAtoms(range(len(a)))), a.set_momenta(a.get_momenta())),
        "integrator for nvt refuses",
    ),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_that_cannot_be_used_is_no_blow_up(name):
    change, message = STARTS[name]
    with pytest.raises(SkpotError, match=message) as caught:
        run(with_(change), 5, ensemble="nvt")
    assert not isinstance(caught.value, BlowUp)


@pytest.mark.parametrize("kind", ["guard", "trajectory", "on_step"])
def test_errors_of_observers_are_no_blow_ups(kind):
    def fail(*args):
        raise InputError("of the observer")

    observer = type("Observer", (), {"__call__": fail, "write": fail})()
    with pytest.raises(InputError, match="of the observer"):
        run(copper(), 5, interval=1, **{kind: observer})


def test_what_goes_wrong_between_steps_is_a_blow_up():
    with pytest.raises(BlowUp, match="step [1-9]"):
        run(copper(), 50, timestep=400.0)


@pytest.mark.parametrize("thermostat", ["bussi", "langevin"])
def test_the_temperature_goes_from_one_to_another(thermostat):
    atoms = crystal("Cu", 0.01, repeat=2)
    atoms.calc = EMT()
    thermalize(atoms, 50.0)
    trace = run(
        atoms, 300, ensemble="nvt", temperature=50.0, last_temperature=900.0, timestep=2.0,
        interval=10, thermostat=thermostat, thermostat_time=20.0,
    )  # fmt: skip
    assert np.mean(trace.temperature[1:6]) < 250.0
    assert 500.0 < np.mean(trace.temperature[-4:]) < 1300.0


@pytest.mark.parametrize(("ensemble", "thermostat"), [("npt", "bussi"), ("nvt", "nose-hoover")])
def test_chains_have_one_temperature(ensemble, thermostat):
    atoms = crystal("Cu", 0.01)
    atoms.calc = EMT()
    with pytest.raises(ValueError, match="made for one temperature"):
        run(atoms, 1, ensemble=ensemble, thermostat=thermostat, last_temperature=500.0)


def test_the_whole_cell_changes_if_it_may():
    for barostat in ("isotropic", "full"):
        atoms = crystal("Cu", 0.01, repeat=2)
        atoms.set_cell(atoms.cell.array * [[1.02], [1.0], [1.0]], scale_atoms=True)
        atoms.calc = EMT()
        thermalize(atoms, 300.0)
        before = atoms.cell.lengths()
        run(atoms, 60, ensemble="npt", timestep=2.0, barostat=barostat, barostat_time=200.0)
        ratios = atoms.cell.lengths() / before
        assert (np.ptp(ratios) > 1e-4) == (barostat == "full")


def test_a_guard_is_asked_between_entries_and_the_last_frame_is_one():
    atoms = crystal("Cu", 0.01)
    atoms.calc = EMT()
    thermalize(atoms, 300.0)
    trace = Trace()
    guard = Guard(atoms, max_temperature=1.0)
    atoms.set_momenta(0.0 * atoms.get_momenta())
    atoms.positions[0] += 0.3
    with pytest.raises(LimitPassed, match="step 20: max_temperature 1 is passed"):
        run(atoms, 200, interval=100, trace=trace, guard=guard)
    np.testing.assert_allclose(trace.time, [0.0, 0.02])
    assert all(len(column) == 2 for column in vars(trace).values())
