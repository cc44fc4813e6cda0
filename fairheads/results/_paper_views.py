"""The study in text, Markdown and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _markup as html
from fairheads.results import _paper_figures as figures
from fairheads.results import _paper_tables as tables
from fairheads.results._markdown import inert, pipes
from fairheads.results._markdown import name as md_name
from fairheads.results._style import html_figure
from fairheads.results._tables import LONG, html_table, inline, markdown_parts, text_item
from fairheads.results._tables import text_lines as text_table_lines
from fairheads.results._text import wrapped
from fairheads.results._words import capital, clip
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from fairheads.results.paper import PaperReport


def text_lines(report: PaperReport) -> list[str]:
    """Everything as text of at most 100 columns."""
    lines = [tables.title(report)]
    lines += [line for told in tables.lead(report) for line in wrapped(clip(told, LONG), "")]
    lines += ["", "The four claims", *wrapped(tables.ASKED_AT)]
    for each in report.claims:
        lines += wrapped(f"{each.claim}, weight {each.weight:g}: {each.holds.upper()}. {each.because}", "  ")
    for table in tables.tables(report):
        lines += ["", *text_table_lines(table)]
    remarks = [line for remark in remarks_of(report) for line in text_item(remark)]
    return [*lines, "", *remarks, ""]


def _claims(report: PaperReport) -> list[tuple[str, ...]]:
    """A row a claim and weight; nothing in it came from data."""
    return [
        (f"{each.claim}. {tables.CLAIMS[each.claim]}", f"{each.weight:g}", each.holds, each.because)
        for each in report.claims
    ]


def remarks_of(report: PaperReport) -> list[str]:
    """What else a reader must know."""
    return [*report.notes, *tables.differences(report)]


def markdown_page(report: PaperReport) -> str:
    """The report as Markdown, with a title."""
    parts = [f"# {md_name(tables.title(report), 120)}", *(inert(clip(told, LONG)) for told in tables.lead(report))]
    parts += ["## The four claims", tables.ASKED_AT, pipes(tables.CLAIM_HEAD, [[*row] for row in _claims(report)])]
    for table in tables.tables(report):
        parts += markdown_parts(table)
    parts += ["## Notes", "\n".join(f"- {inert(clip(text, LONG))}" for text in remarks_of(report))]
    return "\n\n".join([*parts, inert(tables.DISCLAIMER)]) + "\n"


def html_page(report: PaperReport) -> str:
    """The report as one HTML file."""
    title = tables.title(report)
    body = f"<h1>{html.escape(title)}</h1>\n{html_sections(report, level=2)}"
    return html_document(title, body, report.to_json(), "fairheads-paper")


def html_sections(report: PaperReport, level: int) -> str:
    """Everything below the title; headings are of ``level``."""
    parts = [f"<p>{inline(told)}</p>" for told in tables.lead(report)]
    claims = [[inline(cell) for cell in row] for row in _claims(report)]
    parts += [
        html.heading(level, "The four claims"),
        html.table(tables.ASKED_AT, [capital(head) for head in tables.CLAIM_HEAD], claims),
    ]
    drawn = [
        html_figure(figures.draw(report, of), figures.says(report, of), inline(figures.caption(report, of)))
        for of in figures.FIGURES
    ]
    parts.append(f'<div class="figures">{"".join(drawn)}</div>')
    for table in tables.tables(report):
        parts += [html.heading(level, html.escape(table.heading)), html_table(table)]
    parts.append(html.heading(level, "Notes, and differences from the authors' setup"))
    parts.append(f"<ul>{''.join(f'<li>{inline(text)}</li>' for text in remarks_of(report))}</ul>")
    return "\n".join([*parts, f"<p>{inline(tables.DISCLAIMER)}</p>"])
