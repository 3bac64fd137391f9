"""Forces, virial and stress from energies alone, by fourth-order central differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import cell_volumes
from ..exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.typing import Atoms, FloatArray

# f'(0) = sum_k weight_k f(k h) / h + O(h^4)
_STENCIL = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def finite_difference_forces(
    model: Any, atoms: Atoms, step: float = 1e-4, *, indices: Sequence[int] | None = None
) -> FloatArray:
    """Return forces as minus the numerical gradient of the energy.

    Parameters
    ----------
    model : fitted estimator, ASE calculator or callable
        Where energies come from: ``predict(structures)`` of an estimator or
        ``get_potential_energy(atoms)`` of a calculator. A callable takes a list of `Atoms` and
        returns their total energies in eV, shape (n,).
    atoms : Atoms
        The structure; it is not changed.
    step : float, default=1e-4
        Displacement in Å. Rounding errors grow with its inverse. A large displacement is more
        likely to cross a distance at which the curvature of a cutoff function jumps.
    indices : sequence of int, optional
        Atoms to displace; all by default.

    Returns
    -------
    forces : ndarray of shape (n_indices, 3)
        In eV/Å.

    Examples
    --------
    >>> import numpy as np
    >>> from ase import Atoms
    >>> from skpot.testing import finite_difference_forces
    >>> def spring(structures):
    ...     return np.array([0.5 * (s.get_distance(0, 1) - 1.0) ** 2 for s in structures])
    >>> forces = finite_difference_forces(spring, Atoms("H2", [[0, 0, 0], [1.5, 0, 0]]))
    >>> np.allclose(forces, [[0.5, 0, 0], [-0.5, 0, 0]])
    True
    """
    indices = range(len(atoms)) if indices is None else indices
    moved = []
    for i in indices:
        for axis in range(3):
            for k, _ in _STENCIL:
                copy = atoms.copy()
                copy.positions[i, axis] += k * step
                moved.append(copy)
    return -_differentiate(model, moved, step).reshape(-1, 3)


def finite_difference_virial(model: Any, atoms: Atoms, step: float = 3e-5) -> FloatArray:
    """Return the virial as minus the numerical derivative of the energy with respect to strain.

    Parameters
    ----------
    model : fitted estimator, ASE calculator or callable
        As in `finite_difference_forces`.
    atoms : Atoms
        The structure, periodic or not; it is not changed.
    step : float, default=3e-5
        Strain. Positions and cell are strained together; a shear component strains the two
        off-diagonal elements by half of it each.

    Returns
    -------
    virial : ndarray of shape (6,)
        In eV, order xx yy zz yz xz xy.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from skpot.testing import finite_difference_virial
    >>> stretched = bulk("Cu", a=3.8)
    >>> virial = finite_difference_virial(EMT(), stretched)
    >>> bool(abs(virial[0] + stretched.get_volume() * EMT().get_stress(stretched)[0]) < 1e-6)
    True
    """
    strained = []
    for a, b in _VOIGT:
        for k, _ in _STENCIL:
            deformation = np.eye(3)
            deformation[a, b] += 0.5 * k * step
            deformation[b, a] += 0.5 * k * step
            copy = atoms.copy()
            copy.set_cell(atoms.cell.array @ deformation, scale_atoms=False)
            copy.positions = atoms.positions @ deformation
            strained.append(copy)
    return -_differentiate(model, strained, step)


def finite_difference_stress(model: Any, atoms: Atoms, step: float = 3e-5) -> FloatArray:
    """Return the stress as the numerical strain derivative of the energy over the volume.

    Parameters
    ----------
    model, atoms, step
        As in `finite_difference_virial`, but the three cell vectors must be independent.

    Returns
    -------
    stress : ndarray of shape (6,)
        In eV/Å³, ASE's order xx yy zz yz xz xy, positive under tension.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from skpot.testing import finite_difference_stress
    >>> def elastic(structures):
    ...     return np.array([0.01 * (s.get_volume() - 10) ** 2 for s in structures])
    >>> atoms = bulk("Cu", "sc", a=2.0)
    >>> np.allclose(finite_difference_stress(elastic, atoms), [-0.04] * 3 + [0] * 3)
    True
    """
    volume = cell_volumes([atoms.cell.array])[0]
    if np.isnan(volume):
        raise InputError(
            "stress needs a cell with three independent vectors, got "
            f"{atoms.cell.array.tolist()}; use finite_difference_virial for structures without"
        )
    return -finite_difference_virial(model, atoms, step) / volume


def _differentiate(model, structures, step):
    """Contract the energies of consecutive displaced copies with the stencil."""
    weights = np.array([weight for _, weight in _STENCIL])
    return _energies(model, structures).reshape(-1, len(_STENCIL)) @ weights / step


def _energies(model, structures):
    if hasattr(model, "predict"):
        energies = model.predict(structures)
    elif hasattr(model, "get_potential_energy"):
        energies = [model.get_potential_energy(atoms) for atoms in structures]
    else:
        energies = model(structures)
    energies = np.asarray(energies, dtype=float)
    if energies.shape != (len(structures),):
        raise InputError(
            f"expected one energy for each of {len(structures)} structures, got an array of "
            f"shape {energies.shape}"
        )
    return energies
