"""What the workers share.

A worker runs in its own process, with a peer's Python or with skpot's. It does one job, prints JSON
lines and ends; gap.py and descriptors.py start workers in alternation.
"""

import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # benchmarks/, not this folder

from _common import emit, measure, peak_mb  # noqa: E402

_SPACING = 5.0 / 9.0  # Å
G2 = [(0.5 / _SPACING**2, k * _SPACING) for k in range(1, 9)]  # (eta, shift)
G4 = [(e, z, sign) for e in (0.01, 0.05) for z in (1, 4) for sign in (1, -1)]  # eta, zeta, lambda


def read_systems(folder):
    """Return {name: list[Atoms]} of all .xyz files of a folder, without labels."""
    from ase.io import read

    systems = {}
    for path in sorted(Path(folder).glob("*.xyz")):
        systems[path.stem] = read(path, ":")
        for atoms in systems[path.stem]:
            atoms.calc = None
            atoms.info.clear()
    return systems


def facts(frames):
    """Return what programs must agree on before their times are compared."""
    return {
        "n_atoms": sum(len(atoms) for atoms in frames),
        "periodic": sorted({int(atoms.pbc.sum()) for atoms in frames}),
        "n_species": len({z for atoms in frames for z in atoms.numbers.tolist()}),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def refuse_other_facts(first, second, what):
    """Stop if two programs did not do the same work on the same structures."""
    for key in ("n_atoms", "periodic", "n_species", "threads"):
        if first[key] != second[key]:
            sys.exit(f"{what}: {key} is {second[key]} where skpot has {first[key]}")


def report(quantity, frames, job, rounds, **more):
    """Time a job and print microseconds of CPU for each atom, and what was done."""
    about = facts(frames)
    _, timing = measure(job, rounds)
    about["us_per_atom"] = timing["cpu_s"] / about["n_atoms"] * 1e6
    emit({"quantity": quantity, **timing, **about, "peak_mb": peak_mb(), **more})


def size_of(rows):
    """Return the number of features and the root of the sum of squares of all values."""
    import numpy as np

    rows = np.asarray(rows)
    return {"n_features": rows.shape[1], "norm": float(np.linalg.norm(rows))}


def rmse(errors):
    """Return the root mean square of the components of a list of arrays."""
    import numpy as np

    flat = np.concatenate([np.ravel(e) for e in errors])
    return float(np.sqrt(np.mean(flat**2)))


def potential_step(atoms, evaluate):
    """Return a function that moves all atoms a little and evaluates them."""
    import numpy as np

    start, rng = atoms.positions.copy(), np.random.default_rng(0)

    def step():
        atoms.positions = start + rng.normal(scale=1e-3, size=start.shape)
        return evaluate(atoms)

    return step
