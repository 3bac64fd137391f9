"""Model files, which cannot execute code and are written completely or not at all."""

from skpot.persistence._skops import FORMAT, dump, load, read_card, trusted_types
from skpot.persistence._whole_files import whole_file

__all__ = ["FORMAT", "TRUSTED_TYPES", "dump", "load", "read_card", "trusted_types", "whole_file"]


def __getattr__(name):
    if name == "TRUSTED_TYPES":  # computed when needed, since it imports most of skpot
        return trusted_types()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
