"""One report as text, JSON, Markdown, HTML or CSV, whatever it reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairheads.errors import ConfigError
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
)
from fairheads.results.shown import Report

KINDS: tuple[type[Report], ...] = (
    AuditReport,
    Comparison,
    ComparisonReport,
    DisparityReport,
    Front,
    ImpactReport,
    MergeReport,
    PaperReport,
    SelftestReport,
)
"""All kinds of reports."""


def _formats(kind: type[Any]) -> dict[str, Callable[[Any], str]]:
    made = {"text": kind.text, "json": kind.to_json, "md": kind.markdown, "html": kind.page}
    return {**made, "csv": kind.to_csv} if hasattr(kind, "to_csv") else made


FORMATS: dict[type[Report], dict[str, Callable[[Any], str]]] = {kind: _formats(kind) for kind in KINDS}
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
    kind = next((kind for kind in KINDS if schema == kind.SCHEMA), AuditReport)
    return kind.load(path)
