"""The dataset doctor: what labels of structures look like, and mistakes that they tell of."""

from skpot.checks._check import check, quick_check
from skpot.checks._findings import CheckReport, Finding
from skpot.checks._scale import expected_stiffness

__all__ = ["CheckReport", "Finding", "check", "expected_stiffness", "quick_check"]
