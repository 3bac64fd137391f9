"""Loop counts of the SOAP kernels: operations and bytes that no implementation can avoid.

Counted are, with H = (l_max + 1)^2 harmonics and K channels: for a pair, the Hermite interpolation
of its radial functions (7 operations each, 6 for slopes), the recurrences of its harmonics (3 H)
and its products in the coefficients (2 H n_max; 4 H n_max on the way back); for an atom, the
products of `core/invariants.py` (H K (K + 1) of `Triangle`), the mixing of channels and 3
operations a feature to scale it; for a row of the Jacobian, the sums A and B of
`core/pair_moves.py` and two products for each feature and direction. Bytes are those of inputs and
results, each moved once; work arrays stay in cache.
"""

from typing import NamedTuple

import numpy as np


class Shape(NamedTuple):
    """Sizes that determine the cost of a batch."""

    n_atoms: int
    n_pairs: int
    n_rows: int  # of the Jacobian: for each center, itself and its distinct neighbors
    n_max: int
    l_max: int
    n_species: int
    n_features: int
    product: str  # name of the type in core/invariants.py
    n_channels: int  # that products are taken of
    n_left: int  # of them, the first factors of `Rectangle`
    n_terms: int  # of the bispectrum
    mixed: bool  # whether by a dense matrix

    @property
    def harmonics(self):
        return (self.l_max + 1.0) ** 2


def shape_of(features, soap):
    """Return the `Shape` of computed features."""
    from skpot.core.pairs import count_entries

    chain = features.derivatives
    pairs, product = chain.graph.pairs, chain.tables.product
    n = len(features.values)
    rows = count_entries(np.arange(n), pairs, np.empty(n, dtype=np.int64))[-1]
    kind = type(product).__name__
    return Shape(
        n, len(pairs.neighbor), int(rows), soap.n_max, product.l_max, len(soap.species_),
        features.shape[1], kind, product.n_channels, getattr(product, "n_left", 0),
        len(getattr(product, "weight", ())), soap.mix_ is not None and kind != "Rectangle",
    )  # fmt: skip


def values_cost(s):
    """Return (flops, bytes) of the features."""
    return _density(s, slopes=False) + _products(s), 8.0 * s.n_atoms * s.n_features + _read(s)


def pull_back_cost(s):
    """Return (flops, bytes) from dE/d(features) to pair gradients, the density being kept."""
    gradient = {
        "Linear": 0.0,
        "Triangle": 2.0 * s.harmonics * s.n_channels**2,
        "Rectangle": 4.0 * s.harmonics * s.n_left * (s.n_channels - s.n_left),
        "Diagonal": 2.0 * s.harmonics * s.n_channels,
        "Bispectrum": 9.0 * s.n_terms,
    }[s.product]
    center = gradient + 4.0 * s.n_features + _mixing(s)
    # Radial functions and slopes times dE/dc; then three components and the radial one.
    pair = 4.0 * s.harmonics * s.n_max + 8.0 * s.harmonics
    kept = s.harmonics * s.n_channels
    known = s.n_pairs * 2.0 * s.harmonics * s.n_max + s.n_atoms * _mixing(s)
    flops = _density(s, slopes=True) + _products(s) - known + s.n_atoms * center + s.n_pairs * pair
    return flops, 8.0 * s.n_atoms * (s.n_features + kept) + 24.0 * s.n_pairs + _read(s)


def jacobian_cost(s):
    """Return (flops, bytes) of dense Jacobian rows of all centers, strain rows included.

    Of the features of a pair only those move whose channels include the neighbor's species, if
    channels are not mixed; the normalization touches all. The bytes are those of the result,
    written once.
    """
    moving = float(s.n_features)
    if s.product == "Triangle" and not s.mixed:
        moving = (s.l_max + 1) * s.n_max * (s.n_channels - 0.5 * (s.n_max - 1.0))
    projected, outer = 8.0 * s.harmonics * s.n_channels, 3.0 * 4.0 * moving
    if s.product == "Linear":
        projected, outer = 0.0, 3.0 * s.n_max
    elif s.product == "Bispectrum":  # dense products, or the terms once more
        dense = s.harmonics * s.n_channels * s.n_features
        projected, outer = 0.0, 3.0 * 2.0 * min(dense, 3.0 * s.n_terms)
    if s.mixed:  # radial functions and slopes of the pair
        projected += 4.0 * (s.l_max + 1) * s.n_max * s.n_channels
    normalize = 3.0 * 4.0 * s.n_features
    gather = (3.0 + 3.0 + 18.0) * s.n_features  # neighbor's, center's and strain rows
    flops = _density(s, slopes=True) + _products(s)
    flops += s.n_pairs * (projected + outer + normalize + gather)
    return flops, 8.0 * s.n_features * (3.0 * s.n_rows + 6.0 * s.n_atoms) + _read(s)


def _density(s, slopes):
    """Return flops of the density, with derivatives of the radial functions if wanted."""
    radial = (s.l_max + 1) * s.n_max * (13.0 if slopes else 7.0)
    return s.n_pairs * (radial + 3.0 * s.harmonics + 2.0 * s.harmonics * s.n_max)


def _mixing(s):
    """Return flops of one atom's mixture of channels; the sums of `Rectangle` are additions."""
    if s.product == "Rectangle":
        return s.harmonics * s.n_left
    return 2.0 * s.harmonics * s.n_channels * s.n_species * s.n_max if s.mixed else 0.0


def _products(s):
    """Return flops of mixing and products of all atoms."""
    products = {
        "Linear": 0.0,
        "Triangle": s.harmonics * s.n_channels * (s.n_channels + 1.0),
        "Rectangle": 2.0 * s.harmonics * s.n_left * (s.n_channels - s.n_left),
        "Diagonal": 2.0 * s.harmonics * s.n_channels,
        "Bispectrum": 4.0 * s.n_terms,
    }[s.product]
    return s.n_atoms * (_mixing(s) + products + 3.0 * s.n_features)


def _read(s):
    return 32.0 * s.n_pairs
