"""What the head reads, as an HTML fragment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _markup as markup
from fairheads.results._reads_figures import bars_figure, maps_figure
from fairheads.results._reads_text import distances, how, share, title, top_values, value_name
from fairheads.results._words import count

if TYPE_CHECKING:
    from fairheads.results.reads import HeadReading, ReadColumn, ReadToken

TOKENS = 12
"""Tokens in the table."""


def html(reading: HeadReading, last: str) -> str:
    """Figures, then tables."""
    parts = [
        markup.heading(3, markup.prose(title(reading))),
        f"<p>{markup.prose(distances(reading))}</p>",
        bars_figure(reading),
        maps_figure(reading) if reading.maps else "",
        _columns(reading),
        _values(reading),
        _tokens(reading),
        f"<p>{markup.prose(how(reading))}</p>",
        f"<p>{markup.prose(last)}</p>",
    ]
    return "\n".join(part for part in parts if part)


def _columns(reading: HeadReading) -> str:
    def row(column: ReadColumn) -> list[str]:
        parts = (column.head, column.task)
        return [
            markup.name(column.name),
            *(cell for part in parts for cell in (markup.estimate(part.contrast), share(part.share))),
        ]

    head = ["Column", "Group head", "Its share", "Task readout", "Its share"]
    caption = "What separates the groups in each readout: mean in the group minus mean in the reference, in sd"
    return markup.table(caption, head, [row(column) for column in reading.bars], right=range(1, 5))


def _values(reading: HeadReading) -> str:
    rows = [
        [
            markup.name(value_name(column, value)),
            share(value.group_share),
            share(value.reference_share),
            markup.estimate(value.head),
            markup.estimate(value.task),
        ]
        for column, value in top_values(reading)
    ]
    if not rows:
        return ""
    head = ["People with", "In the group", "In the reference", "Group head", "Task readout"]
    return markup.table("Which values make these differences, in sd", head, rows, right=range(1, 5))


def _tokens(reading: HeadReading) -> str:
    def row(token: ReadToken) -> list[str]:
        counts = [count(token.group_count), count(token.reference_count)]
        return [str(token.token), *counts, markup.estimate(token.head), markup.estimate(token.task)]

    if not reading.tokens:
        return ""
    head = ["Token", "Times in the group", "In the reference", "Group head, each time", "Task readout, each time"]
    return markup.table("Tokens, in sd an occurrence", head, [row(t) for t in reading.tokens[:TOKENS]], range(1, 5))
