"""jax's side of bench_network.py; see _work.py. Needs a Python with jax, and no skpot.

The loss of batches of structures and its derivatives by the weights, as one jitted function in
single precision: jax differentiates the forces' loss by itself. Arrays come from a folder.
"""

import sys
from pathlib import Path

from _work import emit, measure


def loss_function(jax):
    jnp = jax.numpy

    def energy(weights, x):
        h = x
        for layer, offset in weights["layers"]:
            h = jax.nn.silu(h @ layer.T + offset)
        return h @ weights["last"] + x @ weights["linear"] + weights["constant"][0]

    def loss(weights, b):
        values, back = jax.vjp(lambda x: energy(weights, x), b["x"])
        (g,) = back(jnp.ones_like(values))
        n = len(b["energy"])
        errors = jax.ops.segment_sum(values, b["owner"], n) - b["energy"]
        along = jnp.einsum("exd,ed->ex", b["jacobian"], g[b["center"]])
        forces = -jax.ops.segment_sum(along, b["atom"], len(b["x"])) - b["forces"]
        strained = jax.ops.segment_sum(jnp.einsum("ivd,id->iv", b["strain"], g), b["owner"], n)
        stress = strained / b["volumes"][:, None] - b["stress"]
        total = jnp.sum(b["energy_weights"] * errors**2)
        total += jnp.sum(b["force_weights"][:, None] * forces**2)
        total += jnp.sum(b["stress_weights"][:, None] * stress**2)
        return 0.5 * total / n

    return jax.jit(jax.value_and_grad(loss))


def main(folder, rounds):
    import jax
    import numpy as np

    jax.config.update("jax_platforms", "cpu")
    weights = dict(np.load(Path(folder) / "weights.npz"))
    n = sum(name.startswith("layer") for name in weights)
    layers = [(weights.pop(f"layer{k}"), weights.pop(f"offset{k}")) for k in range(n)]
    weights = jax.device_put(weights | {"layers": layers})
    batches = [jax.device_put(dict(np.load(p))) for p in sorted(Path(folder).glob("batch*.npz"))]
    step = loss_function(jax)

    def epoch():
        return [jax.block_until_ready(step(weights, batch))[0] for batch in batches]

    losses, timing = measure(epoch, int(rounds))
    emit({"losses": [float(value) for value in losses], "version": jax.__version__, **timing})


if __name__ == "__main__":
    main(*sys.argv[1:])
