"""SOAP kernels: values, pull-back and Jacobian blocks, against their floors.

The floor of a kernel is the longer of its operations at the rate of a matrix product and its bytes
at the rate of a copy, both rates measured in the same run; _soap_costs.py counts them.
"""

from _common import arguments, report_machine

OPTIONS = arguments(
    __doc__,
    cutoff=(5.0, "in Å"),
    n_max=(8, "radial functions"),
    l_max=(6, "highest degree"),
    systems=(None, "folder of .xyz files to take instead of the built structures"),
)

import _systems  # noqa: E402
from _kernels import kernel_jobs, report_kernels  # noqa: E402
from _soap_costs import jacobian_cost, pull_back_cost, shape_of, values_cost  # noqa: E402

from skpot import SOAP  # noqa: E402
from skpot.core import soap as kernels  # noqa: E402

COSTS = {
    "values": values_cost,
    "pull-back": pull_back_cost,
    "jacobian": jacobian_cost,
    "transform": values_cost,
}

# One of each product in core/invariants.py beside the power spectrum, on systems of some species.
PRODUCTS = {
    "body order 2": {"body_order": 2},
    "totals": {"compression": "totals"},
    "tensor": {"compression": "tensor"},
    "body order 4": {"body_order": 4, "l_max": 3},
}


def main():
    rates = report_machine(OPTIONS)
    for name, frames in _systems.load(OPTIONS.systems, OPTIONS.quick).items():
        several = len({z for atoms in frames for z in atoms.numbers}) > 1
        for option, parameters in ({"power spectrum": {}} | (PRODUCTS if several else {})).items():
            soap = SOAP(OPTIONS.cutoff, OPTIONS.n_max, OPTIONS.l_max, 0.5, cache=False)
            soap.set_params(**parameters).fit(frames)
            features = soap.transform(frames)
            jobs = kernel_jobs(kernels, features)
            if not parameters:
                jobs["transform"] = lambda t=soap, f=frames: t.transform(f)
            shape = shape_of(features, soap)
            costs = {kernel: COSTS[kernel](shape) for kernel in jobs}
            about = {"bench": "soap", "option": option, "system": name}
            report_kernels(about, jobs, costs, features, rates, OPTIONS)


if __name__ == "__main__":
    main()
