"""A merge report as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairheads.errors import ConfigError
from fairheads.results import _merge_figure
from fairheads.results._saving import save_texts
from fairheads.results._style import picture

if TYPE_CHECKING:
    from fairheads.results.merge import MergeReport

CONTENT: dict[str, Callable[[MergeReport], str | bytes]] = {
    "json": lambda report: report.to_json(),
    "csv": lambda report: report.to_csv(),
    "md": lambda report: report.markdown(),
    "html": lambda report: report.page(),
    "png": lambda report: picture(lambda: _merge_figure.plot(report, None), "png"),
    "svg": lambda report: picture(lambda: _merge_figure.plot(report, None), "svg"),
}


def save(report: MergeReport, folder: str | Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write ``merge.FORMAT`` for every format: all is made before any is written."""
    wrong = [form for form in formats if form not in CONTENT]
    if isinstance(formats, str) or wrong or not formats:
        raise ConfigError(f"`formats` must be some of {list(CONTENT)}, got {formats!r}.")
    return save_texts(folder, {f"merge.{form}": make(report) for form, make in CONTENT.items() if form in formats})
