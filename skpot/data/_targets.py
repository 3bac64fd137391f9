"""Labels of structures as an array of energies that carries ragged forces and stress along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from skpot._sklearn import array_namespace
from skpot.data._label_blocks import energies, force_sigmas, names, segments, sigmas, stresses
from skpot.data._stripped import tell_of_stripping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import DTypeLike

    from skpot.typing import Atoms, BoolArray, FloatArray, IntArray, Structures

LABEL_KINDS = ("energy", "forces", "stress")

# Functions that select or reorder rows. They are applied to indices of rows, then to all arrays.
_ROW_FUNCTIONS = {
    np.compress,
    np.copy,
    np.delete,
    np.flip,
    np.repeat,
    np.roll,
    np.take,
}


# Arrays that may be there besides the labels, with the value of a missing entry.
_EXTRAS = {
    "groups": "",
    "sigma_energy": np.nan,
    "sigma_forces_flat": np.nan,
    "sigma_stress": np.nan,
}


class Targets(NDArrayOperatorsMixin):
    """Energies with optional forces and stress, any of them missing for any structure.

    To NumPy and scikit-learn this is the one-dimensional float array of energies, so it works as
    `y` in every search, split and metric. Indexing by rows and `np.concatenate` keep forces,
    stress, groups and noise; any other operation, arithmetic above all, returns a plain array of
    energies, so that forces never go stale.

    Parameters
    ----------
    energy : sequence of n_structures floats or None, or Targets
        Total energies (eV); None, a masked entry or `pandas.NA` where there is none. From Targets
        all labels are taken that are not given by other arguments.
    forces : None or sequence of n_structures arrays of shape (n_atoms, 3) or None
        Forces (eV/Å); None where there are none. A row of NaN is an atom without a label.
    stress : None or sequence of n_structures arrays of shape (6,) or (3, 3), or None
        Stress (eV/Å³), Voigt order xx yy zz yz xz xy, tension positive as in ASE; None, or a row
        of NaN, where there is none.
    groups : None or sequence of n_structures str or None
        The group of each structure, such as the name of its trajectory. Regressors take noise by
        group, and `GroupKFold` takes `y.groups`.
    sigma_energy : None or sequence of n_structures floats or None
        Noise of single energies, in eV per atom. It takes precedence over `sigma_energy` of the
        regressor, which is used where this is None.
    sigma_forces : None or sequence of n_structures floats, arrays of shape (n_atoms,), or None
        Noise of the force components of a structure, or of each of its atoms (eV/Å).
    sigma_stress : None or sequence of n_structures floats or None
        Noise of the stress components of a structure (eV/Å³).

    Attributes
    ----------
    energy : ndarray of shape (n_structures,)
        NaN where missing.
    forces : None or list of ndarray of shape (n_atoms, 3) or None
        None if no structure has forces.
    stress : None or ndarray of shape (n_structures, 6)
        None if no structure has stress; rows of NaN where missing.
    has_energy, has_forces, has_stress : ndarray of bool of shape (n_structures,)
        Which labels are there.
    forces_flat : ndarray of shape (n_labeled_atoms, 3)
        The forces of all structures that have them, one after the other.
    force_offsets : ndarray of int of shape (n_structures + 1,)
        Structure i owns rows `force_offsets[i]:force_offsets[i + 1]`, none where missing.
    groups : ndarray of str of shape (n_structures,) or None
        Empty where there is none.
    sigma_energy, sigma_stress : ndarray of shape (n_structures,) or None
        NaN where not given.
    sigma_forces_flat : ndarray of shape (n_labeled_atoms,) or None
        In the order of `forces_flat`; NaN where not given.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot import Targets
    >>> y = Targets([-1.0, -2.5, None], forces=[np.zeros((2, 3)), None, np.ones((4, 3))])
    >>> y
    Targets(n_structures=3, energy=2, forces=2 (6 atoms), stress=0)
    >>> y[[2, 0]].forces[0].shape
    (4, 3)
    >>> y[:2] - 1.0
    array([-2. , -3.5])
    """

    def __init__(
        self,
        energy: Any,
        forces: Any = None,
        stress: Any = None,
        *,
        groups: Any = None,
        sigma_energy: Any = None,
        sigma_forces: Any = None,
        sigma_stress: Any = None,
    ) -> None:
        if isinstance(energy, Targets):  # its other labels must not be lost silently
            forces = energy.forces if forces is None else forces
            stress = energy.stress if stress is None else stress
            groups = energy.groups if groups is None else groups
            sigma_energy = energy.sigma_energy if sigma_energy is None else sigma_energy
            sigma_forces = energy.sigma_forces if sigma_forces is None else sigma_forces
            sigma_stress = energy.sigma_stress if sigma_stress is None else sigma_stress
            self.energy, self.has_energy = energy.energy.copy(), energy.has_energy.copy()
        else:
            self.energy, self.has_energy = energies(energy)
        n = len(self.energy)
        self.forces_flat, self.force_offsets = segments(forces, n)
        self.stress, self.has_stress = stresses(stress, n)
        self.groups = names(groups, n)
        self.sigma_energy = sigmas(sigma_energy, n, "sigma_energy")
        self.sigma_forces_flat = force_sigmas(sigma_forces, self.force_offsets)
        self.sigma_stress = sigmas(sigma_stress, n, "sigma_stress")

    @classmethod
    def _from_arrays(cls, energy, has_energy, forces_flat, force_offsets, stress, has_stress):
        self = cls.__new__(cls)
        self.energy, self.has_energy = energy, has_energy
        self.forces_flat, self.force_offsets = forces_flat, force_offsets
        self.stress = stress if stress is not None and has_stress.any() else None
        self.has_stress = has_stress
        self.groups = self.sigma_energy = self.sigma_forces_flat = self.sigma_stress = None
        return self

    @classmethod
    def predicted(
        cls, energy: FloatArray, forces: FloatArray, offsets: IntArray, stress: FloatArray
    ) -> Targets:
        """Return targets made of arrays of predictions, without checks of each structure.

        Parameters
        ----------
        energy : ndarray of shape (n_structures,)
            In eV.
        forces : ndarray of shape (n_atoms, 3)
            In eV/Å.
        offsets : ndarray of int of shape (n_structures + 1,)
            First atom of each structure.
        stress : ndarray of shape (n_structures, 6)
            In eV/Å³; rows of NaN where there is none.

        Returns
        -------
        targets : Targets
        """
        has_stress = ~np.isnan(stress).all(axis=1)
        has_energy = np.ones(len(energy), dtype=bool)
        return cls._from_arrays(energy, has_energy, forces, offsets, stress, has_stress)

    def relabeled(self, energy: Any, forces: Any = None, stress: Any = None) -> Targets:
        """Return other labels of the same structures, with the same groups and noise.

        Parameters
        ----------
        energy, forces, stress
            As in the class.

        Returns
        -------
        targets : Targets
        """
        return type(self)(
            energy,
            forces,
            stress,
            groups=self.groups,
            sigma_energy=self.sigma_energy,
            sigma_forces=None if forces is None else self.sigma_forces,
            sigma_stress=self.sigma_stress,
        )

    @classmethod
    def from_atoms(cls, structures: Structures) -> Targets:
        """Ask the calculators of structures for their labels.

        Stored results are used as they are; other calculators compute what they can. Of two kinds
        of energy, the one whose derivative the forces are is taken if all structures have it.

        Parameters
        ----------
        structures : list[Atoms]
            Structures with a calculator each (one may serve several); labels are missing where
            there is none.

        Returns
        -------
        targets : Targets

        Raises
        ------
        LabelError
            If a structure has changed since its results were stored, other than by lattice vectors
            or a shift of all atoms; if a calculator fails; if a stress is not zero where the cell
            has no three independent vectors.

        Examples
        --------
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> atoms = bulk("Cu", cubic=True)
        >>> atoms.calc = EMT()
        >>> Targets.from_atoms([atoms])
        Targets(n_structures=1, energy=1, forces=1 (4 atoms), stress=1)
        """
        from skpot.data._calculator_labels import labels_of_calculators

        return cls(*labels_of_calculators(structures))

    def to_atoms(self, structures: Structures) -> list[Atoms]:
        """Return copies of structures that have these labels as results, as ASE reads them.

        Parameters
        ----------
        structures : list[Atoms]
            The structures of the labels; they are not changed.

        Returns
        -------
        labeled : list[Atoms]
            Copies with a calculator each, so that `get_potential_energy` and the like return the
            labels, and `ase.io.write` writes them. Missing labels are missing there, too.

        Raises
        ------
        ValueError
            If there are more or fewer structures than labels, or forces of other numbers of atoms.

        Examples
        --------
        >>> import ase
        >>> y = Targets([-1.5], forces=[np.zeros((2, 3))])
        >>> y.to_atoms([ase.Atoms("H2")])[0].get_potential_energy()
        -1.5
        """
        from skpot.data._calculator_labels import with_results

        return with_results(self, structures)

    # What NumPy and scikit-learn ask of an array.

    ndim = 1
    device = "cpu"
    shape = property(lambda self: self.energy.shape)
    size = property(lambda self: self.energy.size)
    dtype = property(lambda self: self.energy.dtype)

    def __len__(self):
        return len(self.energy)

    def __iter__(self):
        return iter(self.energy)

    def __array__(self, dtype=None, copy=None):
        if self.force_offsets[-1] or self.stress is not None:
            tell_of_stripping()
        if copy is False:
            return np.asarray(self.energy, dtype=dtype)
        return np.array(self.energy, dtype=dtype)  # a copy: writing to it must not change labels

    def __array_namespace__(self, api_version=None):
        return array_namespace()

    def reshape(self, *shape: Any, **kwargs: Any) -> FloatArray:
        """Return the energies as a plain array of another shape.

        Parameters
        ----------
        *shape : int or tuple of int
            As in `numpy.ndarray.reshape`.
        **kwargs
            Likewise.

        Returns
        -------
        energy : ndarray
        """
        return np.array(self.energy).reshape(*shape, **kwargs)

    def ravel(self) -> FloatArray:
        """Return the energies as a plain array.

        Returns
        -------
        energy : ndarray of shape (n_structures,)
        """
        return np.array(self.energy)

    def astype(self, dtype: DTypeLike, **kwargs: Any) -> FloatArray:
        """Return the energies as a plain array of another type.

        Parameters
        ----------
        dtype : dtype
            As in `numpy.ndarray.astype`.
        **kwargs
            Likewise.

        Returns
        -------
        energy : ndarray of shape (n_structures,)
        """
        return np.array(self.energy).astype(dtype, **kwargs)

    def copy(self) -> Targets:
        """Return an independent copy of all labels, groups and noise.

        Returns
        -------
        targets : Targets
        """
        return self[:]

    # Labels as users see them, and selection of rows.

    @property
    def forces(self) -> Any:
        """List of (n_atoms, 3) arrays, None where missing; None if no structure has forces."""
        if not self.force_offsets[-1]:
            return None
        flat, first = self.forces_flat, self.force_offsets
        return [flat[a:b] if b > a else None for a, b in zip(first[:-1], first[1:], strict=True)]

    def loaded(self) -> Targets:
        """Return labels that are in files as `Targets`, and other labels themselves.

        Returns
        -------
        targets : Targets
        """
        return self

    def in_parts(self) -> Iterator[tuple[IntArray, Targets]]:
        """Yield indices and labels in memory, those that are in files a part at a time.

        Yields
        ------
        rows : ndarray of int
            In ascending order.
        part : Targets
            Their labels.
        """
        yield np.arange(len(self)), self

    @property
    def sigma_forces(self) -> Any:
        """List of (n_atoms,) arrays, None where there are no forces; None if none is given."""
        if self.sigma_forces_flat is None:
            return None
        bounds = zip(self.force_offsets[:-1], self.force_offsets[1:], strict=True)
        return [self.sigma_forces_flat[a:b] if b > a else None for a, b in bounds]

    @property
    def has_forces(self) -> BoolArray:
        """Whether there are forces, (n_structures,)."""
        return np.diff(self.force_offsets) > 0

    def __getitem__(self, key):
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # how scikit-learn selects rows of anything with a shape
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return self.energy[key]
        rows = np.arange(len(self))[key]
        if rows.ndim != 1:  # a number, or a new axis: energies only
            return self.energy[key]
        return self._selected(rows)

    def _selected(self, rows):
        counts = np.diff(self.force_offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        atoms = np.repeat(self.force_offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        selected = self._from_arrays(
            self.energy[rows],
            self.has_energy[rows],
            self.forces_flat[atoms],
            offsets,
            None if self.stress is None else self.stress[rows],
            self.has_stress[rows],
        )
        for name in _EXTRAS:
            array = getattr(self, name)
            if array is not None:
                setattr(selected, name, array[atoms if name == "sigma_forces_flat" else rows])
        return selected

    @classmethod
    def _concatenate(cls, parts):
        counts = np.concatenate([np.diff(part.force_offsets) for part in parts])
        stress = None
        if any(part.stress is not None for part in parts):
            stress = np.concatenate(
                [np.full((len(p), 6), np.nan) if p.stress is None else p.stress for p in parts]
            )
        joined = cls._from_arrays(
            np.concatenate([part.energy for part in parts]),
            np.concatenate([part.has_energy for part in parts]),
            np.concatenate([part.forces_flat for part in parts]),
            np.concatenate([[0], np.cumsum(counts)]),
            stress,
            np.concatenate([part.has_stress for part in parts]),
        )
        for name, absent in _EXTRAS.items():
            if any(getattr(part, name) is not None for part in parts):
                setattr(joined, name, np.concatenate([_filled(p, name, absent) for p in parts]))
        return joined

    def __array_function__(self, func, types, args, kwargs):
        if func is np.concatenate and set(kwargs) <= {"axis"} and len(args) <= 2:
            if all(isinstance(part, Targets) for part in args[0]):
                return self._concatenate(args[0])
        if func in _ROW_FUNCTIONS and "out" not in kwargs:
            row_args = [np.arange(len(a)) if a is self else a for a in args]
            rows = func(*row_args, **{k: v for k, v in kwargs.items() if k != "subok"})
            return self[rows]
        args, kwargs = _plain(args), _plain(kwargs)
        return func(*args, **kwargs)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        # In `y -= mean` the output is y: leave it out, so that y becomes the new plain array.
        if any(isinstance(out, Targets) for out in kwargs.get("out", ())):
            del kwargs["out"]
        return getattr(ufunc, method)(*_plain(inputs), **_plain(kwargs))

    def __sizeof__(self):
        arrays = [a for a in vars(self).values() if isinstance(a, np.ndarray)]
        return object.__sizeof__(self) + sum(a.nbytes for a in arrays)

    def __repr__(self):
        return (
            f"Targets(n_structures={len(self)}, energy={self.has_energy.sum()}, "
            f"forces={self.has_forces.sum()} ({self.force_offsets[-1]} atoms), "
            f"stress={self.has_stress.sum()})"
        )


def _plain(value):
    """Replace Targets by arrays of energies, also inside lists, tuples and dictionaries."""
    if isinstance(value, Targets):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        return type(value)([_plain(v) for v in value])
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _filled(part, name, absent):
    """Return an array of a part, or one full of `absent` if the part has none."""
    array = getattr(part, name)
    if array is not None:
        return array
    size = len(part.forces_flat) if name == "sigma_forces_flat" else len(part)
    return np.full(size, absent)
