"""Run files: the options of a command as YAML, which it reads, and writes beside its output."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ._console import CommandError, failing, refuse_overwriting

_PATHS = ("train", "test", "output")
_HASH = "data_hash"  # of the training data of the run that wrote the file


@failing
def read_settings(context: typer.Context, path: Path | None) -> Path | None:
    """Make the options in a run file the defaults of the command; those typed come first.

    Names of files are taken relative to the folder of the run file.
    """
    if path is None:
        return None
    settings = _parsed(path)
    context.meta[_HASH] = settings.pop(_HASH, None)
    known = sorted(p.name for p in context.command.params if p.name not in ("config", "help"))
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise CommandError(
            f"{path} has no options {', '.join(unknown)}; there are {', '.join(known)}."
        )
    lists = {p.name for p in context.command.params if p.multiple or p.nargs == -1}
    defaults = {}
    for name, value in settings.items():
        if value is not None:
            value = _as_typed(name, value, lists)
            defaults[name] = _moved(value, path.parent) if name in _PATHS else value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _parsed(path):
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise CommandError(f'{path} must have lines such as "preset: fast".')
    return {str(name).replace("-", "_"): value for name, value in settings.items()}


def _as_typed(name, value, lists):
    """Return a value as it would be typed: dictionaries as NAME=VALUE."""
    if isinstance(value, dict) and name in lists:
        return [f"{key}={_joined(values)}" for key, values in value.items()]
    if isinstance(value, dict):
        return ",".join(f"{key}={one}" for key, one in value.items())
    if name in lists:
        return value if isinstance(value, list) else [value]
    return value


def _joined(values):
    return ",".join(map(str, values)) if isinstance(values, list) else str(values)


def _moved(value, folder):
    if isinstance(value, list):
        return [_moved(one, folder) for one in value]
    return os.path.normpath(os.path.join(folder, str(value)))


def data_hash(context: typer.Context) -> str | None:
    """Return the hash of the data that a run file was written for, if it says one."""
    return context.meta.get(_HASH)


class RunFile:
    """The file with the settings of a run, beside its output.

    Parameters
    ----------
    output : Path
        What the run writes; the file has its name with the suffix ".yaml".
    config : Path or None
        The run file that the command read.
    settings : dict
        The options of the run, as they were typed or read.
    """

    def __init__(self, output: Path, config: Path | None, settings: Mapping[str, Any]) -> None:
        self.path = output.with_suffix(".yaml")
        self.output = output
        self.settings = {name: self._plain(name, value) for name, value in settings.items()}
        self.is_input = config is not None and os.path.realpath(config) == os.path.realpath(
            self.path
        )

    def _plain(self, name, value):
        """Return a value as YAML can hold it, names of files relative to the folder of the file."""
        if isinstance(value, list | tuple):
            return [self._plain(name, one) for one in value]
        if name in _PATHS and value is not None:
            return os.path.relpath(value, self.path.parent)
        return value if isinstance(value, int | float | None) else str(value)

    def refuse_overwriting(self, force: bool, inputs: Sequence[Path | str]) -> None:
        """Raise unless the file can be written, or is the run file and would stay as it is."""
        if not self.is_input:
            refuse_overwriting(self.path, force, inputs)
        elif {k: v for k, v in _parsed(self.path).items() if k != _HASH} != self.settings:
            raise CommandError(
                f"{self.path} is read by this command, and the settings of {self.output} would "
                "replace it; name another --output."
            )

    def write(self, hashed: str, **resolved: Any) -> None:
        """Write the settings, with those that the run has resolved, and the hash of the data."""
        import yaml

        from skpot import __version__
        from skpot.persistence import whole_file

        if self.is_input:
            return
        settings = self.settings | resolved | {_HASH: hashed}
        text = (
            f"# The settings of {self.output.name}, by skpot {__version__}. The same model again:\n"
            f"# skpot fit --config {self.path.name} --output again.skpot\n"
        ) + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        with whole_file(self.path) as file:
            file.write(text.encode())
