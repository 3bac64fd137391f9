r"""Choice of a descriptor's numbers from the species and the training structures.

All follow from the typical bond d between heavy atoms and the shortest distance of the data
(`length_scales`), and from whether there is hydrogen. `soap_hypers` has the rules for SOAP;
benchmarks/README.md says what they gained on published sets.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.elements import covalent_radius
from ._soap_channels import pseudo_elements_needed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.data import StructureBatch
    from skpot.descriptors._base import PairDescriptor
    from skpot.typing import IntArray

HYPERS = ("auto", "fast", "default", "accurate")

_BONDED = 1.3  # bonds are shorter than this times the sum of covalent radii; metals need 1.2
_MAX_FEATURES = 6000  # where species would make more, pseudo-elements stand for them


class Scales(NamedTuple):
    """What choices are made from."""

    species: np.ndarray  # (n_species,) atomic numbers
    bond: float  # Å, typical between heavy atoms
    shortest: float  # Å, between any two atoms
    density: float  # atoms per Å³, 0 if nothing is periodic in three directions


def length_scales(batch: StructureBatch, species: IntArray) -> Scales:
    r"""Return the `Scales` of structures.

    The bond is a median over heavy atoms, or over all atoms if there is only hydrogen, of the
    distance to the nearest heavy atom. Only bonded atoms count, which are closer than
    1.3 :math:`(r_a + r_b)` with covalent radii r; isolated atoms, stretched dimers and molecules
    far apart do not. Where there is no such bond, as between atoms of rare gases, which touch at
    larger distances, it is the median distance to the nearest atom; without any neighbors, twice
    the median covalent radius. The density is the median over atoms in cells that are periodic in
    three directions.

    Parameters
    ----------
    batch : StructureBatch
        Training structures, in any order.
    species : ndarray of shape (n_species,)
        Atomic numbers the descriptor knows.
    """
    heavy = species[species > 1] if (species > 1).any() else species
    radii = {int(z): covalent_radius(z) for z in species}
    radius_of = np.zeros(max(radii) + 1)
    radius_of[list(radii)] = list(radii.values())
    reach = max(2.0 * _BONDED * max(radii.values()), 4.5)
    bonded, nearest, shortest, densities = [], [], np.inf, []
    for part in batch.in_blocks():
        n = np.diff(part.offsets)
        # Vacuum counts in the volume of a slab or molecule, so only bulk tells a density.
        bulk = np.repeat(part.pbc.all(axis=1), n)
        densities.append(np.repeat(n / part.volumes(), n)[bulk])
        pairs = part.neighbors(reach).pairs
        if not len(pairs.neighbor):
            continue
        r = np.linalg.norm(pairs.vector, axis=1)
        center = np.repeat(np.arange(len(part.numbers)), np.diff(pairs.start))
        shortest = min(shortest, float(r.min()))
        both = np.isin(part.numbers[center], heavy) & np.isin(part.numbers[pairs.neighbor], heavy)
        sums = radius_of[part.numbers[center]] + radius_of[part.numbers[pairs.neighbor]]
        bonded.append(_smallest(r, center, both & (r < _BONDED * sums)))
        nearest.append(_smallest(r, center, both))
    bonded, nearest = (np.concatenate([[], *found]) for found in (bonded, nearest))
    covalent = 2.0 * float(np.median([radii[int(z)] for z in heavy]))
    if len(bonded):
        bond = float(np.median(bonded))
    elif len(nearest) and len(heavy) == len(species):
        bond = float(np.median(nearest))
    else:
        bond = covalent
    if not np.isfinite(shortest):
        shortest = 2.0 * min(radii.values())
    densities = np.concatenate([[], *densities])
    density = float(np.median(densities)) if len(densities) else 0.0
    return Scales(species, bond, shortest, density)


def _smallest(r, center, wanted):
    """Return the smallest wanted r of each center that has one; centers are sorted."""
    r, center = r[wanted], center[wanted]
    if not len(r):
        return r
    first = np.flatnonzero(np.diff(center, prepend=-1))
    return np.minimum.reduceat(r, first)


def choose(
    estimator: PairDescriptor, rules: Callable[..., Any], batch: StructureBatch
) -> dict[str, Any]:
    """Return the numbers a descriptor is to use, by name.

    Parameters
    ----------
    estimator : PairDescriptor
        Its `_chosen` names the parameters; those that differ from the defaults of its signature are
        kept, and so are all if `hypers` is None.
    rules : callable
        `rules(preset, scales, given)` returns what it would choose, with `given` the parameters
        that are kept.
    batch : StructureBatch
        Training structures.

    Returns
    -------
    dict
        Plain numbers, strings, tuples, dicts and None.
    """
    names = estimator._chosen
    values = {name: getattr(estimator, name) for name in names}
    if estimator.hypers is not None:
        signature = inspect.signature(type(estimator).__init__).parameters
        default = {name: signature[name].default for name in names}
        given = {k: v for k, v in values.items() if not _same(v, default[k])}
        preset = "default" if estimator.hypers == "auto" else estimator.hypers
        values |= rules(preset, length_scales(batch, estimator.species_), given) | given
    return {name: _plain(value) for name, value in values.items()}


def _same(value, default):
    if value is None or default is None:
        return value is default
    return _plain(value) == _plain(default)


def _plain(value):
    """Return Python's own type instead of NumPy's; lists and arrays become tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_plain(v) for v in value)
    return dict(value) if isinstance(value, dict) else value


