"""Bundled reference data: silicon (periodic) and ethanol (molecule).

The programs that made the files, their settings and seeds are in ``generate/``.
"""

from ._load import load_ethanol, load_silicon

__all__ = ["load_ethanol", "load_silicon"]
