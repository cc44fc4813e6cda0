"""Tables of names and numbers in text, Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from fairheads.results import _markup as html
from fairheads.results._markdown import inert, pipes
from fairheads.results._markdown import name as md_name
from fairheads.results._text import WIDTH, columns, text_table, wrapped
from fairheads.results._words import amount, capital, clip, count, estimate, minus_signs, typeset
from fairheads.results.number import Number

LONG = 600
"""Characters of a sentence."""

NAME, OTHER = 26, 36
"""Letters of a name at the head of a row, and of another cell, in text."""

HEAD = 40
"""Letters of a name in the head of a column."""

Cell = str | int | Number


class Table(NamedTuple):
    """A table with its heading and what is said before it; the heads from ``named`` on are names from data."""

    heading: str
    lead: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    named: int = 10_000


def _of_kind(table: Table, kind: type[Number] | type[int]) -> list[int]:
    """The columns with a cell of a kind."""
    return [i for i in range(len(table.head)) if any(isinstance(row[i], kind) for row in table.rows)]


# ---------------------------------------------------------------- text


def text_lines(table: Table) -> list[str]:
    """Heading, what is said, and the table."""
    return [table.heading, *(line for told in table.lead for line in wrapped(clip(told, LONG))), *_text_table(table)]


def _text_table(table: Table) -> list[str]:
    """Intervals stand as far as the width allows, those further left first."""
    wide = _of_kind(table, Number)
    made = _lines(table, wide)
    while wide and max(map(columns, made)) > WIDTH - 2:
        wide.pop()
        made = _lines(table, wide)
    letters = OTHER
    while letters > 1 and max(map(columns, made)) > WIDTH - 2:
        letters -= 1
        made = _lines(table, wide, letters)
    return [f"  {line}" for line in made]


def _lines(table: Table, with_interval: Sequence[int], letters: int = OTHER) -> list[str]:
    clipped = [min(letters, NAME), *[letters] * len(table.head)]
    rows = [[_text_cell(cell, i in with_interval, clipped[i]) for i, cell in enumerate(row)] for row in table.rows]
    return text_table(
        [clip(text, min(letters, NAME)) if text else "" for text in table.head], rows, right=_of_kind(table, int)
    )


def _text_cell(cell: Cell, with_interval: bool, letters: int) -> str:
    if isinstance(cell, Number):
        return estimate(cell) if with_interval else amount(cell.value)
    return clip(cell, letters) if isinstance(cell, str) else count(cell)


def text_item(text: str) -> list[str]:
    """A sentence behind a dash."""
    first, *rest = wrapped(clip(text, LONG), "", WIDTH - 2)
    return [f"- {first}", *(f"  {line}" for line in rest)]


# ---------------------------------------------------------------- Markdown


def markdown_parts(table: Table) -> list[str]:
    """Heading, what is said, and the table."""
    rows = [[_md_cell(cell) for cell in row] for row in table.rows]
    head = [md_name(text, HEAD) if text else "" for text in table.head]
    return [f"## {inert(table.heading)}", *(inert(clip(told, LONG)) for told in table.lead), pipes(head, rows)]


def _md_cell(cell: Cell) -> str:
    if isinstance(cell, Number):
        return estimate(cell)
    return md_name(cell, 120) if isinstance(cell, str) else count(cell)


# ---------------------------------------------------------------- HTML


def inline(text: str) -> str:
    """A sentence in HTML; its numbers get the minus sign of print."""
    return f"<bdi>{html.escape(minus_signs(clip(text, LONG)))}</bdi>"


def html_table(table: Table, strong: str | None = None) -> str:
    """The table with what is said of it as its caption; the row of the name ``strong`` stands out."""
    numbers = {*_of_kind(table, Number), *_of_kind(table, int)}
    first = table.rows[0] if table.rows else ()
    numbers |= {i for i, cell in enumerate(first) if i and isinstance(cell, str) and _is_number(cell)}
    head = [
        html.escape(clip(text, HEAD) if i >= table.named else capital(text)) if text else ""
        for i, text in enumerate(table.head)
    ]
    caption = " ".join(inline(told) for told in table.lead) or html.escape(table.heading)
    rows = [[_html_cell(cell, own=i == 0) for i, cell in enumerate(row)] for row in table.rows]
    for row, cells in zip(table.rows, rows, strict=True):
        if strong is not None and row[0] == strong:
            cells[0] = f"<strong>{cells[0]}</strong>"
    return html.table(caption, head, rows, right=sorted(numbers))


def _html_cell(cell: Cell, *, own: bool) -> str:
    """``own``: the name of the row, which stays as it is."""
    if isinstance(cell, Number):
        return html.estimate(cell)
    if isinstance(cell, int):
        return f'<span class="n">{count(cell)}</span>'
    return html.name(cell, 80) if own or not _is_number(cell) else f'<span class="n">{typeset(cell)}</span>'


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+\.\d+", text) is not None
