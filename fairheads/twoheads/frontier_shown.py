"""What a front counts, and how a notebook shows it: the best merge for every gap, beside the task head as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fairheads.results._style import BAND, INK, PALETTE, SOFT, bare, house_style, html_figure, new_figure
from fairheads.results._words import amount, axis_name, clip, count, rate_name
from fairheads.results.shown import Displayed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from fairheads.twoheads.criteria import Criteria
    from fairheads.twoheads.heads import Heads

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LAST = "This does not say which gap new rows have: Frontier.at keeps it there, with a stated confidence."


class ShownFront(Displayed):
    """Merges, their gaps and what was maximised."""

    heads: Heads
    criteria: Criteria
    slopes: Floats
    t: Floats
    counts: Ints

    @property
    def b(self) -> Floats:
        """Slopes of the group outputs."""
        return self.slopes[:, 0] if self.slopes.shape[1] == 1 else self.slopes

    @property
    def selected(self) -> Ints:
        """Rows of each group that a candidate selects, (c, groups)."""
        return np.asarray(self.counts[:, : self.criteria.groups].sum(-1), np.int64)

    @property
    def group_sizes(self) -> Ints:
        """Rows of each group."""
        return np.asarray(self.criteria.totals[: self.criteria.groups].sum(-1), np.int64)

    @property
    def accuracy(self) -> Floats:
        """Share of right decisions, (c,)."""
        return self.criteria.accuracy(self.counts)

    @property
    def objective(self) -> Floats:
        """What was maximised, (c,)."""
        return self.criteria.objective(self.counts)

    @property
    def gap(self) -> Floats:
        """The gap, (c,): signed for two groups, group 1 minus group 0."""
        return self.criteria.gap(self.counts)

    @property
    def selection_rate(self) -> Floats:
        """Share of all rows that are selected, (c,)."""
        return self.criteria.selection(self.counts)

    def __repr__(self) -> str:
        return f"Frontier({self._brief()})"

    def summary(self) -> str:
        """How many merges, their gaps and what was maximised; the last line says what they do not say."""
        return f"{self._brief()}\n{LAST}"

    def html(self) -> str:
        """The figure as an HTML fragment."""
        gaps, values = self._best()
        ends = [
            f"{amount(value)} at a gap of {amount(gap)}"
            for gap, value in ((gaps[0], values[0]), (gaps[-1], values[-1]))
        ]
        says = f"{clip(self._aim(), 60)} of the best merges, from {ends[0]} to {ends[1]}."
        caption = "The best merge found with at most that gap, counted on the rows that it was chosen on."
        return f"<p>{self._brief()}.</p>\n{html_figure(self.plot(), says, caption)}\n<p>{LAST}</p>"

    def plot(self, ax: Axes | None = None) -> Axes:
        """The best merge with at most a gap, and the task head as it is.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        none = self.heads.select(np.zeros(self.slopes.shape[1]), 0.0)[None]
        own = float(self.criteria.size(none)[0]), float(self.criteria.objective(none)[0])
        with house_style():
            if ax is None:
                ax = new_figure(3.1).add_subplot()
            ax.step(*self._best(), where="post", color=PALETTE[0], linewidth=2.0, zorder=2)
            ax.plot([own[0]], [own[1]], "s", color=INK, markersize=6.5, zorder=3)
            left = own[0] > 0.5 * ax.get_xlim()[1]
            beside = {"xytext": (-9 if left else 9, -3), "ha": "right" if left else "left", "va": "top"}
            ax.annotate("task head alone", own, **beside, textcoords="offset points", color=SOFT, parse_math=False)  # type: ignore[arg-type]
            metric = rate_name(self.criteria.gap_metric)
            ax.set_xlabel(f"absolute gap, {metric} (difference of shares)", parse_math=False)
            ax.set_ylabel(clip(axis_name(self.criteria.objective_name), 40), parse_math=False)
            ax.grid(color=BAND, linewidth=0.8)
            ax.set_axisbelow(True)
            ax.locator_params(nbins=6)
            bare(ax, "left", "bottom")
        return ax

    def to_frame(self) -> pd.DataFrame:
        """A row a merge: slopes, threshold, gap, accuracy, selection rate, and what was maximised."""
        import pandas as pd

        names = ["b"] if self.slopes.shape[1] == 1 else [f"b{i}" for i in range(self.slopes.shape[1])]
        counted = {"gap": self.gap, "accuracy": self.accuracy, "selection_rate": self.selection_rate}
        merges = dict(zip(names, self.slopes.T, strict=True)) | {"t": self.t}
        return pd.DataFrame(merges | counted | {"objective": self.objective})

    def _brief(self) -> str:
        gap, aim = np.abs(self.gap), self.objective
        return (
            f"{count(len(self.t))} merges on {count(len(self.heads))} rows of {self.criteria.groups} groups:"
            f" {self.criteria.gap_metric} gap {gap.min():.3f} to {gap.max():.3f},"
            f" {self.criteria.objective_name} {aim.min():.3f} to {aim.max():.3f}"
        )

    def _aim(self) -> str:
        return rate_name(self.criteria.objective_name)

    def _best(self) -> tuple[Floats, Floats]:
        """Gaps, and the best that can be had within each."""
        at = rising(np.abs(self.gap), self.objective)
        return np.abs(self.gap)[at], self.objective[at]


def rising(gap: Floats, value: Floats) -> NDArray[np.intp]:
    """Positions, by gap, of those that are better than all with a smaller gap."""
    order = np.lexsort((-value, gap))
    order = order[np.isfinite(gap[order]) & np.isfinite(value[order])]
    best = np.maximum.accumulate(value[order])
    return order[np.r_[True, best[1:] > best[:-1]]] if len(order) else order
