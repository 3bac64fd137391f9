"""Errors of energies, forces and stress, usable as metrics and, by name, as scorers.

`scoring="neg_energy_rmse"`, `"neg_forces_rmse"`, `"neg_stress_rmse"` and the same with `mae` work
in every search and validation of scikit-learn once anything of skpot has been used.
"""

from skpot.metrics._errors import (
    energy_mae,
    energy_rmse,
    forces_mae,
    forces_rmse,
    stress_mae,
    stress_rmse,
    summary,
)

__all__ = [
    "energy_mae",
    "energy_rmse",
    "forces_mae",
    "forces_rmse",
    "stress_mae",
    "stress_rmse",
    "summary",
]
