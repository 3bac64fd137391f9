"""The notebooks run from top to bottom, and are stored without output, which keeps diffs small."""

import os

import nbformat
import pytest
from nbclient import NotebookClient

from tests.project import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_without_output(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None, cell.source


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.getenv("PYTHONPATH", "")]))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": tmp_path}}  # what it writes goes there
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    shown = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    assert any("image/png" in o.get("data", {}) for o in shown)
    if keep := os.getenv("SKPOT_KEEP_NOTEBOOKS"):  # a folder, to look at what came out
        nbformat.write(notebook, os.path.join(keep, path.name))
