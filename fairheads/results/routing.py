"""Whether groups run through pathways of their own, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairheads.results import _routing_figures, _routing_views
from fairheads.results._text import wrapped
from fairheads.results.number import Number
from fairheads.results.record import HIDDEN
from fairheads.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LAST = (
    "Pathways of their own say that the groups are processed apart, not that either is treated worse; and groups can be"
    " treated unlike in one pathway."
)


@dataclass(frozen=True, kw_only=True)
class LayerRoutes:
    """One layer.

    Attributes
    ----------
    name : str
    units : int
    dissociation : Number
        ``D = log(M[0][0] M[1][1] / (M[0][1] M[1][0]))`` with bounds that hold for all layers together; above 0 where
        each group needs its own pathway more than the other's.
    matrix : two rows of two floats
        ``M[a][q]``: share of the logit's variance in group q that is lost without the pathway of a, floored. Reference
        first, then the group.
    overlap : float
        Of the groups' contribution profiles, from 0 to 1.
    reference_shares, group_shares : tuple of float
        Contribution of every unit in either group, as a share of all; not written into files.
    reference_units, group_units : tuple of int
        The pathway of either group.
    twin_dissociations, twin_overlaps : tuple of float
    """

    name: str
    units: int
    dissociation: Number
    matrix: tuple[tuple[float, ...], ...]
    overlap: float
    reference_units: tuple[int, ...]
    group_units: tuple[int, ...]
    twin_dissociations: tuple[float, ...] = ()
    twin_overlaps: tuple[float, ...] = ()
    reference_shares: tuple[float, ...] = field(default=(), metadata=HIDDEN)
    group_shares: tuple[float, ...] = field(default=(), metadata=HIDDEN)


@dataclass(frozen=True, kw_only=True, repr=False)
class RoutingReport(Shown):
    """Whether the groups run through pathways of their own, and what that rests on.

    Attributes
    ----------
    group, reference : str
    routed : bool
        Whether some layer's lower bound exceeds ``threshold``, which lies above ``largest_in_twins``.
    reason : str
    layer : str
        The layer with the highest lower bound.
    threshold, largest_in_twins : float
    twins : int
    p_rank, p_min : float
        Rank of the largest dissociation over layers among the twins', and the smallest value that it can have.
    layers : tuple of LayerRoutes
    reference_shares, group_shares : tuple of float
        Contribution of every unit of ``layer`` in either group, as a share of all.
    groups : tuple of str
        All groups of the audit, each of which has its colour in every figure; not written into files.
    """

    group: str
    reference: str
    routed: bool
    reason: str
    layer: str
    threshold: float
    largest_in_twins: float
    twins: int
    p_rank: float
    p_min: float
    layers: tuple[LayerRoutes, ...]
    reference_shares: tuple[float, ...]
    group_shares: tuple[float, ...]
    groups: tuple[str, ...] = field(default=(), compare=False, metadata=HIDDEN)

    @property
    def strongest(self) -> LayerRoutes:
        """The layer that ``layer`` names."""
        return next(layer for layer in self.layers if layer.name == self.layer)

    def summary(self) -> str:
        """Verdict, layers and the units of either pathway, at most 100 columns; the last line says what they do not
        say."""
        return "\n".join([*_routing_views.text_lines(self), "", *wrapped(LAST, "")])

    def html(self) -> str:
        """Figures and tables as an HTML fragment; everything that came from data is escaped."""
        return _routing_views.html(self, LAST)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Dissociation of every layer with its interval, beside the twins and the value that it must exceed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _routing_figures.plot_layers(self, ax)

    def plot_profiles(self, ax: Axes | None = None, *, groups: Sequence[str] | None = None) -> Axes:
        """Contribution of every unit of the strongest layer in either group, from the one group's to the other's.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.
        groups : sequence of str, optional
            All groups, so that each has the same colour in every figure; by default those of the audit.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _routing_figures.plot_profiles(self, ax, groups)

    def _shares(self, layer: LayerRoutes) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if layer.name == self.layer:
            return self.reference_shares, self.group_shares
        return layer.reference_shares, layer.group_shares

    def to_frame(self) -> pd.DataFrame:
        """A row a unit: its share in either group, and whose pathway it belongs to (none: empty).

        Of a report from a file shares are those of the strongest layer, NaN in the others.
        """
        import pandas as pd

        rows = [
            {
                "layer": layer.name,
                "unit": unit,
                self.reference: reference[unit] if reference else math.nan,
                self.group: group[unit] if group else math.nan,
                "pathway": self.reference
                if unit in layer.reference_units
                else self.group
                if unit in layer.group_units
                else "",
            }
            for layer, reference, group in ((layer, *self._shares(layer)) for layer in self.layers)
            for unit in range(layer.units)
        ]
        return pd.DataFrame(rows, columns=["layer", "unit", self.reference, self.group, "pathway"])
