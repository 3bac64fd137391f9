"""Progress bars, on request."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from typing import Any


def progress(total: int, description: str, verbose: int, unit: str = "structure") -> Any:
    """Return a context manager with `update(n)`; it shows a bar if `verbose`.

    `set_postfix_str(text)` adds a remark.
    """
    if verbose:
        return tqdm(total=total, desc=description, unit=unit)
    return nullcontext(_Silent())


class _Silent:
    def update(self, n: int) -> None:
        """Show nothing."""

    def set_postfix_str(self, text: str) -> None:
        """Show nothing."""
