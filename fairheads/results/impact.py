"""Impact ratios of the categories of people, as two audit standards ask for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from fairheads.results import _impact_tables, _impact_views
from fairheads.results._saving import save_texts
from fairheads.results.number import OMIT, Number
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Standard = Literal["four-fifths", "nyc-ll144"]
Kind = Literal["selection", "scoring"]


@dataclass(frozen=True, kw_only=True)
class ImpactRow:
    """One category of people beside the one with the highest rate.

    Attributes
    ----------
    category : str
    parts : dict of column to value
        What the category is made of: ``{"sex": "Female", "race": "Black"}``.
    n : int
        People.
    share : float
        Share of the people whose category is known (of their weight).
    selected : int
        People selected, or scored above the median.
    rate : Number
        Their share of the category.
    impact_ratio : Number
        ``rate`` over the highest rate; 1 without an interval where it is the highest itself.
    shortfall : int, optional
        How many more people of the category would have to be selected, all else the same, for a ratio of 4/5.
    standard_deviations : Number
        ``rate`` minus the highest rate, over the standard error of that difference from the pooled rate of both.
    fisher_p : Number
        Fisher's exact test of the same two categories, two-sided.
    one_person_reverses : bool, optional
        Whether selecting one person of the category in place of one of the highest gives it the higher rate of the two.
    included : bool
        Whether the category has an impact ratio; where not, ``reason`` says why.
    below_four_fifths : bool, optional
        Whether the ratio is below 4/5, by whole numbers without rounding; None where there is no ratio.
    """

    category: str
    parts: dict[str, str]
    n: int
    share: float
    selected: int
    rate: Number
    impact_ratio: Number
    shortfall: int | None
    standard_deviations: Number
    fisher_p: Number
    one_person_reverses: bool | None
    included: bool
    below_four_fifths: bool | None
    reason: str | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True, kw_only=True)
class ImpactTable:
    """The categories that one or several columns make.

    Attributes
    ----------
    title : str
    columns : tuple of str
        The columns that make the categories.
    highest : tuple of str
        The included categories with the highest rate: one, several that tie, or none where nobody was selected.
    unknown : int
        People who are not in the table because a category that it needs is not recorded.
    rows : tuple of ImpactRow
    """

    title: str
    columns: tuple[str, ...]
    highest: tuple[str, ...]
    unknown: int
    rows: tuple[ImpactRow, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class ImpactReport(Report):
    """Selection or scoring rates and impact ratios by category, with the rule that they follow.

    Attributes
    ----------
    standard : str
        ``four-fifths`` or ``nyc-ll144``.
    kind : str
        ``selection``: share of a category that was selected; ``scoring``: share that scored above the median.
    name : str
        What was counted.
    n : int
        People, those of unknown category among them.
    unknown : int
        People for whom at least one category is not recorded.
    threshold : float
        0.8, the four fifths.
    rule, source : str
        What the rule says, in our words, and where it stands.
    tables : tuple of ImpactTable
    notes : tuple of str
        What the reader must know of how this was counted.
    """

    schema: Literal["fairheads/impact/1"] = "fairheads/impact/1"
    standard: Standard
    kind: Kind
    name: str
    n: int
    unknown: int
    threshold: float = 0.8
    rule: str
    source: str
    tables: tuple[ImpactTable, ...]
    notes: tuple[str, ...]

    SCHEMA: ClassVar[str] = "fairheads/impact/1"
    FILE: ClassVar[str] = "impact.json"
    OF: ClassVar[str] = "impact ratios"

    def summary(self) -> str:
        """The tables as text of at most 100 columns; the last lines say what they do not say."""
        return "\n".join(_impact_views.text_lines(self))

    def html(self) -> str:
        """The tables and their figure as an HTML fragment; everything that came from data is escaped."""
        return _impact_views.html_sections(self, level=3)

    def page(self) -> str:
        """One HTML file that needs nothing else, to hand in or to print; the report is inside as JSON."""
        return _impact_views.html_page(self)

    def markdown(self) -> str:
        """The same as Markdown with a title; names from data stay inert."""
        return _impact_views.markdown_page(self)

    def subject(self) -> dict[str, tuple[str, str]]:
        """The standard, and the table by its name."""
        return {
            "another standard": (self.standard, self.standard),
            "another table": (self.name, self.name or "unnamed"),
        }

    def to_csv(self) -> str:
        """A line a category and table, numbers unrounded; text that a spreadsheet would run gets an apostrophe."""
        return _impact_tables.csv(self)

    def save(self, folder: str | Path) -> tuple[Path, Path, Path, Path]:
        """Write ``impact.json``, ``impact.html``, ``impact.md`` and ``impact.csv``, whole or not at all.

        Raises
        ------
        InputError
            If the folder cannot be written to.
        """
        texts = {
            "impact.json": self.to_json(),
            "impact.html": self.page(),
            "impact.md": self.markdown(),
            "impact.csv": self.to_csv(),
        }
        first, second, third, fourth = save_texts(folder, texts)
        return first, second, third, fourth

    def plot(self, ax: Axes | None = None) -> Axes:
        """The impact ratio of every included category with its interval, against the line of four fifths.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _impact_views.plot(self, ax)

    def to_frame(self) -> pd.DataFrame:
        """A row a category and table, as `to_csv`; NaN where a number cannot be had."""
        import pandas as pd

        head, rows = _impact_tables.records(self)
        return pd.DataFrame(rows, columns=list(head))
