r"""Terms of the bispectrum of a few channels.

.. math::

    B_{(k_1 l_1)(k_2 l_2)(k_3 l_3)} = \sum_{m_1 m_2 m_3} G^{l_1 l_2 l_3}_{m_1 m_2 m_3}
        \, c_{l_1 m_1, k_1} c_{l_2 m_2, k_2} c_{l_3 m_3, k_3}

with Gaunt's integrals of three real harmonics,
:math:`G = \int Y_{l_1 m_1} Y_{l_2 m_2} Y_{l_3 m_3}\, d\Omega`, scaled to :math:`\sum_m G^2 = 1`
(then they are the 3j symbols in the real basis, up to a sign). They vanish unless the l form a
triangle and l1 + l2 + l3 is even; odd sums belong to products that change sign under inversion
(Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), sec. II C). The order of factors does not
matter, so only ascending (k l) are taken, times the square root of the number of their orders. Dot
products then equal those of the full array.
"""

import math

import numpy as np

from .harmonics import legendre_coefficients, many_harmonics

_TOLERANCE = 1e-12  # coefficients below it are zero apart from rounding


def gaunt_integrals(l_max):
    """Return the integrals of three real harmonics of degree up to l_max, by exact quadrature.

    Returns
    -------
    ndarray of shape ((l_max + 1)^2,) * 3
        Index l * l + l + m on each axis.
    """
    degree = 3 * l_max
    z, z_weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    n_phi = degree + 1
    phi = 2.0 * math.pi * np.arange(n_phi) / n_phi
    ring = np.sqrt(1.0 - z * z)
    unit = np.array(
        [np.outer(ring, np.cos(phi)), np.outer(ring, np.sin(phi)), np.outer(z, np.ones(n_phi))]
    ).reshape(3, -1)
    weights = np.repeat(z_weights, n_phi) * 2.0 * math.pi / n_phi
    size = unit.shape[1]
    y_lm = np.empty(((l_max + 1) ** 2, size))
    many_harmonics(
        unit, size, legendre_coefficients(l_max), l_max,
        np.empty(((l_max + 1) * (l_max + 2) // 2, size)),
        np.empty((l_max + 1, size)), np.empty((l_max + 1, size)), y_lm,
    )  # fmt: skip
    return np.einsum("ap,bp,cp->abc", y_lm * weights, y_lm, y_lm, optimize=True)


def bispectrum_terms(n_channels, l_max):
    """Return labels and terms of all features.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    l_max : int
        Highest degree.

    Returns
    -------
    labels : list of tuple
        ((k1, l1), (k2, l2), (k3, l3)) of each feature.
    first : ndarray of shape (n_features + 1,)
        First term of each feature.
    index : ndarray of shape (n_terms, 3)
        Positions lm * n_channels + k of the three factors.
    weight : ndarray of shape (n_terms,)
        Their coefficients.
    """
    gaunt = gaunt_integrals(l_max)
    couplings = {}
    factors = [(k, l) for l in range(l_max + 1) for k in range(n_channels)]
    labels, first, index, weight = [], [0], [], []
    for a, (k1, l1) in enumerate(factors):
        for b in range(a, len(factors)):
            k2, l2 = factors[b]
            for k3, l3 in factors[b:]:
                if (l1 + l2 + l3) % 2 or l3 > l1 + l2:  # l1 <= l2 <= l3 by their order
                    continue
                if (l1, l2, l3) not in couplings:
                    couplings[l1, l2, l3] = _coupling(gaunt, l1, l2, l3)
                lm, coefficients = couplings[l1, l2, l3]
                label = ((k1, l1), (k2, l2), (k3, l3))
                orders = 6.0 / math.prod(math.factorial(label.count(f)) for f in set(label))
                labels.append(label)
                index.append(lm * n_channels + np.array([k1, k2, k3]))
                weight.append(coefficients * math.sqrt(orders))
                first.append(first[-1] + len(lm))
    return labels, np.array(first), np.concatenate(index), np.concatenate(weight)


def _coupling(gaunt, l1, l2, l3):
    """Return indices lm (n, 3) and scaled values of the integrals that do not vanish."""
    degrees = [slice(l * l, (l + 1) * (l + 1)) for l in (l1, l2, l3)]
    block = gaunt[tuple(degrees)]
    lm = np.argwhere(np.abs(block) > _TOLERANCE)
    values = block[tuple(lm.T)]
    return lm + np.array([l1 * l1, l2 * l2, l3 * l3]), values / math.sqrt((values**2).sum())
