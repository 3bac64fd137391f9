"""The description of the package: the README as it reads where there is no checkout.

Everything else that setuptools needs to know is in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def description(readme, source=None):
    """Return the README with links and figures that work on PyPI.

    They become absolute, below the address of the repository. As long as there is none, figures are
    left out and links keep their text.
    """
    figure, link = r"!\[([^\]]*)\]\((?!\w+:)([^)]+)\)", r"\[([^\]]*)\]\((?![\w]+:|#)([^)]+)\)"
    if source is None:
        return re.sub(link, r"\1", re.sub(rf"\n?{figure}\n", "", readme))
    source = source.removesuffix(".git").rstrip("/")
    readme = re.sub(figure, rf"![\1]({source}/raw/HEAD/\2)", readme)
    return re.sub(link, rf"[\1]({source}/blob/HEAD/\2)", readme)


if __name__ == "__main__":
    from setuptools import setup

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=description(
            (ROOT / "README.md").read_text(encoding="utf-8"),
            project.get("urls", {}).get("Source"),
        ),
        long_description_content_type="text/markdown",
    )
