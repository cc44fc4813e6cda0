"""What the internal group estimate of a network reads from its input, beside what its task readout reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fairheads.results import _reads_figures, _reads_html, _reads_text
from fairheads.results.number import Number
from fairheads.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DISCLAIMER = (
    "This does not say that the column causes anything outside the network, nor whether the estimate is used: the"
    " effects of swap and erasure do. Columns that go together can stand in for each other."
)


@dataclass(frozen=True, kw_only=True)
class ReadPart:
    """What one readout takes from one column, in standard deviations of the readout.

    Attributes
    ----------
    contrast : Number
        Mean attribution in the group minus that in the reference. The contrasts of all columns add up to the distance
        of the groups in the readout, minus that of their baselines.
    share : float
        ``abs(contrast)`` as a share of the sum over columns. NaN where that is 0.
    group, reference : Number
        Mean attribution in each.
    group_sd, reference_sd : float
        Its spread over people.
    mean_absolute : float
        Mean of ``abs(attribution)`` over both groups, weighted alike.
    """

    contrast: Number
    share: float
    group: Number
    reference: Number
    group_sd: float
    reference_sd: float
    mean_absolute: float


@dataclass(frozen=True, kw_only=True)
class ReadValue:
    """What people with one value of a category add to the contrast of their column.

    Attributes
    ----------
    value : str
    group_share, reference_share : float
        Share of each group that has the value.
    head, task : Number
        Part of the column's contrast. Those of all values, of which the twelve largest are kept, add up to it.
    head_mean, task_mean : float
        Mean attribution of the people who have the value; NaN where nobody has.
    """

    value: str
    group_share: float
    reference_share: float
    head: Number
    task: Number
    head_mean: float
    task_mean: float


@dataclass(frozen=True, kw_only=True)
class ReadColumn:
    """A column of the table, a channel of the image or a token: what the group head and the task readout take from it.

    ``values`` are those of a column of categories, the largest part of the head's contrast first.
    """

    name: str
    head: ReadPart
    task: ReadPart
    values: tuple[ReadValue, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReadMap:
    """Mean attribution of every pixel, summed over channels (and over squares of pixels in a large image)."""

    readout: Literal["head", "task"]
    group: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ReadToken:
    """A token id: how often it occurs, and its mean attribution at each occurrence."""

    token: int
    group_count: int
    reference_count: int
    head: Number
    task: Number


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """How well the parts add up: mean and largest distance from the true sum, in sd of the readout."""

    mean: float
    largest: float


@dataclass(frozen=True, kw_only=True, repr=False)
class HeadReading(Shown):
    """What feeds the internal group estimate of a layer ("group head"), beside its readout of the label ("task").

    Attributes
    ----------
    group, reference, layer : str
    kind : "table", "image" or "tokens"
    input : str
        Which input was attributed; others stayed as they were.
    method : "integrated gradients" or "occlusion"
    baseline : str
        What people are compared with, and why.
    baselines, steps : int
        Baselines a row, fewest points on each path (0 for occlusion).
    n_group, n_reference : int
        Rows attributed.
    head_distance, task_distance : Number
        Distance of the groups in each readout on these rows, in its standard deviation.
    head_complete, task_complete : Completeness
    columns : tuple of ReadColumn
        The largest share of the head first.
    rest : ReadColumn, optional
        All but the first ``shown`` columns together.
    shown : int
        Columns with a bar of their own.
    maps, tokens
        Of images, of text.

    Notes
    -----
    Intervals (95 %, one by one) are over people, given the fitted readouts. Above 0 is towards the group, and in the
    task readout towards the favourable label.
    """

    group: str
    reference: str
    layer: str
    kind: Literal["table", "image", "tokens"]
    input: str
    method: Literal["integrated gradients", "occlusion"]
    baseline: str
    baselines: int
    steps: int
    n_group: int
    n_reference: int
    head_distance: Number
    task_distance: Number
    head_complete: Completeness
    task_complete: Completeness
    columns: tuple[ReadColumn, ...]
    rest: ReadColumn | None
    shown: int
    maps: tuple[ReadMap, ...] = ()
    tokens: tuple[ReadToken, ...] = ()

    @property
    def bars(self) -> tuple[ReadColumn, ...]:
        """The columns that are shown, and the rest as one."""
        return self.columns[: self.shown] + (() if self.rest is None else (self.rest,))

    def summary(self) -> str:
        """Columns and values as text of at most 100 columns; the last lines say what they do not say."""
        return _reads_text.text(self, DISCLAIMER)

    def html(self) -> str:
        """Figure and tables as an HTML fragment; everything that came from data is escaped."""
        return _reads_html.html(self, DISCLAIMER)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Bars with intervals: what the group head takes from each column, beside the task readout.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw the group head into; by default a figure of its own with both readouts side by side, which
            is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
            The axes of the group head.
        """
        return _reads_figures.plot_bars(self, ax)

    def plot_maps(self) -> Axes:
        """Mean maps of an image: group, reference and their difference in columns, group head above task readout.

        Returns
        -------
        matplotlib.axes.Axes
            The first; the others are in its ``.figure``.

        Raises
        ------
        InputError
            If the input was no image.
        """
        return _reads_figures.plot_maps(self)

    def to_frame(self) -> pd.DataFrame:
        """A row for every column, and value of it, and readout."""
        import pandas as pd

        names = ["column", "value", "readout", "contrast", "low", "high", "share", "group", "reference"]
        return pd.DataFrame(list(_reads_text.records(self)), columns=names)
