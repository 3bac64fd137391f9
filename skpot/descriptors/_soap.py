"""The SOAP power spectrum as a transformer."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._base import ContainerOutput, VersionedEstimator
from .._sklearn import Interval, _fit_context
from ..core import soap
from ..core.harmonics import legendre_coefficients
from ..core.pairs import count_entries, scatter
from ..core.radial import gto_density_table
from ..data import AtomicFeatures, JacobianBlock, NeighborGraph, StructureBatch, as_batch
from ..data._elements import SYMBOLS, atomic_number
from ..data._graph import rows_of
from ._cache import descriptor_cache, structure_key


class SoapDerivatives:
    """Leaf of the derivative chain of `SOAP`; see `skpot.data._derivatives`."""

    def __init__(self, graph, species, tables):
        self.graph = graph
        self.species = species
        self.tables = tables

    def pull_back(self, g):
        """Return forces and virials from g = dE/d(features)."""
        pairs = self.graph.pairs
        gradient = np.empty((len(pairs.neighbor), 3))
        soap.pull_back(pairs, self.species, self.tables, np.ascontiguousarray(g), gradient)
        forces = np.zeros((self.graph.n_atoms, 3))
        virials = np.zeros((len(self.graph), 6))
        scatter(pairs, self.graph.atom_structure(), gradient, forces, virials)
        return forces, virials

    def jacobian(self, centres):
        """Return the dense `JacobianBlock` of some centres."""
        pairs = self.graph.pairs
        marker = np.empty(self.graph.n_atoms, dtype=np.int64)
        start = count_entries(centres, pairs, marker)
        n_features = _n_features(self.tables)
        atom = np.empty(start[-1], dtype=np.int64)
        values = np.empty((start[-1], 3, n_features))
        strain = np.empty((len(centres), 6, n_features))
        soap.jacobian(centres, pairs, self.species, self.tables, start, atom, values, strain)
        return JacobianBlock(start, atom, values, strain)

    def take(self, structures):
        """Return the leaf of some structures."""
        graph = self.graph.take(structures)
        rows, _ = rows_of(structures, self.graph.offsets)
        return SoapDerivatives(graph, self.species[rows], self.tables)

    @staticmethod
    def concatenate(chains):
        """Return the leaf of several batches."""
        return SoapDerivatives(
            NeighborGraph.concatenate([c.graph for c in chains]),
            np.concatenate([c.species for c in chains]),
            chains[0].tables,
        )

    def neighborhood_sizes(self):
        """Return how many neighbours, images apart, each environment has, and itself."""
        return 1 + np.diff(self.graph.pairs.start)


class SOAP(ContainerOutput, VersionedEstimator, BaseEstimator):
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags

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
        seen = np.unique(batch.numbers)
        if self.species is None:
            self.species_ = seen
        else:
            self.species_ = np.unique([atomic_number(s) for s in self.species])
        self.radial_table_, self.spacing_, self.centre_ = gto_density_table(
            self.n_max,
            self.l_max,
            float(self.cutoff),
            float(self.sigma),
            None if self.radial_scaling is None else tuple(self.radial_scaling),
        )
        self.n_features_out_ = _n_features(self._tables())
        self._species_index(batch)  # refuses what `species` leaves out
        return self

    def transform(self, X):
        """Compute the descriptor of every atom.

        Parameters
        ----------
        X : list of ase.Atoms, or StructureBatch
            Structures.

        Returns
        -------
        features : AtomicFeatures
            With `n_features_out_` columns and analytic derivatives.

        Raises
        ------
        ValueError
            If a species was not seen in `fit`, or atoms coincide.
        """
        check_is_fitted(self, "radial_table_")
        if not self.cache or isinstance(X, StructureBatch):
            return self._compute(as_batch(X))
        return self._compute_cached(as_batch(X))

    def _compute(self, batch):
        species = self._species_index(batch)
        graph = batch.neighbors(float(self.cutoff))
        tables = self._tables()
        values = np.empty((len(batch.numbers), self.n_features_out_))
        soap.power_spectrum(graph.pairs, species, tables, values)
        chain = SoapDerivatives(graph, species, tables)
        return AtomicFeatures(
            values, batch.offsets, batch.numbers, chain, batch.volumes(), {"soap": slice(None)}
        )

    def _compute_cached(self, batch):
        hyper = repr(
            [(k, v) for k, v in sorted(self.get_params().items()) if k != "cache"]
            + [self.species_.tolist()]
        ).encode()
        keys = [structure_key(hyper, batch, s) for s in range(len(batch))]
        parts = [descriptor_cache.get(key) for key in keys]
        missing = [s for s, part in enumerate(parts) if part is None]
        if len(missing) == len(batch):
            features = self._compute(batch)
            computed = [features[s] for s in missing]
        else:
            computed = [self._compute(batch.take([s])) for s in missing]
        for s, part in zip(missing, computed, strict=True):
            pairs = part.derivatives.graph.pairs
            size = part.values.nbytes + sum(a.nbytes for a in pairs) + 500
            descriptor_cache.put(keys[s], part, size)
            parts[s] = part
        return features if len(missing) == len(batch) else AtomicFeatures.vstack(parts)

    def _species_index(self, batch):
        """Return each atom's index in `species_`; refuse unknown ones."""
        index = np.searchsorted(self.species_, batch.numbers)
        known = self.species_[np.minimum(index, len(self.species_) - 1)] == batch.numbers
        if not known.all():
            bad = np.flatnonzero(~known)
            structures = np.unique(np.searchsorted(batch.offsets, bad, side="right") - 1)
            names = [SYMBOLS[z] for z in np.unique(batch.numbers[bad])]
            raise ValueError(
                f"species {', '.join(names)} in structures {structures[:10].tolist()}"
                f"{' ...' if len(structures) > 10 else ''} but this SOAP knows only "
                f"{', '.join(SYMBOLS[z] for z in self.species_)}. Fit on data that has them, or "
                "name them in SOAP(species=...)."
            )
        return index.astype(np.int64)

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


def _n_features(tables):
    channels = tables.n_species * tables.n_max
    return (tables.l_max + 1) * channels * (channels + 1) // 2
