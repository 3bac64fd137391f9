"""Choice of reference environments."""

from ._references import farthest_points, given_references, leverage_sample, select_references

__all__ = ["farthest_points", "given_references", "leverage_sample", "select_references"]