_NEIGHBORS = 90.0  # wanted within the cutoff of "accurate"
_STRETCH = 1.25  # the largest factor by which the cutoff grows for them
_DILUTE = 1.5  # a larger stretch means mostly vacuum: the cutoff is kept

_WIDTHS = 0.5, 0.7, 1.0, 1.4, 2.0  # see `alchemical_weights`
_KEPT = 0.95  # share of the squared length of each species that pseudo-elements keep
_FEWEST = 3  # pseudo-elements at least, since two do not tell H, C and O apart

_SOAP = {  # n_max, l_max, cutoff at least, in Å and in bonds; sigma and r0 in bonds
    "fast": (5, 4, 4.0, 1.9, 0.2, 1.6),
    "default": (8, 6, 5.0, 2.25, 0.2, 1.6),
    "accurate": (10, 6, 6.0, 2.6, 0.24, 1.9),
}


def soap_hypers(
    preset: str,
    scales: Scales,
    given: dict[str, Any],
    body_order: int = 3,
    pair_cutoffs: Any = None,
) -> dict[str, Any]:
    r"""Return what a preset chooses for `SOAP`.

    With d the bond (`length_scales`),

    .. math:: \sigma = 0.2\,d, \qquad u(r) = \frac{1}{1 + (r/1.6\,d)^4}

    and a cosine over the whole cutoff. The factors of "accurate" are 0.24 and 1.9, which are better
    for many data.
    Radial scaling is that of Willatt, Musil, Ceriotti (Phys. Chem. Chem. Phys. 20, 29661 (2018)),
    the width agrees with the 0.3 Å with hydrogen and 0.5 Å without of the universal SOAP
    heuristics (github.com/libAtoms/universalSOAP).
    Radial functions are the optimal ones, and hydrogen as a neighbor has the weight 0.6.

    Species that are alike are mixed to pseudo-elements, so that they learn from each other. Their
    similarity has a width of 0.5, and there are as many pseudo-elements as keep 0.95 of each
    species; they are taken if they are fewer than the species. Where they would make more than
    6000 features, the width grows until they do not; where no width is large enough, three
    pseudo-elements are taken.

    The cutoff of "accurate" grows by up to a quarter until 90 neighbors are within. Close-packed
    metals have these anyhow, open crystals such as silicon do not. Cells with much vacuum, such as
    those of molecules, keep the cutoff. Errors on held-out training frames vary little around the
    factors (0.17 to 0.25, 1.3 to 2, exponents 3 to 6). On molecules "accurate" pays from several
    hundred frames on (benchmarks/README.md).

    Parameters
    ----------
    preset : {"fast", "default", "accurate"}
        Sizes and cutoff.
    scales : Scales
        Of the training structures.
    given : dict
        Parameters that are kept; the others follow them.
    body_order, pair_cutoffs
        Parameters of `SOAP`.
    """
    d = scales.bond
    n_max, l_max, angstroms, bonds, width, scaling = _SOAP[preset]
    cutoff = max(angstroms, bonds * d)
    if preset == "accurate":
        cutoff *= _stretch(cutoff, scales.density)
    chosen = {
        "cutoff": round(cutoff, 1),
        "n_max": n_max,
        "l_max": min(l_max, 3) if body_order == 4 else l_max,
        "sigma": round(width * d, 2),
        "radial_basis": "optimal",
        "radial_scaling": (round(scaling * d, 2), 4.0),
        "compression": None,
    }
    used = chosen | given
    chosen["cutoff_width"] = float(min([used["cutoff"], *(pair_cutoffs or {}).values()]))
    if 1 in scales.species and len(scales.species) > 1:
        chosen["species_weights"] = {"H": 0.6}
    if body_order == 3 and used["compression"] in (None, "alchemical"):
        n, width = _pseudo_elements(scales.species, used["n_max"], used["l_max"])
        if n < len(scales.species):
            chosen |= {"compression": "alchemical", "n_channels": n, "alchemical_width": width}
    return chosen


