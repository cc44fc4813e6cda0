"""Tables as CSV text that a spreadsheet shows and does not run."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from fairheads.results._text import inert

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula starts with; the last four are the full-width forms, which some spreadsheets take for the same."""

_BLANKS = " \u00a0\u200b\u200c\u200d\u2060\ufeff\x00"
"""What a reader does not see before it, beside white space."""


def csv_text(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lines of a CSV file (RFC 4180, line breaks of one character): None is empty, booleans are true and false.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break, blanks before it or not, gets an
    apostrophe first: spreadsheets would take it for a formula. What would move a terminal's cursor, or is no UTF-8, is
    shown as U+FFFD. Numbers are left as they are.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([[_cell(value) for value in row] for row in (head, *rows)])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return inert(_without_formula(value))
    return value


def _without_formula(text: str) -> str:
    """With an apostrophe before what starts a formula, wherever a spreadsheet would look for its start."""
    rest = text
    while (shorter := rest.lstrip().lstrip(_BLANKS)) != rest:
        rest = shorter
    return f"'{text}" if text.startswith(_STARTS) or rest.startswith(_STARTS) else text
