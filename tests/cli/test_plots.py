import ase.io
import numpy as np
import pytest

import skpot
from skpot.cli import _plots
from tests.commands import copper, run


@pytest.fixture
def drawn(monkeypatch):
    """Return the list of figures that are drawn in place of being written."""
    figures = []
    monkeypatch.setattr(_plots, "_save", lambda figure, path: figures.append(figure))
    return figures


def _dots(axes):
    """Return the points of each scatter plot."""
    return [np.asarray(c.get_offsets()) for c in axes.collections if hasattr(c, "get_sizes")]


def _labeled(n=6):
    X = copper(n)
    y = skpot.Targets.from_atoms(X)
    moved = [f + 0.1 for f in y.forces]
    return X, y, skpot.Targets(y.energy + 0.04, moved, y.stress)


def test_points_are_colored_by_kind(drawn):
    X, y, y_pred = _labeled()
    kinds = np.array(["cold", "hot", "cold", "hot", "hot", "hot"])
    _plots.parity_plot(X, y, y_pred, np.full(6, 0.1), "plot.png", kinds)
    (figure,) = drawn
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["hot (4)", "cold (2)"]
    top, forces = figure.axes[0], figure.axes[1]
    hot, cold = _dots(top)
    np.testing.assert_allclose(hot[:, 0], y.energy[kinds == "hot"] / 4)
    np.testing.assert_allclose(cold[:, 1], y_pred.energy[kinds == "cold"] / 4)
    assert [len(points) for points in _dots(forces)] == [4 * 12, 2 * 12]
    np.testing.assert_allclose(_dots(forces)[1][:, 0], y[kinds == "cold"].forces_flat.ravel())
    colors = [c.get_facecolor()[0, :3] for c in top.collections[:2]]
    shown = [to_rgb(line.get_color()) for line in legend.get_lines()]
    np.testing.assert_allclose(colors, shown)
    assert "RMSE 10 meV/atom" in [text.get_text() for text in top.texts]


def to_rgb(color):
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def test_many_kinds_differ_by_marker_too(drawn):
    X, y, y_pred = _labeled(24)
    _plots.parity_plot(X, y, y_pred, None, "plot.png", np.array([f"kind {i}" for i in range(24)]))
    lines = drawn[0].legends[0].get_lines()
    assert len({(to_rgb(line.get_color()), line.get_marker()) for line in lines}) == 24


def test_without_kinds_there_is_no_legend(drawn):
    X, y, y_pred = _labeled()
    _plots.parity_plot(X, y, y_pred, None, "plot.png")
    assert not drawn[0].legends and len(_dots(drawn[0].axes[0])) == 1


def test_free_atoms_do_not_stretch_the_axis(drawn):
    X, y, y_pred = _labeled()
    free = ase.Atoms("Cu")
    X, zero = [*X, free], [np.zeros((1, 3))]
    y, y_pred = (skpot.Targets([*t.energy, 300.0], t.forces + zero) for t in (y, y_pred))
    _plots.parity_plot(X, y, y_pred, None, "plot.png", np.array(["bulk"] * 6 + ["free"]))
    assert max(_dots(drawn[0].axes[0])[0][:, 0]) < 100.0
    assert len(_dots(drawn[0].axes[1])[1]) == 3  # its forces are there


@pytest.mark.parametrize("key", ["config_type", "kind"])
def test_kinds_come_from_the_frames(tmp_path, drawn, key):
    frames = copper(8)
    for atoms in frames:
        atoms.info = {key: atoms.info["config_type"]}
    ase.io.write(tmp_path / "train.xyz", frames)
    options = ["--preset", "fast", "-q", "--grid", "n_sparse=12"]
    result = run("fit", tmp_path / "train.xyz", "-o", tmp_path / "m.skpot", *options)
    assert result.exit_code == 0, result.output
    plot = tmp_path / "plot.png"
    result = run("evaluate", tmp_path / "m.skpot", tmp_path / "train.xyz", "--plot", plot)
    assert result.exit_code == 0, result.output
    assert [t.get_text() for t in drawn[0].legends[0].get_texts()] == ["cold (4)", "hot (4)"]
