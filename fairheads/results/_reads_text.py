"""What the head reads, in text and as records."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fairheads.results._text import text_table, wrapped
from fairheads.results._words import amount, clip, clip_middle, count, estimate

if TYPE_CHECKING:
    from fairheads.results.number import Number
    from fairheads.results.reads import HeadReading, ReadColumn, ReadValue

VALUES = 6
"""Values of categories that text and pages show."""

INCOMPLETE = 0.05
"""Mean distance from the true sum, in sd of the readout, beyond which it is said that parts do not add up."""


def share(value: float) -> str:
    """A share in whole percent."""
    return "-" if math.isnan(value) else f"{value:.0%}".replace("%", " %")


def title(reading: HeadReading) -> str:
    """Which groups."""
    return f"What the group head reads: {clip(reading.group, 26)} beside {clip(reading.reference, 26)}"


def how(reading: HeadReading) -> str:
    """How it was measured, in sentences."""
    path = f", {reading.steps} steps or more" if reading.steps else ""
    return (
        f"At {clip_middle(reading.layer, 40)}, by {reading.method}{path}; {count(reading.n_group)} and"
        f" {count(reading.n_reference)} rows. Baseline: {reading.baseline}. {complete(reading)}"
    )


def complete(reading: HeadReading) -> str:
    """Whether the parts add up."""
    head, task = reading.head_complete, reading.task_complete
    if reading.method == "occlusion":
        return (
            f"Parts taken out one by one need not add up; they miss the whole by {amount(head.mean)} (head) and"
            f" {amount(task.mean)} sd (task) on average."
        )
    fine = max(head.mean, task.mean) <= INCOMPLETE
    said = "Parts add up to the whole" if fine else "Parts do NOT add up: take more steps"
    return f"{said}, within {amount(head.mean)} (head) and {amount(task.mean)} sd (task) on average."


def distances(reading: HeadReading) -> str:
    """How far apart the groups lie in each readout."""
    return (
        f"Distance of the groups: {estimate(reading.head_distance)} sd in the internal group estimate (head),"
        f" {estimate(reading.task_distance)} sd in the readout of the label (task)."
    )


def top_values(reading: HeadReading) -> list[tuple[ReadColumn, ReadValue]]:
    """Values of categories that add most to the head's contrast."""
    every = [(column, value) for column in reading.columns for value in column.values]
    every = [pair for pair in every if not math.isnan(pair[1].head.value)]
    return sorted(every, key=lambda pair: -abs(pair[1].head.value))[:VALUES]


def text(reading: HeadReading, last: str) -> str:
    """At most 100 columns."""
    lines = [title(reading), *wrapped(how(reading), ""), *wrapped(distances(reading), ""), ""]
    head = ["contrast, sd", "group head", "share", "task readout", "share"]
    lines += text_table(head, [_row(column) for column in reading.bars], right=[2, 4])
    values = top_values(reading)
    if values:
        head = ["people with", "in group", "in reference", "group head", "task readout"]
        rows = [_value_row(column, value) for column, value in values]
        lines += ["", *text_table(head, rows, right=[1, 2])]
    reasons = dict.fromkeys(
        part.contrast.reason for column in reading.bars for part in (column.head, column.task) if part.contrast.reason
    )
    lines += [line for reason in reasons for line in wrapped(f"- not estimable: {reason}.", "")]
    return "\n".join([*lines, "", *wrapped(last, "")])


def _row(column: ReadColumn) -> list[str]:
    parts = [cell for part in (column.head, column.task) for cell in (estimate(part.contrast), share(part.share))]
    return [clip(column.name, 24), *parts]


def _value_row(column: ReadColumn, value: ReadValue) -> list[str]:
    shares = [share(value.group_share), share(value.reference_share)]
    return [value_name(column, value), *shares, estimate(value.head), amount(value.task.value)]


def value_name(column: ReadColumn, value: ReadValue) -> str:
    """``column = value``."""
    return f"{clip(column.name, 18)} = {clip(value.value, 22)}"


def records(reading: HeadReading) -> Iterator[dict[str, Any]]:
    """Every column and value, once for each readout; columns that only the rest has are not there."""
    for column in reading.columns:
        for readout in ("head", "task"):
            part = column.head if readout == "head" else column.task
            yield {
                **_contrast(column.name, "", readout, part.contrast),
                "share": part.share,
                "group": part.group.value,
                "reference": part.reference.value,
            }
        for value in column.values:
            yield _contrast(column.name, value.value, "head", value.head)
            yield _contrast(column.name, value.value, "task", value.task)


def _contrast(column: str, value: str, readout: str, number: Number) -> dict[str, Any]:
    low, high = (math.nan if bound is None else bound for bound in (number.low, number.high))
    named = {"column": column, "value": value, "readout": readout}
    return {**named, "contrast": number.value, "low": low, "high": high}
