"""Pages that people look at. They need plotly, which is imported when a page is written."""

from __future__ import annotations

from skpot._lazy import lazy_names
from skpot.reports._predictions import default_noise, label_std, predict_with_std

_MODULES = {
    "Coverage": "skpot.reports._deviations",
    "coverages_of": "skpot.reports._deviations",
    "require_plotly": "skpot.reports._theme",
    "write_check_report": "skpot.reports._check_report",
    "write_run_report": "skpot.reports._run_report",
    "write_report": "skpot.reports._report",
}
__getattr__, _lazy = lazy_names(__name__, _MODULES)

__all__ = ["default_noise", "label_std", "predict_with_std", *_lazy]
