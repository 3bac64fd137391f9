"""The page itself: sections with figures and tables, in one file that needs no network."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from ._theme import plotly_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Page:
    """Sections of a page, in the order in which they are added.

    Parameters
    ----------
    title : str
        Heading of the page.
    subtitle : str
        The line below it.
    """

    def __init__(self, title: str, subtitle: str) -> None:
        self.title, self.subtitle = title, subtitle
        self._sections: list[tuple[str, str, str]] = []

    def section(self, name: str, heading: str, *parts: str) -> None:
        """Add a section with HTML in it; `name` is its address on the page."""
        self._sections.append((name, heading, "".join(parts)))

    def html(self, controls: str = "") -> str:
        """Return the whole page."""
        links = "".join(
            f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in self._sections
        )
        sections = "".join(
            f'<section id="{name}"><h2>{escape(heading)}</h2>{body}</section>'
            for name, heading, body in self._sections
        )
        return Template(_file("page.html")).substitute(
            title=escape(self.title),
            subtitle=escape(self.subtitle),
            links=links,
            controls=controls,
            sections=sections,
            style=_file("style.css"),
            plotly=plotly_script(),
            script=_file("script.js"),
        )


def _file(name):
    return files("skpot.reports").joinpath(name).read_text(encoding="utf-8")


def paragraphs(texts: Iterable[str]) -> str:
    """Return sentences as paragraphs."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def bullets(texts: Sequence[str]) -> str:
    """Return sentences as a list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def note(text: str) -> str:
    """Return a remark in small type."""
    return f'<p class="note">{escape(text)}</p>'


def grid(figures: Iterable[str]) -> str:
    """Return figures beside each other as far as there is room."""
    return '<div class="grid">' + "".join(figures) + "</div>"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], groups: Sequence[str | None] = ()
) -> str:
    """Return a table, the first column of which names the rows.

    Parameters
    ----------
    head : list of str
        Names of the columns; without any there is no line for them.
    rows : list of list of str
        The cells.
    groups : list of str or None
        The group of each row, if it belongs to one that can be hidden.
    """
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = ""
    for k, (first, *cells) in enumerate(rows):
        group = groups[k] if k < len(groups) else None
        mark = "" if group is None else f' data-group="{escape(group)}"'
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body += f'<tr{mark}><th scope="row">{escape(first)}</th>{row}</tr>'
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    style = "wide" if head else "wide text"
    return f'<div class="{style}"><table>{top}<tbody>{body}</tbody></table></div>'


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Return large figures: what, how much, and a line that explains it."""
    body = "".join(
        f'<div class="tile"><div class="what">{escape(what)}</div>'
        f'<div class="number">{escape(number)}</div><div class="why">{escape(why)}</div></div>'
        for what, number, why in entries
    )
    return f'<div class="tiles">{body}</div>'
