"""Extended XYZ: headers that ASE refuses or misreads, and numbers that it leaves out silently."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import InputError, LabelError, LabelWarning, warn_once
from ._label_names import label_kind

if TYPE_CHECKING:
    from typing import IO, Any

# Some programs, such as GPUMD, write these names in lower case.
_PROPER = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}
_ANY_CASE = re.compile(rf"(?<!\S)({'|'.join(_PROPER)})(?=\s*=)", re.IGNORECASE)
_QUOTED = re.compile(r""""[^"]*"|'[^']*'|{[^}]*}|\[[^]]*\]""")
_NAME = re.compile(r"([^\s=]+)\s*=")
_COLUMNS = "species:S:1:pos:R:3"


def parse_header(line: str) -> dict[str, Any]:
    """Return the content of the second line of a frame, by name.

    Unlike the parser of ASE, this one accepts stress and virials that do not have nine numbers, and
    keeps all nine of a stress, so that a matrix that is not symmetric can be refused.
    """
    from ase.io.extxyz import key_val_str_to_dict

    line = _ANY_CASE.sub(lambda match: _PROPER[match[1].lower()], line)
    _refuse_doubles(line)
    try:
        found = key_val_str_to_dict(line)
    except ValueError:
        renamed = re.sub(r"(?<!\S)(stress|virial)(?=\s|=|$)", r"\1:", line)
        found = {name.removesuffix(":"): v for name, v in key_val_str_to_dict(renamed).items()}
    if np.shape(found.get("stress")) == (3, 3):
        found["stress"] = found["stress"].ravel()
    return found


def _refuse_doubles(line):
    """Refuse names that occur twice, since ASE would only read the last."""
    names = _NAME.findall(_QUOTED.sub("", line))
    for name in {name for name in names if names.count(name) > 1}:
        if name in _PROPER.values() or label_kind(name)[1] == "label":
            raise LabelError(f"its header has {name!r} twice")


def tell_of_nameless(path: str) -> None:
    """Warn of numbers in the first frame of a file that have no name."""
    from ase.io.formats import open_with_compression

    with open_with_compression(path) as file:
        _, line, row = (file.readline() for _ in range(3))
    match = re.search(r"(?<!\S)Properties\s*=\s*\"?([^\s\"]+)", line, re.IGNORECASE)
    named = sum(int(n) for n in (match[1] if match else _COLUMNS).split(":")[2::3] if n.isdigit())
    columns = len(row.split())
    nameless = []
    if columns >= named + 3:  # a vector; fewer columns are charges and the like
        nameless.append(f"{columns - named} of {columns} columns")
    if _is_fraction(line):  # integers count frames or steps
        nameless.append(f"the number {line.strip()}")
    if nameless:
        warn_once(
            f"nameless numbers in {path}",
            f"{path}: the first frame does not say what {' and '.join(nameless)} are, so they are "
            "not read. If they are labels, name them in the second line of each frame, such as "
            f"Properties={_COLUMNS}:forces:R:3 energy=-1.0",
            LabelWarning,
        )


def refuse_gaps(file: IO[Any], last: float = math.inf) -> None:
    """Refuse an empty line between frames, where ASE would take the file to end.

    Likewise lines of ``VEC1`` to ``VEC3``, with which ASE would lose the results of the frame. The
    file, of text or of bytes, is read from where it is, up to the frame `last`.
    """
    number = 0
    while number <= last + 1 and (head := file.readline()):
        if number and head[:3] in ("VEC", b"VEC"):
            raise InputError(
                f"frame {number - 1} has its cell in lines that begin with VEC; write it as "
                "Lattice in its second line, since its labels would be lost otherwise."
            )
        if not head.strip():
            if number and file.read().strip():
                raise InputError(
                    f"there is an empty line after frame {number - 1}, and what is behind it "
                    "would be left out: remove the line."
                )
            return
        try:
            n_lines = int(head) + 1
        except ValueError:  # the reader says what is wrong
            return
        for _ in range(n_lines):
            file.readline()
        number += 1


def _is_fraction(text):
    return re.fullmatch(r"\s*[-+]?\d*\.\d*(e[-+]?\d+)?\s*", text, re.IGNORECASE) is not None
