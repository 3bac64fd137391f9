"""Neighbor lists: search, beside vesin's where it is installed; refresh of a list with skin.

Floors. Search: the bins an atom reaches into, (2 + 1/1) (2 + 1/2) (2 + 1/4) cutoffs cubed, hold 4.0
candidates for each pair found; to count and to write, 8 flops each are done twice, and 26 more for
each pair; positions are read and 32 bytes written for each pair. Refresh: candidates are those of
the longer list, 26 flops and 32 bytes read each.

vesin searches one structure per call with one object used again and again, single-threaded and
without conversion of its output; its own rows are in no order unless `sorted` asks for it.
"""

import contextlib
import math

from _common import arguments, elapsed, emit, floor_seconds, measure, report_machine

OPTIONS = arguments(
    __doc__,
    cutoff=(5.0, "in Å"),
    skin=(0.7, "in Å"),
    systems=(None, "folder of .xyz files to take instead of the built structures"),
)

import _systems  # noqa: E402
import numpy as np  # noqa: E402

vesin = None
with contextlib.suppress(ImportError):
    import vesin

from skpot.data import as_batch  # noqa: E402
from skpot.md._skin import SkinnedStructure  # noqa: E402

CANDIDATES = 3.0 * 2.5 * 2.25 / (4.0 * math.pi / 3.0)  # for each pair
MOST_REFRESHED = 20_000  # atoms; the candidates of more fill the memory of a small machine


def report(kernel, batch, name, n_pairs, timing, **more):
    seconds = elapsed(timing, OPTIONS.threads)
    emit(
        {
            "bench": "neighbors",
            "kernel": kernel,
            "system": name,
            "threads": OPTIONS.threads,
            **timing,
            "pairs": n_pairs,
            "million_pairs_per_s": n_pairs / seconds / 1e6,
            "us_per_atom": 1e6 * seconds / len(batch.positions),
            **more,
        },
        OPTIONS.out,
    )
    return seconds


def against_floor(timing, flops, n_bytes, rates):
    floor = floor_seconds(flops, n_bytes, rates)
    return {"floor_s": floor, "times_floor": elapsed(timing, OPTIONS.threads) / floor}


def bench_search(name, batch, rates):
    """Time our search and vesin's; return the number of pairs."""
    graph, timing = measure(lambda: batch.neighbors(OPTIONS.cutoff), OPTIONS.rounds)
    n_pairs = len(graph.pairs.neighbor)
    flops = (16.0 * CANDIDATES + 26.0) * n_pairs
    n_bytes = 32.0 * n_pairs + batch.positions.nbytes
    floor = against_floor(timing, flops, n_bytes, rates)
    seconds = report("search", batch, name, n_pairs, timing, **floor)
    if vesin is None:
        return n_pairs
    structures = [
        (batch.positions[first:last], cell, pbc.tolist())
        for first, last, cell, pbc in zip(
            batch.offsets[:-1], batch.offsets[1:], batch.cells, batch.pbc, strict=True
        )
    ]
    for kernel, in_order in [("vesin", False), ("vesin sorted", True)]:
        one = vesin.NeighborList(
            cutoff=OPTIONS.cutoff, full_list=True, sorted=in_order, n_threads=OPTIONS.threads
        )

        def search(one=one):
            found = 0
            for points, box, periodic in structures:
                first, _, _ = one.compute(points, box, periodic, quantities="ijD")
                found += len(first)
            return found

        found, timing = measure(search, OPTIONS.rounds)
        assert found == n_pairs, f"vesin finds {found} pairs, skpot {n_pairs}"
        theirs = elapsed(timing, OPTIONS.threads)
        report(kernel, batch, name, found, timing, peer_over_skpot=theirs / seconds)
    return n_pairs


def bench_refresh(name, batch, n_pairs, rates):
    structure = SkinnedStructure(batch, OPTIONS.skin)
    candidates = len(structure.neighbors(OPTIONS.cutoff + OPTIONS.skin).pairs.neighbor)
    rng = np.random.default_rng(0)
    start, cell = batch.positions, batch.cells[0]

    def refresh():
        positions = start + rng.normal(scale=0.01, size=start.shape)
        return structure.moved(positions, cell, OPTIONS.skin).neighbors(OPTIONS.cutoff)

    _, timing = measure(refresh, OPTIONS.rounds)
    floor = against_floor(timing, 26.0 * candidates, 32.0 * (candidates + n_pairs), rates)
    report("refresh", batch, name, n_pairs, timing, **floor)


def main():
    rates = report_machine(OPTIONS, "vesin")
    systems = _systems.load(OPTIONS.systems, OPTIONS.quick)
    if not OPTIONS.quick:  # the time per atom must not grow
        for repeat in [(14, 14, 14), (25, 25, 40)]:
            atoms = _systems.copper(repeat)
            systems[f"copper{len(atoms)}"] = [atoms]
    for name, frames in systems.items():
        batch = as_batch(frames)
        n_pairs = bench_search(name, batch, rates)
        if len(frames) == 1 and len(batch.positions) <= MOST_REFRESHED:
            bench_refresh(name, batch, n_pairs, rates)


if __name__ == "__main__":
    main()
