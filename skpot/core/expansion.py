r"""Energies of environments as sums over references, and their derivatives, in blocks.

A term compares rows :math:`y = a x + b` (elementwise) with references q of the center's species,

.. math::

    w_m = y \cdot q_m - \tfrac{\tau}{2} |y - q_m|^2_{\tau=1}, \qquad
    u = \sum_m [\alpha_m f(w_m) + f'(w_m) t_m], \qquad t_m = (y - \tau q_m) \cdot v_m

where :math:`\tau = 1` stands for :math:`w_m = -|y - q_m|^2 / 2` ("centered") and :math:`\tau = 0`
for the dot product. The vectors v are the coefficients of models whose references include
derivatives. Then

.. math::

    \partial u / \partial y = \sum_m c_m (q_m - \tau y) + f'(w_m) v_m, \qquad
    c_m = \alpha_m f'(w_m) + f''(w_m) t_m

(`skpot.kernels._functions`). Rows and references are taken relative to a point o in their middle,

.. math::

    y \cdot q = (y - o) \cdot (q - o) + (y - o) \cdot o + q \cdot o

since environments resemble each other: products of small differences have smaller rounding errors,
which matters in single precision. References are worked through in tiles, which stay in cache
between the products that need them, so that each is read from memory once: models with many
references are bound by that. A draw of the posterior also has waves, with weights
:math:`\beta_d` of the center's species,

.. math:: u = \sum_d \beta_d \cos(y \cdot \omega_d + b_d)

Kernels that are polynomials of degree one or two in the dot product become a linear and a quadratic
form instead (`Polynomial`). Networks of `skpot.core.network` are terms, too.
"""

from typing import NamedTuple

import numpy as np

from ._arena import floats, padded, shaped, typed
from ._jit import array_jit, inner_jit, variants
from .elementary import cosine_and_sine
from .network import Network, expand_network, network_scratch, network_size
from .products import COLUMNS, ROWS, add_products, add_scaled_rows, rounded
from .similarity import gauss_profile, matern_profile, power_profile

TILE = 240  # references at a time: they and their vectors fit in the second-level cache
STEP = 24  # the number of references of each species is a multiple of this


class Power(NamedTuple):
    """f(w) = factor w^exponent."""

    exponent: int
    factor: float


class Gauss(NamedTuple):
    """f(w) = factor exp(w inverse)."""

    inverse: float
    factor: float


class Matern(NamedTuple):
    """f(w) is the Matern function of order n + 1/2; see `similarity.matern_profile`."""

    n: int
    inverse: float
    factor: float


class Term(NamedTuple):
    """A kernel of one similarity, with its references."""

    profile: tuple  # Power, Gauss or Matern
    centered: bool  # tau
    begin: int  # first column of the rows that the kernel acts on
    scale: np.ndarray  # (n,) a
    shift: np.ndarray  # (n_species, n) b - o
    origin: np.ndarray  # (n_species, n) o for the dot product, zeros for distances
    first: np.ndarray  # (n_species + 1,) where the references of each species begin
    rows: np.ndarray  # q - o, flat (n_references, n); their type is that of sums
    vector_rows: np.ndarray  # like `rows`, or empty
    constant: np.ndarray  # (n_references,) the part of w without y: -|q - o|^2 / 2 or q . o
    offset: np.ndarray  # (n_references,) the part of t without y: -(q - o) . v or o . v
    alpha: np.ndarray  # (n_references,)
    wave_rows: np.ndarray  # omega, (n_waves, n), a multiple of 6, for all species; or empty
    wave_phases: np.ndarray  # (n_species, n_waves) b + o . omega
    wave_weights: np.ndarray  # (n_species, n_waves) beta


class Polynomial(NamedTuple):
    """u = y . b + y . A y with symmetric A."""

    begin: int
    scale: np.ndarray  # (n,)
    shift: np.ndarray  # (n_species, n)
    linear: np.ndarray  # (n_species, n)
    quadratic: np.ndarray  # (n_species, n rounded up, n), or (n_species, 0, n)


