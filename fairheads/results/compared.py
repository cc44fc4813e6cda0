"""Several models on the same rows: how each decides, how often they agree, and whom they decide differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from fairheads.errors import ConfigError, InputError
from fairheads.results import _compared_tables, _compared_views, _front_figure
from fairheads.results._csv import csv_text
from fairheads.results._saving import save_texts
from fairheads.results.front import Front
from fairheads.results.merge import GroupChange
from fairheads.results.number import Number
from fairheads.results.pathway import Effect, Verdict
from fairheads.results.record import HIDDEN
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FORMATS = ("json", "csv", "md", "html")
"""What `ComparisonReport.save` writes."""


@dataclass(frozen=True, kw_only=True)
class ComparedVerdict:
    """What an audit said of a group, and the effect that it rests on.

    Attributes
    ----------
    verdict : str
    reference : str
        The group that it was put beside.
    effect : Effect or None
    twins : int
        Networks trained alike without the constraint that the audit had.
    same_rows : bool
        Whether the audit was of the rows of this comparison, as the model takes them.
    """

    verdict: Verdict
    reference: str
    effect: Effect | None
    twins: int
    same_rows: bool


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """How one model decides about each group; its accuracy and gap are a point of the front.

    Attributes
    ----------
    digest, rows : str
        Of its weights, and of the rows as it takes them.
    rates : dict of rate to group to Number
        Selection rates, and the rates that the gap is made of.
    highest, lowest : str
        The groups that make the gap; empty where all are alike or several rates make it.
    verdicts : dict of group to ComparedVerdict
        Empty where no audit of the model was given.
    """

    digest: str
    rows: str
    rates: dict[str, dict[str, Number]]
    highest: str
    lowest: str
    verdicts: dict[str, ComparedVerdict]


@dataclass(frozen=True, kw_only=True)
class ComparedPair:
    """Two models on the same rows.

    Attributes
    ----------
    first, second : str
    agreement : Number
        Share of the rows that both decide alike.
    accuracy : Number
        Accuracy of the second minus that of the first, with its paired interval.
    changes : dict of group to GroupChange
        Whom the second decides differently: ``raised`` are rejected by the first and selected by the second.
    raised_rows, lowered_rows : dict of group to tuple of int
        Row ids of these people; for Python and `ComparisonReport.changed_csv` only, not in JSON.
    """

    first: str
    second: str
    agreement: Number
    accuracy: Number
    changes: dict[str, GroupChange]
    raised_rows: dict[str, tuple[int, ...]] = field(default_factory=dict, metadata=HIDDEN, compare=False)
    lowered_rows: dict[str, tuple[int, ...]] = field(default_factory=dict, metadata=HIDDEN, compare=False)


@dataclass(frozen=True, kw_only=True, repr=False)
class ComparisonReport(Report):
    """Several models side by side on the same rows.

    `fairheads.compare.compare` makes one.

    Attributes
    ----------
    front : Front
        Accuracy and gap of every model, and which are not dominated; what was compared on.
    models : dict of name to ComparedModel
        In the order of the front's points.
    pairs : tuple of ComparedPair
        Every two models, the earlier one first.
    versions : dict of str to str
    notes : tuple of str

    Notes
    -----
    Every interval holds for itself. Where models are many, some pair differs by chance.

    Not shown: which model to use; that two models agree does not make them right.
    """

    schema: Literal["fairheads/compare/1"] = "fairheads/compare/1"
    front: Front
    models: dict[str, ComparedModel]
    pairs: tuple[ComparedPair, ...]
    versions: dict[str, str]
    notes: tuple[str, ...]

    SCHEMA: ClassVar[str] = "fairheads/compare/1"
    FILE: ClassVar[str] = "compare.json"
    OF: ClassVar[str] = "a comparison"

    def __post_init__(self) -> None:
        names = [point.name for point in self.front.points]
        if list(self.models) != names or len(names) < 2:
            raise InputError(f"`models` must be the points of `front`, two or more, got {list(self.models)}")
        if [(pair.first, pair.second) for pair in self.pairs] != list(combinations(names, 2)):
            raise InputError("`pairs` must be every two models, in their order")
        if any(list(pair.changes) != list(self.front.groups) for pair in self.pairs):
            raise InputError(f"`changes` must be of the groups {list(self.front.groups)}")

    @property
    def on_front(self) -> tuple[str, ...]:
        """The models that no other dominates, from the smallest gap to the largest."""
        return tuple(setting.points[0].name for setting in self.front.front)

    def pair(self, first: str, second: str) -> ComparedPair:
        """The pair of two models.

        Raises
        ------
        KeyError
            If there is none, in this order.
        """
        found = {(each.first, each.second): each for each in self.pairs}
        return found[first, second]

    def summary(self) -> str:
        """Everything as text of at most 100 columns; the last line says what it does not say."""
        return "\n".join([*_compared_views.text_lines(self), _compared_tables.DISCLAIMER])

    def html(self) -> str:
        """Figure and tables as an HTML fragment; everything that came from data is escaped."""
        return _compared_views.html_sections(self, level=3)

    def page(self) -> str:
        """One HTML file that needs nothing else; the report is inside as JSON, in the element ``fairheads-compare``."""
        return _compared_views.html_page(self)

    def markdown(self) -> str:
        """The same as Markdown with a title; names from data stay inert."""
        return _compared_views.markdown_page(self)

    def subject(self) -> dict[str, tuple[str, str]]:
        """The models by the digests of their weights, in their order, and the rows of each by theirs."""
        models = self.models.values()
        return {
            "other models": (" ".join(each.digest for each in models), ", ".join(self.models)),
            "other rows": (" ".join(each.rows for each in models), f"{self.front.n:,} of {self.front.data}"),
        }

    def to_csv(self) -> str:
        """A line a model and group, numbers unrounded; text that a spreadsheet would run gets an apostrophe."""
        return csv_text(*_compared_tables.records(self))

    def changed_csv(self) -> str:
        """A line a pair of models and person they decide differently: row id, group, and both decisions (0 or 1).

        Only of a report that was made in this process: ids are never written into its own files.
        """
        return csv_text(*_compared_tables.changed(self))

    def to_frame(self) -> pd.DataFrame:
        """A row a model and group, with the columns of `to_csv`; NaN where a number cannot be had."""
        import pandas as pd

        head, rows = _compared_tables.records(self)
        return pd.DataFrame(rows, columns=list(head))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Accuracy against the gap with intervals both ways, the front as a step line; dominated models are hollow.

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
            If no model has both an accuracy and a gap.
        """
        return _front_figure.plot(self.front, ax)

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
        """Write ``compare.json``, ``compare.csv``, ``compare.md`` and ``compare.html``, whole or not at all.

        Parameters
        ----------
        folder : str or Path
            Where to; made if it is not there. Files of these names are replaced.
        formats : sequence of str
            Which of them.

        Returns
        -------
        tuple of Path
            The files, in this order.

        Raises
        ------
        ConfigError
            If there is no such format.
        InputError
            If the folder cannot be written to.
        """
        makers = {"json": self.to_json, "csv": self.to_csv, "md": self.markdown, "html": self.page}
        wrong = [form for form in formats if form not in makers]
        if isinstance(formats, str) or wrong or not formats:
            raise ConfigError(f"`formats` must be some of {list(makers)}, got {formats!r}.")
        return save_texts(folder, {f"compare.{form}": make() for form, make in makers.items() if form in formats})
