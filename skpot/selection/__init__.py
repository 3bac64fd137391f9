"""Choice of reference environments."""

from ._references import farthest_points, leverage_sample, select_references

__all__ = ["farthest_points", "leverage_sample", "select_references"]