class Sum(NamedTuple):
    """Two expansions of the same rows."""

    left: tuple
    right: tuple


class TermScratch(NamedTuple):
    """Arrays for one block of rows, flat unless a shape is given."""

    y: np.ndarray
    gradient: np.ndarray
    w: np.ndarray
    t: np.ndarray
    similarity: np.ndarray  # (1, TILE)
    jet: np.ndarray  # (3, 1, TILE) f and its derivatives
    constant: np.ndarray  # (n_rows,) the part of w without q: -|y - o|^2 / 2 or y . o
    pull: np.ndarray  # (n_rows,)


class PolynomialScratch(NamedTuple):
    """Arrays for one block of rows, flat."""

    y: np.ndarray
    gradient: np.ndarray


class SumScratch(NamedTuple):
    """The scratch of the two expansions."""

    left: tuple
    right: tuple


# Sizes of scratch. Arguments: (expansion, n_rows), where n_rows is a multiple of ROWS.


@inner_jit
def _term_size(term, n_rows):
    size = 2 * padded(n_rows * term.scale.shape[0])
    return size + 2 * padded(n_rows * TILE) + padded(TILE) + padded(3 * TILE) + 2 * padded(n_rows)


@inner_jit
def _polynomial_size(polynomial, n_rows):
    n = polynomial.scale.shape[0]
    return padded(n_rows * n) + padded(n_rows * rounded(n, COLUMNS))


@inner_jit
def _sum_size(both, n_rows):
    return scratch_size(both.left, n_rows) + scratch_size(both.right, n_rows)


@variants({Term: _term_size, Polynomial: _polynomial_size, Network: network_size, Sum: _sum_size})
def scratch_size(expansion, n_rows):
    """Return how many numbers of the arena `scratch` takes."""


# Scratch. Arguments: (expansion, n_rows, arena).


@array_jit
def _term_scratch(term, n_rows, arena):
    n = term.scale.shape[0]
    return TermScratch(
        typed(floats(n_rows * n, arena), term.rows),
        typed(floats(n_rows * n, arena), term.rows),
        typed(floats(n_rows * TILE, arena), term.rows),
        typed(floats(n_rows * TILE, arena), term.rows),
        floats(TILE, arena),
        floats(3 * TILE, arena),
        floats(n_rows, arena),
        floats(n_rows, arena),
    )


@array_jit
def _polynomial_scratch(polynomial, n_rows, arena):
    n = polynomial.scale.shape[0]
    return PolynomialScratch(floats(n_rows * n, arena), floats(n_rows * rounded(n, COLUMNS), arena))


@array_jit
def _sum_scratch(both, n_rows, arena):
    return SumScratch(scratch(both.left, n_rows, arena), scratch(both.right, n_rows, arena))


@variants(
    {
        Term: _term_scratch,
        Polynomial: _polynomial_scratch,
        Network: network_scratch,
        Sum: _sum_scratch,
    }
)
def scratch(expansion, n_rows, arena):
    """Cut the arrays that `expand` needs for up to n_rows rows from the arena."""


@inner_jit
def _power(profile, w, jet):
    power_profile(w, profile.exponent, profile.factor, jet)


@inner_jit
def _gauss(profile, w, jet):
    gauss_profile(w, profile.inverse, profile.factor, jet)


@inner_jit
def _matern(profile, w, jet):
    matern_profile(w, profile.n, profile.inverse, profile.factor, jet)


@variants({Power: _power, Gauss: _gauss, Matern: _matern})
def profile_jet(profile, w, jet):
    """Write f and its derivatives at w (1, n) to jet (n_orders, 1, n)."""


