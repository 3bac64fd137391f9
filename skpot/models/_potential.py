"""What all potentials share: labels and baseline before the fit, predictions after it.

A fitted potential is a form, `expansion_`, that gives energies of environments, and a posterior
process, `posterior_`, that says how far these may be off; `skpot.processes.contracts` has both.
"""

from __future__ import annotations

import copy
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._base import VersionedEstimator
from .._sklearn import Interval, StrOptions, _check_sample_weight
from ..data import LABEL_KINDS, StreamedFeatures, Targets, check_targets, targets_of
from ..data.elements import SYMBOLS
from ..exceptions import InputError
from ..metrics import calibrated_deviations
from ..rows.blocks import as_targets
from ..rows.features import as_features, refuse_others
from ..rows.noise import SIGMA, with_noise
from ..rows.streamed_set import LabeledParts, StreamedSet, surveyed
from ..rows.training_set import TrainingSet
from ._baseline import (
    evaluate_term,
    free_energies,
    reference_energies,
    split_term,
    subtract_term,
)

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.data.contracts import FeaturesLike
    from skpot.processes.contracts import FittedForm, PosteriorProcess
    from skpot.typing import FloatArray

_FOR_READING = "label_settings_", "baseline_", "e0_", "n_features_in_", "origin_"


class Potential(VersionedEstimator, RegressorMixin, BaseEstimator):
    """Regressor whose energies are sums over environments.

    A subclass has the parameters below. Its `fit` calls `_prepare` and sets what `expansion_`,
    `posterior_` and `largest_training_std_` are made of.
    """

    if TYPE_CHECKING:

        @property
        def expansion_(self) -> FittedForm:
            """What the fit found."""
            ...

        @property
        def posterior_(self) -> PosteriorProcess:
            """What the labels leave open."""
            ...

    # Of the parameters that all have; a subclass adds its own, and may replace these.
    _parameter_constraints = {
        "sigma_energy": SIGMA,
        "sigma_forces": SIGMA,
        "sigma_stress": SIGMA,
        "e0": [StrOptions({"isolated", "least_squares"}), dict, None],
        "baseline": [str, None],
        "targets": [StrOptions({"auto"}), tuple, list],
        "max_memory": [Interval(Real, 0, None, closed="neither"), None],
        "verbose": ["verbose"],
    }

    _streams = False  # whether features in files stay there in a fit

    def _prepare(self, X, y, sample_weight, reset=True):
        """Check the input of `fit`, set the reference energies; return the `TrainingSet`.

        Without `reset` the estimator is fitted already and the input is more of the same.
        """
        if reset:
            self.baseline_ = self.baseline
        self.label_settings_ = copy.deepcopy(self._label_settings())
        if isinstance(X, StreamedFeatures):
            if self._streams:
                return self._stream(X, y, sample_weight, reset)
            X = X.loaded()
        features, labels = self._read(X, y, sample_weight, reset)
        if reset:
            self.returns_targets_ = isinstance(y, Targets)
            self.e0_, self.e0_source_ = reference_energies(self.e0, features, labels)
            self._begin(features)
        return self._training_set(features, labels)

    def _more(self, X, y, sample_weight):
        """Return labels of a fitted estimator as the `TrainingSet` that its fit would have made."""
        if isinstance(X, StreamedFeatures):
            return self._stream(X, y, sample_weight, reset=False)
        return self._training_set(*self._read(X, y, sample_weight))

    def _stream(self, X, y, sample_weight, reset):
        """Return the `StreamedSet` of structures in files; with `reset`, set what `_prepare` does.

        All structures are gone through once.
        """
        as_features(self, X, reset=reset)
        y_known = targets_of(y, len(X))
        parts = LabeledParts(X, y_known, _weights(sample_weight, X), self._reader()._without_e0)
        labels, told = surveyed(parts)
        features, _ = self._split(X)
        if reset:
            self.returns_targets_ = isinstance(y, Targets)
            self.e0_, self.e0_source_ = reference_energies(self.e0, features, labels)
            self._begin(features)
        self._refuse_unknown(features)
        free = free_energies(self.e0_, features)
        residual = labels.energy - np.add.reduceat(free, features.offsets[:-1])
        parts = parts.reading(self._reader()._of_part)
        return StreamedSet(parts, features, labels, residual, told)

    def _reader(self):
        """Return a copy that can read structures, without what a fit found: tasks get it."""
        reader = copy.copy(self)
        for name in [n for n in vars(self) if n.endswith("_") and n not in _FOR_READING]:
            delattr(reader, name)
        return reader

    def _without_e0(self, X, y, sample_weight):
        """Return some structures as a `TrainingSet` of total energies."""
        features, labels = self._read(X, y, sample_weight, part=True)
        return TrainingSet(features, labels, labels.energy, np.arange(len(features)))

    def _of_part(self, X, y, sample_weight):
        """Return some of the structures of a fit as a `TrainingSet`."""
        return self._training_set(*self._read(X, y, sample_weight, part=True))

    def _read(self, X, y, sample_weight, reset=False, part=False):
        """Return the features to learn from, and labels as the settings of the fit have them.

        With `part`, they are those of some structures of many.
        """
        settings = dict(self.label_settings_)
        y = y.loaded() if isinstance(y, Targets) else y  # from files, if they are in some
        features, y = as_features(self, X, y, reset=reset)
        structures = features.derivatives is not None
        labels = check_targets(
            y,
            features.n_atoms,
            settings.pop("targets"),
            numbers=features.numbers,
            info=features.info,
            # Rows of a table may repeat; structures that do are worth a warning.
            keys=features.info.keys if structures else None,
            part=part,
        )
        weight = _weights(sample_weight, features)
        features, term = self._split(features)
        if term is not None:
            labels = subtract_term(labels, term)
        return features, with_noise(labels, weight, **settings)

    def _training_set(self, features, labels):
        self._refuse_unknown(features)
        free = free_energies(self.e0_, features)
        residual = labels.energy - np.add.reduceat(free, features.offsets[:-1])
        return TrainingSet(features, labels, residual, np.arange(len(features)))

    def _begin(self, features):
        """Set what a fit needs to know of the features."""

    def _label_settings(self):
        """Return which labels count, and the noise levels of those that y says nothing of."""
        return {"targets": self.targets} | self._noise()

    def _noise(self):
        return {f"sigma_{kind}": getattr(self, f"sigma_{kind}") for kind in LABEL_KINDS}

    def noise_levels(self) -> dict[str, float]:
        """Return the noise of labels that bring none of their own, by kind of label.

        They are in eV per atom, eV/Å and eV/Å³: those of the fit, or what the parameters say. Of
        levels by group it is the default, or the median if there is none.
        """
        scale = getattr(self, "noise_scale_", {})
        scale = scale if isinstance(scale, dict) else {}  # linear models have one for variances
        levels = {}
        for kind, level in self._noise().items():
            if isinstance(level, dict):
                level = level.get("default", float(np.median(list(level.values()))))
            kind = kind.removeprefix("sigma_")
            levels[kind] = float(level) * scale.get(kind, 1.0)
        return levels

    def _parameters(self, kind: Any) -> Any:
        """Return a part, a NamedTuple, from the parameters that its fields name.

        Fields with a default are no parameters.
        """
        own = (name for name in kind._fields if name not in kind._field_defaults)
        return kind(*(getattr(self, name) for name in own))

    def _keep(self, part: Any) -> None:
        """Set a fitted attribute for each field of a part, a NamedTuple."""
        for name, value in part._asdict().items():
            setattr(self, f"{name}_", value)

    def _kept(self, kind: Any) -> Any:
        """Return a part from the attributes that `_keep` has set."""
        return kind(*(getattr(self, f"{name}_") for name in kind._fields))

    def _split(self, features):
        """Return checked features to learn from, and those of the baseline or None."""
        refuse_others(self, features)
        return (features, None) if self.baseline_ is None else split_term(features, self.baseline_)

    def predict(self, X: FeaturesLike, return_std: bool | str = False) -> Any:
        """Predict energies, or energies with forces and stress.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features.
        return_std : bool or "all", default=False
            Also return standard deviations: True those of the total energies, "all" those of
            everything that is predicted, which take longer (see `predict_std`).

        Returns
        -------
        y : Targets, or ndarray of shape (n_samples,)
            The kind of y that `fit` saw: an array of energies gives energies, `Targets` give
            energies, forces and (where a cell has a volume) stress.
        std : ndarray of shape (n_samples,), or Targets
            Only with `return_std`; of the model, without label noise. An array in eV for True, of
            the kind of y for "all".
        """
        check_return_std(return_std)
        check_is_fitted(self)
        features, _ = as_features(self, X)
        if isinstance(features, StreamedFeatures) and return_std:
            parts = [self.predict(part, return_std) for part in features.in_order()]
            return tuple(np.concatenate(both) for both in zip(*parts, strict=True))
        y = self._predicted(features)
        if not return_std:
            return y
        if return_std == "all" and self.returns_targets_:
            return y, self.predict_std(features)
        return y, self.energy_std(features)

    def _predicted(self, features):
        """Return predictions of the kind of y that `fit` saw."""
        if isinstance(features, StreamedFeatures):
            return np.concatenate([self._predicted(part) for part in features.in_order()])
        if self.returns_targets_ and features.derivatives is not None:
            atoms, forces, virials = self.evaluate(features)
            energy = np.add.reduceat(atoms, features.offsets[:-1])
            return as_targets(energy, features, forces, virials)
        features, term = self._split(features)
        atoms, _ = self._environments(features, slopes=False)
        if term is not None:
            atoms += term.values.sum(axis=1)
        y = np.add.reduceat(atoms, features.offsets[:-1])
        return Targets(y) if self.returns_targets_ else y

    def evaluate(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return energies of environments, forces and virials.

        Parameters
        ----------
        features : AtomicFeatures
            Features with derivatives.

        Returns
        -------
        energies : ndarray of shape (n_environments,)
            In eV, the free atoms' included; a structure's energy is their sum.
        forces : ndarray of shape (n_atoms, 3)
            In eV/Å.
        virials : ndarray of shape (n_structures, 6)
            -dE/d(strain) in eV, Voigt order xx yy zz yz xz xy.
        """
        check_is_fitted(self)
        features, term = self._split(features)
        energies, g = self._environments(features, slopes=True)
        forces, virials = features.pull_back(g)
        if term is not None:
            more, more_forces, more_virials = evaluate_term(term)
            return energies + more, forces + more_forces, virials + more_virials
        return energies, forces, virials

    def decompose(self, features: AtomicFeatures) -> dict[str, FloatArray]:
        """Return what each term of the model contributes to the energy of each environment.

        Parameters
        ----------
        features : AtomicFeatures
            Features.

        Returns
        -------
        dict of str to ndarray of shape (n_environments,)
            In eV: "free_atoms", the baseline under its name if there is one, and the summands of
            the kernel by the names of their parameters, such as "kernel__k1"; "kernel" if it is no
            sum, "features" if the model has none. They add up to the energies of `evaluate`.
        """
        check_is_fitted(self)
        features, term = self._split(features)
        self._refuse_unknown(features)
        parts = {"free_atoms": free_energies(self.e0_, features)}
        if term is not None:
            parts[self.baseline_] = term.values.sum(axis=1)
        terms = self.expansion_.terms().items()
        return parts | {name: form.expand(features, slopes=False)[0] for name, form in terms}

    def _environments(self, features, slopes):
        """Return each environment's energy and, with `slopes`, dE/d(features)."""
        self._refuse_unknown(features)
        energies, g = self.expansion_.expand(features, slopes)
        return energies + free_energies(self.e0_, features), g

    def energy_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the standard deviation of total energies, shape (n_structures,), in eV.

        This and other deviations are calibrated if the fit has found factors (`calibration_`).
        """
        std = _root(self.posterior_.energies(self.learned_features(features)))
        return calibrated_deviations(std, *self._factors())

    def energies_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the standard deviations of environments' energies (n_environments,), in eV.

        There are no labels of them. Where deviations are calibrated, they have the factor of total
        energies, without the noise.
        """
        known, _ = self._factors()
        factor = known.get("energy", known.get("forces", np.ones(2)))[0]
        return factor * _root(self.posterior_.environments(self.learned_features(features)))

    def predict_std(self, features: AtomicFeatures) -> Targets:
        """Return the standard deviations of energies, forces and stress.

        They have the shapes of predictions, in eV, eV/Å and eV/Å³, without the noise of labels.
        Features without derivatives have energies alone. Deviations of forces and stress take
        about as long as their rows in a fit.
        """
        energy = self.energy_std(features)
        if features.derivatives is None:
            return Targets(energy)
        forces, virials = self.posterior_.derivatives(self.learned_features(features))
        std = as_targets(energy, features, _root(forces), -_root(virials))
        calibration, species_factors = self._factors()
        others = {kind: known for kind, known in calibration.items() if kind != "energy"}
        numbers = np.split(features.numbers, features.atom_offsets[1:-1])
        return calibrated_deviations(std, others, species_factors, numbers) if others else std

    def _factors(self):
        """Return `calibration_` and `species_factors_` of a fit that calibrates, else nothing."""
        return getattr(self, "calibration_", {}), getattr(self, "species_factors_", {})

    def extrapolation_grade(self, features: AtomicFeatures) -> FloatArray:
        r"""Return how far environments are from those of the training set.

        The standard deviation of an environment's energy over that at the edge of the training set,
        where each training environment counts as if its own energy had been a label, of noise
        :math:`\sigma_e` = 1 meV; totals and forces, which are the labels in truth, leave open how
        energies are split among atoms. With the whitened rows w of covariances with references

        .. math:: s^2(x) = k(x, x) - |w(x)|^2 + |R^{-T} w(x)|^2, \qquad
                  R^T R = 1 + \sum_i w_i w_i^T / \sigma_e^2

        and the sum over training environments. The edge, for each species, is the largest among the
        training environments, but at least what 99 % of them do not exceed when they are left out.
        So the grade is at most 1 on the training set, and above 1 where the model extrapolates. It
        ranks environments by D-optimality, as the grade of linear potentials does; `LinearRidge`
        takes the deviations that its own labels leave.

        Parameters
        ----------
        features : AtomicFeatures
            The environments to judge.

        Returns
        -------
        ndarray of shape (n_environments,)
            Without unit.

        Notes
        -----
        Fits to few labels look at some of the environments only, to stay as fast as they are: at
        200 of each species, or one for three labels if those are more.

        References
        ----------
        E. V. Podryapinkin, A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017); Y. Lysogorskiy
        et al., Phys. Rev. Mater. 7, 043801 (2023), for linear models; C. E. Rasmussen, C. K. I.
        Williams, Gaussian Processes for Machine Learning (2006), sec. 2.1, for leverage as
        variance.
        """
        std = _root(self.domain_.environments(self.learned_features(features)))
        # Of a species that e0 knows but no training structure has, everything is unknown.
        by_species = self.largest_training_std_
        largest = np.array([by_species.get(int(z), 0.0) for z in features.centers])
        return np.divide(std, largest, out=np.full(len(std), np.inf), where=largest > 0)

    @property
    def domain_(self) -> PosteriorProcess:
        """The process whose deviations are those of the grade."""
        return self.posterior_

    def learned_features(self, features: AtomicFeatures) -> AtomicFeatures:
        """Return the features that the model learned from, without those of the baseline."""
        check_is_fitted(self)
        features, _ = self._split(features)
        self._refuse_unknown(features)
        return features

    def _refuse_unknown(self, features):
        known = np.isin(features.numbers, list(self.e0_))
        if not known.all():
            unknown = np.unique(features.numbers[~known])
            raise InputError(
                f"species {', '.join(SYMBOLS[z] for z in unknown)} did not occur in fit; this "
                f"model knows {', '.join(SYMBOLS[z] for z in sorted(self.e0_))}."
            )


def _weights(sample_weight, features):
    """Return the weight of each structure, shape (n_structures,)."""
    try:
        return _check_sample_weight(
            sample_weight, features, dtype=np.float64, ensure_non_negative=True
        )
    except ValueError as error:
        raise InputError(f"sample_weight cannot be used: {error}") from None


def check_return_std(return_std: bool | str) -> None:
    """Raise `ValueError` unless `return_std` is one of its values."""
    if not (isinstance(return_std, bool) or return_std == "all"):
        raise InputError(f'return_std must be True, False or "all", got {return_std!r}')


def _root(variance):
    return np.sqrt(np.maximum(variance, 0.0))
