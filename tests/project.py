"""What the tests of the project's own rules share: its files and their syntax trees."""

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "skpot"


@functools.cache
def tracked_files():
    """Files git knows and new ones it would not ignore; every source file outside a checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in listing.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        made = (".venv", "__pycache__")
        paths = [p for p in ROOT.rglob("*") if not any(s.startswith(made) for s in p.parts)]
    return sorted(p for p in paths if p.is_file())


def python_files(folder=ROOT):
    """Tracked Python files below `folder`."""
    return [p for p in tracked_files() if p.suffix == ".py" and p.is_relative_to(folder)]


def loaded_heavy_packages(code):
    """Return which packages that take long to load are loaded after code in a new process."""
    heavy = "{'numpy', 'numba', 'ase', 'sklearn', 'matplotlib'}"
    command = [sys.executable, "-c", f"import sys; {code}; print(*{heavy} & set(sys.modules))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def run_python(arguments, folder, **variables):
    """Run Python in a new process that finds skpot; return the process when it has ended."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")]))
    command = [sys.executable, *arguments]
    env = os.environ | {"PYTHONPATH": paths} | variables
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def where(path, node=None):
    """Return path:line relative to the project, for messages."""
    line = f":{node.lineno}" if node is not None else ""
    return f"{path.relative_to(ROOT)}{line}"


def module_name(path):
    """Return what a file is imported as."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path, for_types=True):
    """Yield (node, module, name) of every import, also those inside functions.

    Without `for_types`, what only type checkers import is left out.

    ``import a.b`` gives ("a.b", None), ``from a.b import c`` gives ("a.b", "c"); relative imports
    come out absolute.
    """
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    never_run = set() if for_types else imports_for_types(path)
    for node in ast.walk(tree(path)):
        if node in never_run:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node, module, alias.name


def imports_for_types(path):
    """Return the nodes below `if TYPE_CHECKING:`, which are never run."""
    return {
        node
        for block in ast.walk(tree(path))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
