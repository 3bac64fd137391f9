"""Cost of a training step of networks, and of their compiled form beside that of a kernel model.

A step is the loss of eight structures and its derivatives by the weights, with Jacobians held in
single precision ("stored"), read from a file ("in a file") and computed again ("recomputed"), for
networks of 64 and 64 units on 100 components of silicon. The floor adds six products of rows with
each layer (forward, slopes, tangents, and three of the way back) and two with the Jacobian, which
is read once.

With `--peer-python`, a Python that has jax, the stored step stands beside a function jitted by jax
that does the same on the same arrays, in a process of its own; both take turns, and their losses
must agree.

The compiled forms are those of one network, of four, and of a kernel model with `--references`, all
on the same features of the same 216 atoms: energies and pair gradients of `CompiledPotential`.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path
from statistics import median

from _common import (
    arguments,
    elapsed,
    emit,
    floor_seconds,
    json_lines,
    measure,
    report_machine,
    run_child,
)

OPTIONS = arguments(
    __doc__,
    references=(1000, "n_sparse of the kernel model"),
    peer_python=(None, "Python of an environment with jax"),
    turns=(3, "measurements of each program, in alternation"),
)

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
WORKER = Path(__file__).resolve().parent / "peers" / "_worker_jax.py"


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
    losses = {
        "stored": loss_of(features, y, 1e10),
        "in a file": loss_of(features, y, 1.0),
    }
    bare = losses["stored"].inputs._replace(parts=None)
    losses["recomputed"] = dataclasses.replace(losses["stored"], inputs=bare)
    for name, loss in losses.items():
        flat = loss.layers.drawn(np.random.RandomState(0)).astype(np.float32)
        batches = np.array_split(np.arange(len(y)), max(1, len(y) // BATCH))

        def epoch(loss=loss, flat=flat, batches=batches):
            return [loss.of(flat, batch)[0] for batch in batches]

        n_atoms = len(features.numbers)
        values, timing = measure(epoch, OPTIONS.rounds)
        seconds = elapsed(timing, OPTIONS.threads)
        if name == "stored" and OPTIONS.peer_python:
            seconds = beside_jax(loss, flat, batches, epoch, values)
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


def beside_jax(loss, flat, batches, epoch, losses):
    """Print the time of jax, and return ours, from measurements in alternation."""
    ours, theirs, n_atoms = [], [], len(loss.inputs.rows)
    with tempfile.TemporaryDirectory() as folder:
        write_arrays(Path(folder), loss, flat, batches)
        for _ in range(OPTIONS.turns):
            ours.append(elapsed(measure(epoch, OPTIONS.rounds)[1], OPTIONS.threads))
            command = [OPTIONS.peer_python, WORKER, folder, OPTIONS.rounds]
            (record,) = json_lines(run_child(command, OPTIONS.threads)[0])
            theirs.append(elapsed(record, OPTIONS.threads))
            if not np.allclose(record["losses"], losses, rtol=1e-3):
                sys.exit(f"jax has losses {record['losses']} where skpot has {losses}")
    emit(
        {
            "bench": "network",
            "quantity": "jax",
            "threads": OPTIONS.threads,
            "atoms": n_atoms,
            "us_per_atom": median(theirs) / n_atoms * 1e6,
            "peer_over_skpot": median(t / s for t, s in zip(theirs, ours, strict=True)),
            "version": record["version"],
        },
        OPTIONS.out,
    )
    return median(ours)


def write_arrays(folder, loss, flat, batches):
    """Write weights and batches as jax's side reads them; environments are atoms."""
    weights = loss.layers.views(flat)
    pairs = enumerate(zip(weights.layers, weights.offsets, strict=True))
    layers = {name + str(k): array for k, pair in pairs
              for name, array in zip(("layer", "offset"), pair, strict=True)}  # fmt: skip
    rest = dict(last=weights.last, constant=weights.constant, linear=weights.linear)
    np.savez(folder / "weights.npz", **layers, **rest)
    inputs, labels = loss.inputs, loss.labels
    for k, batch in enumerate(batches):
        rows, first = inputs.take_rows(batch)
        begin = rows[0]  # batches are ranges of structures, and so of rows
        edges = slice(inputs.parts.start[begin], inputs.parts.start[rows[-1] + 1])
        counts = np.diff(inputs.parts.start)[rows]
        arrays = dict(
            x=inputs.rows[rows],
            owner=np.repeat(np.arange(len(batch)), np.diff(first)),
            jacobian=inputs.parts.values[edges],
            center=np.repeat(rows - begin, counts),
            atom=inputs.parts.atom[edges] - begin,
            strain=inputs.parts.strain[rows],
            energy=labels.energy[batch],
            energy_weights=labels.energy_weights[batch],
            forces=labels.derivatives.forces[rows],
            force_weights=labels.derivatives.force_weights[rows],
            stress=labels.derivatives.stress[batch],
            stress_weights=labels.derivatives.stress_weights[batch],
            volumes=labels.derivatives.volumes[batch],
        )
        single = {n: a.astype(np.float32) if a.dtype == float else a for n, a in arrays.items()}
        np.savez(folder / f"batch{k:03d}.npz", **single)


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
