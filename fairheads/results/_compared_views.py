"""A comparison of models in text, Markdown and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _compared_tables as tables
from fairheads.results import _front_views as fronts
from fairheads.results import _markup as html
from fairheads.results._markdown import inert
from fairheads.results._markdown import name as md_name
from fairheads.results._tables import LONG, html_table, inline, markdown_parts, text_item
from fairheads.results._tables import text_lines as text_table_lines
from fairheads.results._text import wrapped
from fairheads.results._words import clip
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from fairheads.results.compared import ComparisonReport


def text_lines(report: ComparisonReport) -> list[str]:
    """Everything as text of at most 100 columns."""
    lines = [tables.title(report)]
    lines += [line for told in tables.lead(report) for line in wrapped(clip(told, LONG), "")]
    for table in tables.tables(report):
        lines += ["", *text_table_lines(table)]
    remarks = [line for remark in tables.remarks(report) for line in text_item(remark)]
    return [*lines, "", *remarks, *([""] if remarks else [])]


def markdown_page(report: ComparisonReport) -> str:
    """The report as Markdown, with a title."""
    parts = [f"# {md_name(tables.title(report), 120)}", *(inert(clip(told, LONG)) for told in tables.lead(report))]
    for table in tables.tables(report):
        parts += markdown_parts(table)
    notes = tables.remarks(report)
    if notes:
        parts += ["## Notes", "\n".join(f"- {inert(clip(text, LONG))}" for text in notes)]
    return "\n\n".join([*parts, inert(tables.DISCLAIMER)]) + "\n"


def html_page(report: ComparisonReport) -> str:
    """The report as one HTML file."""
    title = tables.title(report)
    body = f"<h1>{html.escape(title)}</h1>\n{html_sections(report, level=2)}"
    shown = f"{title}: {clip(report.front.data, 60)}" if report.front.data else title
    return html_document(shown, body, report.to_json(), "fairheads-compare")


def html_sections(report: ComparisonReport, level: int) -> str:
    """Everything below the title; headings are of ``level``."""
    parts = [f"<p>{inline(told)}</p>" for told in tables.lead(report)]
    if any(setting.known for setting in report.front.settings):
        parts.append(f'<div class="figures">{fronts.figure(report.front)}</div>')
    for table in tables.tables(report):
        parts += [html.heading(level, html.escape(table.heading)), html_table(table)]
    parts.append(html.heading(level, "Notes and origin"))
    notes = tables.remarks(report)
    if notes:
        parts.append(f"<ul>{''.join(f'<li>{inline(text)}</li>' for text in notes)}</ul>")
    origin = tables.origin(report)
    parts.append(html.definitions([(html.name(k, 60), f"<code>{html.name(v, 24)}</code>") for k, v in origin.items()]))
    return "\n".join([*parts, f"<p>{inline(tables.DISCLAIMER)}</p>"])
