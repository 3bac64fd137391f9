"""Progress bars, on request."""

from contextlib import nullcontext

from tqdm import tqdm


def progress(total, description, verbose, unit="structure"):
    """Return a context manager with `update(n)`; it shows a bar if `verbose`.

    `set_postfix_str(text)` adds a remark.
    """
    if verbose:
        return tqdm(total=total, desc=description, unit=unit)
    return nullcontext(_Silent())


class _Silent:
    def update(self, n):
        """Show nothing."""

    def set_postfix_str(self, text):
        """Show nothing."""
