"""What a network computes, without a verdict: two heads fitted to its score, and what flipping the group input does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from fairheads.results import _markup as markup
from fairheads.results._style import BAND, MARKERS, PALETTE, RULE, SOFT, bare, house_style, html_figure, new_figure
from fairheads.results._text import text_table, wrapped
from fairheads.results._words import NOT_ESTIMABLE, capital, clip_middle
from fairheads.results.number import Number
from fairheads.results.record import HIDDEN
from fairheads.results.shown import Shown
from fairheads.results.twins import TwinSummary

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Lines = tuple[tuple[str, Number], ...]


class _Functional(Shown):
    """Text, table, HTML and figure of results that are lines of words and numbers; not to be made by itself."""

    _from_zero: ClassVar[bool] = False
    """Whether the figure shows 0."""

    @property
    def title(self) -> str:
        """What was asked, of which groups and where."""
        raise NotImplementedError

    def lines(self) -> Lines:
        """What every view has a row for."""
        raise NotImplementedError

    def drawn(self) -> Lines:
        """What the figure shows, from top to bottom, in one unit."""
        raise NotImplementedError

    def _axis(self) -> str:
        raise NotImplementedError

    def _notes(self) -> tuple[str, ...]:
        raise NotImplementedError

    def summary(self) -> str:
        """A table of at most 100 columns; the last line says what the numbers do not say."""
        rows = [(words, NOT_ESTIMABLE if math.isnan(n.value) else f"{n:.3f}") for words, n in self.lines()]
        reasons = dict.fromkeys(n.reason for _, n in self.lines() if n.reason is not None)
        return "\n".join(
            [
                *wrapped(self.title, ""),
                "",
                *text_table(("", ""), rows)[1:],
                *(line for reason in reasons for line in wrapped(f"- not estimable: {reason}.", "")),
                *(line for note in self._notes() for line in wrapped(note, "")),
            ]
        )

    def html(self) -> str:
        """Table and figure as an HTML fragment; everything that came from data is escaped."""
        rows = [[markup.prose(words), markup.estimate(number)] for words, number in self.lines()]
        ax = self.plot()
        says = "; ".join(f"{words}: {number:.3f}" for words, number in self.drawn())
        return "\n".join(
            [
                markup.heading(3, markup.prose(self.title)),
                markup.table("What was measured, with 95 % intervals", ("", "value"), rows),
                html_figure(ax, f"{says}.", markup.prose(capital(self._axis()) + ", with intervals.")),
                *(f"<p>{markup.prose(note)}</p>" for note in self._notes()),
            ]
        )

    def to_frame(self) -> pd.DataFrame:
        """A row a number: words, value, low, high, n and, where it cannot be had, the reason."""
        import pandas as pd

        rows = [(words, n.value, n.low, n.high, n.n, n.reason) for words, n in self.lines()]
        return pd.DataFrame(rows, columns=["number", "value", "low", "high", "n", "reason"])

    @house_style()
    def plot(self, ax: Axes | None = None) -> Axes:
        """The numbers of one unit with their intervals, from top to bottom.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        drawn = [(words, number) for words, number in self.drawn() if not math.isnan(number.value)]
        if ax is None:
            ax = new_figure(0.9 + 0.3 * max(len(drawn), 1), 5.6).add_subplot()
        for place, (_, number) in enumerate(drawn):
            colour, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
            if number.low is not None and number.high is not None:
                ax.plot([number.low, number.high], [-place, -place], color=colour, linewidth=1.4)
            ax.plot([number.value], [-place], color=colour, marker=marker, markersize=7)
        if self._from_zero:
            ax.axvline(0, color=RULE, linewidth=1.2)
        if not drawn:
            ax.text(0.5, 0.5, NOT_ESTIMABLE, ha="center", transform=ax.transAxes, color=SOFT, parse_math=False)
        ax.set_yticks([-place for place in range(len(drawn))], [words for words, _ in drawn], parse_math=False)
        ax.set_ylim(0.6 - max(len(drawn), 1), 0.6)
        ax.set_xlabel(self._axis(), parse_math=False)
        ax.locator_params(axis="x", nbins=5)
        ax.grid(color=BAND, linewidth=0.8, axis="x")
        ax.set_axisbelow(True)
        bare(ax, "bottom")
        ax.tick_params(axis="y", length=0)
        return ax


