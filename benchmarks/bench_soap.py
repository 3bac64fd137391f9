"""SOAP kernels: values, pull-back and Jacobian blocks, against their floors.

The floor of a kernel is the longer of its operations at the rate of a matrix product and its bytes
at the rate of a copy, both rates measured in the same run; _soap_costs.py counts them.
"""

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
    n_max=(8, "radial functions"),
    l_max=(6, "highest degree"),
    systems=(None, "folder of .xyz files to take instead of the built structures"),
)

import _systems  # noqa: E402
import numpy as np  # noqa: E402
from _soap_costs import jacobian_cost, pull_back_cost, shape_of, values_cost  # noqa: E402

from skpot import SOAP  # noqa: E402
from skpot.core import soap as kernels  # noqa: E402
from skpot.core._jit import run_blocks  # noqa: E402

JACOBIAN_BYTES = 24e6  # what the regressors hold at a time


def jacobian_blocks(features):
    """Compute all Jacobian rows, a block at a time, and drop them."""
    row_bytes = 24.0 * features.shape[1] * features.neighborhood_sizes().max()
    step = max(1, int(JACOBIAN_BYTES / row_bytes))
    for begin in range(0, len(features.values), step):
        features.jacobian(np.arange(begin, min(begin + step, len(features.values))))


# One of each product in core/invariants.py beside the power spectrum, on systems of some species.
PRODUCTS = {
    "body order 2": {"body_order": 2},
    "totals": {"compression": "totals"},
    "tensor": {"compression": "tensor"},
    "body order 4": {"body_order": 4, "l_max": 3},
}


def kernel_jobs(soap, features, shape):
    """Return {kernel: (job, its cost)}."""
    chain = features.derivatives
    g = np.random.default_rng(0).normal(size=features.values.shape)
    out, gradient = np.empty_like(features.values), np.empty((shape.n_pairs, 3))
    of_batch = (chain.graph.pairs, chain.species, chain.tables)
    return {
        "values": (lambda: run_blocks(kernels.values, len(out), *of_batch, out), values_cost),
        "pull-back": (
            lambda: run_blocks(kernels.pull_back, len(g), *of_batch, g, gradient),
            pull_back_cost,
        ),
        "jacobian": (lambda: jacobian_blocks(features), jacobian_cost),
    }


def main():
    rates = machine_rates(3 if OPTIONS.quick else 7)
    packages = versions("skpot", "numpy", "numba")
    about = {"bench": "machine", "threads": OPTIONS.threads, **rates, **machine(), **packages}
    emit(about, OPTIONS.out)
    for name, frames in _systems.load(OPTIONS.systems, OPTIONS.quick).items():
        several = len({z for atoms in frames for z in atoms.numbers}) > 1
        for option, parameters in ({"power spectrum": {}} | (PRODUCTS if several else {})).items():
            soap = SOAP(OPTIONS.cutoff, OPTIONS.n_max, OPTIONS.l_max, 0.5, cache=False)
            soap.set_params(**parameters).fit(frames)
            features = soap.transform(frames)
            s = shape_of(features, soap)
            jobs = kernel_jobs(soap, features, s)
            if not parameters:
                jobs["transform"] = (lambda t=soap, f=frames: t.transform(f), values_cost)
            for kernel, (job, cost) in jobs.items():
                _, timing = measure(job, OPTIONS.rounds)
                seconds, (flops, n_bytes) = elapsed(timing, OPTIONS.threads), cost(s)
                floor = floor_seconds(flops, n_bytes, rates)
                emit(
                    {
                        "bench": "soap",
                        "kernel": kernel,
                        "option": option,
                        "system": name,
                        "threads": OPTIONS.threads,
                        **timing,
                        "us_per_atom": seconds / s.n_atoms * 1e6,
                        "pairs_per_atom": s.n_pairs / s.n_atoms,
                        "features": s.n_features,
                        "gflops": flops / seconds / 1e9,
                        "gb_s": n_bytes / seconds / 1e9,
                        "floor_s": floor,
                        "times_floor": seconds / floor,
                    },
                    OPTIONS.out,
                )


if __name__ == "__main__":
    main()
