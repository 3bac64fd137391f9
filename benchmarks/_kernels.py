"""Timing of a descriptor's compiled kernels against their floors."""

import numpy as np
from _common import elapsed, emit, floor_seconds, measure

from skpot.core._jit import run_blocks

JACOBIAN_BYTES = 24e6  # what the regressors hold at a time


def jacobian_blocks(features):
    """Compute all Jacobian rows, a block at a time, and drop them."""
    row_bytes = 24.0 * features.shape[1] * features.neighborhood_sizes().max()
    step = max(1, int(JACOBIAN_BYTES / row_bytes))
    for begin in range(0, len(features.values), step):
        features.jacobian(np.arange(begin, min(begin + step, len(features.values))))


def kernel_jobs(kernels, features):
    """Return what is timed, by its name: values, pull-back and Jacobian blocks.

    `kernels` is the module of `skpot.core` that made the features.
    """
    chain = features.derivatives
    pairs = chain.graph.pairs
    of_batch = (pairs, chain.species, chain.tables)
    g = np.random.default_rng(0).normal(size=features.values.shape)
    out, gradient = np.empty_like(features.values), np.empty((len(pairs.neighbor), 3))
    return {
        "values": lambda: run_blocks(kernels.values, len(out), *of_batch, out),
        "pull-back": lambda: run_blocks(kernels.pull_back, len(g), *of_batch, g, gradient),
        "jacobian": lambda: jacobian_blocks(features),
    }


def report_kernels(about, jobs, costs, features, rates, options):
    """Time each job and emit a record of it.

    Parameters
    ----------
    about : dict
        What the records say first, such as the system.
    jobs : dict
        Functions by the names of the kernels.
    costs : dict
        Operations and bytes that no implementation can avoid, by the same names.
    features : AtomicFeatures
        What the kernels compute.
    rates : dict
        See `machine_rates`.
    options : argparse.Namespace
        The command line.
    """
    n_atoms = len(features.values)
    for kernel, job in jobs.items():
        _, timing = measure(job, options.rounds)
        seconds, (flops, n_bytes) = elapsed(timing, options.threads), costs[kernel]
        floor = floor_seconds(flops, n_bytes, rates)
        emit(
            {
                **about,
                "kernel": kernel,
                "threads": options.threads,
                **timing,
                "us_per_atom": seconds / n_atoms * 1e6,
                "pairs_per_atom": len(features.derivatives.graph.pairs.neighbor) / n_atoms,
                "features": features.shape[1],
                "gflops": flops / seconds / 1e9,
                "gb_s": n_bytes / seconds / 1e9,
                "floor_s": floor,
                "times_floor": seconds / floor,
            },
            options.out,
        )
