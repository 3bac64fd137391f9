"""Groups of structures, by which figures are colored and filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_consistent_length

from ._theme import GRAY, color

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import Targets
    from skpot.typing import Structures

_MOST = 10  # colors that can be told apart
OTHERS = "others"


class Groups:
    """Names of groups with their colors; the smallest share one name if there are many.

    Parameters
    ----------
    of_frame : ndarray of str of shape (n_structures,)
        The group of each structure.
    """

    def __init__(self, of_frame: Any) -> None:
        self.of_frame = np.asarray(of_frame).astype(str)
        names, counts = np.unique(self.of_frame, return_counts=True)
        order = np.lexsort((names, -counts))
        self.names = names[order].tolist()
        if len(self.names) > _MOST:
            self.names = [*self.names[: _MOST - 1], OTHERS]
            few = ~np.isin(self.of_frame, self.names[:-1])
            self.of_frame = np.where(few, OTHERS, self.of_frame)
        self.colors = {
            name: GRAY if name == OTHERS else color(k) for k, name in enumerate(self.names)
        }

    def __len__(self):
        return len(self.names)


def groups_of(X: Structures, y: Targets | None, groups: Any) -> Groups:
    """Return the groups that were given, else those that the structures or labels name.

    Structures have theirs in ``info["config_type"]``.
    """
    if groups is not None:
        check_consistent_length(X, groups)
        return Groups(groups)
    kinds = np.array([str(atoms.info.get("config_type", "none")) for atoms in X])
    if len(np.unique(kinds)) == 1 and y is not None and y.groups is not None:
        kinds = np.where(y.groups == "", "none", y.groups)
    if len(np.unique(kinds)) == 1:
        kinds = np.full(len(X), "all")
    return Groups(kinds)
