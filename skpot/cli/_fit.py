"""`skpot fit`."""

import ast
import textwrap
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from ._console import CommandError, command, refuse_overwriting, say, title
from ._options import EnergyKey, Force, ForcesKey, StressKey, VirialKey, label_keys


class Descriptor(StrEnum):
    """What stands for an atom's environment."""

    soap = "soap"


class Hypers(StrEnum):
    """How much the descriptor may cost."""

    fast = "fast"
    default = "default"
    accurate = "accurate"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("fit")(fit)


@command
def fit(
    train: Annotated[
        list[Path], typer.Argument(help="Labeled structures in any format of ASE, e.g. extxyz.")
    ],
    output: Annotated[Path, Option("-o", "--output", help="Model file to write.")],
    test: Annotated[list[Path] | None, Option(help="Structures to test on.")] = None,
    descriptor: Annotated[Descriptor, Option(help="Kind of descriptor.")] = Descriptor.soap,
    hypers: Annotated[
        Hypers, Option(help="Effort; the descriptor's numbers come from the bonds of the data.")
    ] = Hypers.default,
    cutoff: Annotated[float | None, Option(help="Radius of environments (Å).")] = None,
    n_max: Annotated[int | None, Option(help="Radial functions.")] = None,
    l_max: Annotated[int | None, Option(help="Highest degree of spherical harmonics.")] = None,
    sigma: Annotated[float | None, Option(help="Width of the atoms' Gaussians (Å).")] = None,
    n_sparse: Annotated[int, Option(help="Reference environments.")] = 1000,
    zeta: Annotated[int, Option(help="Exponent of the kernel.")] = 4,
    sigma_energy: Annotated[float, Option(help="Noise of energies (eV per atom).")] = 0.002,
    sigma_forces: Annotated[float, Option(help="Noise of force components (eV/Å).")] = 0.1,
    sigma_stress: Annotated[float, Option(help="Noise of stress components (eV/Å³).")] = 5e-4,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    virial_key: VirialKey = None,
    grid: Annotated[
        list[str] | None,
        Option(help='Values to search, e.g. "zeta=2,4"; may be repeated.', metavar="NAME=A,B"),
    ] = None,
    cv: Annotated[
        int | None, Option(min=2, help="Folds of cross-validation; 5 for a grid, else none.")
    ] = None,
    group_key: Annotated[
        str | None,
        Option(
            help="Frames of one trajectory must not be split between folds: the info key that "
            "tells them, e.g. config_type."
        ),
    ] = None,
    jobs: Annotated[int, Option(min=1, help="Processes of the search.")] = 1,
    seed: Annotated[int, Option(min=0, help="Of the choice of references and folds.")] = 0,
    force: Force = False,
) -> None:
    """Fit a potential to energies, forces and stress.

    With --grid, the parameters are searched by cross-validation on the forces; names are those of
    the pipeline (sparsegpr__kernel__zeta) or their ends (zeta).
    """
    refuse_overwriting(output, force, [*train, *(test or ())])
    from sklearn.pipeline import make_pipeline

    from skpot.descriptors import SOAP
    from skpot.kernels import DotProduct
    from skpot.models import SparseGPR
    from skpot.persistence import dump

    from ._report import describe, error_table, read_file, residual_table, search_table
    from ._search import cross_validated, folds, searched

    keys = label_keys(energy_key, forces_key, stress_key, virial_key)
    X, y, report = read_file(train, keys)
    given = {"cutoff": cutoff, "n_max": n_max, "l_max": l_max, "sigma": sigma}
    chosen = chosen_hypers(X, hypers.value, given)
    model = make_pipeline(
        SOAP(**chosen),
        SparseGPR(
            DotProduct(zeta),
            n_sparse,
            sigma_energy=sigma_energy,
            sigma_forces=sigma_forces,
            sigma_stress=sigma_stress,
            random_state=seed,
        ),
    )
    candidates = dict(parse_grid(text, model.get_params()) for text in grid or ())
    describe(f"train: {' '.join(map(str, train))}", X, y, report)
    if test:
        X_test, y_test, report = read_file(test, keys)
        describe(f"test: {' '.join(map(str, test))}", X_test, y_test, report)
        _require_known(X, X_test)

    if candidates or cv is not None:
        splitter, groups = folds(X, cv or 5, group_key, seed)
        how = f"{splitter.n_splits} folds" + (f" by {group_key}" if group_key else "")
        if candidates:
            title(f"grid search, {how}")
            search = searched(model, candidates, X, y, splitter, groups, jobs)
            search_table(search)
            model.set_params(**search.best_params_)
        else:
            title(f"cross-validation, {how}")
            error_table({"held out": (X, y, cross_validated(model, X, y, splitter, groups, jobs))})

    title("fit")
    start = time.perf_counter()
    model[-1].set_params(verbose=1)
    model.fit(X, y)
    model[-1].set_params(verbose=0)
    regressor = model[-1]
    used = [f"{n} {_short(v)}" for n, v in model[0].hypers_.items() if v is not None]
    say(
        textwrap.fill("SOAP: " + ", ".join(used), 78, initial_indent="  ", subsequent_indent="    ")
    )
    say(
        f"  {len(regressor.dual_coef_)} references, {regressor.n_rows_} labels, "
        f"{time.perf_counter() - start:.1f} s"
    )
    energies = ", ".join(f"{name} {e:.4f} eV" for name, e in _by_symbol(regressor.e0_))
    say(f"  free atoms ({regressor.e0_source_.replace('_', ' ')}): {energies}")

    dump(model, output)  # before anything else can fail
    title("errors")
    parts = {"train": (X, y, model.predict(X))}
    if test:
        parts["test"] = (X_test, y_test, model.predict(X_test))
    error_table(parts)
    if test:
        say("")
        residual_table(model, *parts["test"])
    say(f"\nwrote {output}")


