"""A merge report in text, Markdown and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _markup as html
from fairheads.results import _merge_figure as figures
from fairheads.results import _merge_tables as tables
from fairheads.results._markdown import inert
from fairheads.results._markdown import name as md_name
from fairheads.results._tables import LONG, html_table, inline, markdown_parts, text_item
from fairheads.results._tables import text_lines as text_table_lines
from fairheads.results._text import WIDTH, wrapped
from fairheads.results._words import capital, clip
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from fairheads.results.merge import MergeReport

# ---------------------------------------------------------------- text


def text_lines(report: MergeReport) -> list[str]:
    """Everything as text of at most 100 columns."""
    lines = [clip(capital(tables.title(report)), WIDTH)]
    lines += [line for told in tables.lead(report) for line in wrapped(clip(told, LONG), "")]
    for table in tables.tables(report):
        lines += ["", *text_table_lines(table)]
    lines += ["", *wrapped(tables.check(report), "")]
    for remark in tables.remarks(report):
        lines += text_item(remark)
    return [*lines, ""]


# ---------------------------------------------------------------- Markdown


def markdown_page(report: MergeReport) -> str:
    """The report as Markdown, with a title."""
    parts = [f"# {md_name(tables.title(report), 120)}", *(inert(clip(told, LONG)) for told in tables.lead(report))]
    for table in tables.tables(report):
        parts += markdown_parts(table)
    notes = [tables.check(report), *tables.remarks(report)]
    parts += ["## Notes", "\n".join(f"- {inert(clip(text, LONG))}" for text in notes)]
    return "\n\n".join([*parts, inert(tables.DISCLAIMER)]) + "\n"


# ---------------------------------------------------------------- HTML


def html_page(report: MergeReport) -> str:
    """The report as one HTML file."""
    body = f"<h1>{html.name(tables.title(report), 120)}</h1>\n{html_sections(report, level=2)}"
    return html_document(f"{clip(report.model, 60)}: two heads merged", body, report.to_json(), "fairheads-merge")


def html_sections(report: MergeReport, level: int) -> str:
    """Everything below the title; headings are of ``level``."""
    parts = [f"<p>{inline(told)}</p>" for told in tables.lead(report)]
    parts.append(f'<div class="figures">{figures.front_figure(report)}\n{figures.changes_figure(report)}</div>')
    for table in tables.tables(report):
        parts += [html.heading(level, html.escape(table.heading)), html_table(table, strong=tables.RULES["chosen"])]
    parts += [html.heading(level, "Checks and notes"), f"<p>{inline(tables.check(report))}</p>"]
    notes = tables.remarks(report)
    if notes:
        parts.append(f"<ul>{''.join(f'<li>{inline(text)}</li>' for text in notes)}</ul>")
    origin = {**report.provenance, **report.versions}
    if origin:
        parts.append(
            html.definitions([(html.name(k, 60), f"<code>{html.name(v, 24)}</code>") for k, v in origin.items()])
        )
    return "\n".join([*parts, f"<p>{inline(tables.DISCLAIMER)}</p>"])
