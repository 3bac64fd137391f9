"""Pictures of structures with forces or their errors, as vector graphics."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from ..data import as_batch
from ..data.elements import SYMBOLS, covalent_radius
from ._theme import INK, RED, color

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray, IntArray

_MOST_ATOMS = 120  # that one picture shows
_SURROUNDINGS = 4.2  # Å that are drawn around an atom of a periodic structure
_BOND = 1.2  # times the sum of covalent radii
_RADIUS = 0.55  # of a drawn atom, in covalent radii
_ARROW = 1.6  # length in Å of the longest arrow
_TILT = np.deg2rad([18.0, -14.0])  # so that rows of atoms do not hide each other


def drawing(
    atoms: Any, arrows: FloatArray | None, center: int, species: IntArray, what: str
) -> str:
    """Return a picture of a structure, or of the surroundings of an atom if it is periodic.

    Parameters
    ----------
    atoms : Atoms
        The structure.
    arrows : ndarray of shape (n_atoms, 3) or None
        Forces or their errors in eV/Å, NaN where unknown.
    center : int
        The atom that is marked.
    species : ndarray of int
        Atomic numbers on the page, ascending; they have the colors of its figures.
    what : str
        What the arrows are, for the text of each atom.
    """
    shown, positions = _shown(atoms, center)
    view = _view(positions)
    flat = (positions - positions.mean(axis=0)) @ view
    numbers = atoms.numbers[shown]
    radii = np.array([max(0.26, _RADIUS * covalent_radius(int(z))) for z in numbers])
    parts = [_bond(flat, i, j) for i, j in _bonds(positions, numbers)]
    lines = np.zeros((len(shown), 2))
    if arrows is not None:
        known = np.nan_to_num(arrows[shown])
        scale = _ARROW / (np.linalg.norm(known, axis=1).max() or 1.0)
        lines = scale * (known @ view)[:, :2]
    for k, atom in enumerate(shown):
        text = f"atom {atom} ({SYMBOLS[numbers[k]]})"
        if arrows is not None and np.isfinite(arrows[atom]).all():
            text += f", {what} {np.linalg.norm(arrows[atom]):.3g} eV/Å"
        fill = color(int(np.searchsorted(species, numbers[k])))
        parts.append((flat[k, 2], _ball(flat[k], radii[k], fill, text, k == 0)))
        if np.hypot(*lines[k]) > 0.15:
            parts.append((flat[k, 2] + radii[k], _arrow(flat[k], lines[k])))
    body = "".join(text for _, text in sorted(parts, key=lambda part: part[0]))
    label = escape(f"Picture of {len(shown)} atoms")
    return (
        f'<svg viewBox="{_frame(flat[:, :2], lines)}" role="img" aria-label="{label}" '
        f'class="atoms">{body}</svg>'
    )


def _shown(atoms, center):
    """Return which atoms are drawn and where (Å), the one that is marked first."""
    if not atoms.pbc.any():
        positions = np.array(atoms.positions)
        order = np.argsort(np.linalg.norm(positions - positions[center], axis=1), kind="stable")
        order = np.concatenate([[center], order[order != center]])[:_MOST_ATOMS]
        return order, positions[order]
    pairs = as_batch([atoms]).search(_SURROUNDINGS)[0]
    around = slice(pairs.start[center], pairs.start[center + 1])
    vectors = pairs.vector[around]
    order = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")[: _MOST_ATOMS - 1]
    shown = np.concatenate([[center], pairs.neighbor[around][order]])
    return shown, np.vstack([np.zeros((1, 3)), vectors[order]])


def _frame(flat, arrows):
    """Return the view box around atoms and arrows, of similar shape for all pictures."""
    low = np.minimum(flat, flat + arrows).min(axis=0) - 1.0
    high = np.maximum(flat, flat + arrows).max(axis=0) + 1.0
    width, height = high - low
    if height < 0.6 * width:
        low[1] -= 0.5 * (0.6 * width - height)
        height = 0.6 * width
    return f"{low[0]:.2f} {low[1]:.2f} {width:.2f} {height:.2f}"


def _view(positions):
    """Return axes to the right, down and towards the reader: the broadest side, tilted."""
    centered = positions - positions.mean(axis=0)
    axes = np.linalg.svd(np.vstack([centered, 1e-6 * np.eye(3)]), full_matrices=False)[2]
    signs = np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])
    axes = axes * signs[:, None]
    if np.linalg.det(axes) < 0:
        axes[2] *= -1.0
    (cx, cy), (sx, sy) = np.cos(_TILT), np.sin(_TILT)
    turn_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return (turn_y @ turn_x @ axes).T


def _bonds(positions, numbers):
    radii = np.array([covalent_radius(int(z)) for z in numbers])
    pairs = cKDTree(positions).query_pairs(2 * _BOND * radii.max(), output_type="ndarray")
    length = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    near = length < _BOND * (radii[pairs[:, 0]] + radii[pairs[:, 1]])
    return pairs[near].tolist()


def _bond(flat, i, j):
    """Return the depth and the line of a bond, which lies behind its atoms."""
    (x1, y1, z1), (x2, y2, z2) = flat[i], flat[j]
    line = (
        f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" '
        'stroke="#aab3ba" stroke-width="0.16" stroke-linecap="round"/>'
    )
    return min(z1, z2) - 0.01, line


def _ball(place, radius, fill, text, is_center):
    edge = (
        f'stroke="{RED}" stroke-width="0.14"' if is_center else 'stroke="#fff" stroke-width="0.05"'
    )
    x, y = place[0], place[1]
    shine = (
        f'<circle cx="{x - 0.3 * radius:.2f}" cy="{y - 0.3 * radius:.2f}" r="{0.35 * radius:.2f}" '
        'fill="#fff" opacity="0.35" pointer-events="none"/>'
    )
    return (
        f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:.2f}" fill="{fill}" {edge}>'
        f"<title>{escape(text)}</title></circle>{shine}"
    )


def _arrow(place, arrow):
    """Return an arrow from an atom."""
    start, end = place[:2], place[:2] + arrow
    along = arrow / np.hypot(*arrow)
    across = np.array([-along[1], along[0]])
    tip = min(0.3, 0.5 * np.hypot(*arrow))
    neck = end - tip * along
    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in (end, neck + 0.5 * tip * across,
                                                      neck - 0.5 * tip * across))  # fmt: skip
    return (
        f'<g pointer-events="none"><line x1="{start[0]:.2f}" y1="{start[1]:.2f}" '
        f'x2="{neck[0]:.2f}" y2="{neck[1]:.2f}" stroke="{INK}" stroke-width="0.1"/>'
        f'<polygon points="{points}" fill="{INK}"/></g>'
    )
