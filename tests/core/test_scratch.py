import numpy as np
import pytest

from skpot.core import _scratch
from skpot.core._scratch import borrow, give_back


@pytest.fixture(autouse=True)
def empty():
    _scratch._spare.clear()


def test_memory_is_used_again_once_it_is_given_back():
    first = borrow((100, 1000))
    second = borrow((100, 1000))
    assert not np.shares_memory(first, second)
    give_back(first)
    again = borrow((300, 300))
    assert again.shape == (300, 300)
    assert again.flags.c_contiguous
    assert np.shares_memory(first, again)


@pytest.mark.parametrize("shape", [(1001, 1000), (10, 1000)])
def test_memory_of_another_size_is_left_alone(shape):
    kept = borrow((1000, 1000))
    give_back(kept)
    assert not np.shares_memory(borrow(shape), kept)
    assert np.shares_memory(borrow((1000, 1000)), kept)


def test_what_waits_is_bounded():
    held = [borrow((100_000,)) for _ in range(10)]
    for array in [*held, borrow((5,)), borrow((5_000_000,))]:
        give_back(array)
    assert [spare.size for spare in _scratch._spare] == [100_000] * 4