def _require_known(X, X_test):
    """Refuse to test on species that are not learned, before the fit."""
    from skpot.data.elements import SYMBOLS

    known, tested = ({int(z) for atoms in part for z in atoms.numbers} for part in (X, X_test))
    if tested - known:
        names = ", ".join(SYMBOLS[z] for z in sorted(tested - known))
        raise CommandError(f"species {names} of the test structures are in no training structure.")


def chosen_hypers(X: Any, preset: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of SOAP: those given (not None), the others by the preset."""
    from skpot.descriptors import SOAP

    given = {name: value for name, value in given.items() if value is not None}
    chosen = SOAP(hypers=preset, **given).fit(X).hypers_ | given
    chosen["cutoff_width"] = min(chosen["cutoff_width"], chosen["cutoff"])
    return chosen


def parse_grid(text: str, parameters: Any) -> tuple[str, list[Any]]:
    """Return the full name and the values of "name=a,b"."""
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not name or not values:
        raise CommandError(f'--grid {text!r}: expected NAME=VALUE,VALUE as in "zeta=2,4".')
    fitting = [p for p in parameters if p == name or p.endswith(f"__{name}")]
    if name in fitting:
        fitting = [name]
    if len(fitting) != 1:
        among = fitting or [p for p in parameters if "__" in p and not p.endswith("verbose")]
        reason = "fits several" if fitting else "is none"
        raise CommandError(f"--grid {text!r}: {name} {reason} of the parameters {sorted(among)}.")
    try:
        return fitting[0], list(ast.literal_eval(f"({values},)"))
    except (SyntaxError, ValueError):  # words such as cur,fps
        return fitting[0], [value.strip() for value in values.split(",")]


def _short(value):
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(_short, value)) + ")"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _by_symbol(energies):
    from skpot.data.elements import SYMBOLS

    return [(SYMBOLS[z], e) for z, e in sorted(energies.items())]
