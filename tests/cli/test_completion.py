import os
import pty
import select
import shutil
import subprocess
import sys

import pytest

_COMMAND = [sys.executable, "-m", "skpot.cli"]


def _completed(words):
    env = os.environ | {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_SKPOT_COMPLETE": "complete_bash",
    }
    result = subprocess.run(_COMMAND, env=env, capture_output=True, text=True, check=True)
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("skpot ex", ["export"]),
        ("skpot export ", ["lammps"]),
        ("skpot fit --prese", ["--preset"]),
        ("skpot fit --preset ", ["fast", "default", "accurate", "network"]),
        ("skpot fit tr", []),  # nothing: the shell completes names of files
        ("skpot md mod", []),
    ],
)
def test_words_are_completed(words, expected):
    assert _completed(words) == expected


def test_help_says_how_to_install_it():
    result = subprocess.run([*_COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "--install-completion" in result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_files(tmp_path):
    script = tmp_path / "skpot"
    script.write_text(f'#!/bin/sh\nexec {" ".join(_COMMAND)} "$@"\n')
    script.chmod(0o755)
    shown = subprocess.run(
        [*_COMMAND, "--show-completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
        # The parent of this process need not be a shell.
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    (tmp_path / "rc").write_text(f"PATH={tmp_path}:$PATH\nPS1='ready> '\n{shown.stdout}")
    (tmp_path / "training_set.xyz").write_text("")
    main, child = pty.openpty()
    bash = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", str(tmp_path / "rc"), "-i"],
        cwd=tmp_path, env=os.environ | {"TERM": "dumb"}, stdin=child, stdout=child, stderr=child,
    )  # fmt: skip
    os.close(child)
    try:
        told = _until(main, b"ready> ")
        os.write(main, b"skpot fit trai\t")
        told = _until(main, b"training_set.xyz")
        assert b"skpot fit training_set.xyz" in told
    finally:
        bash.kill()
        bash.wait()
        os.close(main)


def _until(terminal, text):
    told = b""
    while text not in told:
        ready, _, _ = select.select([terminal], [], [], 60.0)
        assert ready, f"the shell has said {told!r} and nothing more"
        told += os.read(terminal, 1024)
    return told
