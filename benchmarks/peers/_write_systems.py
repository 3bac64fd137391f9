"""Write the built structures to a folder: _write_systems.py FOLDER [quick] [NAME ...]."""

import sys
from pathlib import Path

import _work  # noqa: F401  makes benchmarks/ importable
from ase.io import write

import _systems  # isort: skip

folder, names = Path(sys.argv[1]), sys.argv[2:]
folder.mkdir(parents=True, exist_ok=True)
for name, frames in _systems.load(quick="quick" in names).items():
    if name in names or not set(names) - {"quick"}:
        write(folder / f"{name}.xyz", frames, format="extxyz")
