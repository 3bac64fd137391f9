"""Atom-centered symmetry functions as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import StrOptions
from ..core import symmetry_functions as kernels
from ..core.symmetry_tables import SymmetryTables, nested_tables
from ..data.elements import SYMBOLS
from ..exceptions import ParameterError
from ._base import PairDerivatives, PairDescriptor
from ._hypers import HYPERS, symmetry_hypers
from ._limits import COMMON, LENGTH, count
from ._symmetry_sets import SWITCHES, automatic_set, check_powers, resolve
from ._symmetry_tables import flat_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.descriptors._symmetry_sets import SymmetryFunction
    from skpot.typing import Species


class SymmetryDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `SymmetryFunctions`."""

    kernels = kernels


class SymmetryFunctions(PairDescriptor):
    r"""Atom-centered symmetry functions of Behler and Parrinello, and their weighted form.

    Radial functions are sums over neighbors, angular ones sums over pairs of neighbors, each pair
    counted once:

    .. math::

        G^1_i &= \sum_j f_c(r_{ij}) \\
        G^2_i &= \sum_j e^{-\eta (r_{ij} - r_s)^2} f_c(r_{ij}) \\
        G^3_i &= \sum_j \cos(\kappa r_{ij}) f_c(r_{ij}) \\
        G^4_i &= 2^{1-\zeta} \sum_{j<k} (1 + \lambda \cos\theta_{jik})^\zeta
                 e^{-\eta [(r_{ij} - r_s)^2 + (r_{ik} - r_s)^2 + (r_{jk} - r_s)^2]}
                 f_c(r_{ij}) f_c(r_{ik}) f_c(r_{jk}) \\
        G^5_i &= \text{the same without the factors of } r_{jk}

    There is a column for each function and species of neighbors, or pair of species. Weighted
    functions (wACSF) are summed over all species instead, times the atomic numbers
    :math:`Z_j` or :math:`Z_j Z_k`, so that their number does not grow with that of the species.
    Columns differ widely in size. Put `PerAtom(MinMaxScaler())` or `PerAtom(StandardScaler())`
    between this descriptor and the regressor.

    Without `functions`, a set is made for every species or pair of species: `n_radial` G2 on the
    equidistant grid of Gastegger et al.,

    .. math:: r_{s,k} = k \Delta, \quad \eta = 1/(2 \Delta^2), \quad \Delta = r_c/(n + 1),
              \quad k = 1 \ldots n

    without the ends of the grid, where functions vanish; and G4 with each of the `n_angular` widths
    of Imbalzano et al.,

    .. math:: \eta_m = (n^{m/n}/r_c)^2, \quad m = 0 \ldots n - 1

    with each :math:`\zeta` of `zetas`, and with :math:`\lambda = \pm 1`.

    Parameters
    ----------
    cutoff : float, default=6.0
        Radius in Å of functions that name none of their own.
    n_radial : int, default=8
        Number of G2 of the automatic set.
    n_angular : int, default=3
        Number of widths of G4 of the automatic set.
    functions : sequence of skpot.descriptors.SymmetryFunction or None, default=None
        The functions; None makes the automatic set. `skpot.descriptors.read_simple_nn` and
        `read_n2p2` read them from files.
    zetas : sequence of float, default=(1, 4, 16)
        Powers of the automatic set, at least 1.
    weighted : bool, default=False
        Make the automatic set of weighted functions.
    cutoff_function : {"cosine", "polynomial", "tanh"}, default="cosine"
        :math:`\tfrac12 [1 + \cos(\pi x)]`, :math:`1 - x^3 (6 x^2 - 15 x + 10)` or
        :math:`\tanh^3(1 - x)` with :math:`x = r/r_c`, of functions that name none.
    hypers : {"auto", "fast", "default", "accurate"}, optional
        Choose cutoff, n_radial, n_angular and zetas in `fit` from the bonds of the training
        structures. The presets are those of `SOAP`.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers that may occur; by default those seen in `fit`.
    cache : bool, default=True
        Keep the features of structures and look them up, as `SOAP` does.

    Attributes
    ----------
    hypers_ : dict
        The numbers in use: cutoff, n_radial, n_angular, zetas.
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    n_features_out_ : int
        Number of columns. Functions that differ only in the species of the center share a column,
        which is 0 for atoms of species that do not have the function.
    origin_ : tuple of (str, bool)
        Identifies what was fitted, as in `SOAP`.
    radius_ : float
        Largest cutoff among the functions, in Å.

    References
    ----------
    J. Behler, J. Chem. Phys. 134, 074106 (2011); there, the sum over pairs counts each twice.
    M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018), for weights and the radial grid.
    G. Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), for the angular widths.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from skpot import SymmetryFunctions
    >>> from skpot.descriptors import SymmetryFunction
    >>> frames = [bulk("Si"), bulk("Si", cubic=True)]
    >>> SymmetryFunctions(cutoff=4.0).fit_transform(frames)
    AtomicFeatures(2 structures, 10 environments, 26 features, with derivatives)
    >>> chosen = [SymmetryFunction("G2", eta=0.5), SymmetryFunction("G5", eta=0.1, zeta=2)]
    >>> SymmetryFunctions(4.0, functions=chosen).fit(frames).get_feature_names_out().tolist()
    ['G2 Si eta=0.5 shift=0 rc=4', 'G5 Si-Si eta=0.1 shift=0 zeta=2 lambda=1 rc=4']
    """

    _derivatives = SymmetryDerivatives
    _block = "symmetry_functions"
    _chosen = ("cutoff", "n_radial", "n_angular", "zetas")

    _parameter_constraints = COMMON | {
        "cutoff": LENGTH,
        "n_radial": count(0, 1000),
        "n_angular": count(0, 100),
        "functions": ["array-like", None],
        "zetas": ["array-like"],
        "weighted": ["boolean"],
        "cutoff_function": [StrOptions(set(SWITCHES))],
        "hypers": [StrOptions(set(HYPERS)), None],
    }

    def __init__(
        self,
        cutoff: float = 6.0,
        n_radial: int = 8,
        n_angular: int = 3,
        *,
        functions: Sequence[SymmetryFunction] | None = None,
        zetas: Sequence[float] = (1, 4, 16),
        weighted: bool = False,
        cutoff_function: str = "cosine",
        hypers: str | None = None,
        species: Species | None = None,
        cache: bool = True,
    ) -> None:
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.n_angular = n_angular
        self.functions = functions
        self.zetas = zetas
        self.weighted = weighted
        self.cutoff_function = cutoff_function
        self.hypers, self.species = hypers, species
        self.cache = cache

    def _learn(self, batch, index):
        """Tabulate the functions."""
        hypers = self.hypers_
        check_powers(hypers["zetas"])
        functions = self.functions
        if functions is None:
            functions = automatic_set(**hypers, weighted=self.weighted)
        columns, centers = resolve(functions, self.species_, hypers["cutoff"], self.cutoff_function)
        if not columns:
            raise ParameterError(
                f"none of the {len(functions)} functions applies to the species "
                f"{', '.join(SYMBOLS[z] for z in self.species_)}. Raise n_radial or n_angular, or "
                "give functions=... for these species."
            )
        self.radius_ = max(c.cutoff for c in columns)
        self.terms_ = flat_tables(columns, centers, self.species_)
        self.feature_names_ = _names(columns, centers, self.species_)
        self.n_features_out_ = len(columns)

    def _rules(self, preset, scales, given):
        return symmetry_hypers(preset, scales, given)

    def functions_of(self, center: int) -> dict[int, SymmetryFunction]:
        """Return the functions of atoms of a species, by their columns.

        Parameters
        ----------
        center : int
            Atomic number.

        Returns
        -------
        dict of int to SymmetryFunction
            With all that was left open filled in.

        Raises
        ------
        ValueError
            If parameters were changed after the fit.
        """
        functions = self.functions
        if functions is None:
            functions = automatic_set(**self.hypers_, weighted=self.weighted)
        cutoff = self.hypers_["cutoff"]
        columns, centers = resolve(functions, self.species_, cutoff, self.cutoff_function)
        if _names(columns, centers, self.species_) != self.feature_names_:
            raise ParameterError("parameters were changed after the fit; fit again.")
        (k,) = np.flatnonzero(self.species_ == center)
        return {i: columns[i].function(center) for i in np.flatnonzero(centers[:, k]).tolist()}

    def radius(self) -> float:
        """Return how far neighbors matter to the fitted descriptor, in Å."""
        return self.radius_

    def tables(self) -> SymmetryTables:
        """Return what the compiled functions need to know of the fitted descriptor."""
        return nested_tables(self.terms_)

    def _feature_names(self):
        """Return names such as "G2 O eta=0.5 shift=2 rc=6"."""
        return self.feature_names_


def _names(columns, centers, species):
    """Return distinct names of columns, short if short ones are distinct."""
    of = [
        "" if mask.all() else ",".join(SYMBOLS[z] for z in species[mask]) + ": " for mask in centers
    ]
    for digits in (6, 17):
        names = [prefix + c.name(digits) for prefix, c in zip(of, columns, strict=True)]
        if len(set(names)) == len(names):
            break
    return names
