"""Symmetry functions, 8 G2 and 8 G4: values, pull-back and Jacobian blocks, against their floor.

The floor counts operations at the rate of a matrix product, as bench_soap.py does; an exponential
or a cosine counts as 20.
"""

from _common import arguments, report_machine

OPTIONS = arguments(
    __doc__,
    cutoff=(5.0, "in Å"),
    function=("cosine", "cutoff function: cosine or polynomial"),
    systems=(None, "folder of .xyz files to take instead of the built structures"),
)

import _systems  # noqa: E402
import numpy as np  # noqa: E402
from _kernels import kernel_jobs, report_kernels  # noqa: E402

from skpot import SymmetryFunctions  # noqa: E402
from skpot.core import symmetry_functions as kernels  # noqa: E402
from skpot.descriptors import SymmetryFunction  # noqa: E402

N_RADIAL, N_WIDTHS, ZETAS = 8, 2, (1, 4)
N_ANGULAR = 2 * N_WIDTHS * len(ZETAS)
SPECIAL = 20.0  # operations of an exponential or a cosine


def functions():
    """Return 8 G2 on an equidistant grid, and G4 of 2 widths, 2 powers and 2 signs."""
    spacing = OPTIONS.cutoff / (N_RADIAL + 1)
    radial = [
        SymmetryFunction("G2", eta=0.5 / spacing**2, shift=k * spacing)
        for k in range(1, N_RADIAL + 1)
    ]
    return radial + [
        SymmetryFunction("G4", eta=eta, zeta=zeta, lambda_=sign)
        for eta in (0.01, 0.05)
        for zeta in ZETAS
        for sign in (1.0, -1.0)
    ]


def count_triples(pairs, cutoff):
    """Return how many pairs of neighbors there are, and how many are within the cutoff."""
    n_all = n_close = 0
    for begin, end in zip(pairs.start[:-1], pairs.start[1:], strict=True):
        vector = pairs.vector[begin:end]
        first, second = np.triu_indices(len(vector), 1)
        distance = np.linalg.norm(vector[first] - vector[second], axis=1)
        n_all += len(first)
        n_close += np.count_nonzero(distance < cutoff)
    return n_all, n_close


def costs(pairs, n_columns, cutoff):
    """Return {kernel: (flops, bytes)} that no implementation can avoid."""
    n_atoms, n_pairs = len(pairs.start) - 1, len(pairs.neighbor)
    n_all, n_close = count_triples(pairs, cutoff)
    per_pair = SPECIAL * (1 + N_RADIAL + N_WIDTHS) + 4.0 * (N_RADIAL + N_WIDTHS)
    per_triple = SPECIAL * (1 + N_WIDTHS) + 3.0 * N_WIDTHS + 5.0 * N_ANGULAR
    values = n_pairs * per_pair + 10.0 * n_all + n_close * per_triple
    read, rows = 32.0 * n_pairs, 8.0 * n_atoms * n_columns
    slopes = n_pairs * 4.0 * (N_RADIAL + N_WIDTHS)
    back = slopes + n_close * (12.0 * N_ANGULAR + 40.0)
    forward = slopes + n_close * 20.0 * N_ANGULAR
    return {
        "values": (values, rows + read),
        "pull-back": (values + back, rows + 24.0 * n_pairs + read),
        "jacobian": (values + forward, 3.0 * 8.0 * n_pairs * N_ANGULAR + read),
    }


def main():
    rates = report_machine(OPTIONS)
    for name, frames in _systems.load(OPTIONS.systems, OPTIONS.quick).items():
        descriptor = SymmetryFunctions(
            OPTIONS.cutoff, functions=functions(), cutoff_function=OPTIONS.function, cache=False
        ).fit(frames)
        features = descriptor.transform(frames)
        jobs = kernel_jobs(kernels, features)
        floors = costs(features.derivatives.graph.pairs, features.shape[1], OPTIONS.cutoff)
        about = {"bench": "symmetry functions", "system": name}
        report_kernels(about, jobs, floors, features, rates, OPTIONS)


if __name__ == "__main__":
    main()
