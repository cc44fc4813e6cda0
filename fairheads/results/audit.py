"""The report of one audit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fairheads.results import _audit_figure, _audit_html, _audit_text, page
from fairheads.results._audit_text import DISCLAIMER
from fairheads.results._saving import save_texts
from fairheads.results.disparity import DisparityReport
from fairheads.results.number import Number
from fairheads.results.pathway import PathwayReport
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What was audited. ``digest`` is that of the weights; ``training`` the record saved with them, if any."""

    name: str
    digest: str
    architecture: str
    parameters: int
    layers: tuple[str, ...]
    training: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class GroupShare:
    """Rows of a group and its share of favourable labels, in the audited data and in the training record."""

    n: int
    base_rate: Number
    training_n: int | None
    training_base_rate: float | None


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """What it was audited on.

    ``overlap`` is the share of rows equal to a training row, with the share that chance duplicates explain as
    ``expected_overlap``; both are without value where the model has no record of its rows.
    """

    name: str
    n: int
    sampled: int
    digest: str
    groups: dict[str, GroupShare]
    overlap: Number
    expected_overlap: Number
    unseen_categories: dict[str, int]


@dataclass(frozen=True, kw_only=True, repr=False)
class AuditReport(Report):
    """Disparity and pathway verdict of one network on one data set; ``pathways`` by group."""

    SCHEMA: ClassVar[str] = "fairheads/audit/1"
    FILE: ClassVar[str] = "report.json"
    OF: ClassVar[str] = "an audit"

    schema: Literal["fairheads/audit/1"] = "fairheads/audit/1"
    model: ModelInfo
    data: DataInfo
    seed: int
    versions: dict[str, str]
    disparity: DisparityReport
    pathways: dict[str, PathwayReport]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Every pathway learns of all groups, each of which keeps its colour in all figures."""
        names = tuple(self.disparity.groups | self.pathways)
        object.__setattr__(self, "pathways", {group: p.among(names) for group, p in self.pathways.items()})

    def summary(self) -> str:
        """Verdicts, layers and rates as text of at most 100 columns; the last line says what they do not say."""
        return "\n".join([*_audit_text.summary_lines(self), "", DISCLAIMER])

    def html(self) -> str:
        """The whole report as an HTML fragment with its figures; everything that came from data is escaped."""
        return f"<h2>{_audit_html.title(self)}</h2>\n{_audit_html.sections(self, level=3)}"

    def page(self) -> str:
        """One HTML file that needs nothing else; the report is inside as JSON, in the element ``fairheads-report``."""
        return page.html_page(self)

    def markdown(self) -> str:
        """The report in brief as Markdown with a title; names from data stay inert."""
        return page.markdown_page(self)

    def text(self) -> str:
        """The summary with the evidence of every group, as text of at most 100 columns."""
        return page.text_page(self)

    def subject(self) -> dict[str, tuple[str, str]]:
        """The weights and the rows, by their digests."""
        return {
            "another model": (self.model.digest, f"{self.model.name}, other weights"),
            "other rows": (self.data.digest, f"{self.data.n:,} of {self.data.name}"),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """The deciding effect of every group with its interval, measured in margins.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _audit_figure.plot(self, ax)

    def to_frame(self) -> pd.DataFrame:
        """A row a group: verdict, effect, twins, retention, flips, and the model's accuracy and parity difference."""
        import pandas as pd

        gap, accuracy = self.disparity.demographic_parity_difference, self.disparity.metrics["accuracy"].overall
        rows = [
            {
                "model": self.model.name,
                "data": self.data.name,
                "group": group,
                "reference": p.reference,
                "verdict": p.verdict,
                "kind": None if p.effect is None else p.effect.kind,
                "layer": None if p.effect is None else p.effect.layer,
                "effect": None if p.effect is None else p.effect.value,
                "low": None if p.effect is None else p.effect.low,
                "high": None if p.effect is None else p.effect.high,
                "margin": None if p.effect is None else p.effect.margin,
                "twins": 0 if p.twins is None else p.twins.n,
                "p": None if p.twins is None else p.twins.p,
                "retention": p.retention.value,
                "flips": None if p.flips is None else p.flips.n,
                "accuracy": accuracy.value,
                "demographic_parity_difference": gap.value,
            }
            for group, p in self.pathways.items()
        ]
        return pd.DataFrame(rows)

    def save(self, folder: str | Path) -> tuple[Path, Path, Path]:
        """Write ``report.json``, ``report.html`` and ``report.md``, whole or not at all.

        Parameters
        ----------
        folder : str or Path
            Where to; made if it is not there. Files of these names are replaced.

        Returns
        -------
        tuple of Path
            The three files, in this order.

        Raises
        ------
        InputError
            If the folder cannot be written to.
        """
        texts = {
            "report.json": self.to_json(),
            "report.html": self.page(),
            "report.md": self.markdown(),
        }
        first, second, third = save_texts(folder, texts)
        return first, second, third