@inner_jit
def _take_rows(x, size, begin, scale, shift, y):
    """Write a x + b of the first `size` rows to y (n_rows, n), and zeros to the rows after them."""
    for r in range(y.shape[0]):
        target = y[r]
        if r < size:
            source = x[r, begin : begin + target.shape[0]]
            for d in range(target.shape[0]):
                target[d] = scale[d] * source[d] + shift[d]
        else:
            for d in range(target.shape[0]):
                target[d] = 0.0


@inner_jit
def clear(array):
    """Write zeros to a matrix."""
    for r in range(array.shape[0]):
        row = array[r]
        for d in range(row.shape[0]):
            row[d] = 0.0


# Energies. Arguments: (expansion, z, x, size, scratch, energies, gradient). Adds to `energies` (n,)
# and `gradient` (n, n_columns) of the first `size` rows of x (n, n_columns), all of species z.


@inner_jit
def take_rows(term, z, x, size, scratch, y):
    """Write y - o of rows of one species to y, and the parts of w without q to `scratch`."""
    n, n_rows = y.shape[1], y.shape[0]
    _take_rows(x, size, term.begin, term.scale, term.shift[z], y)
    origin = term.origin[z]
    for r in range(n_rows):
        row, own = y[r], 0.0
        if term.centered:
            for d in range(n):
                own -= 0.5 * float(row[d]) * float(row[d])
        else:
            for d in range(n):
                own += float(row[d]) * origin[d]
        scratch.constant[r] = own


@inner_jit
def similarities(term, lo, products, own, out):
    """Write w of one row to out (1, n).

    `products` has (y - o) . (q - o) of the references from lo on, `own` the part of w without q.
    """
    s, constant = out[0], term.constant[lo : lo + out.shape[1]]
    for m in range(s.shape[0]):
        s[m] = float(products[m]) + own + constant[m]
    if term.centered:  # rounding must not make a squared distance negative
        for m in range(s.shape[0]):
            s[m] = min(s[m], 0.0)


@inner_jit
def _expand_term(term, z, x, size, scratch, energies, gradient):
    n, n_rows = term.scale.shape[0], rounded(size, ROWS)
    y = shaped(scratch.y, (n_rows, n))
    take_rows(term, z, x, size, scratch, y)
    g = shaped(scratch.gradient, (n_rows, n))
    clear(g)
    for r in range(n_rows):
        scratch.pull[r] = 0.0
    origin = term.origin[z]
    for m in range(term.first[z], term.first[z + 1], TILE):
        _add_tile(term, m, min(m + TILE, term.first[z + 1]), size, y, g, scratch, energies)
    if term.wave_phases.shape[1] > 0:
        _add_waves(term, z, size, y, g, scratch, energies)
    for r in range(size):
        source, own = g[r], y[r]
        target = gradient[r, term.begin : term.begin + n]
        pull = scratch.pull[r]
        if term.centered:
            for d in range(n):
                target[d] += term.scale[d] * (source[d] - pull * own[d])
        else:
            for d in range(n):
                target[d] += term.scale[d] * (source[d] + pull * origin[d])


@inner_jit
def _add_tile(term, lo, hi, size, y, g, scratch, energies):
    """Add the energies and derivatives that references lo to hi - 1 give."""
    n_rows, n = y.shape
    tile = hi - lo
    w = shaped(scratch.w, (n_rows, tile))
    t = shaped(scratch.t, (n_rows, tile))
    vectors = term.vector_rows.shape[0] > 0
    clear(w)
    q = shaped(term.rows[lo * n : hi * n], (tile, n))
    add_products(y, q, w)
    if vectors:
        clear(t)
        add_products(y, shaped(term.vector_rows[lo * n : hi * n], (tile, n)), t)
    similarity = shaped(scratch.similarity, (1, tile))
    orders = 3 if vectors else 2
    jet = shaped(scratch.jet, (orders, 1, tile))
    alpha, offset = term.alpha[lo:hi], term.offset[lo:hi]
    for r in range(n_rows):
        weights = w[r]
        similarities(term, lo, weights, scratch.constant[r], similarity)
        profile_jet(term.profile, similarity, jet)
        f, slope = jet[0, 0], jet[1, 0]
        energy, pull = 0.0, 0.0
        if vectors:
            moves, bend = t[r], jet[2, 0]
            for m in range(tile):
                move = float(moves[m]) + offset[m]
                energy += alpha[m] * f[m] + slope[m] * move
                weight = alpha[m] * slope[m] + bend[m] * move
                pull += weight
                weights[m] = weight
            for m in range(tile):
                moves[m] = slope[m]
        else:
            for m in range(tile):
                energy += alpha[m] * f[m]
                weight = alpha[m] * slope[m]
                pull += weight
                weights[m] = weight
        scratch.pull[r] += pull
        if r < size:
            energies[r] += energy
    add_scaled_rows(w, q, g)
    if vectors:
        add_scaled_rows(t, shaped(term.vector_rows[lo * n : hi * n], (tile, n)), g)


