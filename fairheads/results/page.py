"""A page of its own around what results say of themselves: one file, no scripts, no requests."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from fairheads.results import (
    _audit_html,
    _audit_markdown,
    _audit_text,
    _disparity_html,
    _disparity_markdown,
    _disparity_tables,
    _disparity_text,
)
from fairheads.results._audit_text import DISCLAIMER
from fairheads.results._markdown import name
from fairheads.results._stylesheet import page_style
from fairheads.results._words import clip

if TYPE_CHECKING:
    from fairheads.results.audit import AuditReport
    from fairheads.results.disparity import DisparityReport


def html_document(title: str, body: str, data: str, data_id: str) -> str:
    """A whole HTML file.

    Parameters
    ----------
    title : str
        Plain text for the title of the window.
    body : str
        HTML of the page.
    data : str
        JSON text that goes with it, for programs; put where nothing in it can end its element.
    data_id : str
        The ``id`` of that element.
    """
    inert = data.replace("<", "\\u003c")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{page_style()}</style>\n</head>\n"
        f'<body>\n<main class="fairheads">\n{body}\n</main>\n'
        f'<script type="application/json" id="{escape(data_id)}">\n{inert}</script>\n</body>\n</html>\n'
    )


def html_page(report: AuditReport) -> str:
    """The report as one HTML file that needs nothing else.

    The same report gives the same text. The report itself is inside, as JSON, in the element ``fairheads-report``.
    """
    body = f"<h1>{_audit_html.title(report)}</h1>\n{_audit_html.sections(report, level=2)}"
    title = f"{clip(report.model.name, 60)} on {clip(report.data.name, 60)}: audit by group"
    return html_document(title, body, report.to_json(), "fairheads-report")


def text_page(report: AuditReport) -> str:
    """The summary with the evidence of every group, as text of at most 100 columns."""
    return "\n".join([*_audit_text.summary_lines(report, evidence=True), "", DISCLAIMER]) + "\n"


def markdown_page(report: AuditReport) -> str:
    """The report in brief as Markdown, with a title; names from data stay inert."""
    title = f"# {name(report.model.name)} on {name(report.data.name)}"
    return "\n\n".join([title, *_audit_markdown.sections(report)]) + "\n"


def disparity_html_page(report: DisparityReport) -> str:
    """The disparity report as one HTML file, itself inside as JSON, in the element ``fairheads-disparity``."""
    sections = "\n".join(_disparity_html.sections(report, level=2))
    body = f"<h1>{_disparity_html.title(report)}</h1>\n{sections}\n<p>{_disparity_tables.DISCLAIMER}</p>"
    title = _disparity_tables.titled(clip(report.name, 60) if report.name else "")
    return html_document(title, body, report.to_json(), "fairheads-disparity")


def disparity_text_page(report: DisparityReport) -> str:
    """The disparity report as text of at most 100 columns."""
    return "\n".join([*_disparity_text.summary_lines(report), "", _disparity_tables.DISCLAIMER]) + "\n"


def disparity_markdown_page(report: DisparityReport) -> str:
    """The disparity report as Markdown, with a title; names from data stay inert."""
    return (
        "\n\n".join(
            [
                f"# {_disparity_tables.titled(name(report.name) if report.name else '')}",
                *_disparity_markdown.sections(report),
            ]
        )
        + "\n"
    )
