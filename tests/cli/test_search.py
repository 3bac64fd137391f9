"""Searches of `skpot fit --grid`."""

import logging

import numpy as np

from skpot.cli._report import search_table
from skpot.cli._search import Found


def test_the_table_names_the_errors_that_were_compared(caplog):
    caplog.set_level(logging.INFO, "skpot.cli")
    scores = -np.array([[0.002, 0.004], [0.001, 0.002]])
    search_table(Found([{"gpr__n": 5}, {"gpr__n": 9}], scores, "energy"))
    head, best, worst = caplog.messages
    assert head.split()[:2] == ["energy", "meV/atom"]
    assert best.split() == ["1.5000", "0.5000", "n=9"]
    assert worst.split() == ["3.0000", "1.0000", "n=5"]
    caplog.clear()
    search_table(Found([{"gpr__n": 5}], scores[:1], "forces"))
    assert caplog.messages[0].split()[:2] == ["forces", "eV/Å"]
    assert caplog.messages[1].split() == ["0.0030", "0.0010", "n=5"]
