"""Run what a page shows, from top to bottom, in a process of its own: python tests/pages.py PAGE.

Blocks of Python share their names. Commands of skpot go through its command line in the same
process; other commands are looked up or run, see `run_command`. Options come as JSON, see `run`.
"""

import contextlib
import importlib.util
import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

if __name__ != "__main__":
    from tests.project import run_python

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = "skipped: "
IMPORTED = re.compile(r"^(?:import|from) (\w+)", re.M)


def fences(page):
    """Return the line, the language and the text of each block of code of a page."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [(text[: m.start(2)].count("\n"), m[1], m[2]) for m in found]


def commands(text):
    """Return the lines of a shell, without comments and with continued lines joined."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_in_new_process(page, folder, needs=(), begins_anew=False):
    """Return what `run` returns, and what the process has printed."""
    result = Path(folder) / "page.pickle"
    options = json.dumps([str(page), str(folder), list(needs), begins_anew, str(result)])
    process = run_python([__file__, options], folder)
    assert process.returncode == 0, process.stdout + process.stderr
    return pickle.loads(result.read_bytes()), process.stdout


def run(page, folder, needs=(), begins_anew=False):
    """Run a page; return the numbers that each block of Python has set, None for those not run.

    Parameters
    ----------
    page, folder : str
        The page, and the folder in which it is run.
    needs : list of (str, str, str)
        A text, the package or program without which blocks and commands with this text are skipped,
        and Python code that prepares what they take for granted. Packages that a block imports need
        not be named.
    begins_anew : bool
        Whether blocks see only what the first one has set.
    """
    names, found = {"__name__": "__main__"}, []
    with contextlib.chdir(folder):
        for line, language, text in fences(Path(page)):
            own = dict(names) if begins_anew and found else names
            if language == "bash":
                for words in commands(text):
                    if _prepared(" ".join(words), needs, own, line):
                        run_command(words)
            elif language == "python":
                done = _prepared(text, needs, own, line)
                if done:
                    exec(compile("\n" * line + text, page, "exec"), own)
                found.append(_plain(own) if done else None)
    return found


def _prepared(text, needs, names, line):
    """Prepare what a block takes for granted; return whether what it needs is there."""
    imported = [(package, package, "") for package in IMPORTED.findall(text)]
    chosen = [need for need in [*imported, *needs] if need[0] in text]
    for _, package, _ in chosen:
        if importlib.util.find_spec(package) is None and shutil.which(package) is None:
            print(f"{SKIPPED}line {line + 1} needs {package}")
            return False
    for *_, code in chosen:
        exec(code, names)
    return True


def _plain(names):
    """Return the variables that hold numbers, arrays of them, or lists of these."""
    import numpy as np

    plain = {}
    for name, value in names.items():
        with contextlib.suppress(ValueError, TypeError):
            if np.asarray(value).dtype.kind in "fiub":
                plain[name] = np.asarray(value)
    return plain


def parse_options(words):
    """Parse a command of skpot, which raises an error where it has no such option."""
    import typer.main

    from skpot.cli import app

    command, words = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words, resilient_parsing=False)


def run_command(words):
    """Run a command, or look up what it names if it would install something or take long."""
    match words:
        case ["skpot", *arguments]:
            from skpot.cli import app

            code = app(arguments, standalone_mode=False)
            assert not code, f"{shlex.join(words)} ended with {code}"
        case ["make", target, *_]:
            text = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{target}:", text, re.M), f"there is no target {target}"
        case ["python3", "-m", "pip", "install", package]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
            for extra in re.match(r"\.\[([\w,]*)\]$", package)[1].split(","):
                assert extra in extras["project"]["optional-dependencies"], f"no extra {extra}"
        case _:
            subprocess.run(words, check=True)


if __name__ == "__main__":
    *arguments, result = json.loads(sys.argv[1])
    Path(result).write_bytes(pickle.dumps(run(*arguments)))
