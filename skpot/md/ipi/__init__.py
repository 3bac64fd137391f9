"""Fitted models in i-PI, for path integrals: by one call for all beads, or over a socket."""

import os

from ._client import run_client

__all__ = ["DRIVER", "run_client"]

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "skpot_driver.py")
