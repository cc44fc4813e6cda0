"""One audit as text, Markdown, HTML or JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fairheads.errors import ConfigError
from fairheads.results import AuditReport
from fairheads.results.page import html_page, markdown_page, text_page

__all__ = ["FORMATS", "html_page", "markdown_page", "render", "save", "text_page"]


FORMATS: dict[str, Callable[[AuditReport], str]] = {
    "text": text_page,
    "json": AuditReport.to_json,
    "md": markdown_page,
    "html": html_page,
}
"""What makes which format of a report."""


def render(report: AuditReport, format: str) -> str:
    """The report in one of `FORMATS`.

    Raises
    ------
    ConfigError
        If there is no such format.
    """
    if format not in FORMATS:
        raise ConfigError(f"`format` must be one of {list(FORMATS)}, got {format!r}.")
    return FORMATS[format](report)


def save(report: AuditReport, folder: str | Path) -> tuple[Path, Path, Path]:
    """Write ``report.json``, ``report.html`` and ``report.md``, whole or not at all: `AuditReport.save`."""
    return report.save(folder)
