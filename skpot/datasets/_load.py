from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

from skpot.data import read

if TYPE_CHECKING:
    from typing import Any


def load_silicon(*, return_X_y: bool = False) -> Bunch | tuple[Any, ...]:
    """Load periodic silicon with PBE energies, forces and stress.

    The cells have 7 and 8 atoms. They are strained, rattled, from dynamics at 300 to 1500 K, with a
    vacancy, or liquid-like; and there is the isolated atom. Training and test frames come from
    different random numbers and trajectories. ``DESCR`` says how the data were computed.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(X, y, X_test, y_test)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch` or tuple
        With the keys

        X, X_test : list[Atoms]
            Structures without calculator; ``info["config_type"]`` is the kind of structure.
        y, y_test : Targets
            Energies in eV, forces in eV/Å, stress in eV/Å³ (Voigt, tension positive).
        groups, groups_test : ndarray of str
            Trajectory or seed that each frame comes from, for
            :class:`~sklearn.model_selection.GroupKFold`.
        DESCR : str
            Description of the set.

    Examples
    --------
    >>> from skpot.datasets import load_silicon
    >>> data = load_silicon()
    >>> len(data.X), len(data.X_test)
    (153, 33)
    >>> data.X[0].info["config_type"]
    'isolated_atom'
    """
    return _load("silicon", return_X_y)


def load_ethanol(*, return_X_y: bool = False) -> Bunch | tuple[Any, ...]:
    """Load the ethanol molecule with PBE/def2-SVP energies and forces.

    The geometries come from molecular dynamics of the trans and the gauche form at 300, 600 and
    1000 K, without periodic boundaries; and there are the isolated atoms H, C and O. Test frames
    come from other trajectories. ``DESCR`` says how the data were computed.

    Parameters
    ----------
    return_X_y : bool, default=False
        As in `load_silicon`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch` or tuple
        As from `load_silicon`, but without stress.

    Examples
    --------
    >>> from skpot.datasets import load_ethanol
    >>> X, y, X_test, y_test = load_ethanol(return_X_y=True)
    >>> len(X), len(X_test)
    (301, 102)
    >>> X[-1].get_chemical_formula()
    'C2H6O'
    """
    return _load("ethanol", return_X_y)


def _load(name, return_X_y):
    folder = files("skpot.datasets")
    with as_file(folder / f"{name}.xyz.gz") as path:
        X, y = read(path)
    part = np.array([atoms.info["part"] for atoms in X])
    groups = np.array([atoms.info["group"] for atoms in X])
    train, test = (np.flatnonzero(part == which) for which in ("train", "test"))
    data = Bunch(
        X=[X[k] for k in train],
        y=y[train],
        X_test=[X[k] for k in test],
        y_test=y[test],
        groups=groups[train],
        groups_test=groups[test],
        DESCR=(folder / f"{name}.md").read_text(encoding="utf-8"),
    )
    return (data.X, data.y, data.X_test, data.y_test) if return_X_y else data
