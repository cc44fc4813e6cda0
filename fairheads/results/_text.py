"""Aligned tables and wrapped lines for a terminal."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence

WIDTH = 100

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Controls but the tab and the line break, and lone surrogates."""


def inert(text: str) -> str:
    """The text with U+FFFD for what moves a terminal's cursor or cannot be UTF-8: names in a file may hold it."""
    return _CONTROLS.sub("\ufffd", text)


def columns(text: str) -> int:
    """Terminal columns that a text fills: East Asian wide characters two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of a table, two blanks between columns; those numbered in ``right`` are set to the right."""
    table = [head, *rows]
    widths = [max(columns(row[i]) for row in table) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = []
        for i, cell in enumerate(row):
            blanks = " " * (widths[i] - columns(cell))
            cells.append(blanks + cell if i in right else cell + blanks)
        return "  ".join(cells).rstrip()

    return [line(row) for row in table]


def wrapped(text: str, indent: str = "  ", width: int = WIDTH) -> list[str]:
    """A paragraph in lines of at most ``width`` columns."""
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
