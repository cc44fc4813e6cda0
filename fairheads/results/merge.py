"""What a merge of two heads promises, costs and changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from fairheads.errors import InputError
from fairheads.results import _merge_figure, _merge_files, _merge_tables, _merge_views
from fairheads.results.number import OMIT, Number
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FORMATS = ("json", "csv", "md", "html", "png")
"""What `MergeReport.save` writes unless told otherwise; ``svg`` is the sixth."""

MOST_POINTS = 400
"""Points of the front that a report keeps."""


@dataclass(frozen=True, kw_only=True)
class MergeDifference:
    """The chosen merge minus another rule, on the same rows.

    Attributes
    ----------
    accuracy, selection_rate : Number
        Difference with its paired interval.
    changed : Number
        Share of the rows that the two decide differently.
    """

    accuracy: Number
    selection_rate: Number
    changed: Number


@dataclass(frozen=True, kw_only=True)
class MergeOutcome:
    """How a rule decides on some rows.

    Attributes
    ----------
    n : int
        Rows.
    accuracy, selection_rate : Number
    gap : Number
        In the report's ``gap_metric``. Of two groups and one rate it is signed, that of the second group minus that of
        the first; else the largest minus the smallest.
    highest, lowest : str
        The groups that make the gap; empty where all are alike or several rates make it.
    rates : dict of rate to group to Number
        Selection rates, and the rates that the gap is made of.
    objective : Number, optional
        What was maximised, where that is not the accuracy.
    beside : MergeDifference, optional
        The chosen merge minus this rule; none for the chosen merge itself.
    """

    n: int
    accuracy: Number
    selection_rate: Number
    gap: Number
    highest: str
    lowest: str
    rates: dict[str, dict[str, Number]]
    objective: Number | None = field(default=None, metadata=OMIT)
    beside: MergeDifference | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True, kw_only=True)
class MergeRule:
    """A rule ``score + t > 0`` with what it does on the validation rows and on those it is judged on.

    Attributes
    ----------
    b : tuple of float
        One number a group output; of per-group thresholds (space ``groups``) what each group is given: of two groups
        the second alone.
    t : float
    space : str
        ``logit``: ``z_y + b z_g + t``, one linear head; ``probability``: ``sigmoid(z_y) - 1/2 + b z_g + t``, ``z_g``
        held in [0, 1], no linear head; ``groups``: ``z_y + t`` and what the true group is given.
    bound : float, optional
        Upper confidence bound of the absolute gap on the validation rows; none where no confidence was asked for.
    validation : MergeOutcome
        On the rows that the coefficients were chosen on: on average a little better than on new ones.
    judged : MergeOutcome, optional
        On rows that neither trained the network nor chose.
    """

    b: tuple[float, ...]
    t: float
    space: Literal["logit", "probability", "groups"]
    bound: float | None
    validation: MergeOutcome
    judged: MergeOutcome | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True, kw_only=True)
class MergePoint:
    """A point of the front on the validation rows; ``gap`` is the absolute one.

    ``objective`` is what was maximised, where that is not the accuracy.
    """

    b: tuple[float, ...]
    t: float
    accuracy: float
    gap: float
    selection_rate: float
    objective: float | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True, kw_only=True)
class GroupChange:
    """Whom of a group one rule decides differently from another: the merge from the task head alone, or two models.

    Attributes
    ----------
    n : int
        Rows of the group.
    raised, lowered : int
        Rejected by the first and selected by the second; selected and rejected.
    raised_share, lowered_share : Number
        The same as shares of the group.
    """

    n: int
    raised: int
    lowered: int
    raised_share: Number
    lowered_share: Number


@dataclass(frozen=True, kw_only=True)
class MergeCheck:
    """The merged network compared with ``z_y + b z_g + t`` of the two heads, row by row.

    Attributes
    ----------
    rows : int
    largest : float
        Largest difference of the logits.
    tolerance : float
        Largest difference that rounding in the type of the weights explains on any row.
    other_decisions : int
        Rows on which the two decide differently: logits so near 0 that rounding moves them across.
    """

    rows: int
    largest: float
    tolerance: float
    other_decisions: int


@dataclass(frozen=True, kw_only=True, repr=False)
class MergeReport(Report):
    """The chosen merge of a task head and a group head, with its promise, its price and whom it concerns.

    `fairheads.twoheads.merge_bundle` makes one.

    Attributes
    ----------
    model, data : str
        What was merged, and the rows' name.
    split, judged : str
        The rows that the coefficients were chosen on and those they are judged on, in words; ``judged`` is empty where
        there are none.
    groups : tuple of str
    gap_metric, objective : str
        What is kept small and what is maximised, by name.
    minimum_rates : dict of rate to float
        What every group has at least.
    max_gap : float
        The gap that was asked for.
    confidence : float, optional
        One-sided confidence of it; none where it was asked of the validation rows alone.
    rules : dict of str to MergeRule
        ``chosen``; ``point``, the best at the same gap on the validation rows alone; ``alone``, the task head as it is;
        ``probability``, chosen alike in probability space; ``thresholds``, chosen alike with a threshold a group, which
        needs to know each person's group.
    missing : dict of str to str
        Rules that could not be had, and why.
    front : tuple of MergePoint
        At every gap the best merge, from the smallest gap to the largest; at most 400.
    changes : dict of group to GroupChange
        On the judged rows where there are some, else on the validation rows.
    check : MergeCheck
    provenance : dict of str to str
        Digests of the rows and of the weights.
    versions : dict of str to str
    notes : tuple of str

    Notes
    -----
    Not shown: whether it is right to do this. A merge treats people of equal merit differently because of the group
    that the network infers for them; that is what it is for.
    """

    schema: Literal["fairheads/merge/1"] = "fairheads/merge/1"
    model: str
    data: str
    split: str
    judged: str
    groups: tuple[str, ...]
    gap_metric: str
    objective: str
    minimum_rates: dict[str, float]
    max_gap: float
    confidence: float | None
    rules: dict[str, MergeRule]
    missing: dict[str, str]
    front: tuple[MergePoint, ...]
    changes: dict[str, GroupChange]
    check: MergeCheck
    provenance: dict[str, str]
    versions: dict[str, str]
    notes: tuple[str, ...]

    SCHEMA: ClassVar[str] = "fairheads/merge/1"
    FILE: ClassVar[str] = "merge.json"
    OF: ClassVar[str] = "a merge"

    def __post_init__(self) -> None:
        unknown = sorted({*self.rules, *self.missing} - set(_merge_tables.RULES))
        lacking = sorted({"chosen", "alone"} - set(self.rules))
        if unknown or lacking:
            raise InputError(f"`rules` must hold chosen and alone, lacks {lacking}, and no {unknown}")
        if any((rule.judged is None) != (self.judged == "") for rule in self.rules.values()):
            raise InputError("every rule must be `judged`, and `judged` say on what, or none")
        if list(self.changes) != list(self.groups):
            raise InputError(f"`changes` must be of the groups {list(self.groups)}, got {list(self.changes)}")
        gaps = [point.gap for point in self.front]
        if len(gaps) > MOST_POINTS or gaps != sorted(gaps) or any(map(math.isnan, gaps)):
            raise InputError(f"`front` must rise in its gap and hold at most {MOST_POINTS} points")

    @property
    def chosen(self) -> MergeRule:
        """The merge that was made."""
        return self.rules["chosen"]

    @property
    def alone(self) -> MergeRule:
        """The task head as it is."""
        return self.rules["alone"]

    def summary(self) -> str:
        """Everything as text of at most 100 columns; the last line says what it does not say."""
        return "\n".join([*_merge_views.text_lines(self), _merge_tables.DISCLAIMER])

    def html(self) -> str:
        """Figures and tables as an HTML fragment; everything that came from data is escaped."""
        return _merge_views.html_sections(self, level=3)

    def page(self) -> str:
        """One HTML file that needs nothing else; the report is inside as JSON, in the element ``fairheads-merge``."""
        return _merge_views.html_page(self)

    def markdown(self) -> str:
        """The same as Markdown with a title; names from data stay inert."""
        return _merge_views.markdown_page(self)

    def subject(self) -> dict[str, tuple[str, str]]:
        """The two-headed network and the rows that chose, by their digests."""
        return {
            "another model": (self.provenance.get("two-headed network", ""), f"{self.model}, other weights"),
            "other rows": (self.provenance.get("validation rows", ""), self.split),
        }

    def to_csv(self) -> str:
        """A line a rule and kind of rows, numbers unrounded; text that a spreadsheet would run gets an apostrophe."""
        return _merge_tables.csv(self)

    def to_frame(self) -> pd.DataFrame:
        """A row a rule and kind of rows, with the columns of `to_csv`; NaN where a number cannot be had."""
        import pandas as pd

        head, rows = _merge_tables.records(self)
        return pd.DataFrame(rows, columns=list(head))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Accuracy against the gap on the validation rows, and beside it who changes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw the first panel into; by default a figure of its own with both panels, which is ``.figure`` of
            the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
            Those of accuracy against the gap.

        Notes
        -----
        The line is the front of merges, the upright line the gap that was asked for; the bar of the chosen merge ends
        at the bound of its gap. A hollow mark is the chosen merge on rows that neither trained nor chose.
        """
        return _merge_figure.plot(self, ax)

    def plot_changes(self, ax: Axes | None = None) -> Axes:
        """The share of every group that the merge selects and the task head does not, and the other way round.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _merge_figure.plot_changes(self, ax)

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
        """Write ``merge.json``, ``merge.csv``, ``merge.md``, ``merge.html`` and ``merge.png``, whole or not at all.

        Parameters
        ----------
        folder : str or Path
            Where to; made if it is not there. Files of these names are replaced.
        formats : sequence of str
            Which of ``json``, ``csv``, ``md``, ``html``, ``png`` and ``svg``.

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
        return _merge_files.save(self, folder, formats)
