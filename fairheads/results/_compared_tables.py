"""What a comparison of models puts into tables and sentences, before anybody decides how these look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fairheads.results._tables import Cell, Table
from fairheads.results._words import (
    EXACT_MEANS,
    VERDICT_NAME,
    capital,
    clip,
    count,
    estimate,
    percent,
    rate_name,
)
from fairheads.results.metric import CRITERIA
from fairheads.results.number import Number

if TYPE_CHECKING:
    from fairheads.results.compared import ComparedVerdict, ComparisonReport

DISCLAIMER = "This does not say which model to use, nor who is right where two decide differently."
"""What the numbers do not say."""

MEANS = "no other model here is at least as accurate with a gap at least as small, and better in one of the two"
"""What it is to be on the front."""

NAME = 40
"""Letters of a name in a sentence."""

NAMED = 6
"""Names that a sentence tells before it counts the others."""


def title(report: ComparisonReport) -> str:
    """What was compared."""
    return f"{count(len(report.models))} models on the same rows"


def gap_rates(report: ComparisonReport) -> str:
    """The rates that the gap is made of, in words."""
    return " and ".join(map(rate_name, CRITERIA[report.front.gap_metric.removesuffix("_difference")]))


# ---------------------------------------------------------------- sentences


def lead(report: ComparisonReport) -> list[str]:
    """On what, which are on the front, and which two differ most."""
    front = report.front
    on = f" ({clip(front.data, 60)})" if front.data and front.data not in front.split else ""
    told = [
        f"Compared on {clip(front.split, 160)}{on}; groups {_some(front.groups)};"
        f" {percent(front.confidence)} intervals, each for itself."
    ]
    if report.on_front:
        others = [name for name in report.models if name not in report.on_front]
        rest = f" Not on it: {_some(others)}." if others else ""
        told.append(
            f"On the front of accuracy and gap in {gap_rates(report)}: {_some(report.on_front)}.{rest} On the front"
            f" means that {MEANS}; others may lie below it by less than their intervals."
        )
    least = min(report.pairs, key=lambda pair: pair.agreement.value)
    told.append(
        f"Least alike are {clip(least.first, NAME)} and {clip(least.second, NAME)}: they decide"
        f" {estimate(least.agreement)} of the rows alike."
    )
    return told


def _some(names: tuple[str, ...] | list[str]) -> str:
    told = ", ".join(clip(name, NAME) for name in names[:NAMED])
    return told + (f" and {count(len(names) - NAMED)} more" if len(names) > NAMED else "")


def remarks(report: ComparisonReport) -> list[str]:
    """Verdicts of other rows, missing numbers, marks, and the notes."""
    told = [
        f"The verdict on {clip(name, NAME)} is of an audit of other rows, or of the same ones encoded otherwise."
        for name, model in report.models.items()
        if any(not verdict.same_rows for verdict in model.verdicts.values())
    ]
    numbers = [cell for table in tables(report) for row in table.rows for cell in row if isinstance(cell, Number)]
    told += [f"Not estimable: {why.rstrip('.')}." for why in dict.fromkeys(x.reason for x in numbers) if why]
    return [*told, *([EXACT_MEANS] if any(x.conservative for x in numbers) else []), *report.notes]


# ---------------------------------------------------------------- tables


def tables(report: ComparisonReport) -> list[Table]:
    """All tables, in the order in which they are shown."""
    verdicts = [_verdicts(report)] if any(model.verdicts for model in report.models.values()) else []
    return [_models(report), *verdicts, _agreement(report), _pairs(report), _changes(report), *_rates(report)]


def _models(report: ComparisonReport) -> Table:
    rows = []
    for point in report.front.points:
        model = report.models[point.name]
        between = f"{clip(model.highest, 24)} above {clip(model.lowest, 24)}" if model.highest else "–"
        place = "not known" if math.isnan(point.gap.value) else "no" if point.dominated else "yes"
        rows.append((point.name, point.accuracy, point.gap, between, place))
    return Table(
        "Every model",
        (f"Gap: the largest difference between two groups in {gap_rates(report)}; its interval holds for all pairs.",),
        ("model", "accuracy", "gap", "between", "on the front"),
        tuple(rows),
    )


def _verdicts(report: ComparisonReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, model in report.models.items():
        for group, verdict in model.verdicts.items():
            told = (VERDICT_NAME[verdict.verdict], *_effect(verdict, report.front.n))
            rows.append((name, group, *told, count(verdict.twins)))
        if not model.verdicts:
            rows.append((name, "–", "not audited", "–", "–", "–"))
    return Table(
        "How it comes to its decisions",
        (
            "From an audit of each model: the effect of its internal group estimate, above 0 against the gap in the"
            " labels; swaps (sd of the logit) and erasures (of a rate) do not compare. Bounds are those of the audit.",
        ),
        ("model", "group", "verdict", "by", "effect", "twins"),
        tuple(rows),
    )


def _effect(verdict: ComparedVerdict, n: int) -> tuple[str, Cell]:
    """Kind and size."""
    effect = verdict.effect
    if effect is None:
        return "–", "–"
    return effect.kind, Number(value=effect.value, n=n, low=effect.low, high=effect.high)


def _agreement(report: ComparisonReport) -> Table:
    found = {(pair.first, pair.second): pair.agreement for pair in report.pairs}
    names = tuple(report.models)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (one, *(found.get((one, other)) or found.get((other, one)) or "–" for other in names)) for one in names
    )
    return Table(
        "Agreement",
        ("Share of the rows that two models decide alike.",),
        ("model", *names),
        rows,
        named=1,
    )


def _pairs(report: ComparisonReport) -> Table:
    rows = tuple(
        (
            pair.first,
            pair.second,
            pair.agreement,
            pair.accuracy,
            sum(c.raised + c.lowered for c in pair.changes.values()),
        )
        for pair in report.pairs
    )
    return Table(
        "Every two models",
        ("Accuracy: that of the second minus that of the first, paired. Differing: rows they decide differently.",),
        ("first", "second", "decided alike", "accuracy", "differing"),
        rows,
    )


def _changes(report: ComparisonReport) -> Table:
    rows = tuple(
        (
            pair.first,
            pair.second,
            group,
            change.n,
            change.raised,
            change.raised_share,
            change.lowered,
            change.lowered_share,
        )
        for pair in report.pairs
        for group, change in pair.changes.items()
    )
    return Table(
        "Who changes",
        ("From the first model to the second; shares are of the group.",),
        ("first", "second", "group", "rows", "newly selected", "share", "newly rejected", "share"),
        rows,
    )


def _rates(report: ComparisonReport) -> list[Table]:
    """Rates of every group under every model."""
    shown = {name: model.rates for name, model in report.models.items()}
    first = next(iter(shown.values()))
    return [
        Table(
            f"{capital(rate_name(rate))} by group",
            ("With the interval of each rate by itself.",),
            ("group", *shown),
            tuple((group, *(rates[rate][group] for rates in shown.values())) for group in report.front.groups),
            named=1,
        )
        for rate in first
    ]


# ---------------------------------------------------------------- rows for programs


def records(report: ComparisonReport) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns, and a row a model and group."""
    rates = tuple(next(iter(report.models.values())).rates)
    head = ["model", "digest", "accuracy", "accuracy_low", "accuracy_high", "gap_metric", "gap", "gap_low", "gap_high"]
    head += ["dominated", "group", "n", *(f"{rate}{end}" for rate in rates for end in ("", "_low", "_high"))]
    rows = []
    for point in report.front.points:
        model = report.models[point.name]
        for group in report.front.groups:
            told = model.verdicts.get(group)
            rows.append(
                (
                    point.name,
                    model.digest,
                    *_values(point.accuracy),
                    report.front.gap_metric,
                    *_values(point.gap),
                    point.dominated,
                    group,
                    model.rates[rates[0]][group].n,
                    *(value for rate in rates for value in _values(model.rates[rate][group])),
                    None if told is None else told.verdict,
                )
            )
    return (*head, "verdict"), rows


def _values(number: Number) -> tuple[float | None, float | None, float | None]:
    if math.isnan(number.value):
        return None, None, None
    return number.value, number.low, number.high


def changed(report: ComparisonReport) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns, and a row a pair and person whom the two decide differently, by row id within a group."""
    rows = [
        (pair.first, pair.second, row, group, before, 1 - before)
        for pair in report.pairs
        for group in pair.changes
        for row, before in sorted(
            [(row, 0) for row in pair.raised_rows.get(group, ())]
            + [(row, 1) for row in pair.lowered_rows.get(group, ())]
        )
    ]
    return ("first", "second", "row", "group", "before", "after"), rows


def origin(report: ComparisonReport) -> dict[str, str]:
    """Digests and versions."""
    weights = {f"weights of {name}": model.digest for name, model in report.models.items() if model.digest}
    return {**weights, **report.versions}
