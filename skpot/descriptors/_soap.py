"""The SOAP power spectrum as a transformer."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._sklearn import Interval, _fit_context
from ..core import soap
from ..core.harmonics import legendre_coefficients
from ..core.radial import gto_density_table
from ..data import as_batch
from ..data._elements import SYMBOLS
from ._base import PairDerivatives, PairDescriptor


class SoapDerivatives(PairDerivatives):
    """Leaf of the derivative chain of `SOAP`."""

    kernels = soap


class SOAP(PairDescriptor):
    r"""Smooth overlap of atomic positions: power spectrum of the smeared neighbour density.

    Every neighbour within the cutoff is a Gaussian of width sigma. The density of each species
    around each atom is expanded in radial functions and spherical harmonics, and the power spectrum
    of the coefficients is invariant under rotation, translation and exchange of like atoms:

    .. math::

        c_{nlm}^a = \sum_{j \in a} f_c(r_{ij}) R_{nl}(r_{ij}) Y_{lm}(\hat r_{ij}), \qquad
        p_{(an)(bn')l} = \frac{1}{\sqrt{2l+1}} \sum_m c_{nlm}^a c_{n'lm}^b

    Forces and stress come from the analytic derivatives of the same spline that gives the values.

    Parameters
    ----------
    cutoff : float, default=5.0
        Radius of the environment in Å.
    n_max : int, default=8
        Number of radial functions (Gaussian-type orbitals, see `skpot.core.radial.gto_basis`).
    l_max : int, default=6
        Highest degree of the spherical harmonics.
    sigma : float, default=0.5
        Width of the Gaussians in Å; 0.3 suits systems with hydrogen.
    cutoff_width : float, default=0.5
        Width in Å of the cosine that takes a neighbour to zero at the cutoff.
    radial_scaling : tuple of (float, float) or None, default=None
        r0 (Å) and exponent m of the weight 1/(1 + (r/r0)^m) that plays down far neighbours.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers of all species that may occur. By default those seen
        in `fit`.
    normalize : bool, default=True
        Scale each atom's power spectrum to unit length.
    cache : bool, default=True
        Look up structures in `skpot.descriptors.descriptor_cache` (at most 256 MB a process).

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    n_features_out_ : int
        (l_max + 1) K (K + 1) / 2 with K = n_species n_max.

    References
    ----------
    A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 87, 184115 (2013).
    F. Musil et al., J. Chem. Phys. 154, 114109 (2021), for the radial basis.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from skpot import SOAP
    >>> SOAP(n_max=4, l_max=3).fit_transform([bulk("Si"), bulk("Si", cubic=True)])
    AtomicFeatures(2 structures, 10 environments, 40 features, with derivatives)
    """

    _derivatives = SoapDerivatives
    _block = "soap"

    _parameter_constraints = {
        "cutoff": [Interval(Real, 0, None, closed="neither")],
        "n_max": [Interval(Integral, 1, None, closed="left")],
        "l_max": [Interval(Integral, 0, 15, closed="both")],
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "cutoff_width": [Interval(Real, 0, None, closed="neither")],
        "radial_scaling": [tuple, list, None],
        "species": ["array-like", None],
        "normalize": ["boolean"],
        "cache": ["boolean"],
    }

    def __init__(
        self,
        cutoff=5.0,
        n_max=8,
        l_max=6,
        sigma=0.5,
        *,
        cutoff_width=0.5,
        radial_scaling=None,
        species=None,
        normalize=True,
        cache=True,
    ):
        self.cutoff = cutoff
        self.n_max = n_max
        self.l_max = l_max
        self.sigma = sigma
        self.cutoff_width = cutoff_width
        self.radial_scaling = radial_scaling
        self.species = species
        self.normalize = normalize
        self.cache = cache

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Note the species and tabulate the radial functions.

        Parameters
        ----------
        X : list of ase.Atoms
            Structures.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self : SOAP
        """
        batch = as_batch(X)
        if self.cutoff_width > self.cutoff:
            raise ValueError(
                f"cutoff_width={self.cutoff_width} Å exceeds cutoff={self.cutoff} Å; "
                "use at most the cutoff itself."
            )
        self.species_ = self._find_species(batch)
        self.radial_table_, self.spacing_, self.centre_ = gto_density_table(
            self.n_max,
            self.l_max,
            float(self.cutoff),
            float(self.sigma),
            None if self.radial_scaling is None else tuple(self.radial_scaling),
        )
        self.n_features_out_ = soap.n_features(self._tables())
        self._species_index(batch)  # refuses what `species` leaves out
        return self

    def _tables(self):
        n = len(self.species_)
        return soap.SoapTables(
            self.radial_table_[None],
            np.zeros((n, n), dtype=np.int64),
            self.spacing_,
            float(self.cutoff),
            float(self.cutoff_width),
            self.centre_,
            legendre_coefficients(self.l_max),
            int(self.n_max),
            int(self.l_max),
            n,
            bool(self.normalize),
        )

    def _values(self, pairs, species, tables, values):
        soap.power_spectrum(pairs, species, tables, values)

    def get_feature_names_out(self, input_features=None):
        """Return names such as "Si0 Si3 l2".

        Parameters
        ----------
        input_features : ignored
            For the scikit-learn interface.
        """
        check_is_fitted(self, "radial_table_")
        channels = [f"{SYMBOLS[z]}{n}" for z in self.species_ for n in range(self.n_max)]
        return np.array(
            [
                f"{a} {b} l{l}"
                for l in range(self.l_max + 1)
                for k, a in enumerate(channels)
                for b in channels[k:]
            ],
            dtype=object,
        )
