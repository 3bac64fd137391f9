"""What Python and the shell have in common has the same name in both."""

import inspect

import pytest
import typer.main

import skpot
from skpot.cli import app

# Functions behind the commands.
FUNCTIONS = {
    "fit": [skpot.make_potential, skpot.read],
    "check": [skpot.check, skpot.read],
    "evaluate": [skpot.read],
    "md": [skpot.md.Guard],
    "ipi": [skpot.md.ipi.run_client],
    "export lammps": [skpot.md.lammps.export],
    "lammps build-plugin": [skpot.md.lammps.build_plugin],
}
# Names that follow the habits of scikit-learn there and of shells here.
RENAMED = {
    "random_state": {"seed"},
    "verbose": {"quiet"},
    "path": {"output", "record", "train", "files", "test"},
    "X": {"files"},
    "atoms": {"start"},
    "action": {"no_stop"},
}
IN_PYTHON_ONLY = {
    "y": "read from the files with the structures",
    "index": 'part of the name of a file, as in "train.xyz@::2"',
    "return_report": "the commands always print the report",
    "group_key": "groups are held out by `fit` only",
    "species": "those of the training structures",
    "lazy": "`fit` reads so with --max-memory, `predict` where it can; others hold all structures",
    "calculator": "an object",
}


def options(name):
    """Return the parameters of a command."""
    command = typer.main.get_command(app)
    for word in name.split():
        command = command.commands[word]
    return {parameter.name for parameter in command.params}


@pytest.mark.parametrize("command", FUNCTIONS)
def test_parameters_of_functions_are_options_of_commands(command):
    taken = options(command)
    for function in FUNCTIONS[command]:
        for name in inspect.signature(function).parameters:
            same = {name} | RENAMED.get(name, set())
            assert taken & same or name in IN_PYTHON_ONLY, f"{function.__name__} has {name}"


def test_nothing_is_listed_in_vain():
    names = {n for fs in FUNCTIONS.values() for f in fs for n in inspect.signature(f).parameters}
    assert set(RENAMED) | set(IN_PYTHON_ONLY) <= names
    every = set().union(*map(options, FUNCTIONS))
    assert set().union(*RENAMED.values()) <= every
