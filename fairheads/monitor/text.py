"""Readings in text of at most 100 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results import Number
from fairheads.results._text import text_table, wrapped
from fairheads.results._words import amount, clip, clip_middle, estimate, sentence

if TYPE_CHECKING:
    from fairheads.monitor.reading import GroupReading, Reading

DISCLAIMER = "This does not say that there is a head: analyze_pathways decides that, by interventions."

LAST = 10
"""Readings that a history shows; the frame, the file and the figure have all."""

NAME = 12
"""Longest name of a group: a row then fits."""

MARK = "!"

MARK_MEANS = f"{MARK} the effect's lower bound lies above the margin."

SPOKEN = {
    "effect": "effect at equal merit",
    "probe_auc": "probe of the group",
    "retention": "ranking kept",
    "selection_rate_difference": "difference of selection rates",
}


def reading_lines(reading: Reading) -> list[str]:
    """All that was measured at one step: a row for each group, then the reasons of what could not be."""
    where = f", layer {clip_middle(reading.layer, 24)}" if reading.layer else ""
    beside = clip(reading.groups[0].reference, 16)
    head = ["group", "effect, sd of logit", "group AUC", "ranking kept", "selection difference"]
    rows = [
        [
            clip(g.group, NAME),
            f"{_long(g.effect)}{_mark(reading, g)}",
            _short(g.probe_auc),
            _long(g.retention),
            _long(g.selection_rate_difference),
        ]
        for g in reading.groups
    ]
    lines = [f"step {reading.step}{where}, beside {beside}; accuracy {estimate(reading.accuracy)}"]
    lines += [f"  {line}" for line in text_table(head, rows, right=[2])]
    if reading.alerts:
        lines.append(f"  {MARK_MEANS}")
    for g in reading.groups:
        lines += [line for said in remarks(g) for line in wrapped(f"{clip(g.group, 30)}: {said}")]
    return lines


def history_lines(history: Sequence[Reading]) -> list[str]:
    """The last readings, a row for each step and group, and when groups were first above the margin."""
    if not history:
        return ["Nothing was measured yet."]
    shown = history[-LAST:]
    beside = clip(history[0].groups[0].reference, 30)
    number = "1 reading" if len(history) == 1 else f"{len(history):,} readings"
    rest = f", the last {LAST}" if len(shown) < len(history) else ""
    head = ["step", "group", "effect, sd of logit", "group AUC", "ranking kept", "selection", "accuracy"]
    rows = [
        [
            str(reading.step),
            clip(g.group, NAME),
            f"{_long(g.effect)}{_mark(reading, g)}",
            _short(g.probe_auc),
            _short(g.retention),
            _short(g.selection_rate_difference),
            _short(reading.accuracy),
        ]
        for reading in shown
        for g in reading.groups
    ]
    lines = [f"{number} beside {beside}{rest}:"]
    lines += [f"  {line}" for line in text_table(head, rows, right=[0, 3, 4, 5, 6])]
    if any(reading.alerts for reading in shown):
        lines.append(f"  {MARK_MEANS}")
    for name in dict.fromkeys(name for reading in history for name in reading.alerts):
        first = next(reading.step for reading in history if name in reading.alerts)
        lines.append(f"  {clip(name, 30)}: first above the margin at step {first}.")
    for g in history[-1].groups:
        lines += [line for said in remarks(g) for line in wrapped(f"{clip(g.group, 30)}: {said}")]
    return lines


def _short(number: Number) -> str:
    return amount(number.value) if math.isfinite(number.value) else "-"


def _long(number: Number) -> str:
    return estimate(number) if math.isfinite(number.value) else "-"


def _mark(reading: Reading, g: GroupReading) -> str:
    return f" {MARK}" if g.group in reading.alerts else ""


def remarks(g: GroupReading) -> list[str]:
    """What is missing and why, each reason once; and where there is no gap in labels to turn the effect by."""
    missing: dict[str, list[str]] = {}
    for name in SPOKEN:
        reason = getattr(g, name).reason
        if reason:
            missing.setdefault(reason, []).append(SPOKEN[name])
    said = [sentence(f"no {' or '.join(names)}: {reason}") for reason, names in missing.items()]
    if g.orientation == 0 and g.effect.reason is None:
        said.append("The gap in the labels may be 0: there is no side to take, and no alert.")
    return said
