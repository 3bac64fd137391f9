"""Inverse distances of all atoms of a molecule as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.elements import SYMBOLS
from ..exceptions import StructureError
from ._molecules import MoleculeDescriptor, PairTermDerivatives

if TYPE_CHECKING:
    pass


class InverseDistances(MoleculeDescriptor):
    r"""Inverse distances between all pairs of atoms: one row for each geometry of a molecule.

    .. math:: x_{ij} = 1 / r_{ij}, \qquad i < j

    in the order of the atoms, as in gradient-domain machine learning. Rows of different molecules,
    or of one whose atoms come in another order, cannot be compared: all structures must have the
    same atoms in the same order, in open boundaries. Exchanging like atoms changes the row.
    There is no length to choose, hence no `hypers`.

    Attributes
    ----------
    numbers_ : ndarray of shape (n_atoms,)
        Atomic numbers of the molecule.
    n_features_out_ : int
        n_atoms (n_atoms - 1) / 2.
    origin_ : tuple of (str, bool)
        Identifies what was fitted, as in `SOAP`.

    References
    ----------
    S. Chmiela et al., Sci. Adv. 3, e1603015 (2017).

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, _ = skpot.datasets.load_ethanol(return_X_y=True)
    >>> molecules = [i for i, atoms in enumerate(X) if len(atoms) == 9]  # no isolated atoms
    >>> X, y = [X[i] for i in molecules[:50]], y[molecules[:50]]
    >>> skpot.InverseDistances().fit_transform(X)
    AtomicFeatures(50 structures, one row each, 36 features, with derivatives)
    >>> model = make_pipeline(
    ...     skpot.InverseDistances(), skpot.SparseGPR(skpot.kernels.RBF(length_scale=0.5))
    ... )
    >>> model.fit(X, y).predict(X_test[-2:])
    Targets(n_structures=2, energy=2, forces=2 (18 atoms), stress=0)
    """

    _parameter_constraints = {}

    def _learn(self, batch):
        # The molecule is that of most structures, so that the error names the few that differ.
        sizes = np.diff(batch.offsets)
        s = int(np.flatnonzero(sizes == np.bincount(sizes).argmax())[0])
        self.numbers_ = batch.numbers[batch.offsets[s] : batch.offsets[s + 1]].copy()
        n = len(self.numbers_)
        if n < 2:
            raise StructureError(
                "InverseDistances needs molecules of two atoms or more, got one atom."
            )
        self.n_features_out_ = n * (n - 1) // 2
        return (self.numbers_,)

    def _problem(self, numbers):
        expected = self.numbers_
        if len(numbers) == len(expected):
            differ = np.flatnonzero(numbers != expected)
            if not len(differ):
                return None
            i = differ[0]
            same = np.array_equal(np.sort(numbers), np.sort(expected))
            return (
                f"atom {i} is {SYMBOLS[numbers[i]]} where {SYMBOLS[expected[i]]} is expected"
                + (": the same atoms in another order" if same else "")
                + f" ({_formula(expected)})"
            )
        return (
            f"{len(numbers)} atoms ({_formula(numbers)}) where {len(expected)} are expected "
            f"({_formula(expected)}); one molecule at a time"
        )

    def _compute(self, batch):
        n = len(self.numbers_)
        column = np.zeros((n, n), dtype=np.int64)
        column[np.triu_indices(n, 1)] = np.arange(self.n_features_out_)
        charges = np.ones(len(batch.numbers))
        chain = PairTermDerivatives(
            batch.positions, batch.offsets, charges, column, self.n_features_out_
        )
        values = np.empty((len(batch), self.n_features_out_))
        chain.fill(values)
        return values, chain

    def _feature_names(self):
        """Return names such as "C0-O2"."""
        atoms = [f"{SYMBOLS[z]}{i}" for i, z in enumerate(self.numbers_)]
        names = [f"{a}-{b}" for i, a in enumerate(atoms) for b in atoms[i + 1 :]]
        return names


def _formula(numbers, limit=20):
    """Return the symbols in order, such as "C C O H H"."""
    text = " ".join(SYMBOLS[z] for z in numbers[:limit])
    return text + (" ..." if len(numbers) > limit else "")
