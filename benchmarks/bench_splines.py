"""B-splines of pairs and triplets: values, pull-back and Jacobian blocks, against their floor.

The floor counts operations at the rate of a matrix product, as bench_soap.py does; a square root or
a division counts as 5. A triangle costs a multiplication and an addition for each product of
splines that is not zero: up to 4 x 4 x 4.
"""

from _common import arguments, report_machine

OPTIONS = arguments(
    __doc__,
    pair_cutoff=(6.0, "in Å"),
    pair_splines=(20, "splines of PairBasis"),
    cutoff=(4.0, "of TripletBasis, in Å"),
    splines=(6, "splines of TripletBasis"),
    systems=(None, "folder of .xyz files to take instead of the built structures"),
)

import _systems  # noqa: E402
import numpy as np  # noqa: E402
from _kernels import kernel_jobs, report_kernels  # noqa: E402

from skpot import PairBasis, TripletBasis  # noqa: E402
from skpot.core import pair_basis, triplet_basis  # noqa: E402

ROOT = 5.0  # operations of a square root or a division
SPLINES = 25.0  # operations of four splines; as many of their derivatives


def active(basis, vector):
    """Return how many of the four splines at each distance are among those of the basis."""
    r = np.linalg.norm(vector, axis=1)
    first = np.floor((r - basis.r_min) / basis.spacing_)
    return np.clip(basis.n_splines - np.maximum(first, 0), 0, 4)


def pair_costs(basis, pairs, n_columns):
    """Return {kernel: (flops, bytes)} that no implementation can avoid."""
    n_pairs, products = len(pairs.neighbor), active(basis, pairs.vector).sum()
    rows = 8.0 * n_columns * (len(pairs.start) - 1)
    each = n_pairs * (6.0 + 2 * ROOT + SPLINES)
    return {
        "values": (each + 2 * products, rows + 32.0 * n_pairs),
        "pull-back": (each + 2 * products + 4.0 * n_pairs, rows + 56.0 * n_pairs),
        # Three rows of a neighbor and nine of the center and of the strain.
        "jacobian": (each + 22 * products, 24.0 * n_columns * n_pairs + 32.0 * n_pairs),
    }


def triplet_costs(basis, pairs, n_columns):
    """Return {kernel: (flops, bytes)} that no implementation can avoid."""
    n_pairs, held = len(pairs.neighbor), active(basis, pairs.vector)
    triangles, products = 0, 0.0  # products of the two splines of r_ij and r_ik
    for begin, end in zip(pairs.start[:-1], pairs.start[1:], strict=True):
        count = held[begin:end]
        triangles += len(count) * (len(count) - 1) // 2
        products += 0.5 * (count.sum() ** 2 - (count**2).sum())
    rows = 8.0 * n_columns * (len(pairs.start) - 1)
    each = n_pairs * (6.0 + 2 * ROOT + 2 * SPLINES) + triangles * (8.0 + 2 * ROOT + SPLINES)
    return {
        "values": (each + products * (1 + 2 * 4), rows + 32.0 * n_pairs),
        # Sums over n with splines and slopes, and three sums over m of them; over l far fewer.
        "pull-back": (
            each + triangles * (SPLINES + 30.0) + products * (2 * 2 * 4 + 2 * 3),
            rows + 56.0 * n_pairs,
        ),
        "jacobian": (
            each + triangles * SPLINES + products * 4 * 6 * 2,
            24.0 * n_columns * n_pairs + 32.0 * n_pairs,
        ),
    }


def main():
    rates = report_machine(OPTIONS)
    bases = {
        "pairs": (
            PairBasis(OPTIONS.pair_cutoff, OPTIONS.pair_splines, cache=False),
            pair_basis,
            pair_costs,
        ),
        "triplets": (
            TripletBasis(OPTIONS.cutoff, OPTIONS.splines, cache=False),
            triplet_basis,
            triplet_costs,
        ),
    }
    for name, frames in _systems.load(OPTIONS.systems, OPTIONS.quick).items():
        for kind, (basis, kernels, costs) in bases.items():
            features = basis.fit_transform(frames)
            jobs = kernel_jobs(kernels, features)
            floors = costs(basis, features.derivatives.graph.pairs, features.shape[1])
            about = {"bench": "splines", "basis": kind, "system": name}
            report_kernels(about, jobs, floors, features, rates, OPTIONS)


if __name__ == "__main__":
    main()
