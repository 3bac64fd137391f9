"""Networks on symmetry functions for LAMMPS with the pair style of SIMPLE-NN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lowering import simple_nn_text
from ...persistence import whole_file

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from skpot.typing import PathLike


def write_simple_nn(model: Pipeline, path: PathLike) -> None:
    """Write a model as a potential file for the pair style "nn" of SIMPLE-NN.

    In LAMMPS with that pair style the file is used as ``pair_coeff * * potential Si O``. Energies
    include those of free atoms. Layers of several members are written as one layer, whose weights
    between members are zeros that the pair style multiplies all the same; one member is faster.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline of `SymmetryFunctions` and `AtomicMLP` with the activation "silu".
    path : path
        The file.

    Raises
    ------
    ValueError
        If the model is not fitted, or has steps, functions or a baseline that the file cannot
        hold.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> from skpot.md.lammps import write_simple_nn
    >>> X, y, *_ = skpot.datasets.load_silicon(return_X_y=True)
    >>> networks = skpot.AtomicMLP((8, 8), n_components=10, max_iter=2)
    >>> model = make_pipeline(skpot.SymmetryFunctions(4.0), networks).fit(X[:8], y[:8])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "potential")
    ...     write_simple_nn(model, path)
    ...     path.read_text().splitlines()[1]
    'POT Si 4'
    """
    text = simple_nn_text(model)
    with whole_file(path) as part:
        part.write(text.encode())