@inner_jit
def _add_waves(term, z, size, y, g, scratch, energies):
    """Add the energies and derivatives that waves give; there are at most TILE of them."""
    w = shaped(scratch.w, (y.shape[0], term.wave_rows.shape[0]))
    clear(w)
    add_products(y, term.wave_rows, w)
    phases, factors = term.wave_phases[z], term.wave_weights[z]
    for r in range(y.shape[0]):
        weights, energy = w[r], 0.0
        for m in range(weights.shape[0]):
            cosine, sine = cosine_and_sine(float(weights[m]) + phases[m])
            energy += factors[m] * cosine
            weights[m] = -factors[m] * sine
        if r < size:
            energies[r] += energy
    add_scaled_rows(w, term.wave_rows, g)


@inner_jit
def _expand_polynomial(polynomial, z, x, size, scratch, energies, gradient):
    n, n_rows = polynomial.scale.shape[0], rounded(size, ROWS)
    y = shaped(scratch.y, (n_rows, n))
    wide = rounded(n, COLUMNS)
    g = shaped(scratch.gradient, (n_rows, wide))
    _take_rows(x, size, polynomial.begin, polynomial.scale, polynomial.shift[z], y)
    clear(g)
    if polynomial.quadratic.shape[1] > 0:
        add_products(y, polynomial.quadratic[z], g)
    linear = polynomial.linear[z]
    for r in range(size):
        source, own = g[r, :n], y[r]
        target = gradient[r, polynomial.begin : polynomial.begin + n]
        energy = 0.0
        for d in range(n):
            energy += own[d] * (linear[d] + source[d])
            target[d] += polynomial.scale[d] * (linear[d] + 2.0 * source[d])
        energies[r] += energy


@inner_jit
def _expand_network(network, z, x, size, scratch, energies, gradient):
    n, n_rows = network.scale.shape[0], rounded(size, ROWS)
    y = shaped(scratch.y, (n_rows, n))
    _take_rows(x, size, network.begin, network.scale, network.shift[z], y)
    g = shaped(scratch.gradient, (n_rows, rounded(n, COLUMNS)))
    clear(g)
    expand_network(network, z, y, size, scratch, energies, g)
    linear = network.linear[z]
    for r in range(size):
        source, own = g[r, :n], y[r]
        target = gradient[r, network.begin : network.begin + n]
        energy = network.constant[z]
        for d in range(n):
            energy += linear[d] * float(own[d])
            target[d] += network.scale[d] * (linear[d] + source[d])
        energies[r] += energy


@inner_jit
def _expand_sum(both, z, x, size, scratch, energies, gradient):
    expand(both.left, z, x, size, scratch.left, energies, gradient)
    expand(both.right, z, x, size, scratch.right, energies, gradient)


@variants(
    {
        Term: _expand_term,
        Polynomial: _expand_polynomial,
        Network: _expand_network,
        Sum: _expand_sum,
    }
)
def expand(expansion, z, x, size, scratch, energies, gradient):
    """Add energies and derivatives of rows of one species; see the comment above."""
