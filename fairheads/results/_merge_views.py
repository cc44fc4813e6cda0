"""A merge report in text, Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results import _markup as html
from fairheads.results import _merge_figure as figures
from fairheads.results import _merge_tables as tables
from fairheads.results._markdown import inert, pipes
from fairheads.results._markdown import name as md_name
from fairheads.results._text import WIDTH, columns, text_table, wrapped
from fairheads.results._words import amount, capital, clip, count, estimate, typeset
from fairheads.results.number import Number
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from fairheads.results.merge import MergeReport

LONG = 600
"""Characters of a sentence."""

NAME = 26
"""Letters of a name in text."""


# ---------------------------------------------------------------- text


def text_lines(report: MergeReport) -> list[str]:
    """Everything as text of at most 100 columns."""
    lines = [clip(capital(tables.title(report)), WIDTH)]
    lines += [line for told in tables.lead(report) for line in wrapped(clip(told, LONG), "")]
    for table in tables.tables(report):
        lines += ["", table.heading, *(line for told in table.lead for line in wrapped(clip(told, LONG)))]
        lines += _text_table(table)
    lines += ["", *wrapped(tables.check(report), "")]
    for remark in tables.remarks(report):
        lines += _item(remark)
    return [*lines, ""]


def _text_table(table: tables.Table) -> list[str]:
    """Intervals stand as far as the width allows, those further left first."""
    wide = [i for i, cell in enumerate(table.rows[0]) if isinstance(cell, Number)] if table.rows else []
    made = _lines(table, wide)
    while wide and max(map(columns, made)) > WIDTH - 2:
        wide.pop()
        made = _lines(table, wide)
    return [f"  {line}" for line in made]


def _lines(table: tables.Table, with_interval: Sequence[int]) -> list[str]:
    rows = [[_text_cell(cell, i in with_interval) for i, cell in enumerate(row)] for row in table.rows]
    right = [i for i, cell in enumerate(table.rows[0]) if isinstance(cell, int)] if table.rows else []
    return text_table([clip(text, NAME) if text else "" for text in table.head], rows, right=right)


def _text_cell(cell: str | int | Number, with_interval: bool) -> str:
    if isinstance(cell, Number):
        return estimate(cell) if with_interval else amount(cell.value)
    return clip(cell, NAME) if isinstance(cell, str) else count(cell)


def _item(text: str) -> list[str]:
    first, *rest = wrapped(clip(text, LONG), "", WIDTH - 2)
    return [f"- {first}", *(f"  {line}" for line in rest)]


# ---------------------------------------------------------------- Markdown


def markdown_page(report: MergeReport) -> str:
    """The report as Markdown, with a title."""
    parts = [f"# {md_name(tables.title(report), 120)}", *(inert(clip(told, LONG)) for told in tables.lead(report))]
    for table in tables.tables(report):
        parts += [f"## {inert(table.heading)}", *(inert(clip(told, LONG)) for told in table.lead)]
        parts.append(pipes([inert(text) for text in table.head], [[_md_cell(cell) for cell in r] for r in table.rows]))
    notes = [tables.check(report), *tables.remarks(report)]
    parts += ["## Notes", "\n".join(f"- {inert(clip(text, LONG))}" for text in notes)]
    return "\n\n".join([*parts, inert(tables.DISCLAIMER)]) + "\n"


def _md_cell(cell: str | int | Number) -> str:
    if isinstance(cell, Number):
        return estimate(cell)
    return md_name(cell, 120) if isinstance(cell, str) else count(cell)


# ---------------------------------------------------------------- HTML


def html_page(report: MergeReport) -> str:
    """The report as one HTML file."""
    body = f"<h1>{html.name(tables.title(report), 120)}</h1>\n{html_sections(report, level=2)}"
    return html_document(f"{clip(report.model, 60)}: two heads merged", body, report.to_json(), "fairheads-merge")


def html_sections(report: MergeReport, level: int) -> str:
    """Everything below the title; headings are of ``level``."""
    parts = [f"<p>{_inline(told)}</p>" for told in tables.lead(report)]
    parts.append(f'<div class="figures">{figures.front_figure(report)}\n{figures.changes_figure(report)}</div>')
    for table in tables.tables(report):
        parts += [html.heading(level, html.escape(table.heading)), _html_table(table)]
    parts += [html.heading(level, "Checks and notes"), f"<p>{_inline(tables.check(report))}</p>"]
    notes = tables.remarks(report)
    if notes:
        parts.append(f"<ul>{''.join(f'<li>{_inline(text)}</li>' for text in notes)}</ul>")
    origin = {**report.provenance, **report.versions}
    if origin:
        parts.append(
            html.definitions([(html.name(k, 60), f"<code>{html.name(v, 24)}</code>") for k, v in origin.items()])
        )
    return "\n".join([*parts, f"<p>{_inline(tables.DISCLAIMER)}</p>"])


def _inline(text: str) -> str:
    """A sentence; its numbers get the minus sign of print."""
    return f"<bdi>{_minus(html.escape(clip(text, LONG)))}</bdi>"


def _minus(text: str) -> str:
    return re.sub(r"(?<![^ \[(])-(?=\d)", "−", text)


def _html_table(table: tables.Table) -> str:
    """With what is said of it as its caption."""
    first = table.rows[0] if table.rows else ()
    right = [i for i, cell in enumerate(first) if not isinstance(cell, str) or (i and _is_number(cell))]
    head = [html.escape(capital(text)) for text in table.head]
    caption = " ".join(_inline(told) for told in table.lead) or html.escape(table.heading)
    rows = [[_html_cell(cell, own=i == 0) for i, cell in enumerate(row)] for row in table.rows]
    for cells in rows:
        if cells[0] == html.name(tables.RULES["chosen"]):
            cells[0] = f"<strong>{cells[0]}</strong>"
    return html.table(caption, head, rows, right=right)


def _html_cell(cell: str | int | Number, *, own: bool) -> str:
    """``own``: the name of the row, which stays as it is."""
    if isinstance(cell, Number):
        return html.estimate(cell)
    if isinstance(cell, int):
        return f'<span class="n">{count(cell)}</span>'
    return html.name(cell, 80) if own or not _is_number(cell) else f'<span class="n">{typeset(cell)}</span>'


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+\.\d+", text) is not None
