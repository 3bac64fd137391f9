"""Values of parameters as they are typed: `--grid NAME=A,B`."""

import ast
import difflib
from typing import Any

from ._console import CommandError

# Parameters that change how a model is computed, not the model.
_OF_NO_MODEL = {
    "cache", "memory", "n_jobs", "max_memory", "steps", "transform_input",
    "transformer_list", "verbose", "verbose_feature_names_out",
}  # fmt: skip


def parse_grid(text: str, parameters: Any) -> tuple[str, list[Any]]:
    """Return the full name and the values of "name=a,b"."""
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not name or not values:
        raise CommandError(f'--grid {text!r}: expected NAME=VALUE,VALUE as in "n_sparse=500,1000".')
    matching = [p for p in parameters if p == name or p.endswith(f"__{name}")]
    if name in matching:
        matching = [name]
    if len(matching) != 1:
        raise CommandError(f"--grid {text!r}: {_which(name, matching, parameters)}")
    try:
        return matching[0], list(ast.literal_eval(f"({values},)"))
    except (SyntaxError, ValueError):  # words such as cur,fps
        return matching[0], [value.strip() for value in values.split(",")]


def _which(name, matching, parameters):
    """Return that a name fits several parameters, or none, and which there are."""
    if matching:
        return f"{name} fits several of the parameters: {', '.join(sorted(matching))}."
    known = sorted({p.rsplit("__", 1)[-1] for p in parameters if "__" in p} - _OF_NO_MODEL)
    near = difflib.get_close_matches(name.rsplit("__", 1)[-1], known, n=3)
    meant = f" Is {' or '.join(near)} meant?" if near else ""
    return f"{name} is no parameter.{meant} There are {', '.join(known)}."
