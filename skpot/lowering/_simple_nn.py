r"""Networks on symmetry functions as the text file that SIMPLE-NN's pair style reads.

The file has, for each element, the symmetry functions, a shift and a divisor of each, and the
layers of one network (MDIL-SNU/SIMPLE-NN_v2, pair_nn.cpp). What skpot has beyond is written
exactly:

- several members are one network whose layers have their units side by side, without weights from
  one member to another;
- a linear term y passes each layer through two units, since the activation
  :math:`s(y) = y / (1 + e^{-y})`, called "swish" there, has :math:`s(y) - s(-y) = y`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import block_diag
from sklearn.utils.validation import check_is_fitted

from ..data.elements import SYMBOLS
from ..descriptors import SymmetryFunctions
from ..exceptions import ParameterError
from ..models import AtomicMLP

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from skpot.descriptors import SymmetryFunction
    from skpot.typing import FloatArray

_TYPES = {"G2": 2, "G4": 4, "G5": 5}
_LONGEST_LINE = 50000  # characters that the pair style reads


def simple_nn_text(model: Pipeline) -> str:
    """Return a model as the text of a potential file of SIMPLE-NN.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline of `SymmetryFunctions` and `AtomicMLP` with the activation "silu".

    Raises
    ------
    ValueError
        If the model is not fitted, or has steps, functions or a baseline that such a file cannot
        hold.
    """
    descriptor, regressor = _parts(model)
    networks = regressor.expansion_
    lines = [" ".join(SYMBOLS[z] for z in networks.species)]
    for k, z in enumerate(networks.species.tolist()):
        lines += _element(networks, k, descriptor.functions_of(z), regressor.e0_[z])
    longest = max(map(len, lines))
    if longest >= _LONGEST_LINE:
        raise ParameterError(
            f"a line has {longest} characters, and the pair style of SIMPLE-NN reads "
            f"{_LONGEST_LINE}; use fewer members or units."
        )
    return "\n".join(lines) + "\n"


def _parts(model):
    """Return descriptor and regressor, if the file can hold them."""
    steps = [s for _, s in getattr(model, "steps", []) if s not in (None, "passthrough")]
    kinds = [type(step) for step in steps]
    if kinds != [SymmetryFunctions, AtomicMLP]:
        names = " and ".join(kind.__name__ for kind in kinds) or type(model).__name__
        raise ParameterError(
            f"files of SIMPLE-NN hold a pipeline of SymmetryFunctions and AtomicMLP, not {names}; "
            "skpot.md.lammps.export writes any model for skpot's own pair style."
        )
    descriptor, regressor = steps
    check_is_fitted(regressor)
    if getattr(regressor, "baseline_", None) is not None:
        raise ParameterError("files of SIMPLE-NN hold no baseline.")
    if not regressor.expansion_.silu:
        raise ParameterError(
            'files of SIMPLE-NN hold the linear term exactly with activation="silu" only.'
        )
    return descriptor, regressor


def _element(networks: Any, k: int, by_column: dict[int, SymmetryFunction], e0: float) -> list[str]:
    """Return the lines of an element."""
    columns, functions = list(by_column), list(by_column.values())
    if not functions:
        raise ParameterError(
            f"files of SIMPLE-NN need a symmetry function of each element, and "
            f"{SYMBOLS[networks.species[k]]} has none."
        )
    cutoff = max(float(function.cutoff or 0.0) for function in functions)
    lines = [f"POT {SYMBOLS[networks.species[k]]} {cutoff:.17g}", f"SYM {len(functions)}"]
    lines += [_function(function) for function in functions]
    lines.append("scale1 " + _numbers(networks.centers[k, columns]))
    lines.append("scale2 " + _numbers(np.ones(len(columns))))
    layers = _layers(networks, k, columns, e0)
    widths = " ".join(str(len(offsets)) for _, offsets in layers)
    lines.append(f"NET {len(layers) - 1} {widths}")
    for place, (weights, offsets) in enumerate(layers):
        lines.append(f"LAYER {place} {'swish' if place < len(layers) - 1 else 'linear'}")
        for unit, (row, offset) in enumerate(zip(weights, offsets, strict=True)):
            lines += [f"w{unit} {_numbers(row)}", f"b{unit} {offset:.17g}"]
    return lines


def _function(function):
    """Return the line of a symmetry function."""
    kind = _TYPES.get(function.kind)
    plain = not function.weighted and function.cutoff_function == "cosine"
    plain = plain and function.cutoff_width == function.cutoff
    if kind is None or not plain or (kind > 2 and function.shift):
        raise ParameterError(
            f"files of SIMPLE-NN have no symmetry function such as {function}; they have G2, "
            "and G4 and G5 without a shift, with cosines over the whole cutoff."
        )
    numbers = (function.eta, function.shift, 0.0)
    if kind > 2:
        numbers = (function.eta, function.zeta, function.lambda_)
    neighbors = " ".join(function.neighbors)
    return f"{kind} {_numbers((function.cutoff, *numbers))} {neighbors}"


def _layers(
    networks: Any, k: int, columns: list[int], e0: float
) -> list[tuple[FloatArray, FloatArray]]:
    """Return weights (n_out, n_in) and constants of the layers of one network for all members."""
    out = []
    linear = networks.linear[k][:, columns].mean(axis=0)
    for place, (coef, offset) in enumerate(zip(networks.coefs, networks.intercepts, strict=True)):
        offsets = np.append(offset[k].ravel(), [0.0, 0.0])
        if place == 0:
            rows = [*coef[k][:, columns].swapaxes(1, 2), np.array([linear, -linear])]
            weights = np.concatenate(rows)
        elif place < len(networks.coefs) - 1:
            weights = block_diag(*coef[k].swapaxes(1, 2), [[1.0, -1.0], [-1.0, 1.0]])
        else:
            weights = np.append(coef[k, :, :, 0].ravel() / networks.n_members, [1.0, -1.0])[None]
            offsets = np.array([offset[k].mean() + e0])
        out.append((weights, offsets))
    return out


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.17g}" for value in values)