def _pseudo_elements(species, n_max, l_max):
    """Return how many pseudo-elements stand for the species, and the width of their similarity."""
    channels = int(np.sqrt(0.25 + 2.0 * _MAX_FEATURES / (l_max + 1)) - 0.5)
    most = max(channels // n_max, _FEWEST)
    for width in _WIDTHS:
        needed = pseudo_elements_needed(species, width, _KEPT)
        if needed <= most:
            return needed, width
    return most, width


def _stretch(cutoff, density):
    """Return the factor by which a cutoff grows until enough neighbors are within."""
    held = 4.0 / 3.0 * np.pi * density * cutoff**3
    wanted = float(np.cbrt(_NEIGHBORS / held)) if held > 0.0 else np.inf
    return min(max(wanted, 1.0), _STRETCH) if wanted < _DILUTE else 1.0


_SYMMETRY = {  # n_radial, n_angular, zetas with hydrogen and without, cutoff as above
    "fast": (6, 2, (1, 4), (1, 4), 3.5, 2.2),
    "default": (10, 3, (1, 4), (1, 4, 16), 4.0, 2.75),
    "accurate": (12, 3, (1, 2, 4), (1, 2, 4, 16), 4.5, 3.0),
}


def symmetry_hypers(preset: str, scales: Scales, given: dict[str, Any]) -> dict[str, Any]:
    """Return what a preset chooses for `SymmetryFunctions`; widths follow from the cutoff.

    There is no zeta of 16 for molecules with hydrogen. The sharp angular functions are nearly
    constant there and, scaled to unit variance, would outweigh the others.
    """
    n_radial, n_angular, molecules, others, angstroms, bonds = _SYMMETRY[preset]
    return {
        "cutoff": round(max(angstroms, bonds * scales.bond), 1),
        "n_radial": n_radial,
        "n_angular": n_angular,
        "zetas": molecules if 1 in scales.species else others,
    }


_SPLINES = {  # by body order: n_splines, cutoff as above
    2: {"fast": (12, 5.0, 2.5), "default": (20, 6.0, 3.0), "accurate": (30, 8.0, 3.5)},
    3: {"fast": (5, 3.5, 1.8), "default": (6, 4.0, 2.0), "accurate": (8, 5.0, 2.2)},
}


def spline_hypers(
    preset: str, scales: Scales, given: dict[str, Any], n_body: int
) -> dict[str, Any]:
    """Return what a preset chooses for `PairBasis` (`n_body` 2) and `TripletBasis` (3).

    Splines begin a little below the shortest distance of the data, since nothing determines those
    that lie wholly below it.
    """
    n_splines, angstroms, bonds = _SPLINES[n_body][preset]
    chosen = {"cutoff": round(max(angstroms, bonds * scales.bond), 1), "n_splines": n_splines}
    cutoff = (chosen | given)["cutoff"]
    chosen["r_min"] = round(min(0.95 * scales.shortest, 0.5 * cutoff), 2)
    return chosen
