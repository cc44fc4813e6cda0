"""The monitor: called after every step of a training, it measures at some, keeps what it found, and raises alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from fairheads.activations import Network
from fairheads.data import Dataset, Stream, refuse_other_rows
from fairheads.errors import ConfigError, InputError
from fairheads.monitor import figure, scalars, views
from fairheads.monitor.log import CsvLog
from fairheads.monitor.measure import Measure
from fairheads.monitor.reading import Reading, frame
from fairheads.monitor.text import DISCLAIMER, history_lines
from fairheads.results.shown import Displayed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SAMPLE = 2048
"""Default number of watched rows."""

SCHEMA = "fairheads/monitor/1"


DRAWN = 10
"""Rows drawn from a stream for each row that is watched."""


class HeadMonitor(Displayed):
    """Watches a group head emerge: ``monitor(net, step)`` after every step of any training loop.

    At every ``every``-th step it runs a bounded sample of held-out rows through the network once, with one layer
    tapped, and measures each group against the largest:

    - *effect at equal merit*: the difference of the logit between the groups within bins of merit, in sd of the logit,
      turned by the gap in the labels: above 0 is compensating. Merit is the label's log-odds as read from the layer
      itself, by logistic regression, for every row without its block of rows. The interval comes from 20 delete-block
      replicates in which readout, bins and sd are made anew;
    - *awareness probe*: held-out AUC of the group read from the layer by ridge regression on one half of the sample;
    - *retention* of the ranking within the two groups, ``(AUC - .5)`` over the reference's;
    - *disparity*: difference of selection rates (logit above 0), and accuracy.

    Parameters
    ----------
    data : Dataset or Stream
        Rows that the network is NOT trained on, with labels and groups. Of a stream some thousands are drawn through
        its shuffle buffer and kept.
    every : int
        Measures at steps ``every``, ``2 every``, ...
    layer : str, optional
        The layer that is read, by torch's dotted path; by default the last that `Network.layers` offers.
    reference : Network or nn.Module, optional
        An unconstrained twin, whose ranking within groups retention is measured against. By default logistic
        regressions of the label on the inputs, cross-fitted, where the inputs are one table.
    sample : int
        Watched rows, drawn once with ``seed``: groups in proportion, of small ones somewhat more. More rows narrow the
        interval (by the root) and cost time in proportion; a layer needs 8 for each unit.
    csv : Path, optional
        File that gets a line for each step and group as soon as it is measured. A resumed run goes on with it: lines
        from the step that is measured on are replaced.
    writer : optional
        Anything with ``add_scalar(tag, value, step)``, such as TensorBoard's ``SummaryWriter``.
    margin : float, optional
        Alert where the lower bound of the effect exceeds it; None for never.
    on_alert : callable, optional
        Called with the reading when a group crosses the margin that was not above it in the reading before.
    stop : bool
        Whether `__call__` returns True, which ends a training that listens, while a group is above the margin.

    Raises
    ------
    ConfigError, InputError
        On a setting without sense, or rows of fewer than two groups; `__call__` raises what `as_network` and
        `Network.forward` raise for a network that cannot be looked into.

    Notes
    -----
    Not shown: a verdict. The effect at equal merit is functional evidence from one layer; it does not tell a head from
    lost merit, and looks at many steps are not corrected for each other. `fairheads.pathways.analyze_pathways` decides,
    by interventions and beside twins. Merit means the recorded label and no more.

    In the first epoch or two the effect is an accident of the initial weights, of either sign and often beyond any
    margin: let ``every`` be an epoch or more where alerts, above all with ``stop``, are to mean something.

    What speed costs. 2,048 rows where an audit takes 20,000: on Adult (sex, 3 x 128) the standard error is .03 to .05
    instead of .01, and the probe, fitted on 1,024 rows, reads .01 less than an audit's. Merit read from so few rows is
    blunt, which draws the effect down: by .02 to .04 on Adult, by .01 on planted data, where the interval covers .93 to
    .95 and its lower bound lies above the truth in 2 %. An effect less than .08 above the margin is often passed over:
    raise ``sample``. The logistic regressions are the audit's, solved with few Hessians for all 21, to .001 of the
    effect. Ridge regression on the labels, or a stronger penalty, would be faster and was not taken: a penalty ten
    times as strong already hides a third of the effect of penalised networks.

    Network, gradients, training flags, hooks and the global random state are left as they were. The forward pass runs
    on the network's own device, the rest in numpy on one core.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> from fairheads.planted import synthetic
    >>> monitor = HeadMonitor(synthetic(3000), every=100, margin=0.1)
    >>> net = MLP(8, hidden=(16, 16))
    >>> for step in range(1, 201):
    ...     if monitor(net, step):  # after the optimiser's step
    ...         break
    >>> [reading.step for reading in monitor.history]
    [100, 200]
    """

    def __init__(
        self,
        data: Dataset | Stream,
        *,
        every: int,
        layer: str | None = None,
        reference: Network | nn.Module | None = None,
        sample: int = SAMPLE,
        seed: int = 0,
        csv: str | Path | None = None,
        writer: scalars.Writer | None = None,
        margin: float | None = 0.1,
        on_alert: Callable[[Reading], object] | None = None,
        stop: bool = False,
    ) -> None:
        refuse_other_rows(data)
        if every < 1 or seed < 0:
            raise ConfigError(f"`every` must be at least 1 and `seed` at least 0, got {every} and {seed}.")
        if margin is not None and not 0 <= margin < np.inf:
            raise ConfigError(f"`margin` must be at least 0, or None for no alerts, got {margin}.")
        if margin is None and (stop or on_alert is not None):
            raise ConfigError("`stop` and `on_alert` need a `margin` to be crossed.")
        if writer is not None and not callable(getattr(writer, "add_scalar", None)):
            raise ConfigError(f"`writer` must have a method `add_scalar`, got {type(writer).__name__}.")
        self.every, self.margin, self.on_alert, self.stop = every, margin, on_alert, stop
        if isinstance(data, Stream):
            data = _drawn(data, sample, seed)
        self._measure = Measure.of(data, sample=sample, seed=seed, reference=reference, layer=layer, margin=margin)
        self._writer, self._log = writer, None if csv is None else CsvLog(Path(csv))
        self._history: list[Reading] = []

    @property
    def history(self) -> tuple[Reading, ...]:
        """All readings, in the order of their steps."""
        return tuple(self._history)

    def __call__(self, net: Network | nn.Module, step: int) -> bool:
        """Measure if ``step`` is one to measure at; True if the training should stop."""
        if step < 1:
            raise ConfigError(f"`step` must be at least 1, got {step}.")
        if step % self.every:
            return False
        reading = self.read(net, step)
        # Steps that come again come from a run that was resumed or started anew: what was read then is void.
        self._history = [old for old in self._history if old.step < step]
        before = self._history[-1].alerts if self._history else ()
        self._history.append(reading)
        if self._log is not None:
            self._log.add(reading)
        if self._writer is not None:
            scalars.write(self._writer, reading)
        if self.on_alert is not None and not set(reading.alerts) <= set(before):
            self.on_alert(reading)
        return self.stop and bool(reading.alerts)

    def read(self, net: Network | nn.Module, step: int) -> Reading:
        """What there is to see in ``net`` now; nothing is kept or written."""
        return self._measure(net, step)

    def summary(self) -> str:
        """The last ten readings as a table of at most 100 columns; the last line says what they do not say."""
        return "\n".join([*history_lines(self._history), "", DISCLAIMER])

    def html(self) -> str:
        """The curves of up to four groups and the last ten readings as an HTML fragment."""
        return views.history(self._history, self.margin)

    def to_frame(self) -> pd.DataFrame:
        """The history as a table, one row for each step and group, with the columns of the CSV file."""
        return frame(self._history)

    def plot(self, group: str | None = None, ax: Axes | None = None) -> Axes:
        """The four curves of one group over the steps, with the intervals of effect and retention and the margin.

        By default the group with the largest effect in the last reading that has one.

        Raises
        ------
        ConfigError, InputError
            If there is no such group, or nothing was measured yet.
        """
        return figure.plot(self._history, group, self.margin, ax)

    def state_dict(self) -> dict[str, Any]:
        """The history as plain JSON types, to be kept in a checkpoint."""
        return {"schema": SCHEMA, "history": [reading.to_dict() for reading in self._history]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a history that `state_dict` gave.

        Raises
        ------
        InputError
            If it is none, or of other groups.
        """
        if state.get("schema") != SCHEMA or not isinstance(state.get("history"), list):
            raise InputError(f"`state` must be what `HeadMonitor.state_dict` gave, got keys {sorted(state)}.")
        history = [Reading.from_dict(plain) for plain in state["history"]]
        names = [pair.group for pair in self._measure.watched.pairs]
        for reading in history:
            if [g.group for g in reading.groups] != names:
                raise InputError(f"`state` must be of the groups {names}, got {[g.group for g in reading.groups]}.")
        self._history = history


def _drawn(data: Stream, sample: int, seed: int) -> Dataset:
    """Rows of a stream to watch: enough that small groups can be drawn somewhat more often."""
    rows = next(data.epoch(seed, min(len(data), DRAWN * sample)))
    return Dataset(rows.inputs, rows.y, rows.group, group_names=data.group_names, name=data.name, row_id=rows.row_id)
