"""`skpot evaluate`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import CommandError, command, refuse_overwriting, say, title
from ._options import EnergyKey, Force, ForcesKey, ModelFile, StressKey, VirialKey, label_keys


@command
def evaluate(
    model: ModelFile,
    test: Annotated[list[Path], typer.Argument(help="Labeled structures.")],
    plot: Annotated[Path | None, Option(help="Write a parity plot (.png, .pdf, .svg).")] = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virial_key: VirialKey = None,
    force: Force = False,
) -> None:
    """Print the errors of a model, by label and kind of structure, and test its uncertainties."""
    if plot is not None:
        refuse_overwriting(plot, force, [model, *test])
        from ._plots import require_format

        require_format(plot)
    from skpot.persistence import load

    from ._report import (
        curve_table,
        describe,
        error_table,
        predict_with_std,
        read_file,
        residual_table,
        uncertainty_table,
    )

    potential = load(model)
    X, y, report = read_file(test, label_keys(energy_key, forces_key, stress_key, virial_key))
    describe(f"test: {' '.join(map(str, test))}", X, y, report)
    if not (y.has_energy.any() or y.has_forces.any() or y.has_stress.any()):
        raise CommandError(f"{' '.join(map(str, test))} has no labels to compare predictions with.")
    y_pred, std = predict_with_std(potential, X)
    title(f"errors of {model}")
    error_table({"all": (X, y, y_pred)})
    say("")
    residual_table(potential, X, y, y_pred)
    if std is not None:
        say("")
        uncertainty_table(X, y, y_pred, std)
    curve_table(potential)
    if plot is not None:
        from ._plots import parity_plot

        parity_plot(X, y, y_pred, None if std is None else std.energy, plot)
        say(f"\nwrote {plot}")
