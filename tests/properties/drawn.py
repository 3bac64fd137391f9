"""What the properties draw from: structures, labels and parameters, sound and unsound."""

import os

import numpy as np
from ase import Atoms
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from skpot.data import Targets

MANY = int(os.environ.get("SKPOT_PROPERTY_FACTOR", "1"))  # for a search that takes its time


def bounded(n, **more):
    """Return settings for n examples, the same every time; more where that is asked for."""
    return settings(
        max_examples=n * MANY,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


NUMBERS = st.sampled_from(["H", "O", "Si"])
SEEDS = st.integers(0, 10**6)
# Lengths from a cell that is smaller than an atom to one that has room for all.
LENGTHS = st.sampled_from([0.3, 1.9, 2.5, 3.7, 6.0, 40.0])


def rotation(rng):
    """Return a random rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    q[:, 0] *= np.sign(np.linalg.det(q))
    return q


@st.composite
def cells(draw):
    """Cells: none, of any shape and hand, of one length and of several, flat and broken ones."""
    kind = draw(st.sampled_from(["none", "box", "skew", "long skew", "left", "flat", "nan"]))
    rng = np.random.default_rng(draw(SEEDS))
    lengths = np.array([draw(LENGTHS) for _ in range(3)])
    if kind == "none":
        return np.zeros((3, 3))
    cell = np.diag(lengths)
    if kind in ("skew", "left"):
        cell = cell + np.triu(rng.uniform(-0.8, 0.8, (3, 3)), 1) * lengths
    elif kind == "long skew":  # the same lattice as a box, by far neighbors
        cell[1] += draw(st.integers(-4, 4)) * cell[0]
        cell[2] += draw(st.integers(-4, 4)) * cell[1]
    elif kind == "flat":
        cell[2] = cell[0] + draw(st.sampled_from([0.0, 1e-9])) * cell[2]
    elif kind == "nan":
        cell[0, 0] = draw(st.sampled_from([np.nan, np.inf, 1e300, 1e-300]))
    cell = cell @ rotation(rng)
    return -cell if kind == "left" else cell


@st.composite
def structures(draw, most=4, species=NUMBERS):
    """Structures with any cell and periodicity, whose atoms may be anywhere or nowhere."""
    n = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(SEEDS))
    positions = rng.uniform(-1.5, 1.5, (n, 3)) + 1.5 * np.arange(n)[:, None]
    damage = draw(st.sampled_from([None] * 6 + ["nan", "far", "same"]))
    if damage == "nan":
        positions[-1, 0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    elif damage == "far":
        positions[-1] += draw(st.sampled_from([50.0, 1e5, 1e12, 1e300]))
    elif damage == "same":
        positions[-1] = positions[0]
    symbols = [draw(species) for _ in range(n)]
    pbc = [draw(st.booleans()) for _ in range(3)]
    return Atoms(symbols, positions, cell=draw(cells()), pbc=pbc)


SCALES = st.sampled_from([0.0, 1e-300, 1e-8, 1.0, 1.0, 1.0, 1e8, 1e200, 1e300])
WRONG = st.sampled_from([None] * 5 + ["nan", "inf", "shape", "kind"])


@st.composite
def label_block(draw, shape, rng):
    """Labels of one kind for one structure: numbers of any size, missing, or of another shape."""
    if not draw(st.integers(0, 5)):
        return None
    values = draw(SCALES) * rng.normal(size=shape)
    wrong = draw(WRONG)
    if wrong in ("nan", "inf") and values.size:
        values.flat[-1] = np.nan if wrong == "nan" else np.inf
    elif wrong == "shape":
        values = np.append(values.ravel(), 1.0)
    elif wrong == "kind":
        return draw(st.sampled_from(["1.0", [[]], 1j, {}]))
    return values


@st.composite
def targets(draw, X):
    """Labels of structures; an error of ours, if they cannot be."""
    rng = np.random.default_rng(draw(SEEDS))
    energy = [draw(SCALES) * rng.normal() for _ in X]
    if draw(st.booleans()):
        energy[-1] = draw(st.sampled_from([np.nan, np.inf, 1e300, 0.0]))
    blocks = [energy]
    for shape_of in (lambda atoms: (len(atoms), 3), lambda atoms: (6,)):
        kept = draw(st.booleans())
        blocks.append([draw(label_block(shape_of(a), rng)) for a in X] if kept else None)
    return Targets(*blocks)


# What users have tried for parameters.
VALUES = st.sampled_from(
    [
        -1, 0, 1, 2, 3, 7, 10**9, 10**30, -0.5, 0.0, 1e-300, 1e-9, 0.5, 1.0, 2.5, 4.0, 1e6, 1e300,
        np.nan, np.inf, -np.inf, True, False, None, "auto", "nonsense", "", (), [], {}, (1.0, 2.0),
        (np.nan, 1.0), {"H": 1.0}, {"H": np.nan}, {1: -1.0}, {("H", "H"): 2.0}, {("H", "H"): -1.0},
        ("energy",), ("energy", "forces"), ["H"], ["Xx"], [1, 8], [0], np.int64(2), np.float32(0.5),
        np.array(2.0), np.array([1.0, 2.0]), np.array([np.nan]), b"bytes", object(), float, 1 + 2j,
    ]
)  # fmt: skip
