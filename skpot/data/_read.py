"""Files to structures and targets."""

import os
import warnings

import numpy as np

from skpot.data._ase import lookup, read_frames, stored_results, without_calculator
from skpot.data._targets import Targets
from skpot.exceptions import LabelError, LabelWarning

_LABEL_WORDS = ("energy", "force", "stress", "virial")


def read(
    path,
    index=":",
    *,
    energy_key=None,
    forces_key=None,
    stress_key=None,
    virial_key=None,
    group_key=None,
):
    """Read labelled structures from files of any format ASE knows.

    The labels go into the targets and leave the structures: their calculators are taken off. What
    else the file says about a structure stays in its `info` and `arrays`.

    Parameters
    ----------
    path : str, Path or list of these
        Files, read one after the other.
    index : int, str or slice, default=":"
        Frames of each file, as in `ase.io.read`: 0, "-10:", "::5", ...
    energy_key, forces_key, stress_key, virial_key : str or None, default=None
        The names under which the file keeps total energies (eV), forces (eV/Å), stress (eV/Å³,
        tension positive) or virials (eV, minus stress times volume; converted to stress). None
        means the standard results "energy", "forces" and "stress" as ASE reads them. If a file
        has the free energy too, the one forces derive from, for every energy, it is preferred.
    group_key : str or None, default=None
        The name under which the file keeps what each structure belongs to, "config_type" for
        example; it becomes the `groups` of the targets.

    Returns
    -------
    X : list[Atoms]
        The structures.
    y : Targets
        Their labels, any of them missing where the file has none.

    Examples
    --------
    >>> import tempfile, pathlib, ase.build, ase.io, ase.calculators.emt
    >>> atoms = ase.build.bulk("Cu", cubic=True)
    >>> atoms.calc = ase.calculators.emt.EMT()
    >>> forces = atoms.get_forces()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "copper.extxyz")
    ...     ase.io.write(path, atoms)
    ...     X, y = read(path)
    >>> len(X), y
    (1, Targets(n_structures=1, energy=1, forces=1 (4 atoms), stress=1))
    """
    if stress_key is not None and virial_key is not None:
        raise LabelError(
            f"stress_key={stress_key!r} and virial_key={virial_key!r} both name stress: give one"
        )
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if not paths:
        raise LabelError("no file to read: the list of paths is empty")
    frames = [atoms for p in paths for atoms in read_frames(p, index)]

    named = {"energy_key": energy_key, "forces_key": forces_key}
    named |= {"stress_key": stress_key, "virial_key": virial_key}
    found = {option: _named(frames, option, key) for option, key in named.items() if key}
    energies = found.get("energy_key") or _standard_energies(frames)
    forces = found.get("forces_key") or [stored_results(a).get("forces") for a in frames]
    if "virial_key" in found:
        virials = enumerate(zip(frames, found["virial_key"]))
        stresses = [_stress_of_virial(i, atoms, virial) for i, (atoms, virial) in virials]
    else:
        stresses = found.get("stress_key") or [stored_results(a).get("stress") for a in frames]
        stresses = [_squared(stress) for stress in stresses]

    groups = _named(frames, "group_key", group_key) if group_key else None
    targets = Targets(energies, forces, stresses, groups=groups)
    if frames and not (targets.has_energy.any() or targets.has_forces.any()):
        _warn_unlabelled(frames)
    return [without_calculator(atoms) for atoms in frames], targets


def _named(frames, option, key):
    values = [lookup(atoms, key) for atoms in frames]
    if frames and all(value is None for value in values):
        raise LabelError(
            f"{option}={key!r}: no frame has it. "
            f"What looks like a label there: {_label_names(frames) or 'nothing'}"
        )
    return values


def _standard_energies(frames):
    """Return energies of one kind for all frames: two kinds would differ by their zero."""
    results = [stored_results(atoms) for atoms in frames]
    energy = [r.get("energy") for r in results]
    free = [r.get("free_energy") for r in results]
    if all(e is None for e in energy):
        return free
    n_free = sum(f is not None for f in free)
    covered = all(f is not None for e, f in zip(energy, free) if e is not None)
    if covered and any("forces" in r for r in results):
        return free
    if n_free and not covered:
        warnings.warn(
            f"{n_free} of {len(frames)} frames have a free energy besides the energy: 'energy' is "
            "taken throughout. Choose with energy_key='energy' or energy_key='free_energy'.",
            LabelWarning,
            stacklevel=3,
        )
    return energy


def _squared(stress):
    """Return nine numbers as a matrix and anything else as it is."""
    if stress is not None and np.size(stress) == 9:
        return np.reshape(stress, (3, 3))
    return stress


def _stress_of_virial(i, atoms, virial):
    if virial is None:
        return None
    volume = atoms.cell.volume
    if volume == 0:
        raise LabelError(f"structure {i} has a virial but no cell, so there is no stress")
    return -_squared(np.asarray(virial, dtype=np.float64)) / volume


def _label_names(frames):
    names = {n for atoms in frames for n in (*atoms.info, *atoms.arrays, *stored_results(atoms))}
    return sorted(n for n in names if any(word in str(n).lower() for word in _LABEL_WORDS))


def _warn_unlabelled(frames):
    if names := _label_names(frames):
        warnings.warn(
            f"no energies and no forces under their standard names, but there are {names}: "
            "name them with energy_key, forces_key, stress_key or virial_key",
            LabelWarning,
            stacklevel=3,
        )
