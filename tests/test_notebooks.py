"""The notebooks run from top to bottom, and are stored with what they show.

After a change, ``SKPOT_KEEP_NOTEBOOKS=notebooks pytest tests/test_notebooks.py`` stores them anew.
"""

import os
import re
import shutil
from itertools import groupby

import nbformat
import pytest
from nbclient import NotebookClient

from tests.project import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")
OF_A_MACHINE = re.compile(r"/(?:tmp|home|root|Users)/|ipykernel")


def shown(notebook):
    """Return what each cell of code shows: kinds of outputs, and texts without their numbers."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kinds = [sorted(o.get("data", {o.output_type: None})) for o in cell.outputs]
            kinds = [kind for kind, _ in groupby(kinds)]  # a kernel may cut texts anywhere
            text = "".join(o.get("text", "") for o in cell.outputs)
            cells.append((kinds, " ".join(NUMBER.sub("#", text).split())))
    return cells


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_as_it_ran(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    for output in outputs:
        assert output.output_type != "error" and output.get("name") != "stderr", output
        assert not OF_A_MACHINE.search(output.get("text", "")), output
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("make_potential" in cell.source for cell in cells)


def test_they_are_small():
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 2e6


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_and_shows_what_is_stored(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.getenv("PYTHONPATH", "")]))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    stored, notebook = (nbformat.read(path, as_version=4) for _ in range(2))
    if any("tblite" in cell.source for cell in stored.cells):
        pytest.importorskip("tblite")  # without it some cells show nothing
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": tmp_path}},  # what it writes goes there
    )  # fmt: skip
    client.execute()
    if keep := os.getenv("SKPOT_KEEP_NOTEBOOKS"):
        notebook.metadata = stored.metadata  # without the version of Python
        nbformat.write(notebook, tmp_path / path.name)
        shutil.move(tmp_path / path.name, os.path.join(keep, path.name))
    else:
        assert shown(notebook) == shown(stored)
