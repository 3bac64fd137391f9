"""Lets `python -m skpot.cli` stand for `skpot`."""

from skpot.cli import app

app(prog_name="skpot")
