"""Products of stored Jacobian blocks with motions of atoms and with derivatives of the energy.

The arguments `start`, `atom`, `values` and `strain` are those of `skpot.data.JacobianBlock`, of all
environments in their order; `offsets` holds the first environment of each structure.
"""

from ._jit import jit, parallel_jit, prange, run_twins


@jit
def backward_serial(lo, hi, offsets, start, atom, values, strain, g, forces, virials):
    """Subtract dE/dr and dE/d(strain) of structures lo ... hi, given g = dE/d(features)."""
    for s in range(lo, hi):
        for i in range(offsets[s], offsets[s + 1]):
            row = g[i]
            for e in range(start[i], start[i + 1]):
                for axis in range(3):
                    total = 0.0
                    for d in range(row.shape[0]):
                        total += values[e, axis, d] * row[d]
                    forces[atom[e], axis] -= total
            for v in range(6):
                total = 0.0
                for d in range(row.shape[0]):
                    total += strain[i, v, d] * row[d]
                virials[s, v] -= total


@parallel_jit
def backward_parallel(offsets, start, atom, values, strain, g, forces, virials):
    """Run `backward_serial` on all structures, threads taking one at a time."""
    for s in prange(len(offsets) - 1):
        backward_serial(s, s + 1, offsets, start, atom, values, strain, g, forces, virials)


@jit
def forward_serial(lo, hi, offsets, start, atom, values, strain, displacements, strains, out):
    """Write the change of the features of structures lo ... hi along one motion."""
    for s in range(lo, hi):
        for i in range(offsets[s], offsets[s + 1]):
            row = out[i]
            row[:] = 0.0
            for e in range(start[i], start[i + 1]):
                u = displacements[atom[e]]
                u_x, u_y, u_z = u[0], u[1], u[2]
                for d in range(row.shape[0]):
                    row[d] += u_x * values[e, 0, d] + u_y * values[e, 1, d] + u_z * values[e, 2, d]
            for v in range(6):
                factor = strains[s, v]
                if factor != 0.0:
                    for d in range(row.shape[0]):
                        row[d] += factor * strain[i, v, d]


@parallel_jit
def forward_parallel(offsets, start, atom, values, strain, displacements, strains, out):
    """Run `forward_serial` on all structures, threads taking one at a time."""
    for s in prange(len(offsets) - 1):
        forward_serial(
            s, s + 1, offsets, start, atom, values, strain, displacements, strains, out
        )  # fmt: skip


def contract_backward(offsets, *args):
    """Subtract dE/dr and dE/d(strain) of all structures; see `backward_serial`."""
    run_twins(backward_serial, backward_parallel, len(offsets) - 1, offsets, *args)


def contract_forward(offsets, *args):
    """Write the change of all features along one motion; see `forward_serial`."""
    run_twins(forward_serial, forward_parallel, len(offsets) - 1, offsets, *args)
