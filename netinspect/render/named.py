"""The named formats of tabulate: github, html, latex and so on. They hold all rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from netinspect.errors import UsageError, unknown_word
from netinspect.model import Connection
from netinspect.render.columns import Column
from netinspect.render.dialects import DIALECTS
from netinspect.render.escape import display_width

# These print cells as code of their format, and a stranger chooses what stands in a cell.
UNSAFE_FORMATS = {"unsafehtml": "html", "latex_raw": "latex"}


class Escape(NamedTuple):
    """How a format writes the signs that are code in it."""

    signs: str  # a pattern, compiled only when it is used
    template: str

    def apply(self, cell: str) -> str:
        """The cell as this format writes it."""
        return re.sub(self.signs, lambda sign: self.template.format(sign[0], ord(sign[0])), cell)


NOTHING = "(?!)"
# Within a word these are no code in any of the formats: 127.0.0.1:80, TIME_WAIT.
IN_WORD = r"(?<=[^\W_])[-_.:/%](?=[^\W_])"
PUNCTUATION = rf"(?!{IN_WORD})[!-/:-@\[-`{{-~]"
RST = Escape(PUNCTUATION, "\\{0}")
# A whole cell of - is our own, and common; one of * would be an empty list in Textile.
WIKI = Escape(rf"(?!^-$){PUNCTUATION}", "&#{1};")
# Fewer, to keep the text readable: without a ( or [ behind it, [::1]:80 is no link.
MARKDOWN = Escape(rf"(?!^\*$|{IN_WORD})[\\`*_~<&|$]|(?<=\])[(\[]", "\\{0}")
ORG = Escape(r"\|", "\\vert{{}}")
# The others are for eyes only, or tabulate escapes for them: html, latex.
ESCAPES = {
    **dict.fromkeys(("github", "pipe"), MARKDOWN),
    **dict.fromkeys(("asciidoc", "jira", "mediawiki", "moinmoin", "textile", "youtrack"), WIKI),
    "orgtbl": ORG,
    "rst": RST,
}
OWN_FORMATS = ("table", "wide", "json", "ndjson", "csv", "tsv")


def named_formats() -> list[str]:
    """The formats of tabulate that are offered."""
    import tabulate

    refused = (*UNSAFE_FORMATS, *OWN_FORMATS)
    return [name for name in tabulate.tabulate_formats if name not in refused]


def check_format(name: str) -> None:
    """Refuse a format that does not exist.

    :raises UsageError: with the nearest that does.
    """
    if name in UNSAFE_FORMATS:
        safe = UNSAFE_FORMATS[name]
        raise UsageError(f"format {name!r} does not escape what strangers choose; use {safe}")
    if name not in OWN_FORMATS and name not in named_formats():
        choices = (*OWN_FORMATS, *DIALECTS, *named_formats())
        raise UsageError(unknown_word("format", name, choices))


def render_named(
    batches: Iterable[list[Connection]], columns: list[Column], name: str, *, has_header: bool
) -> Iterator[bytes]:
    """The table in a format of tabulate's."""
    connections = [c for batch in batches for c in batch]
    escape = ESCAPES.get(name, Escape(NOTHING, ""))
    cells = [map(escape.apply, column.cells(connections)) for column in columns]
    titles = [column.title for column in columns] if has_header else []
    yield _tabulate(list(zip(*cells, strict=True)), titles, name).encode() + b"\n"


def _tabulate(rows: list[tuple[str, ...]], titles: list[str], name: str) -> str:
    from inspect import signature

    import tabulate

    # Alignment is the same whether the optional package wcwidth is there or not.
    tabulate.__dict__.update(wcwidth=Widths, WIDE_CHARS_MODE=True)
    # Leading blanks are kept by a variable up to tabulate 0.9, by an argument since.
    tabulate.PRESERVE_WHITESPACE = True
    takes_it = "preserve_whitespace" in signature(tabulate.tabulate).parameters
    options: dict[str, Any] = {"preserve_whitespace": True} if takes_it else {}
    # Without disable_numparse it turns a process called 1e5 into 100000.
    return tabulate.tabulate(rows, headers=titles, tablefmt=name, disable_numparse=True, **options)


class Widths:
    """Stands for the package wcwidth."""

    wcswidth = staticmethod(display_width)
