"""The Coulomb matrix of a molecule as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import StrOptions
from ..core.spectrum import eigensystem, eigenvalue_jvp, eigenvalue_vjp, triangle_columns
from ..data import RowMap
from ._limits import count
from ._molecules import MoleculeDescriptor, PairTermDerivatives

if TYPE_CHECKING:
    from skpot.typing import FloatArray


class Spectrum:
    """Jacobian products of the eigenvalues of matrices given as triangles; see `RowMap`.

    Parameters
    ----------
    n : int
        Size of the padded matrices.
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def vjp(self, rows: FloatArray, g: FloatArray) -> FloatArray:
        """Return g times the Jacobian of each row."""
        return eigenvalue_vjp(rows, self.n, g)

    def jvp(self, rows: FloatArray, v: FloatArray) -> FloatArray:
        """Return each row's Jacobian times v."""
        return eigenvalue_jvp(rows, self.n, v)


class CoulombMatrix(MoleculeDescriptor):
    r"""Coulomb matrix of a molecule, or its eigenvalues: one row for each molecule.

    .. math::

        C_{ii} = 0.5\, Z_i^{2.4}, \qquad C_{ij} = Z_i Z_j / r_{ij}

    with distances in Å (the original takes atomic units), padded with zeros to the size of the
    largest molecule. Molecules have open boundaries. There is no length to choose, hence no
    `hypers`.

    Parameters
    ----------
    permutation : {"eigenspectrum", "none"}, default="eigenspectrum"
        "eigenspectrum" gives the eigenvalues in descending order, followed by the padding; they do
        not depend on the order of the atoms. Rupp et al. order them by magnitude, but then the row
        jumps where two of opposite sign change places. Eigenvalues of a symmetric geometry can
        coincide. Each has a kink there, and forces are those of their mean, which keeps the
        symmetry. "none" gives the upper triangle row by row, in the order of the atoms. It is
        smooth, and meant for one molecule whose atoms always come in the same order.
    n_atoms_max : int, optional
        Number of atoms to pad to; by default that of the largest molecule in `fit`.

    Attributes
    ----------
    n_atoms_max_ : int
        Number of atoms padded to.
    n_features_out_ : int
        n_atoms_max_, or n_atoms_max_ (n_atoms_max_ + 1) / 2 without permutation.
    origin_ : tuple of (str, bool)
        Identifies what was fitted, as in `SOAP`.

    References
    ----------
    M. Rupp et al., Phys. Rev. Lett. 108, 058301 (2012).

    Examples
    --------
    >>> from ase.build import molecule
    >>> from skpot import CoulombMatrix
    >>> features = CoulombMatrix().fit_transform([molecule("H2O"), molecule("CH4")])
    >>> features
    AtomicFeatures(2 structures, one row each, 5 features, with derivatives)
    >>> features.values[0].round(1).tolist()
    [75.4, -0.2, -0.7, 0.0, 0.0]
    """

    _parameter_constraints = {
        "permutation": [StrOptions({"eigenspectrum", "none"})],
        "n_atoms_max": [*count(1, 2000), None],
    }

    def __init__(
        self, permutation: str = "eigenspectrum", *, n_atoms_max: int | None = None
    ) -> None:
        self.permutation = permutation
        self.n_atoms_max = n_atoms_max

    def _learn(self, batch):
        largest = int(np.diff(batch.offsets).max())
        n = largest if self.n_atoms_max is None else int(self.n_atoms_max)
        self.n_atoms_max_ = n
        self.permutation_ = str(self.permutation)
        self.n_features_out_ = n * (n + 1) // 2 if self.permutation_ == "none" else n
        return n, self.permutation_

    def _problem(self, numbers):
        if len(numbers) <= self.n_atoms_max_:
            return None
        return (
            f"{len(numbers)} atoms, but this CoulombMatrix has room for {self.n_atoms_max_}; fit "
            "on data with the largest molecule, or set n_atoms_max"
        )

    def _compute(self, batch):
        n = self.n_atoms_max_
        column = triangle_columns(n)
        charges = batch.numbers.astype(float)
        rows = np.zeros((len(batch), n * (n + 1) // 2))
        structure = np.repeat(np.arange(len(batch)), np.diff(batch.offsets))
        place = np.arange(len(charges)) - batch.offsets[structure]
        rows[structure, column[place, place]] = 0.5 * charges**2.4
        chain = PairTermDerivatives(batch.positions, batch.offsets, charges, column, rows.shape[1])
        chain.fill(rows)
        if self.permutation_ == "none":
            return rows, chain
        values, _ = eigensystem(rows, n)
        return values, RowMap(chain, rows, np.arange(len(batch) + 1), Spectrum(n))

    def _feature_names(self):
        """Return names such as "eigenvalue0", or "0-1" for a matrix element."""
        n = self.n_atoms_max_
        if self.permutation_ == "none":
            names = [f"{i}-{j}" for i in range(n) for j in range(i, n)]
        else:
            names = [f"eigenvalue{k}" for k in range(n)]
        return names
