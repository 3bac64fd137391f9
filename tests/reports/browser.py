"""Open pages in a real browser, where there is one."""

import contextlib
import re
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

# What scikit-learn's diagram of a pipeline says about steps without a list of features.
KNOWN = "Expected copy-paste icon is missing from the DOM structure"


def find_browser():
    """Return the path of Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def open_page(page, folder, *options, width=1200, height=3000):
    """Open a page; return what the browser prints, and the lines on its console."""
    command = [
        find_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", "--virtual-time-budget=20000",
        f"--user-data-dir={folder / 'browser'}", f"--window-size={width},{height}",
        *options, page.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    lines = [line for line in result.stderr.splitlines() if ":CONSOLE:" in line]
    return result.stdout, [line for line in lines if KNOWN not in line]


def told_by(html, folder, script, *, width=1200, height=3000):
    """Run a script in a page shown in a frame of this width; return the text that it posts."""
    page, frame = folder / "scripted.html", folder / "frame.html"
    before, end, after = html.rpartition("</body>")
    script = f"<script>{{{script}}}</script>"  # braces keep its names apart
    page.write_text(before + script + end + after, encoding="utf-8")
    frame.write_text(
        "<body><script>addEventListener('message', (e) => {"
        "document.body.dataset.told = e.data; });</script>"
        f'<iframe src="scripted.html" style="width:{width}px;height:{height}px"></iframe></body>'
    )
    dom, console = open_page(frame, folder, "--dump-dom", width=1400)
    assert not console, console
    with contextlib.suppress(AttributeError):
        return re.search(r'data-told="([^"]*)"', dom).group(1)
    raise AssertionError(f"the script posted nothing: {dom[:500]}")
