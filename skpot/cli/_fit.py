"""`skpot fit`."""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer import Option

from ._console import CommandError, command, refuse_overwriting, say, title, told, warn
from ._grid import parse_grid
from ._options import (
    EnergyKey,
    Force,
    ForcesKey,
    Preset,
    ReportFile,
    Split,
    StressKey,
    VirialKey,
    label_keys,
    refuse_report,
)
from ._settings import RunFile, data_hash, read_settings

if TYPE_CHECKING:
    from skpot.data import LabelReport, Targets
    from skpot.typing import Structures


@command
def fit(
    context: typer.Context,
    train: Annotated[
        list[str],
        typer.Argument(
            help="Labeled structures, in one or several files of any formats of ASE, or patterns "
            'of their names. Frames are chosen as in ASE: "train.xyz@::2", "data.db@0:500:5".'
        ),
    ],
    output: Annotated[
        Path,
        Option(
            "-o",
            "--output",
            help="Model file to write; its settings are written beside it (.yaml).",
        ),
    ],
    preset: Annotated[
        Preset,
        Option(help="How much time to spend for accuracy, as in skpot.make_potential."),
    ] = Preset.default,
    e0: Annotated[
        str | None,
        Option(
            help="Energies of free atoms (eV): isolated, from such frames; least_squares, from the "
            "compositions; or H=-13.6,O=-2041.3. By default from isolated atoms where there are "
            "any, else by least squares.",
            metavar="HOW",
        ),
    ] = None,
    sigma_energy: Annotated[
        float | None, Option(help="Noise of energies, eV per atom; by default from the labels.")
    ] = None,
    sigma_forces: Annotated[
        float | None, Option(help="Noise of force components, eV/Å; likewise.")
    ] = None,
    sigma_stress: Annotated[
        float | None, Option(help="Noise of stress components, eV/Å³; likewise.")
    ] = None,
    baseline: Annotated[
        str | None,
        Option(
            help="Calculator of ASE, such as emt or tblite, with its default settings; the model "
            "learns the difference to it.",
            metavar="NAME",
        ),
    ] = None,
    test: Annotated[
        list[str] | None, Option(help="Labeled structures to test on; may be repeated.")
    ] = None,
    test_fraction: Annotated[
        float | None,
        Option(
            min=0.0,
            max=0.9,
            help="Share of the structures to test on instead: whole groups with --group-key, else "
            "whole trajectories, or the last frames of each if there are few.",
        ),
    ] = None,
    test_split: Annotated[
        Split,
        Option(
            help="random draws single frames to test on and for folds, although neighboring frames "
            "are nearly equal, by which errors look too small."
        ),
    ] = Split.auto,
    group_key: Annotated[
        str | None,
        Option(
            help="Key of the group of a frame, such as the name of its trajectory; groups are held "
            "out as a whole."
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        Option(
            help='Values of a parameter of the pipeline, such as "n_sparse=500,1000"; may be '
            "repeated. Cross-validation of the forces finds the best; a single value is just set.",
            metavar="NAME=A,B",
        ),
    ] = None,
    cv: Annotated[
        int | None,
        Option(
            min=2,
            help="Folds of cross-validation; 5 with several values of --grid, otherwise none.",
        ),
    ] = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virial_key: VirialKey = None,
    config: Annotated[
        Path | None,
        Option(
            help='YAML file with options of this command, such as "preset: fast"; those typed come '
            "first. The file beside a model makes the same model again.",
            callback=read_settings,
            is_eager=True,
        ),
    ] = None,
    jobs: Annotated[
        int,
        Option(
            min=1,
            help="Number of processes of cross-validation, and of fits with --max-memory.",
        ),
    ] = 1,
    max_memory: Annotated[
        str | None,
        Option(
            help="Memory that the fit may use, such as 600MB: structures stay in their files, "
            "which must be extended XYZ, trajectories or databases. The model is the same.",
            metavar="SIZE",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        Option(
            help="Cluster of dask that fits parts of the files, with --max-memory, such as "
            "tcp://node1:8786; all of its machines must see the files.",
            metavar="ADDRESS",
        ),
    ] = None,
    seed: Annotated[
        int, Option(min=0, help="Seed of the choice of references, test frames and folds.")
    ] = 0,
    report: ReportFile = None,
    force: Force = False,
) -> None:
    """Fit a potential to energies, forces and stress.

    The model is that of skpot.make_potential: cutoff, widths, noise and kind of solution follow
    from the structures and labels. Labels are found under their usual names; if there is a choice,
    the message says which option to add. Test errors, if there is a test, and what was chosen are
    printed and stored in the model file, where skpot info finds them.
    """
    settings = {
        "train": train, "output": output, "preset": preset, "e0": e0,
        "sigma_energy": sigma_energy, "sigma_forces": sigma_forces, "sigma_stress": sigma_stress,
        "baseline": baseline, "test": list(test or ()), "test_fraction": test_fraction,
        "test_split": test_split, "group_key": group_key, "grid": list(grid or ()), "cv": cv,
        "energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key,
        "virial_key": virial_key, "seed": seed, "max_memory": max_memory,
    }  # fmt: skip
    inputs = [*train, *(test or ())]
    inputs += [str(config)] if config else []
    _refuse_output(output, force, inputs)
    run_file = RunFile(output, config, settings)
    run_file.refuse_overwriting(force, inputs)
    if report is not None:
        refuse_report(report, force, [*inputs, output, run_file.path])
    if test and test_fraction is not None:
        raise CommandError("--test and --test-fraction are both given; give one.")
    memory = _memory(max_memory, scheduler, {"--baseline": baseline, "--report": report})
    keys = label_keys(energy_key, forces_key, stress_key, virial_key) | {"group_key": group_key}
    noise = {
        "sigma_energy": sigma_energy, "sigma_forces": sigma_forces, "sigma_stress": sigma_stress
    }  # fmt: skip
    model = _model(preset, e0, noise, baseline, seed, memory)
    candidates = dict(parse_grid(text, model.get_params()) for text in grid or ())
    data, tests = _data(train, test, test_fraction, keys | {"lazy": memory is not None},
                        (test_split, seed))  # fmt: skip
    _compare(data, data_hash(context), config)
    _look(data, train)
    search = _Search(cv, test_split, seed, jobs)
    with contextlib.nullcontext() if memory is None else _workers(scheduler, jobs):
        resolved = _resolve(model, candidates, data, search)
        _fit(model, data)
    card = _finish(model, data, tests, run_file, resolved)
    if report is not None:
        _write_report(report, model, data, tests.get("test", data), card, output.name)


class _Data(NamedTuple):
    """Structures and labels, with what is known of the files they come from."""

    X: "Structures"
    y: "Targets"
    report: "LabelReport"
    sizes: list[int]  # number of structures of each file


class _Search(NamedTuple):
    """How parameters are searched."""

    n_folds: int | None
    split: Split
    seed: int
    jobs: int


def _refuse_output(output, force, inputs):
    if output.suffix == ".yaml":
        raise CommandError(f"{output}: the settings get this name; name the model differently.")
    refuse_overwriting(output, force, inputs)


def _e0(text):
    """Return the parameter that was typed as H=-13.6,O=-2041.3 or as a word."""
    if text is None or "=" not in text:
        return text
    try:
        pairs = [entry.split("=") for entry in text.split(",")]
        return {symbol.strip(): float(energy) for symbol, energy in pairs}
    except ValueError:
        raise CommandError(
            f"--e0 {text!r}: expected isolated, least_squares or energies as in H=-13.6,O=-2041.3."
        ) from None


def _memory(max_memory, scheduler, whole):
    """Return the bytes that a fit may use, or None; refuse what goes without a limit only."""
    if max_memory is None:
        if scheduler is not None:
            raise CommandError(
                "--scheduler gives parts of files to a cluster: add --max-memory, such as 2GB."
            )
        return None
    from ._in_files import memory_size

    for option, value in whole.items():
        if value is not None:
            more = "; skpot evaluate --report makes the page" if option == "--report" else ""
            raise CommandError(
                f"{option} needs all structures in memory, and --max-memory leaves them in their "
                f"files: leave one of the two out{more}."
            )
    return memory_size(max_memory)


def _workers(scheduler, jobs):
    from ._in_files import workers

    return workers(scheduler, jobs)


def _model(preset, e0, noise, baseline, seed, max_memory):
    """Return the unfitted model."""
    from skpot.compose import DeltaRegressor, make_potential

    e0 = _e0(e0)
    if isinstance(e0, str) and e0 not in ("isolated", "least_squares"):
        raise CommandError(
            f"--e0 {e0!r}: expected isolated, least_squares or energies as in H=-13.6,O=-2041.3."
        )
    model = make_potential(
        str(preset),
        e0=e0,
        max_memory=max_memory,
        random_state=seed,
        **noise,
    )
    return model if baseline is None else DeltaRegressor(model, baseline)


def _data(train, test, test_fraction, keys, split):
    """Return what to learn from, and what to test on by its name."""
    import numpy as np

    from skpot.data import taken_of

    from ._report import describe
    from ._splits import held_out

    data = _read(train, keys)
    if test_fraction:
        mask, how = held_out(data.X, data.y, data.sizes, test_fraction, *split)
        sizes = [int(part.sum()) for part in np.split(~mask, np.cumsum(data.sizes)[:-1])]
        parts = {"train": ~mask, "test": mask}
        train_part, test_part = (
            _Data(taken_of(data.X, np.flatnonzero(chosen)), data.y[chosen], data.report, sizes)
            for chosen in parts.values()
        )
        describe(f"train: {' '.join(train)}", train_part.X, train_part.y, data.report)
        describe(f"test: {how}", test_part.X, test_part.y)
        _warn_of_copies(train_part.X, test_part.X)
        return train_part, {"test": test_part}
    describe(f"train: {' '.join(train)}", *data[:3])
    if not test:
        return data, {}
    tested = _read(test, keys | {"group_key": None})
    describe(f"test: {' '.join(test)}", *tested[:3])
    _require_known(data.X, tested.X)
    _warn_of_copies(data.X, tested.X)
    return data, {"test": tested}


def _read(names, keys):
    from ._report import read_file

    X, y, report = read_file(names, keys)
    return _Data(X, y, report, [n for _, n in report.files])


def _require_known(X, X_test):
    """Refuse to test on species that are not learned, before the fit."""
    from skpot.data.elements import SYMBOLS

    from ._splits import numbers_of

    known, tested = (set(numbers_of(part)[1].tolist()) for part in (X, X_test))
    if tested - known:
        names = ", ".join(SYMBOLS[z] for z in sorted(tested - known))
        raise CommandError(f"species {names} of the test structures are in no training structure.")


def _warn_of_copies(X, X_test):
    """Warn if structures to test on are learned."""
    import numpy as np

    from skpot.data.order import content_keys

    copies = np.flatnonzero(np.isin(content_keys(X_test), content_keys(X)))
    if len(copies):
        warn(
            "test structures in the training set",
            f"{len(copies)} of the {len(X_test)} test structures are in the training set, too, so "
            "that test errors look too small. Leave them out of one of the two.",
        )


def _compare(data, expected, config):
    """Warn if the data are not those for which a run file was written."""
    from skpot.exceptions import LabelWarning, warn_once

    from ._card import data_hash

    if expected is not None and expected != data_hash(data.X, data.y):
        warn_once(
            f"data of {config}",
            f"the training data are not those for which {config} was written, so that the model "
            "will be another one.",
            LabelWarning,
        )


def _look(data, train):
    """Warn of what looks odd without any model, and say what looks deeper."""
    import warnings

    from skpot.checks import quick_check
    from skpot.data import Frames, as_batch, check_targets, some
    from skpot.exceptions import StructureWarning

    title("check")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)  # of close atoms: a finding says more
        found = quick_check(data.X, data.y)
    for finding in found.findings:
        if finding.kind == "atoms too close":
            told("crowded atoms")
        where = f"structures {some(finding.frames)}: " if finding.frames else ""
        warn(finding.kind, f"{where}{finding.message} To mend it, {finding.fix}")
    for note in found.notes:
        warn(note, note)
    if not isinstance(data.X, Frames):  # of which the fit warns
        batch = as_batch(data.X)
        info, n_atoms = batch.info(), [len(atoms) for atoms in data.X]
        check_targets(data.y, n_atoms, numbers=batch.numbers, info=info, keys=info.keys)  # warns
    names = " ".join(train) if len(train) < 4 else f"{train[0]} ..."
    say(f"  of structures and labels as such; skpot check {names} looks deeper")


def _resolve(model: Any, candidates: dict[str, Any], data: _Data, search: _Search) -> list[str]:
    """Set the best of the candidates in the model, and return them as --grid takes them."""
    from ._report import error_table, search_table
    from ._search import cross_validated, searched
    from ._splits import folds

    best = {name: values[0] for name, values in candidates.items() if len(values) == 1}
    model.set_params(**best)
    candidates = {name: values for name, values in candidates.items() if len(values) > 1}
    if candidates or search.n_folds is not None:
        splits, what = folds(
            data.X, data.y, data.sizes, search.n_folds or 5, search.split, search.seed
        )
        title(f"{'grid search' if candidates else 'cross-validation'}, {what}")
        options = data.X, data.y, splits, search.jobs
        if candidates:
            found = searched(model, candidates, *options)
            search_table(found)
            best |= found.best_params
            model.set_params(**found.best_params)
        else:
            error_table({"held out": cross_validated(model, *options)})
    return [f"{name}={value!r}" for name, value in best.items()]


def _fit(model, data):
    """Fit the model and print what it chose."""
    from ._card import chosen, show_chosen

    title("fit")
    start = time.perf_counter()
    model.fit(data.X, data.y)
    show_chosen(chosen(model))
    say(f"  took {time.perf_counter() - start:.1f} s")


def _finish(model, data, tests, run_file, resolved):
    """Write the model and its settings, print the errors, and return the card."""
    from skpot.persistence import dump

    from ._card import card_of, errors
    from ._report import error_table, residual_table

    parts = {"train": data} | tests
    card = card_of(model, parts, run_file.settings | {"grid": resolved})
    predicted, notes = {}, []
    try:
        for name, part in parts.items():
            X, y = _looked_at(name, part, run_file.settings["seed"])
            if len(X) < len(part.X):
                notes.append(f"  {name}: {len(X)} of {len(part.X)} frames, at random")
            y_pred = model.predict(X)  # of structures in files some at a time
            predicted[name] = (list(X), y.loaded(), y_pred)
            card["errors"][name] = errors(*predicted[name])
    finally:  # the model must not be lost if it cannot predict the structures to test on
        dump(model, run_file.output, card)
        run_file.write(card["training"]["hash"], grid=resolved, cv=None)
    title("errors")
    for note in notes:
        say(note)
    error_table(predicted)
    if "test" in predicted:
        say("")
        residual_table(model, *predicted["test"])
    say(f"\nwrote {run_file.output}, and its settings to {run_file.path}")
    return card


def _looked_at(name, part, seed):
    """Return the structures and labels whose errors are printed: of large files some."""
    from skpot.data import Frames

    from ._in_files import drawn

    if name == "test" or not isinstance(part.X, Frames):
        return part.X, part.y

    rows = drawn(part.X, seed)
    return part.X[rows], part.y[rows]


def _write_report(report, model, data, tested, card, name):
    """Write the page with the errors on the test structures, or on what was learned."""
    from skpot.reports import write_report

    write_report(
        report, model, tested.X, tested.y, X_train=data.X, y_train=data.y, card=card,
        title=f"{name}: errors",
    )  # fmt: skip
    say(f"wrote {report}")
