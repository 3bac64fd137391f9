"""Compilers of the system: where they are, how they are called, and what they complain about."""

import os
import shlex
import shutil
import subprocess

from ..exceptions import FileError


def compiler(variable, default, package="g++"):
    """Return a compiler's command as a list: what the environment variable holds, or `default`."""
    hint = (
        f"Install one (Debian: apt install {package}) or name it in the environment variable "
        f"{variable}."
    )
    return command(os.environ.get(variable) or default, hint)


def command(text, hint):
    """Return a compiler's command as a list; if it is missing, `hint` says what to do."""
    parts = shlex.split(text)
    if not parts or shutil.which(parts[0]) is None:
        raise FileError(f"no compiler: {(parts or ['it'])[0]} was not found. {hint}")
    return parts


def run(command, folder):
    """Run a command in a folder; return its result with output and errors as text."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def first_error(result):
    """Return the telling lines of what a compiler printed, as one line."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "undefined" in line.lower() or "error" in line.lower()]
    return "; ".join((telling or lines)[:5])
