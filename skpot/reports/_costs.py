"""What a model costs: times per atom and sizes."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import NotCompilableError
from ..lowering import compile
from ._predictions import regressor_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.typing import Structures

_ATOMS = 500  # that times are measured on


def cost_rows(model: Any, X: Structures, with_std: bool) -> list[list[str]]:
    """Measure, and return the rows of a table of costs.

    Parameters
    ----------
    model : estimator
        Fitted.
    X : list[Atoms]
        Structures to measure on; the first ones with about 500 atoms are used.
    with_std : bool
        Whether the model predicts standard deviations.
    """
    counts = np.cumsum([len(atoms) for atoms in X])
    some = X[: int(np.searchsorted(counts, _ATOMS)) + 1]
    n_atoms = int(counts[len(some) - 1])
    rows = [
        ["measured on", f"{len(some)} frames, {n_atoms} atoms"],
        ["predict", _per_atom(lambda: model.predict(some), n_atoms)],
    ]
    if with_std:
        rows.append(
            [
                "predict, with deviations of all labels",
                _per_atom(lambda: model.predict(some, return_std="all"), n_atoms),
            ]
        )
    try:
        potential = compile(model)
    except (NotCompilableError, TypeError):
        rows.append(["compiled for drivers", "not possible for this model"])
    else:
        rows += [
            [
                "compiled: energy, forces and virial",
                _per_atom(lambda: potential.evaluate(some), n_atoms),
            ],
            ["cutoff", f"{potential.cutoff:.2f} Å"],
        ]
    regressor = regressor_of(model)
    width = getattr(regressor, "n_features_in_", None)
    if width is not None:
        rows.append(["features of an atom", f"{width}"])
    coefficients = getattr(regressor, "dual_coef_", None)
    if coefficients is not None:
        rows.append(["coefficients", f"{np.size(coefficients)}"])
    rows.append(["size of the model", f"{len(pickle.dumps(model)) / 1e6:.1f} MB"])
    return rows


def _per_atom(run: Callable[[], Any], n_atoms: int) -> str:
    """Return the shortest of up to three times in a second, after one run that compiles."""
    run()
    times: list[float] = []
    while len(times) < 3 and sum(times) < 1.0:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return f"{1e6 * min(times) / n_atoms:.0f} µs per atom"
