"""`skpot evaluate`."""

import os
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import CommandError, command, refuse_overwriting, say, title, warn
from ._options import (
    EnergyKey,
    Force,
    ForcesKey,
    ModelFile,
    ReportFile,
    StressKey,
    VirialKey,
    label_keys,
    refuse_report,
)


@command
def evaluate(
    model: ModelFile,
    test: Annotated[
        list[str],
        typer.Argument(help='Labeled structures; frames are chosen as in "test.xyz@::2".'),
    ],
    plot: Annotated[
        Path | None,
        Option(help="Write a parity plot, colored by kind of structure (.png, .pdf, .svg)."),
    ] = None,
    report: ReportFile = None,
    train: Annotated[
        list[str] | None,
        Option(help="Structures the model has learned from, for comparison in the report."),
    ] = None,
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
    if report is not None:
        refuse_report(report, force, [model, *test, *(train or [])])
    elif train:
        raise CommandError("--train is for --report: name the page to write, too.")
    from skpot.persistence import load, read_card
    from skpot.reports import predict_with_std

    from ._report import (
        curve_table,
        describe,
        error_table,
        kinds_of,
        read_file,
        residual_table,
        uncertainty_table,
    )

    potential = load(model)
    keys = label_keys(energy_key, forces_key, stress_key, virial_key)
    X, y, found = read_file(test, keys)
    describe(f"test: {' '.join(map(str, test))}", X, y, found)
    if train:
        X_train, y_train, found = read_file(train, keys)
        describe(f"training: {' '.join(map(str, train))}", X_train, y_train, found)
    if _is_learned(read_card(model), X, y):
        warn(
            "evaluation on training data",
            f"{model} has learned from these very structures and labels; its errors on others will "
            "be larger.",
        )
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

        parity_plot(X, y, y_pred, None if std is None else std.energy, plot, kinds_of(X))
        say(f"\nwrote {plot}")
    if report is not None:
        from skpot.reports import write_report

        sides = {"X_train": X_train, "y_train": y_train} if train else {}
        write_report(
            report, potential, X, y, **sides, y_pred=y_pred, std=std, card=read_card(model),
            title=f"{model.name} on {', '.join(os.path.basename(name) for name in test)}",
        )  # fmt: skip
        say(f"\nwrote {report}")


def _is_learned(card, X, y):
    """Return whether structures and labels are those of the training set."""
    from ._card import data_hash

    return card.get("training", {}).get("hash") == data_hash(X, y)
