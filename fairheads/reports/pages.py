"""One report as text, JSON, Markdown, HTML or CSV, whatever it reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairheads.errors import ConfigError, FairheadsError, InputError, line_with_kind
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
from fairheads.results._text import inert
from fairheads.results.shown import Report, plain_in

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
    """The report in one of the `FORMATS` of its kind; nothing in its text or Markdown moves a terminal's cursor.

    Raises
    ------
    ConfigError
        If there is no such format of this report.
    """
    formats = FORMATS[type(report)]
    if format not in formats:
        raise ConfigError(f"`format` must be one of {list(formats)}, got {format!r}.")
    text = formats[format](report)
    return inert(text) if format in ("text", "md") else text


def load(path: str | Path) -> Report:
    """The report in a JSON file, of whichever kind its ``schema`` says it is.

    Raises
    ------
    InputError
        If there is no such file or it holds none.
    """
    plain = plain_in(path)
    kind = next((kind for kind in KINDS if plain.get("schema") == kind.SCHEMA), AuditReport)
    return kind.from_file(path, plain)


def render_file(path: str | Path, format: str) -> str:
    """The report in a JSON file in one of the `FORMATS` of its kind.

    Raises
    ------
    InputError
        If there is no such file, it holds no report, or one whose parts do not fit together.
    ConfigError
        If there is no such format of this report.
    """
    report = load(path)
    try:
        return render(report, format)
    except (FairheadsError, MemoryError):
        raise
    except Exception as error:  # one that fairheads did not write may lack anything that a view looks for
        raise InputError(
            f"{str(path)!r} cannot be shown: its parts do not fit together ({line_with_kind(error)})."
        ) from error
