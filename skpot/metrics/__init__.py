"""Errors of energies, forces and stress, usable as metrics and, by name, as scorers; uncertainty.

`scoring="neg_energy_rmse"`, `"neg_forces_rmse"`, `"neg_stress_rmse"` and the same with `mae` work
in every search and validation of scikit-learn once anything of skpot has been used. `score_table`
makes a table of what these return.
"""

from skpot.data.label_errors import (
    energy_mae,
    energy_rmse,
    forces_mae,
    forces_rmse,
    stress_mae,
    stress_rmse,
    summary,
)
from skpot.metrics._coverage import calibrated_deviations, coverage_factors
from skpot.metrics._display import ReliabilityDisplay
from skpot.metrics._residuals import residual_report
from skpot.metrics._score_table import score_table
from skpot.metrics._uncertainty import (
    calibration_error,
    error_correlation,
    errors_and_deviations,
    reliability_curve,
)

__all__ = [
    "ReliabilityDisplay",
    "calibrated_deviations",
    "calibration_error",
    "coverage_factors",
    "energy_mae",
    "energy_rmse",
    "error_correlation",
    "errors_and_deviations",
    "forces_mae",
    "forces_rmse",
    "reliability_curve",
    "residual_report",
    "score_table",
    "stress_mae",
    "stress_rmse",
    "summary",
]
