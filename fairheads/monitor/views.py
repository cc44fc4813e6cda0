"""Readings in HTML: the curves of every group and a table of what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.monitor import figure
from fairheads.monitor.text import DISCLAIMER, LAST, remarks
from fairheads.results import _markup as markup
from fairheads.results._style import html_figure
from fairheads.results._tables import Table, html_table
from fairheads.results._words import amount, clip, clip_middle, count

if TYPE_CHECKING:
    from fairheads.monitor.reading import Reading

GROUPS = 4
"""Groups whose curves are drawn: those with the largest effect in the last reading."""

HEAD = ("step", "group", "effect, sd of the logit", "above the margin", "group probe, AUC", "ranking kept")


def history(readings: Sequence[Reading], margin: float | None) -> str:
    """Curves and the last readings."""
    if not readings:
        return "<p>Nothing was measured yet.</p>"
    figures = "\n".join(_figure(readings, name, margin) for name in _largest(readings[-1]))
    return "\n".join([f'<div class="figures">{figures}</div>', table(readings)])


def table(readings: Sequence[Reading]) -> str:
    """The last readings, a row a step and group, and why something could not be measured at the last of them."""
    shown, last = readings[-LAST:], readings[-1]
    layer = f"; read from {clip_middle(last.layer, 40)}" if last.layer else ""
    number = f"{count(len(readings))} reading{'' if len(readings) == 1 else 's'}"
    rest = f", the last {LAST} of them" if len(shown) < len(readings) else ""
    rows = [
        (
            f"{reading.step:,}",
            group.group,
            group.effect,
            "yes" if group.group in reading.alerts else "no",
            group.probe_auc,
            group.retention,
            group.selection_rate_difference,
            reading.accuracy,
        )
        for reading in shown
        for group in reading.groups
    ]
    head = (*HEAD, "difference of selection rates", "accuracy")
    made = html_table(
        Table("", (f"{number} beside {clip(last.groups[0].reference, 40)}{rest}{layer}.",), head, tuple(rows))
    )
    missing = [f"{clip(group.group, 40)}: {said}" for group in last.groups for said in remarks(group)]
    items = "".join(f"<li>{markup.prose(said)}</li>" for said in missing)
    return "\n".join([made, *([f"<ul>{items}</ul>"] if items else []), f"<p>{DISCLAIMER}</p>"])


def _largest(reading: Reading) -> list[str]:
    def size(name: str) -> float:
        value = next(group.effect.value for group in reading.groups if group.group == name)
        return -math.inf if math.isnan(value) else value

    return sorted((group.group for group in reading.groups), key=size, reverse=True)[:GROUPS]


def _figure(readings: Sequence[Reading], name: str, margin: float | None) -> str:
    told = []
    for curve, words in figure.NAMES.items():
        values = [getattr(group, curve).value for r in readings for group in r.groups if group.group == name]
        told.append(f"{words}: from {amount(values[0])} to {amount(values[-1])}")
    steps = f"steps {readings[0].step:,} to {readings[-1].step:,}"
    caption = "What the network does with the group while it trains; bands are 95 % intervals."
    return html_figure(
        figure.plot(readings, name, margin, None), f"{clip(name, 40)}, {steps}. {'; '.join(told)}.", caption
    )
