"""What the training set covers of other structures: environments and distances."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from sklearn.decomposition import PCA

from ..data import as_batch
from ..data.elements import SYMBOLS
from ..exceptions import SkpotError
from ..lowering import transformed
from ._theme import GRAY, LIGHT, color, figure_html, go

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray, IntArray, Structures

ENVIRONMENTS = 1500  # of each side on the map
_REACH, _STEP = 6.0, 0.05  # Å: longest distance and width of a bin
_MOST_PAIRS = 10  # pairs of species that have a figure


class Environments(NamedTuple):
    """Rows of features of some atoms."""

    values: FloatArray  # (n, n_features)
    frame: IntArray  # (n,)
    atom: IntArray  # (n,) index in the structure
    species: IntArray  # (n,)


def environments_of(model: Any, X: Structures) -> Environments | None:
    """Return features of evenly spaced structures and atoms; None if not one row per atom.

    Parameters
    ----------
    model : Pipeline
        Fitted.
    X : list[Atoms]
        The structures.
    """
    n_atoms = np.array([len(atoms) for atoms in X])
    n_frames = max(1, min(len(X), int(2 * ENVIRONMENTS / n_atoms.mean())))
    frames = np.unique(np.linspace(0, len(X) - 1, n_frames).round().astype(int))
    try:
        features = transformed(model, [X[i] for i in frames])
        values = np.asarray(features.values)
    except (SkpotError, AttributeError, TypeError):  # of models that are no pipeline of features
        return None
    if len(values) != n_atoms[frames].sum():
        return None
    frame = np.repeat(frames, n_atoms[frames])
    atom = np.concatenate([np.arange(n) for n in n_atoms[frames]])
    species = np.concatenate([X[i].numbers for i in frames])
    keep = np.unique(np.linspace(0, len(values) - 1, ENVIRONMENTS).round().astype(int))
    return Environments(values[keep], frame[keep], atom[keep], species[keep])


def map_figures(
    train: Environments | None, test: Environments, error: FloatArray | None, species: IntArray
) -> list[str]:
    """Return the HTML of maps of environments, colored by species and by error.

    Parameters
    ----------
    train, test : Environments
        Of the training set, if it is known, and of the structures of the page.
    error : ndarray of shape (n,) or None
        Errors of forces on the atoms of `test` (eV/Å), NaN where unknown.
    species : ndarray of int
        Atomic numbers on the page, ascending.
    """
    rows = test.values if train is None else np.vstack([train.values, test.values])
    if len(rows) < 3 or rows.shape[1] < 2:
        return []
    plane = PCA(2, svd_solver="full").fit(rows)
    share = 100 * plane.explained_variance_ratio_
    axes = {
        "xaxis": {"title": {"text": f"component 1 ({share[0]:.0f} % of the variance)"}},
        "yaxis": {"title": {"text": f"component 2 ({share[1]:.0f} %)"}},
        "showlegend": True,
    }
    below = []
    if train is not None:
        x, y = plane.transform(train.values).astype(np.float32).T
        below = [
            go.Scatter(
                x=x, y=y, mode="markers", name="training", text=_places(train),
                marker={"size": 8, "color": LIGHT},
                hovertemplate="training, %{text}<extra></extra>",
            )
        ]  # fmt: skip
    x, y = plane.transform(test.values).astype(np.float32).T
    places = _places(test)
    by_species = list(below)
    for z in np.unique(test.species).tolist():
        chosen = np.flatnonzero(test.species == z)
        shade = color(int(np.searchsorted(species, z)))
        by_species.append(
            go.Scatter(
                x=x[chosen], y=y[chosen], mode="markers", name=SYMBOLS[z],
                text=[places[i] for i in chosen],
                marker={"size": 4, "opacity": 0.75, "color": shade},
                hovertemplate="%{text}<extra></extra>",
            )
        )  # fmt: skip
    figures = [
        figure_html("map-species", by_species,
                    {**axes, "title": {"text": "Environments by species"}}, height=430)
    ]  # fmt: skip
    if error is not None and np.isfinite(error).any():
        known = np.flatnonzero(np.isfinite(error))
        known = known[np.argsort(error[known], kind="stable")]  # the largest errors on top
        ends = np.quantile(error[known], [0.02, 0.98])
        colored = go.Scatter(
            x=x[known], y=y[known], mode="markers", showlegend=False,
            text=[places[i] for i in known], customdata=error[known].astype(np.float32),
            marker={
                "size": 5, "color": error[known].astype(np.float32), "colorscale": "Viridis",
                "reversescale": True, "cmin": float(ends[0]), "cmax": float(ends[1]),
                "colorbar": {"title": {"text": "eV/Å"}, "thickness": 10, "outlinewidth": 0},
            },
            hovertemplate="%{text}<br>error of the force %{customdata:.3g} eV/Å<extra></extra>",
        )  # fmt: skip
        figures.append(
            figure_html("map-error", [*below, colored],
                        {**axes, "title": {"text": "The same by error of the force"}}, height=430)
        )  # fmt: skip
    return figures


def _places(rows):
    return [
        f"frame {f}, atom {a} ({SYMBOLS[z]})"
        for f, a, z in zip(rows.frame, rows.atom, rows.species, strict=True)
    ]


def share_outside(train: Environments, test: Environments) -> float:
    """Return the share of environments further from the training set than it is from itself.

    The distance of an environment is that to the nearest one of its species in the training set.
    It is compared with the distance that 99 % of the training environments have to the nearest
    other structure of the training set.
    """
    outside = np.zeros(len(test.values), dtype=bool)
    for z in np.unique(test.species):
        mine, theirs = test.values[test.species == z], train.values[train.species == z]
        frames = train.frame[train.species == z]
        if len(np.unique(frames)) < 2:
            outside[test.species == z] = True
            continue
        usual = np.quantile(_nearest_of_others(theirs, frames), 0.99)
        distance = cKDTree(theirs).query(mine)[0]
        outside[test.species == z] = distance > usual
    return float(outside.mean())


def _nearest_of_others(values, frames):
    """Return the distance of each row to the nearest one of another structure."""
    squares = np.einsum("ij,ij->i", values, values)
    distance = squares[:, None] + squares - 2.0 * values @ values.T
    distance[frames[:, None] == frames] = np.inf
    return np.sqrt(np.maximum(distance.min(axis=1), 0.0))


class Distances(NamedTuple):
    """Histograms of the distances between species."""

    n_atoms: int
    counts: dict[tuple[int, int], IntArray]  # (n_bins,) pairs of atoms by distance
    closest: dict[tuple[int, int], float]  # Å


def distances_of(X: Structures) -> Distances:
    """Return how often each distance up to 6 Å occurs between each pair of species."""
    batch = as_batch(X)
    edges = np.arange(0.0, _REACH + 0.5 * _STEP, _STEP)
    counts: dict[tuple[int, int], Any] = {}
    closest: dict[tuple[int, int], float] = {}
    for block in batch.in_blocks(4000):
        pairs = block.search(_REACH)[0]
        length = np.linalg.norm(pairs.vector, axis=1)
        first = np.repeat(block.numbers, np.diff(pairs.start))
        second = block.numbers[pairs.neighbor]
        low, high = np.minimum(first, second), np.maximum(first, second)
        present = np.unique(block.numbers).tolist()
        for key in combinations_with_replacement(present, 2):
            of_key = length[(low == key[0]) & (high == key[1])]
            if len(of_key):
                found = np.histogram(of_key, edges)[0] // 2  # each pair is there twice
                counts[key] = counts.get(key, 0) + found
                closest[key] = min(closest.get(key, np.inf), float(of_key.min()))
    return Distances(int(batch.offsets[-1]), counts, closest)


def distance_figures(train: Distances | None, test: Distances) -> list[str]:
    """Return the HTML of one histogram for each pair of species, the most frequent ones first."""
    keys = sorted(test.counts, key=lambda key: (-int(test.counts[key].sum()), key))[:_MOST_PAIRS]
    centers = (np.arange(round(_REACH / _STEP)) + 0.5) * _STEP
    figures = []
    for key in keys:
        name = pair_name(key)
        traces = []
        if train is not None and key in train.counts:
            traces.append(
                go.Scatter(
                    x=centers, y=_per_atom(train, key), name="training", mode="lines",
                    fill="tozeroy", line={"width": 0.5, "color": GRAY, "shape": "hvh"},
                    fillcolor=LIGHT, hovertemplate="training, %{x:.2f} Å: %{y:.3g}<extra></extra>",
                )
            )  # fmt: skip
        traces.append(
            go.Scatter(
                x=centers, y=_per_atom(test, key), name="these structures", mode="lines",
                line={"width": 1.6, "color": color(0), "shape": "hvh"},
                hovertemplate="these structures, %{x:.2f} Å: %{y:.3g}<extra></extra>",
            )
        )  # fmt: skip
        start = min(d.closest.get(key, _REACH) for d in (train or test, test))
        figures.append(
            figure_html(
                f"distance-{name}",
                traces,
                {
                    "title": {"text": f"Distances {name}"},
                    "xaxis": {"title": {"text": "distance (Å)"}, "range": [0.9 * start, _REACH]},
                    "yaxis": {"title": {"text": "pairs per atom and Å"}, "rangemode": "tozero"},
                    "showlegend": train is not None,
                },
                height=310,
            )
        )
    return figures


def _per_atom(distances, key):
    return (distances.counts[key] / (distances.n_atoms * _STEP)).astype(np.float32)


def pair_name(key: tuple[int, int]) -> str:
    """Return the name of a pair of species."""
    return "–".join(SYMBOLS[z] for z in key)


def closest_rows(train: Distances | None, test: Distances) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table of the closest distances."""
    head = ["", *(["training (Å)"] if train else []), "these structures (Å)"]
    rows = []
    for key in sorted(test.closest):
        sides = [d.closest.get(key) for d in (train, test) if d is not None]
        rows.append([pair_name(key), *("none" if s is None else f"{s:.3f}" for s in sides)])
    return head, rows


def closer_than_training(train: Distances, test: Distances) -> list[str]:
    """Return a sentence for each pair of species that comes closer than in the training set."""
    return [
        f"{pair_name(key)} come as close as {closest:.2f} Å, but in the training set "
        + (f"only {train.closest[key]:.2f} Å" if key in train.closest else "not below 6 Å")
        + ": energies at such distances are extrapolated."
        for key, closest in sorted(test.closest.items())
        if closest < 0.98 * train.closest.get(key, np.inf)
    ]
