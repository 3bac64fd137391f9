import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from skpot.md._dynamics import BlowUp, Trace, run, thermalise
from skpot.md._frames import TrajectoryFile


def copper():
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.calc = EMT()
    thermalise(atoms, 300.0)
    return atoms


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
    assert not thermalise(atoms, 1000.0)
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


def test_npt_needs_a_periodic_cell():
    atoms = copper()
    atoms.pbc = [True, True, False]
    with pytest.raises(ValueError, match="three periodic directions"):
        run(atoms, 1, ensemble="npt")
    with pytest.raises(ValueError, match="ensemble must be one of"):
        run(atoms, 1, ensemble="nvpt")
