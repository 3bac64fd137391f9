"""Products of the labels' covariance with vectors, in single precision where that does no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skpot.processes.functionals import KernelProduct
    from skpot.typing import FloatArray


class SingleProduct:
    """Nearly the products of `KernelProduct`, which take half the time.

    Products between derivatives are made in single precision. Energies, which are few, have so
    large a covariance in units of their noise, with derivatives as well, that rounding would exceed
    the noise; theirs is held, in double precision.

    Parameters
    ----------
    product : KernelProduct
        The products in double precision.
    energies : ndarray of shape (n_labels, n_energies)
        The covariance of all labels with energies.
    """

    def __init__(self, product: KernelProduct, energies: FloatArray) -> None:
        self._product, self._energies = product, energies

    def __call__(self, z: FloatArray) -> FloatArray:
        """Return about the covariance of all labels times z (n_labels,)."""
        n = self._energies.shape[1]
        others = np.array(z)
        others[:n] = 0.0
        out = self._product(others, np.float32)
        out += self._energies @ z[:n]
        out[:n] = self._energies.T @ z
        return out
