"""The heat flux of a structure, from which Green-Kubo relations give thermal conductivities."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.pairs import conducted_heat
from ..exceptions import InputError, InputTypeError
from ._calculator import Calculator

if TYPE_CHECKING:
    from skpot.typing import Atoms, FloatArray


class HeatFlux(NamedTuple):
    """A heat flux times the volume, in eV Å per unit of time of ASE (`ase.units.fs`)."""

    total: FloatArray  # (3,)
    convective: FloatArray  # (3,) the part that atoms carry along as they move


def heat_flux(atoms: Atoms) -> HeatFlux:
    """Return the heat flux of atoms that have velocities and a `Calculator`.

    Multiplied by the volume, as in LAMMPS, it is the time derivative of sum_i r_i e_i,

        J = sum_i e_i v_i + sum_ij (r_i - r_j) (dE_i/dr_j . v_j)

    where E_i is the energy of the environment of atom i, e_i the same plus its kinetic energy, and
    j runs over the neighbors of i [1]_ [2]_. The first sum is the convective part.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure, with velocities, whose calculator is a `Calculator`. The model must have a
        compiled form (`Calculator.compiled_`), since only this has the derivatives of the energies
        of single atoms.

    Returns
    -------
    flux : HeatFlux
        ``total`` and ``convective``, shape (3,) each, in eV Å per unit of time of ASE. They change
        with velocities, so that they are computed anew at each call, at the cost of the forces.

    Raises
    ------
    TypeError
        If the calculator is of another kind.
    ValueError
        If the energies of single atoms have no derivatives: the model has no compiled form, or is a
        `DeltaRegressor`.

    References
    ----------
    .. [1] Z. Fan, L. F. C. Pereira, H.-Q. Wang, J.-C. Zheng, D. Donadio, A. Harju, "Force and heat
       current formulas for many-body potentials in molecular dynamics simulations", Phys. Rev. B
       92, 094301 (2015).
    .. [2] D. Surblys, H. Matsubara, G. Kikugawa, T. Ohara, "Application of atomic stress to compute
       heat flux via molecular dynamics for systems with many-body interactions", Phys. Rev. E 99,
       051301 (2019).

    Examples
    --------
    >>> import skpot
    >>> X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> X[0].calc = skpot.Calculator(skpot.make_potential("fast").fit(X[:10], y[:10]))
    >>> skpot.md.heat_flux(X[0]).total  # nothing moves
    array([0., 0., 0.])
    """
    calculator = getattr(atoms, "calc", None)
    if not isinstance(calculator, Calculator):
        raise InputTypeError(
            f"a heat flux is that of atoms with a skpot.Calculator, got {type(atoms).__name__} "
            f"with calculator {type(calculator).__name__}."
        )
    pairs, energies, gradient = calculator.pair_gradients(atoms)
    velocities = np.ascontiguousarray(atoms.get_velocities(), dtype=float)
    if not np.isfinite(velocities).all():
        bad = int(np.flatnonzero(~np.isfinite(velocities).all(axis=1))[0])
        raise InputError(f"the velocity of atom {bad} is {velocities[bad]}.")
    kinetic = 0.5 * atoms.get_masses() * np.einsum("ia,ia->i", velocities, velocities)
    convective = (energies + kinetic) @ velocities
    total = convective.copy()
    conducted_heat(pairs, gradient, velocities, total)
    return HeatFlux(total, convective)
