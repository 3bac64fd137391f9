"""Commands in a terminal of a given width, as users see them."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios


def in_terminal(words, folder, columns=80, env=()):
    """Run a command of skpot; return its exit code and what it shows, and has shown, as lines."""
    main, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "skpot.cli", *map(str, words)],
        cwd=folder, env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm"} | dict(env),
        stdin=child, stdout=child, stderr=child,
    )  # fmt: skip
    os.close(child)
    shown = b""
    while part := _read(main):
        shown += part
    os.close(main)
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown.decode())
    return process.wait(), [part for line in plain.splitlines() for part in line.split("\r")]


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so at the end
        return b""
