"""Whether two heads explain a constrained network: how well a merge approximates it, and what a group head recovers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fairheads.results import _statement_views
from fairheads.results.number import Number
from fairheads.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How one network decides about the measured rows.

    Attributes
    ----------
    accuracy, selection_rate : Number
    gap : Number
        Demographic parity: the largest minus the smallest selection rate of the groups.
    """

    accuracy: Number
    selection_rate: Number
    gap: Number


@dataclass(frozen=True, kw_only=True, repr=False)
class _Closeness(Shown):
    """What `Approximation` and `Recovery` share; not to be made by itself."""

    name: str
    fitted_on: int
    n: int
    confidence: float
    b: tuple[float, ...]
    t: float
    offset: float
    repeats: int
    agreement: Number
    floor: Number
    ceiling: Number
    over_floor: Number
    to_ceiling: Number
    share: Number

    def plot(self, ax: Axes | None = None) -> Axes:
        """Agreement of floor, fit and ceiling with their intervals.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _statement_views.plot(self.lines(), ax)

    @property
    def title(self) -> str:
        """What was asked, with the name of the data where it has one."""
        return f"{self._question}, {self.name}" if self.name else self._question

    @property
    def _question(self) -> str:
        raise NotImplementedError

    def lines(self) -> tuple[tuple[str, Number, Judged | None], ...]:
        """What every view has a row for: words, agreement, and how that network decides."""
        raise NotImplementedError

    def differences(self) -> tuple[tuple[str, Number], ...]:
        """Differences on the same rows, and shares, with the words for them."""
        raise NotImplementedError

    def _last(self) -> str:
        raise NotImplementedError

    def _fit(self) -> str:
        slopes = ", ".join(f"{b:.3g}" for b in self.b)
        return (
            f"b = {slopes}, t = {self.t:.3g} (offset alone: t = {self.offset:.3g}) fitted on {self.fitted_on:,} rows;"
            f" measured on {self.n:,} others, {100 * self.confidence:g} % intervals."
        )

    def summary(self) -> str:
        """A table of at most 100 columns; the last line says what the numbers do not say."""
        lines = _statement_views.text_lines(self.title, self._fit(), self.lines(), self.differences())
        return "\n".join([*lines, self._last()])

    def html(self) -> str:
        """Table and figure as an HTML fragment; everything that came from data is escaped."""
        return _statement_views.html(self.title, self._fit(), self.lines(), self.differences(), self._last())

    def to_frame(self) -> pd.DataFrame:
        """A row a network or comparison with value, low, high, n and, where a number cannot be had, the reason."""
        import pandas as pd

        columns = ["network", "number", "value", "low", "high", "n", "reason"]
        return pd.DataFrame(_statement_views.records(self.lines(), self.differences()), columns=columns)


@dataclass(frozen=True, kw_only=True, repr=False)
class Approximation(_Closeness):
    """How well the merge ``z_y + b . z_g + t`` of two heads decides like a constrained network.

    Attributes
    ----------
    name : str
        What was measured on.
    fitted_on, n : int
        Rows that chose the coefficients, and the other rows, on which everything is measured.
    confidence : float
        Of every interval.
    b, t : tuple of float, float
        The merge that agrees most with the constrained network on the rows of the fit.
    offset : float
        The t of the best merge with b = 0.
    repeats : int
        Other seeds of the constrained network.
    agreement : Number
        Share of the rows that the merge decides like the constrained network.
    floor : Number
        The same of the task head with an offset: what can be had without the group.
    ceiling : Number
        The same of the ``repeats``, on average: what training again leaves.
    over_floor, to_ceiling : Number
        ``agreement`` minus ``floor`` and minus ``ceiling``, on the same rows.
    share : Number
        ``(agreement - floor) / (ceiling - floor)``: 1 is as close as another seed; may lie outside [0, 1].
    constrained, merged, offset_only : Judged
        How the constrained network, the merge, and the task head with the offset decide.

    Notes
    -----
    Intervals speak of other rows for these networks and coefficients; how far other seeds of training would lie is
    not in them.
    """

    schema: Literal["fairheads/approximation/1"] = "fairheads/approximation/1"
    constrained: Judged
    merged: Judged
    offset_only: Judged

    SCHEMA = "fairheads/approximation/1"

    @property
    def _question(self) -> str:
        return "Two heads in place of a constrained network"

    def lines(self) -> tuple[tuple[str, Number, Judged | None], ...]:
        return (
            ("task head with offset (floor)", self.floor, self.offset_only),
            ("merge of the two heads", self.agreement, self.merged),
            (_seeds(self.repeats), self.ceiling, None),
            ("constrained network", Number(value=1.0, n=self.n), self.constrained),
        )

    def differences(self) -> tuple[tuple[str, Number], ...]:
        return (
            ("merge minus floor", self.over_floor),
            ("merge minus ceiling", self.to_ceiling),
            ("share of the way from floor to ceiling", self.share),
        )

    def _last(self) -> str:
        return "This does not say that the network estimates the group: only how far a merge decides as it does."


@dataclass(frozen=True, kw_only=True, repr=False)
class Recovery(_Closeness):
    """How much of an unconstrained network comes back when a group head is taken out of a constrained one.

    The recovered decisions are ``f - b . ghat - t > 0``, with f the constrained network and ghat a group head on its
    last layer.

    Attributes
    ----------
    name : str
        What was measured on.
    fitted_on, n : int
        Rows that chose the coefficients, and the other rows, on which everything is measured.
    confidence : float
        Of every interval.
    b, t : tuple of float, float
        What is taken out, most accurate on the labels of the rows of the fit.
    offset : float
        The most accurate t with b = 0.
    repeats : int
        Other seeds of the unconstrained network.
    agreement : Number
        Share of the rows that the recovered network decides like the unconstrained one.
    floor : Number
        The same of the constrained network with an offset.
    ceiling : Number
        The same of the ``repeats``, on average.
    over_floor, to_ceiling : Number
        ``agreement`` minus ``floor`` and minus ``ceiling``, on the same rows.
    share : Number
        ``(agreement - floor) / (ceiling - floor)``.
    constrained_agreement : Number
        Share of the rows that the constrained network, as it is, decides like the unconstrained one.
    constrained, recovered, offset_only, unconstrained : Judged
        How these four decide.
    gained, cost : Number
        Accuracy of the recovered and of the unconstrained network, each minus that of the constrained one.
    by_head : Number
        Accuracy of the recovered network minus that with the offset alone: what the group head itself brings back.
    accuracy_share : Number
        ``gained / cost``: what comes back of the accuracy that the constraint cost.

    Notes
    -----
    Intervals speak of other rows for these networks and coefficients; how far other seeds of training would lie is
    not in them.
    """

    schema: Literal["fairheads/recovery/1"] = "fairheads/recovery/1"
    constrained_agreement: Number
    constrained: Judged
    recovered: Judged
    offset_only: Judged
    unconstrained: Judged
    gained: Number
    cost: Number
    by_head: Number
    accuracy_share: Number

    SCHEMA = "fairheads/recovery/1"

    @property
    def _question(self) -> str:
        return "An unconstrained network recovered from a constrained one"

    def lines(self) -> tuple[tuple[str, Number, Judged | None], ...]:
        return (
            ("constrained network", self.constrained_agreement, self.constrained),
            ("the same with offset (floor)", self.floor, self.offset_only),
            ("group head taken out", self.agreement, self.recovered),
            (_seeds(self.repeats), self.ceiling, None),
            ("unconstrained network", Number(value=1.0, n=self.n), self.unconstrained),
        )

    def differences(self) -> tuple[tuple[str, Number], ...]:
        return (
            ("agreement: head taken out minus floor", self.over_floor),
            ("agreement: head taken out minus ceiling", self.to_ceiling),
            ("agreement: share of the way from floor to ceiling", self.share),
            ("accuracy: head taken out minus constrained", self.gained),
            ("accuracy: head taken out minus offset alone", self.by_head),
            ("accuracy: unconstrained minus constrained", self.cost),
            ("accuracy: share of the cost that comes back", self.accuracy_share),
        )

    def _last(self) -> str:
        return "This does not say that the constraint works by a group head: compare the floor, which has none."


def _seeds(repeats: int) -> str:
    return f"other seeds (ceiling; {repeats})" if repeats else "other seeds (ceiling)"
