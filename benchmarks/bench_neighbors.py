"""Neighbour lists: search, and refresh of a list with skin.

Floors. Search: cells as wide as the cutoff hold 27 / (4 pi / 3) = 6.4 candidates for each pair
found, 8 flops each; positions are read and 32 bytes written for each pair. Refresh: candidates are
those of the longer list, 26 flops and 32 bytes read each.
"""

import math

from _common import (
    arguments,
    elapsed,
    emit,
    floor_seconds,
    machine,
    machine_rates,
    measure,
    versions,
)

OPTIONS = arguments(
    __doc__,
    cutoff=(5.0, "in Å"),
    skin=(0.7, "in Å"),
    systems=(None, "folder of .xyz files to take instead of the built structures"),
)

import _systems  # noqa: E402
import numpy as np  # noqa: E402

from skpot.data import as_batch  # noqa: E402
from skpot.md._skin import SkinnedStructure  # noqa: E402


def report(kernel, name, n_pairs, flops, n_bytes, timing, rates):
    seconds = elapsed(timing, OPTIONS.threads)
    floor = floor_seconds(flops, n_bytes, rates)
    emit(
        {
            "bench": "neighbors",
            "kernel": kernel,
            "system": name,
            "threads": OPTIONS.threads,
            **timing,
            "pairs": n_pairs,
            "million_pairs_per_s": n_pairs / seconds / 1e6,
            "floor_s": floor,
            "times_floor": seconds / floor,
        },
        OPTIONS.out,
    )


def main():
    rates = machine_rates(3 if OPTIONS.quick else 7)
    packages = versions("skpot", "numpy", "numba", "vesin")
    about = {"bench": "machine", "threads": OPTIONS.threads, **rates, **machine(), **packages}
    emit(about, OPTIONS.out)
    cutoff, skin = OPTIONS.cutoff, OPTIONS.skin
    for name, frames in _systems.load(OPTIONS.systems, OPTIONS.quick).items():
        batch = as_batch(frames)
        graph, timing = measure(lambda b=batch: b.neighbors(cutoff), OPTIONS.rounds)
        n_pairs = len(graph.pairs.neighbor)
        flops = 8.0 * n_pairs * 27.0 / (4.0 * math.pi / 3.0)
        n_bytes = 32.0 * n_pairs + batch.positions.nbytes
        report("search", name, n_pairs, flops, n_bytes, timing, rates)
        if len(frames) > 1:
            continue
        structure = SkinnedStructure(batch, skin)
        candidates = len(structure.neighbors(cutoff + skin).pairs.neighbor)
        rng = np.random.default_rng(0)

        def refresh(structure=structure, start=batch.positions, cell=batch.cells[0], rng=rng):
            structure.move(start + rng.normal(scale=0.01, size=start.shape), cell)
            return structure.neighbors(cutoff)

        _, timing = measure(refresh, OPTIONS.rounds)
        n_bytes = 32.0 * (candidates + n_pairs)
        report("refresh", name, n_pairs, 26.0 * candidates, n_bytes, timing, rates)


if __name__ == "__main__":
    main()
