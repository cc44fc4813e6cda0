"""Which units the effect of the group runs through, beside what ordinary networks show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairheads.results import _units_figure, _units_views
from fairheads.results._text import wrapped
from fairheads.results.number import OMIT, Number
from fairheads.results.record import HIDDEN
from fairheads.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LAST = (
    "This names units that carry more of the group than the largest unit of a twin is likely to; a head spread thinly"
    " over a layer has no such unit, and a unit that is named need not be the only way of the group to the output."
)


@dataclass(frozen=True, kw_only=True)
class UnitEffect:
    """One unit's share of its layer's swap effect.

    Attributes
    ----------
    layer : str
    unit : int
        Its place in the layer, from 0.
    value, low, high : float
        Signed attribution, turned so that above 0 is compensating, in sd of the logit, and its own 95 % interval; the
        values of a layer add up to its swap effect.
    p : float
        Chance that the largest unit of this layer in an unconstrained network is this large (predictive t).
    p_rank : float
        The same from the rank among the twins; no smaller than 1 / (twins + 1).
    q : float
        Smallest false discovery rate at which the unit is named.
    discovered : bool
        Whether ``q`` is within the stated rate and the value large enough to matter.
    """

    layer: str
    unit: int
    value: float
    low: float
    high: float
    p: float
    p_rank: float
    q: float
    discovered: bool


@dataclass(frozen=True, kw_only=True)
class LayerUnits:
    """One layer: its units, the swap effect that they add up to but for ``completeness``, each twin's largest one."""

    name: str
    units: int
    effect: float
    completeness: float
    largest_in_twins: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Neutralisation:
    """What happens when a layer's pathway is neutralised: units chosen on one half of the rows, changed on the other.

    Attributes
    ----------
    layer : str
    direction : int
        1 where units that push against the base-rate gap were chosen, -1 where those along it.
    units : tuple of int
        Those that both halves chose.
    gap : Number
        Change of the decision gap, turned: above 0 the units were compensating.
    logit : Number
        Change of the difference of the mean logit, turned, in sd of the logit.
    twin_gaps, twin_logits : tuple of float
        The same procedure on the twins: choosing moves the gap there too.
    p, p_rank : float
        How surprising ``gap`` is beside the twins' at this layer (predictive t; rank).
    """

    layer: str
    direction: int
    units: tuple[int, ...]
    gap: Number
    logit: Number
    twin_gaps: tuple[float, ...] = ()
    twin_logits: tuple[float, ...] = ()
    p: float = float("nan")
    p_rank: float = float("nan")


@dataclass(frozen=True, kw_only=True, repr=False)
class UnitReport(Shown):
    """The units of every layer, those that make up the head, and what becomes of the gap without them.

    Attributes
    ----------
    group, reference : str
    rate : float
        Stated false discovery rate: on average over the layers named, the chance of a false name among its units.
    smallest : float
        Smallest value that is named, in sd of the logit.
    twins : int
        Networks that the units were compared with.
    p_min : float
        Smallest ``p_rank`` that so many twins can give.
    reason : str
        Why no unit is named; empty where some are.
    layers : tuple of LayerUnits
    units : tuple of UnitEffect
        Those that are named and the largest of every layer, in order.
    neutralised : tuple of Neutralisation
    every : tuple of UnitEffect
        Every unit of every layer, in order; not written into files.
    directed : bool
        Whether the labels show a gap that effects can work against; where they do not, signs say little.
    """

    group: str
    reference: str
    rate: float
    smallest: float
    twins: int
    p_min: float
    reason: str
    layers: tuple[LayerUnits, ...]
    units: tuple[UnitEffect, ...]
    neutralised: tuple[Neutralisation, ...] = ()
    every: tuple[UnitEffect, ...] = field(default=(), metadata=HIDDEN)
    directed: bool = field(default=True, metadata=OMIT)

    @property
    def total(self) -> int:
        """Units of all layers."""
        return sum(layer.units for layer in self.layers)

    @property
    def discovered(self) -> tuple[UnitEffect, ...]:
        """The units that are named, largest first."""
        return tuple(sorted((u for u in self.units if u.discovered), key=lambda u: -abs(u.value)))

    def summary(self) -> str:
        """The units that are named and the neutralised layers, at most 100 columns; the last line says what they do
        not say."""
        return "\n".join([*_units_views.text_lines(self), "", *wrapped(LAST, "")])

    def html(self) -> str:
        """Figure and tables as an HTML fragment; everything that came from data is escaped."""
        return _units_views.html(self, LAST)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Attribution of the largest units, layer by layer, beside the twins'; named units carry their number.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _units_figure.plot(self, ax)

    def to_frame(self) -> pd.DataFrame:
        """A row a unit; of a report from a file, of those that are named and the largest."""
        import pandas as pd

        columns = list(UnitEffect.__dataclass_fields__)
        return pd.DataFrame([vars(unit) for unit in self.every or self.units], columns=columns)
