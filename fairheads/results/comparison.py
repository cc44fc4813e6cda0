"""Several audits side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from fairheads.results import _comparison_views
from fairheads.results._saving import save_texts
from fairheads.results._words import clip
from fairheads.results.audit import AuditReport
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DISCLAIMER = "This does not say which network to use: verdicts are about networks, not law, and merit is the label."


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Report):
    """Several audits side by side, by name."""

    SCHEMA: ClassVar[str] = "fairheads/comparison/1"
    FILE: ClassVar[str] = "comparison.json"
    OF: ClassVar[str] = "audits side by side"

    schema: Literal["fairheads/comparison/1"] = "fairheads/comparison/1"
    reports: dict[str, AuditReport]

    def __repr__(self) -> str:
        return f"<Comparison: {', '.join(clip(name, 30) for name in self.reports)}>"

    def summary(self) -> str:
        """The table as text of at most 110 columns, a row a model and group; the last line is what it does not say."""
        return "\n".join([*_comparison_views.summary_lines(self), DISCLAIMER])

    def html(self, links: Mapping[str, str] | None = None) -> str:
        """Table and figure as an HTML fragment; everything that came from data is escaped.

        Parameters
        ----------
        links : mapping of name to str, optional
            Addresses of the models' own pages, as they stand in a link; `page` makes them from paths.
        """
        parts = [
            _comparison_views.table(self, links or {}),
            f'<div class="figures">{_comparison_views.figure(self)}\n<div>{_comparison_views.legend()}</div></div>',
            f"<p>{DISCLAIMER}</p>",
        ]
        return "\n".join(parts)

    def page(self, links: Mapping[str, str] | None = None) -> str:
        """One HTML file that needs nothing else; the reports are in the element ``fairheads-comparison`` as JSON.

        Parameters
        ----------
        links : mapping of name to str, optional
            For each name that has a page of its own the path to it, relative to where this page will lie.

        Raises
        ------
        InputError
            If a link is for a name that is not compared, or is not a relative path.
        """
        return _comparison_views.html_page(self, links or {})

    def markdown(self) -> str:
        """The table as Markdown with a title; names from data stay inert."""
        return _comparison_views.markdown_page(self, DISCLAIMER)

    def subject(self) -> dict[str, tuple[str, str]]:
        """The audited weights and rows by their digests, in their order."""
        reports = self.reports.values()
        return {
            "other models": (" ".join(each.model.digest for each in reports), ", ".join(self.reports)),
            "other rows": (" ".join(each.data.digest for each in reports), ", ".join(e.data.name for e in reports)),
        }

    def save(self, folder: str | Path, links: Mapping[str, str] | None = None) -> tuple[Path, Path, Path]:
        """Write ``comparison.json``, ``comparison.html`` (with ``links``, as in `page`) and ``comparison.md``.

        Raises
        ------
        InputError
            If the folder cannot be written to, or on links as `page`.
        """
        texts = {
            "comparison.json": self.to_json(),
            "comparison.html": self.page(links),
            "comparison.md": self.markdown(),
        }
        first, second, third = save_texts(folder, texts)
        return first, second, third

    def plot(self, ax: Axes | None = None) -> Axes:
        """Accuracy against demographic-parity difference with intervals, one labelled point a model.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _comparison_views.plot(self, ax)

    def to_frame(self) -> pd.DataFrame:
        """A row a model and group, as `AuditReport.to_frame` has them, by the names used here."""
        import pandas as pd

        frames = [report.to_frame().assign(model=name) for name, report in self.reports.items()]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
