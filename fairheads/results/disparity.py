"""Rates and scores of every group, the gaps between groups, and what the sample could have found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fairheads.results import (
    _disparity_csv,
    _disparity_curves,
    _disparity_figures,
    _disparity_heatmap,
    _disparity_html,
    _disparity_text,
    _metric_frame,
    page,
)
from fairheads.results._disparity_tables import DISCLAIMER
from fairheads.results._saving import save_texts
from fairheads.results.metric import Conditional, Criterion, Curves, Distances, Gap, Group, Metric
from fairheads.results.number import OMIT, Number
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from fairlearn.metrics import MetricFrame
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True, repr=False)
class DisparityReport(Report):
    """Metrics of every group and the gaps between groups.

    Attributes
    ----------
    name : str
        What was counted.
    n : int
        Rows.
    columns : tuple of str
        The columns that make the groups.
    favourable : str
        The favourable value of label and decision.
    reference : str
        The group that the others are compared with; empty where no group can be.
    confidence : float
        Of every interval.
    simultaneous : bool
        Whether the intervals of the groups hold for all groups and metrics together, or each for itself.
    groups : dict of name to Group
    metrics : dict of name to Metric
        `RATES` and `SCORES` say what the names mean; custom metrics come by their own.
    criteria : dict of name to Criterion
    between_groups : dict of name to Number
        Share of the inequality of benefit (generalized entropy, Theil) that lies between groups rather than within.
    conditional : Conditional, optional
    curves, distances : dict of group to Curves, to Distances
        Empty without scores.
    notes : tuple of str
        What the reader must know of how this was counted.
    """

    schema: Literal["fairheads/disparity/1"] = "fairheads/disparity/1"
    name: str
    n: int
    columns: tuple[str, ...]
    favourable: str
    reference: str
    confidence: float
    simultaneous: bool
    groups: dict[str, Group]
    metrics: dict[str, Metric]
    criteria: dict[str, Criterion]
    between_groups: dict[str, Number]
    conditional: Conditional | None = field(default=None, metadata=OMIT)
    curves: dict[str, Curves]
    distances: dict[str, Distances]
    notes: tuple[str, ...]

    SCHEMA: ClassVar[str] = "fairheads/disparity/1"
    FILE: ClassVar[str] = "report.json"
    OF: ClassVar[str] = "disparities"

    @property
    def gaps(self) -> dict[str, Gap]:
        """The gap in each metric."""
        return {name: metric.gap for name, metric in self.metrics.items()}

    @property
    def demographic_parity_difference(self) -> Number:
        """Largest difference in selection rate between two groups.

        Raises
        ------
        KeyError
            If no decisions were counted.
        """
        return self.metrics["selection_rate"].gap.difference

    def summary(self) -> str:
        """Rates and gaps as text of at most 100 columns; the last line says what they do not say."""
        return "\n".join([*_disparity_text.summary_lines(self), "", DISCLAIMER])

    def html(self) -> str:
        """The rates, their figures and the gaps as an HTML fragment; everything that came from data is escaped."""
        return "\n".join([*_disparity_html.sections(self, 3), f"<p>{DISCLAIMER}</p>"])

    def page(self) -> str:
        """One HTML file that needs nothing else; the report is in the element ``fairheads-disparity`` as JSON."""
        return page.disparity_html_page(self)

    def markdown(self) -> str:
        """The same as Markdown with a title; names from data stay inert."""
        return page.disparity_markdown_page(self)

    def text(self) -> str:
        """The summary, as text of at most 100 columns."""
        return page.disparity_text_page(self)

    def subject(self) -> dict[str, tuple[str, str]]:
        """The table by its name, and the columns that make the groups."""
        columns = ", ".join(self.columns)
        return {"another table": (self.name, self.name or "unnamed"), "other columns": (columns, columns)}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Selection rate, true and false positive rate of every group, each with its interval.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InputError
            If the report has no decisions.

        Notes
        -----
        Of many groups those with the most rows are drawn, and those that make the gaps; the figure says how many are
        not.
        """
        return _disparity_figures.plot(self, ax)

    def plot_ratios(self, ax: Axes | None = None) -> Axes:
        """Selection rate of every group over the reference's, with its interval, beside 0.8 and 1.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InputError
            If no group's selection rate could be compared with a reference.

        Notes
        -----
        Read it against the line at 0.8, the four fifths of the United States' Uniform Guidelines: a dot left of it is
        below, an interval left of it is so beyond chance. An arrow is an interval without an upper bound, or one that
        reaches beyond the axis. Not shown: whether a rule about four fifths applies.
        """
        return _disparity_figures.plot_ratios(self, ax)

    def plot_roc(self, ax: Axes | None = None) -> Axes:
        """ROC curve of the score in every group, at most six of them, with the area under it.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InputError
            If the report has no scores, or no labels.

        Notes
        -----
        A higher curve ranks the rows of its own group better. Not shown: how scores compare between groups.
        """
        return _disparity_curves.plot_roc(self, ax)

    def plot_calibration(self, ax: Axes | None = None) -> Axes:
        """Share recorded as favourable against the mean score of every bin and group, at most six groups.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InputError
            If the report has no scores, or no labels.

        Notes
        -----
        Above the diagonal the score is lower than the share that it speaks of, below it higher. The diagonal is drawn
        where scores lie between 0 and 1.
        """
        return _disparity_curves.plot_calibration(self, ax)

    def plot_heatmap(self, ax: Axes | None = None) -> Axes:
        """Selection rate and rows of every intersection of the two columns that make the groups.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InputError
            If the groups are not made by exactly two columns, or no selection rate is known.

        Notes
        -----
        Colours run from 0 to the highest rate. Not shown: intervals; small intersections differ by chance.
        """
        return _disparity_heatmap.plot_heatmap(self, ax)

    def to_frame(self) -> pd.DataFrame:
        """A row a group and metric, with n and interval."""
        import pandas as pd

        rows = [
            {"group": group, "metric": name, "value": x.value, "low": x.low, "high": x.high, "n": x.n}
            for name, metric in self.metrics.items()
            for group, x in metric.groups.items()
        ]
        return pd.DataFrame(rows, columns=["group", "metric", "value", "low", "high", "n"])

    def to_metric_frame(self) -> MetricFrame[Any]:
        """Fairlearn's ``MetricFrame`` of the same counts, for code that expects one.

        Returns
        -------
        fairlearn.metrics.MetricFrame
            Of the rates that fairlearn and scikit-learn have functions for, under the names they have here. Rows
            whose group is not recorded are left out.

        Raises
        ------
        InputError
            If the report has no labels.

        Notes
        -----
        Fairlearn and scikit-learn make 0 of a rate that is undefined in a group; the report itself says which are.
        """
        return _metric_frame.metric_frame(self)

    def to_csv(self) -> str:
        """A row a group and metric as CSV: value, low, high, n, and the reason of a missing value.

        Text that a spreadsheet would take for a formula has an apostrophe before it; control characters are blanks.
        """
        return _disparity_csv.groups_csv(self)

    def save(self, folder: str | Path) -> tuple[Path, Path, Path, Path]:
        """Write ``report.json``, ``report.html``, ``report.md`` and ``groups.csv``, whole or not at all.

        Parameters
        ----------
        folder : str or Path
            Where to; made if it is not there. Files of these names are replaced.

        Returns
        -------
        tuple of Path
            The four files, in this order.

        Raises
        ------
        InputError
            If the folder cannot be written to.
        """
        texts = {
            "report.json": self.to_json(),
            "report.html": self.page(),
            "report.md": self.markdown(),
            "groups.csv": self.to_csv(),
        }
        first, second, third, fourth = save_texts(folder, texts)
        return first, second, third, fourth
