"""The `skpot` command. Only typer is imported here: what a command needs, it imports itself."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ._telling import fitted


class _Group(TyperGroup):
    """Commands whose errors of usage fit the terminal, as what they print themselves does."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the options of all commands."""
        with _fitted_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Read the options of a command and run it."""
        with _fitted_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _fitted_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whose class is that of click or of typer, by its version
        if hasattr(error, "format_message") and sys.stderr.isatty():
            told = fitted(error.format_message(), len("Error: "))
            error.format_message = lambda: told
        raise


app = typer.Typer(
    name="skpot",
    cls=_Group,
    help="Interatomic potentials as scikit-learn estimators: fit, test and run them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich costs half of the start-up time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted):
    if wanted:
        from skpot import __version__

        typer.echo(f"skpot {__version__}")
        raise typer.Exit


_ROAD = """\b
From labeled structures to dynamics in LAMMPS:
  skpot check train.xyz
  skpot fit train.xyz -o model.skpot --test-fraction 0.1
  skpot md model.skpot train.xyz
  skpot lammps build-plugin
  skpot export lammps model.skpot --start train.xyz
  lmp -in model.in"""


@app.callback(epilog=_ROAD)
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
):
    pass


# The function of a command `name` is `name` in `_name.py`.
_COMMANDS = {
    "demo": "Go from data to molecular dynamics of silicon, in a few minutes.",
    "check": "Look for mistakes in labels before a model learns from them.",
    "fit": "Fit a potential to energies, forces and stress.",
    "evaluate": "Print the errors of a model on labeled structures.",
    "predict": "Write predictions for structures, as ASE reads them.",
    "select": "Choose the structures that are worth labels most.",
    "learn": "Run molecular dynamics by a model that asks for labels and learns.",
    "info": "Print what a model file says about its model.",
    "relax": "Move atoms, and maybe the cell, to the nearest minimum of the energy.",
    "md": "Run molecular dynamics.",
    "ipi": "Serve forces to i-PI over a socket.",
    "warmup": "Compile everything now, once.",
    "doctor": "Show what skpot runs on, and test its derivatives.",
}
for _name, _help in _COMMANDS.items():
    _command = getattr(importlib.import_module(f"skpot.cli._{_name}"), _name)
    app.command(_name, short_help=_help)(_command)
importlib.import_module("skpot.cli._lammps").register(app)
