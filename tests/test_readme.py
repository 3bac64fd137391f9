"""What the README shows runs."""

import re
import shlex

import pytest
import typer.main

from skpot.cli import app
from tests.project import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
COMMANDS = re.sub(r"\\\n\s*", "", "\n".join(text for kind, text in FENCES if not kind))


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    blocks = [text for kind, text in FENCES if kind == "python"]
    assert blocks
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["atoms"].get_forces().shape == (len(namespace["atoms"]), 3)
    assert capsys.readouterr().out


@pytest.mark.parametrize("line", re.findall(r"^skpot .*", COMMANDS, re.M))
def test_the_commands_take_these_options(line):
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app).commands[words[0]]
    command.make_context(words[0], words[1:], resilient_parsing=False)


def test_files_it_names_exist():
    names = re.findall(r"`((?:skpot|notebooks|benchmarks)/[\w/.]*|[A-Z]+\.md)`", README)
    names += re.findall(r"\]\(([\w/.]+)\)", README)
    assert not [name for name in names if not (ROOT / name).exists()]


def test_fits_a_narrow_terminal():
    assert max(map(len, README.splitlines())) <= 80
