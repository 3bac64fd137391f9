"""The `skpot` command. Only typer is imported here: what a command needs, it imports itself."""

import importlib
from typing import Annotated

import typer

app = typer.Typer(
    name="skpot",
    help="Interatomic potentials as scikit-learn estimators: fit, test and run them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich costs half of the start-up time
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted):
    if wanted:
        from skpot import __version__

        typer.echo(f"skpot {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="And exit.")
    ] = False,
):
    pass


for _name in ("demo", "fit", "evaluate", "md", "lammps", "ipi", "warmup", "doctor"):
    importlib.import_module(f"skpot.cli._{_name}").register(app)
