"""Several audits side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fairheads.results import _comparison_views
from fairheads.results._words import clip
from fairheads.results.audit import AuditReport
from fairheads.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DISCLAIMER = "This does not say which network to use: verdicts are about networks, not law, and merit is the label."


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Shown):
    """Several audits side by side, by name."""

    SCHEMA: ClassVar[str] = "fairheads/comparison/1"

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
            Addresses of the models' own pages, as they stand in a link; `fairheads.reports.comparison_page` makes
            them from paths.
        """
        parts = [
            _comparison_views.table(self, links or {}),
            f'<div class="figures">{_comparison_views.figure(self)}\n<div>{_comparison_views.legend()}</div></div>',
            f"<p>{DISCLAIMER}</p>",
        ]
        return "\n".join(parts)

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
