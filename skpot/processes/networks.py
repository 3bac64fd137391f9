"""Energies of environments by neural networks, as a fit found them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .network_layers import Layers

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.processes.network_inputs import Components
    from skpot.typing import FloatArray


class Networks(NamedTuple):
    r"""Energies of environments, the mean of networks of their species on features themselves.

    .. math:: \epsilon(x) = \frac{1}{M} \sum_m \Big[ b_m \cdot (x - o_z) + c_m
        + w_m \cdot h^{(m)}_L(x - o_z) \Big]

    Networks see principal components of the features; these are part of the first layer and of b.
    """

    silu: bool  # the activation x / (1 + exp(-x)), else tanh
    species: np.ndarray  # (n_species,) atomic numbers, ascending; 0 for whole structures
    centers: np.ndarray  # (n_species, n_features) o
    coefs: list[Any]  # (n_species, n_members, n_in, n_out) for each layer, the last with one output
    intercepts: list[Any]  # (n_species, n_members, n_out) likewise
    linear: np.ndarray  # (n_species, n_members, n_features) b

    @classmethod
    def of_weights(
        cls, layers: Layers, components: Components, flats: FloatArray, unit: float
    ) -> Networks:
        """Return networks on features from the weights of networks on components.

        Parameters
        ----------
        layers : Layers
            The shape of each.
        components : Components
            What they see.
        flats : ndarray of shape (n_members, n_species * n_weights)
            Their weights.
        unit : float
            Unit of their energies, in eV.
        """
        n_species = len(components.species)
        parts = [[layers.views(w) for w in np.split(flat, n_species)] for flat in flats]

        def stacked(take):
            return np.array([[take(parts[m][k], k) for m in range(len(flats))]
                             for k in range(n_species)], dtype=float)  # fmt: skip

        first, n_layers = components.matrices, len(layers.sizes) - 1
        coefs = [
            stacked(lambda w, k, i=i: first[k] @ w.layers[0].T if i == 0 else w.layers[i].T)
            for i in range(n_layers)
        ]
        intercepts = [stacked(lambda w, k, i=i: w.offsets[i]) for i in range(n_layers)]
        return cls(
            layers.silu,
            components.species,
            components.centers,
            [*coefs, stacked(lambda w, k: unit * w.last[:, None])],
            [*intercepts, stacked(lambda w, k: unit * w.constant)],
            stacked(lambda w, k: unit * (first[k] @ w.linear)),
        )

    def weights(self, components: Components, unit: float) -> FloatArray:
        """Return the weights that `of_weights` takes, shape (n_members, n_species * n_weights)."""
        # The columns of a matrix are orthogonal directions times factors, or zero.
        squares = np.sum(components.matrices**2, axis=1)
        inverse = np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0.0)
        back = (components.matrices * inverse[:, None]).swapaxes(1, 2)
        flats = []
        for m in range(self.n_members):
            parts = []
            for k in range(len(self.species)):
                layers = [c[k, m].T for c in self.coefs[:-1]]
                layers[0] = layers[0] @ back[k].T
                offsets = [c[k, m] for c in self.intercepts[:-1]]
                last, constant = self.coefs[-1][k, m] / unit, self.intercepts[-1][k, m] / unit
                linear = back[k] @ self.linear[k, m] / unit
                parts += [part.ravel() for part in (*layers, *offsets, last, constant, linear)]
            flats.append(np.concatenate(parts))
        return np.array(flats)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.centers.shape[1]

    @property
    def n_members(self) -> int:
        """Number of networks of each species."""
        return self.linear.shape[1]

    def layers(self) -> Layers:
        """Return the shape of one network on the features themselves."""
        sizes = self.n_features, *(coef.shape[3] for coef in self.coefs[:-1])
        return Layers(tuple(map(int, sizes)), bool(self.silu))

    def take(self, members: list[int]) -> Networks:
        """Return some of the members."""
        return self._replace(
            coefs=[coef[:, members] for coef in self.coefs],
            intercepts=[offset[:, members] for offset in self.intercepts],
            linear=self.linear[:, members],
        )

    def terms(self) -> dict[str, Networks]:
        """Return the linear and the other part."""
        zeros = self._replace(
            coefs=[*self.coefs[:-1], np.zeros_like(self.coefs[-1])],
            intercepts=[*self.intercepts[:-1], np.zeros_like(self.intercepts[-1])],
        )
        return {
            "linear": zeros,
            "network": self._replace(linear=np.zeros_like(self.linear)),
        }

    def expand(
        self, features: AtomicFeatures, slopes: bool = True
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return energies of environments and, with `slopes`, dE/d(features); see `FittedForm`."""
        energies, gradient = self.expand_member(0, features, slopes)
        for m in range(1, self.n_members):
            own, g = self.expand_member(m, features, slopes)
            energies += own
            if slopes:
                gradient += g
        return energies / self.n_members, gradient / self.n_members if slopes else None

    def expand_member(
        self, m: int, features: AtomicFeatures, slopes: bool = True
    ) -> tuple[FloatArray, Any]:
        """Return the same of one member."""
        energies = np.zeros(len(features.values))
        gradient = np.zeros(features.values.shape) if slopes else None
        layers = self.layers()
        for k, z in enumerate(self.species):
            members = np.flatnonzero(features.species == z)
            x = np.asarray(features.values[members], dtype=float) - self.centers[k]
            energies[members], g, _ = layers.forward(self._flat(k, m), x)
            if gradient is not None:
                gradient[members] = g
        return energies, gradient

    def _flat(self, k, m):
        """Return the weights of a network on the features themselves."""
        parts = [coef[k, m].T for coef in self.coefs[:-1]]
        parts += [offset[k, m] for offset in self.intercepts[:-1]]
        parts += [self.coefs[-1][k, m], self.intercepts[-1][k, m], self.linear[k, m]]
        return np.concatenate([part.ravel() for part in parts])
