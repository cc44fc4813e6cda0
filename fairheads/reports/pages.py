"""One report as text, JSON, Markdown, HTML or CSV, whatever it reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairheads.errors import ConfigError
from fairheads.reports.comparison import comparison_page
from fairheads.results import (
    AuditReport,
    Comparison,
    ComparisonReport,
    DisparityReport,
    Front,
    ImpactReport,
    MergeReport,
    PaperReport,
    SelftestReport,
    page,
)

Report = (
    AuditReport
    | Comparison
    | ComparisonReport
    | DisparityReport
    | Front
    | ImpactReport
    | MergeReport
    | PaperReport
    | SelftestReport
)

FORMATS: dict[type[Any], dict[str, Callable[[Any], str]]] = {
    AuditReport: {
        "text": page.text_page,
        "json": AuditReport.to_json,
        "md": page.markdown_page,
        "html": page.html_page,
    },
    Comparison: {
        "text": lambda comparison: f"{comparison.summary()}\n",
        "json": Comparison.to_json,
        "html": lambda comparison: comparison_page(comparison, {}),
    },
    ComparisonReport: {
        "text": lambda report: f"{report.summary()}\n",
        "json": ComparisonReport.to_json,
        "md": ComparisonReport.markdown,
        "html": ComparisonReport.page,
        "csv": ComparisonReport.to_csv,
    },
    DisparityReport: {
        "text": page.disparity_text_page,
        "json": DisparityReport.to_json,
        "md": page.disparity_markdown_page,
        "html": page.disparity_html_page,
        "csv": DisparityReport.to_csv,
    },
    Front: {
        "text": lambda front: f"{front.summary()}\n",
        "json": Front.to_json,
        "md": Front.markdown,
        "html": Front.page,
        "csv": Front.to_csv,
    },
    ImpactReport: {
        "text": lambda report: f"{report.summary()}\n",
        "json": ImpactReport.to_json,
        "md": ImpactReport.markdown,
        "html": ImpactReport.page,
        "csv": ImpactReport.to_csv,
    },
    MergeReport: {
        "text": lambda report: f"{report.summary()}\n",
        "json": MergeReport.to_json,
        "md": MergeReport.markdown,
        "html": MergeReport.page,
        "csv": MergeReport.to_csv,
    },
    PaperReport: {
        "text": lambda report: f"{report.summary()}\n",
        "json": PaperReport.to_json,
        "md": PaperReport.markdown,
        "html": PaperReport.page,
        "csv": PaperReport.to_csv,
    },
    SelftestReport: {
        "text": lambda report: f"{report.summary()}\n",
        "json": SelftestReport.to_json,
        "html": SelftestReport.page,
    },
}
"""What makes which format of which kind of report."""


def render(report: Report, format: str) -> str:
    """The report in one of the `FORMATS` of its kind.

    Raises
    ------
    ConfigError
        If there is no such format of this report.
    """
    formats = FORMATS[type(report)]
    if format not in formats:
        raise ConfigError(f"`format` must be one of {list(formats)}, got {format!r}.")
    return formats[format](report)


def load(path: str | Path) -> Report:
    """The report in a JSON file, of whichever kind its ``schema`` says it is.

    Raises
    ------
    InputError
        If there is no such file or it holds none.
    """
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        plain = None  # `AuditReport.load` says what is wrong
    schema = plain.get("schema") if isinstance(plain, dict) else None
    kind = next((kind for kind in FORMATS if schema == kind.SCHEMA), AuditReport)
    return kind.load(path)
