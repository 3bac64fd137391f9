"""The fit of `AtomicMLP`: what networks see, where they start, how they learn, what is kept."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.order import keyed_uniform, species_blocks
from ..exceptions import InputError, NumericalWarning, warn_once
from ..kernels import RBF
from ..solvers import serial_blas
from .domain import domain_edge, domain_factor, domain_of
from .gradient_references import references_with
from .member_spread import errors_of_members
from .network_epochs import MOST_EPOCHS, chosen_epochs, left_out
from .network_inputs import Components, network_inputs
from .network_layers import Layers
from .network_loss import LossLabels, NetworkLoss
from .network_members import Lesson, Patience, train_members
from .network_start import linear_start
from .network_training import Schedule, started
from .networks import Networks
from .variance import SparseProcess

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.processes.network_training import Trained
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import IntArray

_DOMAIN_REFERENCES = 1000  # most of those by which the domain is known
_TOGETHER = 4096  # environments whose distances from the mean are added up together
_JITTER = 1e-10  # relative, of their covariance
_CALIBRATION_EPOCHS = 100  # fewest of the networks by which deviations are calibrated
_BATCHES = 250  # most batches of an epoch, where batch_size is "auto"
_FEWEST = 8  # structures of a batch, likewise
_FEWEST_ATOMS = 128  # atoms of a batch on average, likewise; fewer do not fill matrix products


class NetworkSettings(NamedTuple):
    """Parameters of the estimator, under their names."""

    hidden_layer_sizes: Any
    activation: str
    n_members: int
    n_components: int
    whitening: float
    alpha: float
    batch_size: int | str
    learning_rate_init: float
    max_iter: int | str
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    max_memory: float | None
    calibrate: bool
    n_jobs: int | None
    verbose: int
    falls: bool = True  # whether the learning rate falls; not a parameter

    def layers(self, n_inputs: int) -> Layers:
        """Return the shape of the networks."""
        sizes = self.hidden_layer_sizes
        sizes = tuple(sizes) if np.iterable(sizes) else (sizes,)
        return Layers((n_inputs, *map(int, sizes)), self.activation == "silu")


class NetworkState(NamedTuple):
    """What was fitted; the names are those of attributes."""

    silu: bool  # the activation, else tanh
    species: np.ndarray  # (n_species,)
    centers: np.ndarray  # (n_species, n_features)
    components: np.ndarray  # (n_species, n_features, n_components)
    unit: float  # eV
    coefs: list[Any]
    intercepts: list[Any]
    linear_coefs: np.ndarray  # (n_species, n_members, n_features)

    @property
    def maps(self) -> Components:
        """What networks see."""
        return Components(self.species, self.centers, self.components)

    @property
    def networks(self) -> Networks:
        """The energies."""
        parts = self.centers, self.coefs, self.intercepts, self.linear_coefs
        return Networks(self.silu, self.species, *parts)


class Training(NamedTuple):
    """How training went; the names are those of attributes."""

    loss_curve: list[float]  # one for each epoch, mean over the members
    validation_scores: list[float] | None  # likewise
    n_iter: int


class NetworkDomain(NamedTuple):
    """What is known of the training environments; the names are those of attributes."""

    domain_length: float
    domain_reference_features: np.ndarray  # (n_domain, n_features)
    domain_reference_species: np.ndarray  # (n_domain,)
    domain_covariance_factor: np.ndarray  # (n_domain, n_domain) lower triangle
    domain_factor: np.ndarray  # (n_domain, n_domain) upper triangle
    largest_training_std: dict[int, float]

    @property
    def process(self) -> SparseProcess:
        """The process of which grades are deviations."""
        references = references_with(
            self.domain_reference_features,
            self.domain_reference_species,
            RBF(self.domain_length),
            None,
            None,
        )
        return SparseProcess(references, self.domain_covariance_factor, self.domain_factor)

    @classmethod
    def of(cls, features: AtomicFeatures, maps: Components, seed: int) -> NetworkDomain:
        """Return the domain of training environments.

        Environments are compared by a Gaussian kernel, whose length is their root mean square
        distance from the mean of their species.
        """
        squares = [
            np.sum((values - maps.centers[np.searchsorted(maps.species, z)]) ** 2)
            for z, _, values in species_blocks(features, _TOGETHER)
        ]
        length = float(np.sqrt(fsum(squares) / features.offsets[-1])) or 1.0
        process = domain_of(features, RBF(length), _DOMAIN_REFERENCES, seed, _JITTER)
        references = process.references
        edge = domain_edge(process, features, _JITTER, int(features.offsets[-1]))
        return cls(
            length,
            references.values,
            references.species,
            process.covariance_factor,
            process.posterior_factor,
            edge,
        )

    def extended(self, features: AtomicFeatures) -> NetworkDomain:
        """Return the domain that has further training environments."""
        old = self.process
        factor = domain_factor(old.references, old.covariance_factor, features, self.domain_factor)
        new = self._replace(domain_factor=factor)
        edge = domain_edge(new.process, features, _JITTER, int(features.offsets[-1]))
        known = self.largest_training_std
        largest = {z: max(edge.get(z, 0.0), known.get(z, 0.0)) for z in edge | known}
        return new._replace(largest_training_std=largest)


def fit_networks(
    training: TrainingSet,
    settings: NetworkSettings,
    unit: float,
    seed: int,
    before: NetworkState | None = None,
) -> tuple[NetworkState, Training, dict[str, Any]]:
    """Return trained networks, and errors and deviations of structures that they do not know.

    Parameters
    ----------
    training : TrainingSet
        What they learn from.
    settings : NetworkSettings
        Their shape and how they learn.
    unit : float
        Size of the labels in eV.
    seed : int
        Of all random numbers.
    before : NetworkState, optional
        Networks to start from; what they see and their unit stay.
    """
    if before is None:
        maps = Components.of(training.features, settings.n_components, settings.whitening, seed)
    else:
        maps, unit = before.maps, before.unit
        _refuse_new_species(training.features, maps)
    inputs = network_inputs(maps, training, settings.max_memory)
    layers = settings.layers(inputs.rows.shape[1])
    labels = LossLabels.of(training, inputs.order, unit)
    loss = NetworkLoss(layers, inputs, labels, len(maps.species))
    lesson = _lesson(loss, settings, training, seed)
    with serial_blas():  # so that no sum depends on the number of threads
        return _learned(training, lesson, maps, settings, seed, before)


def _learned(training, lesson, maps, settings, seed, before):
    """Return what `fit_networks` does, for a lesson."""
    loss = lesson.loss
    layers, unit = loss.layers, loss.labels.unit
    draws = [np.random.RandomState([seed, m]) for m in range(settings.n_members)]
    linear = linear_start(loss, lesson.structures)
    if settings.max_iter == "auto" and lesson.held_out is None:
        n_epochs = chosen_epochs(training, lesson, linear, seed, settings.verbose)
        lesson = lesson._replace(schedule=lesson.schedule._replace(n_epochs=n_epochs))
    if before is None:
        starts = [started(layers, linear, rng) for rng in draws]
    else:
        starts = _starts(before, settings, layers)
    found, stopped = train_members(lesson, starts, draws, settings.n_jobs, settings.verbose)
    if stopped:
        done = sum(member.complete for member in found)
        _warn(
            f"training was interrupted when {done} of {len(starts)} networks were complete; the "
            f"model keeps {len(found)} as far as they have come. A fit with warm_start=True goes "
            "on from there, and calibrates deviations."
        )
    networks = Networks.of_weights(
        layers, maps, np.array([member.flat for member in found], dtype=float), unit
    )
    state = NetworkState(
        layers.silu,
        maps.species,
        maps.centers,
        maps.matrices,
        unit,
        networks.coefs,
        networks.intercepts,
        networks.linear,
    )
    errors: dict[str, Any] = {}
    if settings.calibrate and settings.n_members > 1 and not stopped:
        errors = _errors_left_out(training, lesson, maps, linear, settings, seed)
    return state, _report(found), errors


def _errors_left_out(training, lesson, maps, linear, settings, seed):
    """Return errors and deviations of structures that as many networks have not learned from.

    These learn for a quarter of the epochs, or for 100 if these are more: their errors are larger,
    and so is their spread. After fewer epochs it would be too small beside errors.
    """
    loss = lesson.loss
    known, others = left_out(training, lesson, seed)
    if not len(known):
        return {}
    n_epochs = lesson.schedule.n_epochs
    n_epochs = min(n_epochs, max(_CALIBRATION_EPOCHS, -(-n_epochs // 4)))
    schedule = lesson.schedule._replace(n_epochs=n_epochs)
    draws = [np.random.RandomState([seed, m, 1]) for m in range(settings.n_members)]
    starts = [started(loss.layers, linear, rng) for rng in draws]
    found, stopped = train_members(
        Lesson(loss, known, schedule), starts, draws, settings.n_jobs, settings.verbose
    )
    if stopped:
        _warn("calibration was interrupted, so that standard deviations are not calibrated.")
        return {}
    flats = np.array([member.flat for member in found], dtype=float)
    networks = Networks.of_weights(loss.layers, maps, flats, loss.labels.unit)
    return errors_of_members(networks, training.part(loss.inputs.order[others]))


def _warn(text):
    warn_once(text, text, NumericalWarning)


def _starts(before, settings, layers):
    """Return the weights of the last fit, if networks still have the same shape."""
    networks = before.networks
    known = networks.layers()
    same = known.sizes[1:] == layers.sizes[1:] and known.silu == layers.silu
    if not same or networks.n_members != settings.n_members:
        raise InputError(
            f"the last fit had {networks.n_members} networks of {known.sizes[1:]} units: training "
            "goes on with the same hidden_layer_sizes, activation and n_members only. Use "
            "warm_start=False for others."
        )
    return list(networks.weights(before.maps, before.unit))


def _lesson(loss, settings, training, seed):
    """Return what networks learn from, and how."""
    n = len(training)
    everything = np.arange(n)
    held_out = patience = None
    if settings.early_stopping:
        count = int(np.ceil(settings.validation_fraction * n))
        if count >= n:
            raise InputError(
                f"early_stopping holds out {count} of {n} structures, which leaves none to learn "
                "from; use a smaller validation_fraction."
            )
        keys = training.features.info.keys[loss.inputs.order]
        held_out = np.sort(np.argsort(keyed_uniform(keys, seed), kind="stable")[:count])
        everything = np.setdiff1d(everything, held_out)
        patience = Patience(settings.tol, settings.n_iter_no_change)
    size = settings.batch_size
    if size == "auto":
        per_structure = len(training.features.numbers) / n
        fewest = max(_FEWEST, int(np.ceil(_FEWEST_ATOMS / per_structure)))
        size = max(fewest, -(-len(everything) // _BATCHES))
    schedule = Schedule(
        MOST_EPOCHS if settings.max_iter == "auto" else int(settings.max_iter),
        int(size),
        settings.learning_rate_init,
        settings.alpha,
        settings.falls,
    )
    return Lesson(loss, everything, schedule, held_out, patience)


def _report(found: list[Trained]) -> Training:
    n_iter = max(len(member.losses) for member in found)
    scores = None
    if found[0].scores:
        scores = _mean([member.scores for member in found], n_iter)
    return Training(_mean([member.losses for member in found], n_iter), scores, n_iter)


def _mean(curves, n):
    """Return the mean of curves at each step, over those that go so far."""
    table = np.full((len(curves), n), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    return np.nanmean(table, axis=0).tolist()


def _refuse_new_species(features: AtomicFeatures, maps: Components) -> None:
    new: IntArray = np.setdiff1d(features.species, maps.species)
    if len(new):
        raise InputError(
            f"the species {new.tolist()} have no networks yet, so that training cannot go on from "
            "the last fit; use warm_start=False with all structures."
        )
