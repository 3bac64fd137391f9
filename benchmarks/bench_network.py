"""Cost of a training step of networks, and of their compiled form beside that of a kernel model.

A step is the loss of eight structures and its derivatives by the weights, with Jacobians held in
single precision ("stored") and computed again ("recomputed"), for networks of 64 and 64 units on
100 components of silicon. The floor adds six products of rows with each layer (forward, slopes,
tangents, and three of the way back) and two with the Jacobian, which is read once.

The compiled forms are those of one network, of four, and of a kernel model with `--references`, all
on the same features of the same 216 atoms: energies and pair gradients of `CompiledPotential`.
"""

from _common import arguments, elapsed, emit, floor_seconds, measure, report_machine

OPTIONS = arguments(__doc__, references=(1000, "n_sparse of the kernel model"))

import _systems  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

import skpot  # noqa: E402
from skpot.processes.network_inputs import Components, network_inputs  # noqa: E402
from skpot.processes.network_layers import Layers  # noqa: E402
from skpot.processes.network_loss import LossLabels, NetworkLoss  # noqa: E402
from skpot.rows.noise import with_noise  # noqa: E402
from skpot.rows.training_set import TrainingSet  # noqa: E402

UNITS = (64, 64)
BATCH = 8


def soap():
    return skpot.SOAP(hypers="default", central_weight=0.0, normalize=False)


def loss_of(features, y, max_memory):
    labels = with_noise(y, np.ones(len(y)), 0.005, 0.1, 0.01)
    training = TrainingSet(features, labels, y.energy, np.arange(len(y)))
    maps = Components.of(features, 100, 0.2, 0)
    inputs = network_inputs(maps, training, max_memory)
    layers = Layers((inputs.rows.shape[1], *UNITS), True)
    return NetworkLoss(layers, inputs, LossLabels.of(training, inputs.order, 1.0), 1)


def floor(loss, rates):
    """Return the seconds below which a step on all structures cannot be."""
    inputs, layers = loss.inputs, loss.layers
    pairs = zip(layers.sizes[:-1], layers.sizes[1:], strict=True)
    n_rows, entries = len(inputs.rows), inputs.parts.values.size + inputs.parts.strain.size
    products = 6 * 2.0 * n_rows * sum(a * b for a, b in pairs)
    return floor_seconds(products + 4.0 * entries, 4.0 * entries, rates)


def training(features, y, rates):
    for name, max_memory in (("stored", 1e10), ("recomputed", 1.0)):
        loss = loss_of(features, y, max_memory)
        flat = loss.layers.drawn(np.random.RandomState(0)).astype(np.float32)
        batches = np.array_split(np.arange(len(y)), max(1, len(y) // BATCH))

        def epoch(loss=loss, flat=flat, batches=batches):
            for batch in batches:
                loss.of(flat, batch)

        _, timing = measure(epoch, OPTIONS.rounds)
        n_atoms = len(features.numbers)
        seconds = elapsed(timing, OPTIONS.threads)
        record = {
            "bench": "network",
            "quantity": name,
            "threads": OPTIONS.threads,
            "atoms": n_atoms,
            "components": loss.layers.sizes[0],
            "us_per_atom": seconds / n_atoms * 1e6,
        }
        if loss.inputs.parts is not None:
            least = floor(loss, rates)
            parts = loss.inputs.parts
            record |= {
                "floor_us_per_atom": least / n_atoms * 1e6,
                "times_floor": seconds / least,
                "kb_per_atom": (parts.values.nbytes + parts.strain.nbytes) / n_atoms / 1e3,
            }
        emit(record, OPTIONS.out)


def compiled(X, y):
    atoms = [_systems.silicon()]
    network = skpot.AtomicMLP(UNITS, max_iter=1, calibrate=False)
    models = {
        "kernel": skpot.SparseGPR(n_sparse=20 if OPTIONS.quick else OPTIONS.references),
        "one network": network,
        "four networks": skpot.AtomicMLP(UNITS, n_members=4, max_iter=1, calibrate=False),
    }
    for name, regressor in models.items():
        potential = skpot.compile(make_pipeline(soap(), regressor).fit(X, y))
        batch = skpot.data.as_batch(atoms)
        graph, species = batch.neighbors(potential.cutoff), potential.species_index(batch.numbers)
        _, timing = measure(
            lambda p=potential, g=graph, s=species: p.evaluate_pairs(g.pairs, s), OPTIONS.rounds
        )
        emit(
            {
                "bench": "network",
                "quantity": "compiled",
                "model": name,
                "threads": OPTIONS.threads,
                "atoms": len(atoms[0]),
                "us_per_atom": elapsed(timing, OPTIONS.threads) / len(atoms[0]) * 1e6,
            },
            OPTIONS.out,
        )


def main():
    rates = report_machine(OPTIONS)
    X, y = _systems.labeled_silicon(*((8, 1) if OPTIONS.quick else (32, 2)))
    training(soap().fit_transform(X), y, rates)
    compiled(X, y)


if __name__ == "__main__":
    main()
