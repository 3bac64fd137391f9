"""Loop counts of the SOAP kernels: operations and bytes that no implementation can avoid."""

from typing import NamedTuple

import numpy as np


class Shape(NamedTuple):
    """Sizes that determine the cost of a batch."""

    n_atoms: int
    n_pairs: int
    n_rows: int  # of the Jacobian: for each centre, itself and its distinct neighbours
    n_max: int
    l_max: int
    n_species: int

    @property
    def n_features(self):
        channels = self.n_species * self.n_max
        return (self.l_max + 1) * channels * (channels + 1) // 2


def shape_of(features, soap):
    """Return the `Shape` of computed features."""
    from skpot.core.pairs import count_entries

    pairs = features.derivatives.graph.pairs
    n = len(features.values)
    rows = count_entries(np.arange(n), pairs, np.empty(n, dtype=np.int64))[-1]
    species = len(soap.species_)
    return Shape(n, len(pairs.neighbor), int(rows), soap.n_max, soap.l_max, species)


def values_cost(s):
    """Return (flops, bytes) of the features."""
    return _density(s, slopes=False)[0] + _spectrum(s), 8.0 * s.n_atoms * s.n_features + _read(s)


def pull_back_cost(s):
    """Return (flops, bytes) from dE/d(features) to pair gradients, density recomputed."""
    channels, harmonics = s.n_species * s.n_max, (s.l_max + 1) ** 2
    density, with_slopes = _density(s, slopes=True)
    centre = 2.0 * harmonics * channels**2 + 4.0 * s.n_features  # dE/dc, normalisation
    # Radial functions and slopes times dE/dc; then three components and the radial one.
    pair = 4.0 * harmonics * s.n_max + 8.0 * harmonics
    flops = density + with_slopes + _spectrum(s) + s.n_atoms * centre + s.n_pairs * pair
    return flops, 8.0 * s.n_atoms * s.n_features + 24.0 * s.n_pairs + _read(s)


def jacobian_cost(s):
    """Return (flops, bytes) of dense Jacobian rows of all centres, strain rows included.

    Of the features of a pair only those move whose channels include the neighbour's species; the
    normalisation touches all. The bytes are those of the result, written once.
    """
    channels, harmonics = s.n_species * s.n_max, (s.l_max + 1) ** 2
    density, with_slopes = _density(s, slopes=True)
    projected = 8.0 * harmonics * channels  # A and B of core/soap.py
    moving = (s.l_max + 1) * s.n_max * (channels - 0.5 * (s.n_max - 1.0))
    outer = 3.0 * 4.0 * moving  # three directions, two products and sums each
    normalise = 3.0 * 4.0 * s.n_features
    gather = (3.0 + 3.0 + 18.0) * s.n_features  # neighbour's, centre's and strain rows
    flops = density + with_slopes + _spectrum(s)
    flops += s.n_pairs * (projected + outer + normalise + gather)
    return flops, 8.0 * s.n_features * (3.0 * s.n_rows + 6.0 * s.n_atoms) + _read(s)


def _density(s, slopes):
    """Return flops of the density, and of derivatives of its parts."""
    radial, harmonics = (s.l_max + 1) * s.n_max, (s.l_max + 1) ** 2
    values = s.n_pairs * (7.0 * radial + 4.0 * harmonics + 2.0 * harmonics * s.n_max)
    return values, s.n_pairs * (6.0 * radial + 5.0 * harmonics) if slopes else 0.0


def _spectrum(s):
    channels, harmonics = s.n_species * s.n_max, (s.l_max + 1) ** 2
    return s.n_atoms * (harmonics * channels * (channels + 1.0) + 3.0 * s.n_features)


def _read(s):
    return 32.0 * s.n_pairs
