"""Products of stored Jacobian blocks with motions of atoms and with derivatives of the energy.

The arguments `start`, `atom`, `values` and `strain` are those of `skpot.data.JacobianBlock`, of all
environments in their order; `offsets` holds the first environment of each structure.
"""

from ._jit import jit


@jit
def contract_backward(lo, hi, offsets, start, atom, values, strain, g, forces, virials):
    """Subtract dE/dr from forces and dE/d(strain) from virials, given g = dE/d(features).

    Of structures lo to hi - 1.
    """
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


@jit
def contract_forward(lo, hi, offsets, start, atom, values, strain, displacements, strains, out):
    """Write how the features of structures lo to hi - 1 change along one motion."""
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
