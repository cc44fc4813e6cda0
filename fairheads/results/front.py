"""Accuracy against disparity over the settings of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from fairheads.errors import InputError
from fairheads.results import _front_figure, _front_files, _front_tables, _front_views
from fairheads.results.front_points import FrontPoint, FrontSetting, marked, settings_of
from fairheads.results.shown import Report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FORMATS = ("json", "csv", "md", "html", "png")
"""What `Front.save` writes unless told otherwise; ``svg`` is the sixth."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Front(Report):
    """Accuracy and gap of every trained network, judged on the same rows, and which settings are not dominated.

    `fairheads.results.front_of` makes one from disparity reports.

    Attributes
    ----------
    data, split : str
        What the networks were judged on, and which of its rows, in words.
    n : int
        Rows.
    groups : tuple of str
        The groups that the gap is between.
    confidence : float
        Of every interval.
    accuracy_metric, gap_metric : str
        What ``accuracy`` and ``gap`` of the points are: more of the first and less of the second is better.
    points : tuple of FrontPoint
    notes : tuple of str
        What the reader must know of how the networks were trained and judged.

    Notes
    -----
    Networks that differ by their seed alone are judged together, by their mean: the best of several seeds would
    flatter its setting. A dominated setting may lie below the front by less than its interval.

    Not shown: which setting to use. A setting that is chosen on these rows is a little worse on new ones.
    """

    schema: Literal["fairheads/front/1"] = "fairheads/front/1"
    data: str
    split: str
    n: int
    groups: tuple[str, ...]
    confidence: float
    accuracy_metric: str
    gap_metric: str
    points: tuple[FrontPoint, ...]
    notes: tuple[str, ...]

    SCHEMA: ClassVar[str] = "fairheads/front/1"
    FILE: ClassVar[str] = "front.json"
    OF: ClassVar[str] = "a sweep"

    def __post_init__(self) -> None:
        names = [point.name for point in self.points]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"`points` must have a name each, got {twice[0]!r} twice")
        wrong = [a.name for a, b in zip(self.points, marked(self.points), strict=True) if a.dominated != b.dominated]
        if wrong:
            raise InputError(f"`dominated` must follow from accuracy and gap, got another value for {wrong[0]!r}")

    @property
    def settings(self) -> tuple[FrontSetting, ...]:
        """Every objective and setting with the mean of its seeds; objectives in order of their first point."""
        return settings_of(self.points)

    @property
    def front(self) -> tuple[FrontSetting, ...]:
        """The settings that no other dominates, from the smallest gap to the largest."""
        return tuple(sorted((s for s in self.settings if s.on_front), key=lambda s: s.gap.value))

    def summary(self) -> str:
        """A line a setting, as text of at most 100 columns; the last line says what they do not say."""
        return "\n".join([*_front_views.text_lines(self), _front_tables.DISCLAIMER])

    def html(self) -> str:
        """Figure and table as an HTML fragment; everything that came from data is escaped."""
        return _front_views.html_sections(self, level=3)

    def page(self) -> str:
        """One HTML file that needs nothing else; the front is inside as JSON, in the element ``fairheads-front``."""
        return _front_views.html_page(self)

    def markdown(self) -> str:
        """The table as Markdown with a title; names from data stay inert."""
        return _front_views.markdown_page(self)

    def to_csv(self) -> str:
        """A line a network, numbers unrounded; text that a spreadsheet would run gets an apostrophe before it."""
        return _front_tables.csv(self)

    def to_frame(self) -> pd.DataFrame:
        """A row a network, with the columns of `to_csv`; NaN where a number cannot be had."""
        import pandas as pd

        head, rows = _front_tables.records(self)
        return pd.DataFrame(rows, columns=list(head))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Accuracy against the gap with intervals both ways, the front as a step line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes. Give axes
            their final size first: labels are placed for it.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InputError
            If no setting has both an accuracy and a gap.

        Notes
        -----
        The step line is the best accuracy here among settings with at most that gap. Colour and marker tell the
        objective; a dominated setting is hollow; of several seeds each is a small dot and the mean a large one, with
        the mean of their intervals. The label of a point is its setting; one that has no room is left out. A bar that
        runs into the frame goes on beyond it.
        """
        return _front_figure.plot(self, ax)

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
        """Write ``front.json``, ``front.csv``, ``front.md``, ``front.html`` and ``front.png``, whole or not at all.

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
            If the folder cannot be written to, or there is nothing to draw.
        """
        return _front_files.save(self, folder, formats)
