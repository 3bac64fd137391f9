"""`skpot fit`."""

import ast
import textwrap
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from ._console import CommandError, command, refuse_overwriting, say, title
from ._options import EnergyKey, Force, ForcesKey, StressKey, VirialKey, label_keys

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from skpot.data import Targets
    from skpot.typing import Structures


class Descriptor(StrEnum):
    """Kinds of descriptors."""

    soap = "soap"


class Hypers(StrEnum):
    """Presets of the descriptor."""

    fast = "fast"
    default = "default"
    accurate = "accurate"


@command
def fit(
    train: Annotated[
        list[Path], typer.Argument(help="Labeled structures in any format of ASE, e.g. extxyz.")
    ],
    output: Annotated[Path, Option("-o", "--output", help="Model file to write.")],
    test: Annotated[list[Path] | None, Option(help="Structures to test on.")] = None,
    descriptor: Annotated[Descriptor, Option(help="Kind of descriptor.")] = Descriptor.soap,
    hypers: Annotated[
        Hypers,
        Option(help="Size of the descriptor; its lengths are chosen from the bonds of the data."),
    ] = Hypers.default,
    cutoff: Annotated[float | None, Option(help="Radius of environments (Å).")] = None,
    n_max: Annotated[int | None, Option(help="Number of radial functions.")] = None,
    l_max: Annotated[int | None, Option(help="Highest degree of spherical harmonics.")] = None,
    sigma: Annotated[float | None, Option(help="Width of the Gaussians of atoms (Å).")] = None,
    n_sparse: Annotated[int, Option(help="Number of reference environments.")] = 1000,
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
        int | None,
        Option(min=2, help="Folds of cross-validation; 5 with a grid, otherwise none by default."),
    ] = None,
    group_key: Annotated[
        str | None,
        Option(
            help="Info key by which frames are grouped, e.g. config_type; a group, such as a "
            "trajectory, is never split between folds."
        ),
    ] = None,
    jobs: Annotated[int, Option(min=1, help="Number of processes of the search.")] = 1,
    seed: Annotated[int, Option(min=0, help="Seed of the choice of references and folds.")] = 0,
    force: Force = False,
) -> None:
    """Fit a potential to energies, forces and stress.

    With --grid, parameters are searched by cross-validation of the forces. Their names are those
    of the pipeline (sparsegpr__kernel__zeta) or the last part of these (zeta).
    """
    refuse_overwriting(output, force, [*train, *(test or ())])
    from sklearn.pipeline import make_pipeline

    from skpot.descriptors import SOAP
    from skpot.kernels import DotProduct
    from skpot.models import SparseGPR
    from skpot.persistence import dump

    keys = label_keys(energy_key, forces_key, stress_key, virial_key)
    X, y, report = _read(train, keys)
    given = {"cutoff": cutoff, "n_max": n_max, "l_max": l_max, "sigma": sigma}
    regressor = SparseGPR(
        DotProduct(zeta),
        n_sparse,
        sigma_energy=sigma_energy,
        sigma_forces=sigma_forces,
        sigma_stress=sigma_stress,
        random_state=seed,
    )
    model = make_pipeline(SOAP(**chosen_hypers(X, hypers.value, given)), regressor)
    candidates = dict(parse_grid(text, model.get_params()) for text in grid or ())
    _describe("train", train, X, y, report)
    tests = _read_tests(test, keys, X)
    if candidates or cv is not None:
        _cross_validate(model, candidates, X, y, cv or 5, group_key, seed, jobs)
    _fit(model, X, y)
    dump(model, output)  # before anything else can fail
    _print_errors(model, {"train": (X, y)} | tests)
    say(f"\nwrote {output}")


def _read(paths, keys):
    from ._report import read_file

    return read_file(paths, keys)


def _describe(name, paths, X, y, report):
    from ._report import describe

    describe(f"{name}: {' '.join(map(str, paths))}", X, y, report)


def _read_tests(paths, keys, X):
    """Return structures and labels to test on by their name; refuse species not in X."""
    if not paths:
        return {}
    X_test, y_test, report = _read(paths, keys)
    _describe("test", paths, X_test, y_test, report)
    _require_known(X, X_test)
    return {"test": (X_test, y_test)}


def _require_known(X, X_test):
    """Refuse to test on species that are not learned, before the fit."""
    from skpot.data.elements import SYMBOLS

    known, tested = ({int(z) for atoms in part for z in atoms.numbers} for part in (X, X_test))
    if tested - known:
        names = ", ".join(SYMBOLS[z] for z in sorted(tested - known))
        raise CommandError(f"species {names} of the test structures are in no training structure.")


def _cross_validate(
    model: "Pipeline",
    candidates: dict[str, Any],
    X: "Structures",
    y: "Targets",
    n_folds: int,
    group_key: str | None,
    seed: int,
    jobs: int,
) -> None:
    """Set the best of the candidates in the model; without candidates, print errors only."""
    from ._report import error_table, search_table
    from ._search import cross_validated, folds, searched

    splitter, groups = folds(X, n_folds, group_key, seed)
    how = f"{splitter.n_splits} folds" + (f" by {group_key}" if group_key else "")
    if candidates:
        title(f"grid search, {how}")
        search = searched(model, candidates, X, y, splitter, groups, jobs)
        search_table(search)
        model.set_params(**search.best_params_)
    else:
        title(f"cross-validation, {how}")
        error_table({"held out": (X, y, cross_validated(model, X, y, splitter, groups, jobs))})


def _fit(model, X, y):
    """Fit the model and print what it chose."""
    title("fit")
    start = time.perf_counter()
    soap, regressor = model[0], model[-1]
    regressor.set_params(verbose=1)
    model.fit(X, y)
    regressor.set_params(verbose=0)
    used = [f"{name} {_short(value)}" for name, value in soap.hypers_.items() if value is not None]
    text = "SOAP: " + ", ".join(used)
    say(textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="    "))
    say(
        f"  {len(regressor.dual_coef_)} references, {regressor.n_rows_} labels, "
        f"{time.perf_counter() - start:.1f} s"
    )
    energies = ", ".join(f"{name} {e:.4f} eV" for name, e in _by_symbol(regressor.e0_))
    say(f"  free atoms ({regressor.e0_source_.replace('_', ' ')}): {energies}")


def _print_errors(model, parts):
    """Print errors on all parts, and for structures to test on where the errors are."""
    from ._report import error_table, residual_table

    title("errors")
    predicted = {name: (X, y, model.predict(X)) for name, (X, y) in parts.items()}
    error_table(predicted)
    if "test" in predicted:
        say("")
        residual_table(model, *predicted["test"])


def chosen_hypers(X: Any, preset: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of SOAP: those given (not None), and others by the preset."""
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
    matching = [p for p in parameters if p == name or p.endswith(f"__{name}")]
    if name in matching:
        matching = [name]
    if len(matching) != 1:
        among = matching or [p for p in parameters if "__" in p and not p.endswith("verbose")]
        reason = "fits several" if matching else "is none"
        raise CommandError(f"--grid {text!r}: {name} {reason} of the parameters {sorted(among)}.")
    try:
        return matching[0], list(ast.literal_eval(f"({values},)"))
    except (SyntaxError, ValueError):  # words such as cur,fps
        return matching[0], [value.strip() for value in values.split(",")]


def _short(value):
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(_short, value)) + ")"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _by_symbol(energies):
    from skpot.data.elements import SYMBOLS

    return [(SYMBOLS[z], e) for z, e in sorted(energies.items())]