@dataclass(frozen=True, kw_only=True, repr=False)
class TwoHeadFit(_Functional):
    """How far the score of a network is two heads on one layer: ``f ~ merit s + b ghat + offset``.

    Attributes
    ----------
    layer, group, reference : str
    orientation : int
        Sign of the base-rate gap, 0 where its interval holds 0; then ``strength`` is turned by the gap as it was seen.
    n : int
        Rows.
    strength : Number
        -sigma b, in logits per unit of the group estimate (0 in one group, 1 in the other): above 0 the network raises
        the group with fewer favourable labels.
    b, merit, offset : Number, Number, float
        The coefficients as they are; ``merit`` is that of the layer's own readout of the label in log-odds.
    logit_sd : float
        Standard deviation of the score, to compare strengths of networks that are more or less sure.
    r2, r2_floor, r2_ceiling : Number
        Share of the score's variance: of the fit, of that with b = 0, and of one twin by another.
    agreement, floor, ceiling : Number
        Share of the rows decided like the network: by the fit, by that with b = 0; and of one twin like another.
    over_floor, to_ceiling : Number
        ``agreement`` minus ``floor`` and minus ``ceiling``, on the same rows.
    beside : TwinSummary or None
        The strength beside the twins' at this layer.

    Notes
    -----
    Intervals are of 95 % and for other rows; each of their replicates fits readouts and coefficients again.
    """

    layer: str
    group: str
    reference: str
    orientation: int
    n: int
    strength: Number
    b: Number
    merit: Number
    offset: float
    logit_sd: float
    r2: Number
    r2_floor: Number
    r2_ceiling: Number
    agreement: Number
    floor: Number
    ceiling: Number
    over_floor: Number
    to_ceiling: Number
    beside: TwinSummary | None = None

    @property
    def title(self) -> str:
        return f"Two heads fitted to the network at {self.layer}: {self.group} beside {self.reference}"

    def lines(self) -> Lines:
        return (
            ("strength (logits per unit of the group estimate)", self.strength),
            ("weight of merit (logits per log-odds)", self.merit),
            ("variance explained by merit and group", self.r2),
            ("variance explained by merit alone (floor)", self.r2_floor),
            ("variance of one twin explained by another (ceiling)", self.r2_ceiling),
            ("decided alike by merit and group", self.agreement),
            ("decided alike by merit alone (floor)", self.floor),
            ("decided alike by two twins (ceiling)", self.ceiling),
            ("decided alike: fit minus floor", self.over_floor),
            ("decided alike: fit minus ceiling", self.to_ceiling),
        )

    def drawn(self) -> Lines:
        return (
            ("merit alone (floor)", self.floor),
            ("merit and group", self.agreement),
            ("two twins (ceiling)", self.ceiling),
        )

    def _axis(self) -> str:
        return "share of rows decided alike"

    def _notes(self) -> tuple[str, ...]:
        told = []
        if self.beside is not None:
            twins = self.beside
            spread = "" if math.isnan(twins.sd) else f", standard deviation {twins.sd:.3f}"
            p = "" if math.isnan(twins.p) else f"p = {twins.p:.2g} (predictive t), "
            told.append(
                f"The {twins.n} twins have a mean strength of {twins.mean:.3f}{spread}: {p}by rank {twins.p_rank:.2g},"
                f" no smaller than {twins.p_min:.2g}."
            )
        if self.orientation == 0:
            told.append("The gap in labels may be 0 in truth: the sign of the strength says little.")
        told.append("This does not say that the network works by two heads: only how far its score can be written so.")
        return tuple(told)


@dataclass(frozen=True, kw_only=True)
class ThroughLayer:
    """How much of a counterfactual effect goes through what a layer says of the group at equal merit.

    Attributes
    ----------
    layer : str
    remains : Number
        The effect after conditional erasure of the group at the layer, turned, in standard deviations of the logit.
    through : Number
        ``1 - remains / effect``.
    """

    layer: str
    remains: Number
    through: Number


@dataclass(frozen=True, kw_only=True, repr=False)
class CounterfactualEffect(_Functional):
    """What a network does when the group in its inputs is flipped and the rest stays.

    Attributes
    ----------
    group, reference : str
    what : str
        What was flipped.
    orientation : int
        Sign of the base-rate gap, 0 where its interval holds 0.
    n : int
        Rows.
    changed : Number
        Share of the rows whose inputs the flip changed.
    effect : Number
        Mean logit as group minus as reference, turned, in standard deviations of the logit: above 0 the network raises
        the group with fewer favourable labels because of this input.
    decisions : Number
        Favourable decisions as group minus as reference, turned, as a share of the rows.
    flips : Number
        Share of the rows whose decision flips.
    layers : tuple of ThroughLayer
    row_ids : tuple of int
        Rows whose decision flips; not written into files.
    """

    group: str
    reference: str
    what: str
    orientation: int
    n: int
    changed: Number
    effect: Number
    decisions: Number
    flips: Number
    layers: tuple[ThroughLayer, ...] = ()
    row_ids: tuple[int, ...] = field(default=(), metadata=HIDDEN)

    _from_zero: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return f"{self.group} and {self.reference} exchanged in the inputs ({self.what}), the rest as it was"

    def lines(self) -> Lines:
        through: list[tuple[str, Number]] = []
        for layer in self.layers:
            place = clip_middle(layer.layer, 28)
            through.append((f"effect without the group in {place} (sd of the logit)", layer.remains))
            through.append((f"share of the effect through the group in {place}", layer.through))
        return (
            ("effect on the score (sd of the logit)", self.effect),
            ("effect on decisions (share selected)", self.decisions),
            ("decisions that flip (share of rows)", self.flips),
            ("rows whose inputs changed (share)", self.changed),
            *through,
        )

    def drawn(self) -> Lines:
        erased = tuple((f"group erased in {clip_middle(layer.layer, 20)}", layer.remains) for layer in self.layers)
        return (("network as it is", self.effect), *erased)

    def _axis(self) -> str:
        return "effect of the flip, sd of the logit"

    def _notes(self) -> tuple[str, ...]:
        told = []
        if self.orientation == 0:
            told.append("The gap in labels may be 0 in truth: the signs of the effects say little.")
        told.append(
            "This does not say what the network infers of the group from the other inputs: they stayed as they were."
        )
        return tuple(told)
