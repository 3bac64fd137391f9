"""Progress bars, on request."""

from contextlib import nullcontext

from tqdm import tqdm


def progress(total, description, verbose):
    """Return a context manager with `update(n)`; it shows a bar if `verbose`."""
    if verbose:
        return tqdm(total=total, desc=description, unit="structure")
    return nullcontext(_Silent())


class _Silent:
    def update(self, n):
        """Show nothing."""
