"""The paper's study on one data set: what was seen of every method and weight, and which of the four claims hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fairheads.errors import ConfigError
from fairheads.results import _paper_figures, _paper_tables, _paper_views
from fairheads.results._paper_tables import MEASURES, SHARES
from fairheads.results._saving import save_texts
from fairheads.results._style import picture
from fairheads.results.number import Number
from fairheads.results.shown import Report

__all__ = ["MEASURES", "SHARES", "PaperClaim", "PaperPoint", "PaperReport", "PaperRun"]

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FORMATS = ("json", "csv", "md", "html", "png")
"""What `PaperReport.save` writes unless told otherwise; ``svg`` is the sixth."""

Holds = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True, kw_only=True)
class PaperRun:
    """One network, or one merge or pair of thresholds, on the test rows.

    Attributes
    ----------
    method : str
        unconstrained, squared or absolute (the penalty), massaging, merge (of a two-headed network), or thresholds (by
        the true group, of the unconstrained network).
    weight : float
        Of the penalty, else 0.
    max_gap : float
        The gap that the validation rows allowed a merge or thresholds; 1 for others.
    seed : int
    values : dict of measure to float
        See `fairheads.results.paper.MEASURES`; NaN, or left out, where there is none.
    verdict : str
        Of the audit beside the unconstrained networks of other seeds; empty where there was none.
    reasons : dict of str to str
        Why measures are left out, and of a ``verdict`` why it is that one.
    """

    method: str
    seed: int
    weight: float = 0.0
    max_gap: float = 1.0
    values: dict[str, float] = field(default_factory=dict)
    verdict: str = ""
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PaperPoint:
    """A method at one weight or gap: the mean of its seeds, with 95 % t-intervals over seeds."""

    method: str
    weight: float
    max_gap: float
    seeds: int
    values: dict[str, Number]
    verdicts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class PaperClaim:
    """One of the paper's four claims at one weight.

    Attributes
    ----------
    claim : int
    weight : float
        Of the squared penalty.
    holds : "holds", "does not hold" or "undecided"
    because : str
        The rule and what was seen, in words.
    values : dict of words to Number
        What the answer rests on, over seeds.
    """

    claim: int
    weight: float
    holds: Holds
    because: str
    values: dict[str, Number]


@dataclass(frozen=True, kw_only=True, repr=False)
class PaperReport(Report):
    """The study of one data set.

    Attributes
    ----------
    data : str
    groups : tuple of str
    rows : dict of part to int
    setting : dict
        `fairheads.study.PaperSetting` as plain data.
    points : tuple of PaperPoint
    claims : tuple of PaperClaim
    runs : tuple of PaperRun
    versions : dict of str to str
    notes : tuple of str

    Notes
    -----
    Intervals are over seeds of training on one split of the rows: they do not say what other rows would give.
    """

    schema: Literal["fairheads/paper/1"] = "fairheads/paper/1"
    data: str
    groups: tuple[str, ...]
    rows: dict[str, int]
    setting: dict[str, Any]
    points: tuple[PaperPoint, ...]
    claims: tuple[PaperClaim, ...]
    runs: tuple[PaperRun, ...]
    versions: dict[str, str]
    notes: tuple[str, ...]

    SCHEMA: ClassVar[str] = "fairheads/paper/1"
    FILE: ClassVar[str] = "paper.json"
    OF: ClassVar[str] = "a study"

    def of(self, method: str) -> tuple[PaperPoint, ...]:
        """The points of a method in order of weight, then gap; of a penalty the unconstrained one is the first."""
        alike = [each for each in self.points if each.method == method]
        if method in ("squared", "absolute"):
            alike = [*self.of("unconstrained"), *alike]
        return tuple(sorted(alike, key=lambda each: (each.weight, each.max_gap)))

    def summary(self) -> str:
        """Claims and points as text of at most 100 columns; the last line says what they do not say."""
        return "\n".join([*_paper_views.text_lines(self), _paper_tables.DISCLAIMER])

    def html(self) -> str:
        """Claims, figures and tables as an HTML fragment; everything that came from data is escaped."""
        return _paper_views.html_sections(self, level=3)

    def page(self) -> str:
        """One HTML file that needs nothing else; the report is inside as JSON, in the element ``fairheads-paper``."""
        return _paper_views.html_page(self)

    def markdown(self) -> str:
        """Claims and tables as Markdown with a title."""
        return _paper_views.markdown_page(self)

    def to_csv(self) -> str:
        """A line a run, numbers unrounded."""
        return _paper_tables.csv(self)

    def to_frame(self) -> pd.DataFrame:
        """A row a run, with the columns of `to_csv`; NaN where a number cannot be had."""
        import pandas as pd

        head, rows = _paper_tables.records(self)
        return pd.DataFrame(rows, columns=list(head))

    def plot(self, ax: Axes | None = None, *, of: str = "accuracy") -> Axes:
        """One of the study's figures, with means and intervals over seeds.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.
        of : str
            ``accuracy`` and ``probe``, against the gap, with the authors' own points; ``treatment`` (swap and
            difference at equal merit), ``erasure``, ``agreement`` (with the best merge, floor and ceiling),
            ``recovery`` and ``retention``, against the weight.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ConfigError
            If there is no such figure.
        """
        if of not in _paper_figures.FIGURES:
            raise ConfigError(f"`of` must be one of {', '.join(_paper_figures.FIGURES)}, got {of!r}.")
        return _paper_figures.draw(self, of, ax)

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
        """Write ``paper.json``, ``paper.csv``, ``paper.md``, ``paper.html`` and a ``.png`` a figure, whole or not.

        Raises
        ------
        ConfigError
            On a format that is none.
        InputError
            If the folder cannot be written to.
        """
        unknown = [form for form in formats if form not in (*FORMATS, "svg")]
        if unknown or not formats:
            raise ConfigError(f"`formats` must be of {', '.join((*FORMATS, 'svg'))}, got {list(formats)}.")
        made = {"json": self.to_json, "csv": self.to_csv, "md": self.markdown, "html": self.page}
        files: dict[str, str | bytes] = {f"paper.{form}": made[form]() for form in formats if form in made}
        for form in formats:
            if form in ("png", "svg"):
                for name in _paper_figures.FIGURES:
                    files[f"paper-{name}.{form}"] = picture(lambda name=name: self.plot(of=name), form)  # type: ignore[misc]
        return save_texts(folder, files)
