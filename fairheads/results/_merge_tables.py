"""What a merge report puts into tables and sentences, before anybody decides how these look."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fairheads.results._csv import csv_text
from fairheads.results._tables import Table
from fairheads.results._words import EXACT_MEANS, capital, clip, count, estimate, percent, rate_name
from fairheads.results.number import Number

if TYPE_CHECKING:
    from fairheads.results.merge import MergeOutcome, MergeReport, MergeRule

DISCLAIMER = "Not in these numbers: a merge treats people of equal merit differently, by a group that it infers."
"""What the numbers do not say."""

RULES = {
    "chosen": "the merge",
    "point": "merge, no confidence",
    "alone": "task head alone",
    "probability": "in probability space",
    "thresholds": "thresholds by true group",
}
"""Rules and their names in tables."""

MEANS = {
    "point": "the most accurate merge whose gap keeps to the same limit on the validation rows alone",
    "alone": "z_y > 0, the network without its group head",
    "probability": "sigmoid(z_y) - 1/2 + b z_g + t > 0, chosen alike; it cannot be written as one linear head",
    "thresholds": "a threshold on z_y for every group, chosen alike; it has to be told each person's group",
}
"""What the other rules are."""

BY_GROUP = ("alone", "chosen", "thresholds")
"""Rules whose rates are shown group by group."""

GAP_RATES = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "predictive_equality": ("false_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "accuracy_equality": ("accuracy",),
    "predictive_parity": ("positive_predictive_value",),
}
"""Rates that a gap is made of; a metric that is not here is a rate itself."""

NAMED = 3
"""Coefficients that a sentence names; more stand in the table alone."""


def title(report: MergeReport) -> str:
    """What this is about."""
    return f"Two heads merged within a gap in {gap_rates(report)}"


def gap_rates(report: MergeReport) -> str:
    """The rates that the gap is made of, in words."""
    return " and ".join(map(rate_name, rates_of(report.gap_metric)))


def rates_of(gap_metric: str) -> tuple[str, ...]:
    """The rates that the gap is made of, by name."""
    return GAP_RATES.get(gap_metric, (gap_metric,))


def signed(report: MergeReport) -> bool:
    """Whether the gap has a direction: two groups and one rate."""
    return len(report.groups) == 2 and len(rates_of(report.gap_metric)) == 1


def gap_means(report: MergeReport) -> str:
    """How the gap is counted."""
    rates = gap_rates(report)
    if signed(report):
        first, second = (clip(name, 30) for name in report.groups)
        return f"Gap: {rates} of {second} minus that of {first}."
    if len(rates_of(report.gap_metric)) == 1:
        return f"Gap: the largest minus the smallest {rates} of the {len(report.groups)} groups."
    return f"Gap: the largest difference between groups in {rates}."


# ---------------------------------------------------------------- sentences


def lead(report: MergeReport) -> list[str]:
    """What was chosen, what it promises, and what came of it."""
    chosen = report.chosen
    asked = f"a gap in {gap_rates(report)} of at most {report.max_gap:g}"
    if report.confidence is None:
        promise = f"It keeps to {asked} on these rows; new rows are promised nothing."
    else:
        promise = (
            f"Asked for: {asked} with {percent(report.confidence)} confidence; its upper bound is {bound(chosen)}."
        )
    least = "".join(
        f" Every group has a {rate_name(name)} of at least {value:g}." for name, value in report.minimum_rates.items()
    )
    few = len(chosen.b) <= NAMED
    return [
        f"{clip(report.model, 60)}: one score of its task head z_y and its group head z_g, {formula(report)}"
        + (f", with {coefficients(chosen)}." if few else "."),
        f"Chosen on {clip(report.split, 160)}: the best {rate_name(report.objective)} among merges that keep the gap."
        f" {promise}{least}",
        direction(report),
        _in_short(report),
    ]


def _in_short(report: MergeReport) -> str:
    on = shown_on(report)
    merged, alone = outcome(report.chosen, on), outcome(report.alone, on)
    changed = "" if alone.beside is None else f"; {estimate(alone.beside.changed)} of the decisions differ"
    where = clip(report.judged, 160) if on == "judged" else "these rows"
    return (
        f"On {where}: accuracy {estimate(merged.accuracy)} and gap {estimate(merged.gap)}, of the task head alone"
        f" {estimate(alone.accuracy)} and {estimate(alone.gap)}{changed}."
        f"{_kept(report, merged.gap) if on == 'judged' else ''}"
    )


def _kept(report: MergeReport, gap: Number) -> str:
    """Whether new rows keep what was asked for."""
    if not math.isfinite(gap.value):
        return ""
    low, high = absolute(gap)
    if abs(gap.value) <= report.max_gap:
        reach = "and so is its whole interval" if high <= report.max_gap else "its interval reaches beyond"
        return f" The merge's gap there is within {report.max_gap:g}, {reach}."
    reach = "and so is its whole interval" if low > report.max_gap else "its interval reaches back within"
    return f" The merge's gap there is beyond {report.max_gap:g}, {reach}."


def absolute(gap: Number) -> tuple[float, float]:
    """The ends of the interval of the absolute gap; of a signed one that holds 0 it begins at 0."""
    low, high = (gap.value if end is None else end for end in (gap.low, gap.high))
    return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))


def formula(report: MergeReport) -> str:
    """The merge as a formula."""
    return "z_y + b z_g + t" if len(report.chosen.b) == 1 else "z_y + b · z_g + t"


def coefficients(rule: MergeRule) -> str:
    """``b = 1.2000, t = -0.3000``."""
    single = len(rule.b) == 1
    told = [f"{'b' if single else f'b{i}'} = {value:z.4f}" for i, value in enumerate(rule.b, start=1)]
    return ", ".join([*told, f"t = {rule.t:z.4f}"])


def thresholds(report: MergeReport, rule: MergeRule) -> dict[str, float]:
    """What z_y must exceed in every group under per-group thresholds."""
    given = (0.0, *rule.b) if len(rule.b) == len(report.groups) - 1 else rule.b
    return {group: -(b + rule.t) for group, b in zip(report.groups, given, strict=True)}


def direction(report: MergeReport) -> str:
    """Whose score the group head moves, and how."""
    b = report.chosen.b
    if not any(b):
        return "b is 0: the group head plays no part."
    if len(b) == 1 and len(report.groups) == 2:
        verb = "lowers" if b[0] < 0 else "raises"
        return f"The more the network takes a person for {clip(report.groups[1], 30)}, the more it {verb} the score."
    named = report.groups if len(b) == len(report.groups) else tuple(f"group output {i}" for i in range(1, len(b) + 1))
    most, least = max(range(len(b)), key=lambda i: b[i]), min(range(len(b)), key=lambda i: b[i])
    return (
        f"Of all groups, being taken for {clip(named[most], 30)} helps the score most and being taken for"
        f" {clip(named[least], 30)} least."
    )


def bound(rule: MergeRule) -> str:
    """The upper bound of the gap, in words."""
    return "" if rule.bound is None else "not known" if math.isnan(rule.bound) else f"{rule.bound:.4f}"


def check(report: MergeReport) -> str:
    """What the comparison of the networks found."""
    seen = report.check
    same = "no decision differs" if not seen.other_decisions else f"{count(seen.other_decisions)} decisions differ"
    return (
        f"On {count(seen.rows)} rows the logits of the merged network and {formula(report)} of the two heads differ by"
        f" at most {seen.largest:.1e}, where rounding explains {seen.tolerance:.1e}; {same}."
    )


def remarks(report: MergeReport) -> list[str]:
    """What the other rules are, which could not be had, marks, and the notes."""
    told = [f"{capital(RULES[name])}: {MEANS[name]}." for name in report.rules if name in MEANS]
    told += [f"No {RULES[name]}: {why.rstrip('.')}." for name, why in report.missing.items()]
    numbers = [x for table in tables(report) for row in table.rows for x in row if isinstance(x, Number)]
    told += [f"Not estimable: {why.rstrip('.')}." for why in dict.fromkeys(x.reason for x in numbers) if why]
    return [*told, *([EXACT_MEANS] if any(x.conservative for x in numbers) else []), *report.notes]


# ---------------------------------------------------------------- tables


def tables(report: MergeReport) -> list[Table]:
    """All tables, in the order in which they are shown."""
    made = [_outcomes(report, "validation")]
    if report.judged:
        made.append(_outcomes(report, "judged"))
    return [*made, _price(report), _changes(report), *_by_group(report), _coefficients(report)]


def shown_on(report: MergeReport) -> str:
    """The rows that price and changes rest on."""
    return "judged" if report.judged else "validation"


def outcome(rule: MergeRule, on: str) -> MergeOutcome:
    """What a rule does on the ``validation`` or the ``judged`` rows."""
    return rule.judged if on == "judged" and rule.judged is not None else rule.validation


def _where(report: MergeReport) -> str:
    return "the new rows" if report.judged else "the validation rows"


def _outcomes(report: MergeReport, on: str) -> Table:
    maximised = outcome(report.chosen, on).objective is not None
    bounds = on == "validation" and report.confidence is not None
    head = ["rule", *([rate_name(report.objective)] if maximised else []), "accuracy", "gap"]
    head += [*(["gap at most"] if bounds else []), "selection rate"]
    rows: list[tuple[str | int | Number, ...]] = []
    for name, rule in report.rules.items():
        done = outcome(rule, on)
        row: list[str | int | Number] = [RULES[name]]
        row += [done.objective] if maximised and done.objective is not None else []
        row += [done.accuracy, done.gap]
        if bounds:
            row.append("–" if rule.bound is None else _limit(rule.bound, done.n))
        rows.append((*row, done.selection_rate))
    if on == "validation":
        heading = "Where it was chosen"
        told = f"{capital(clip(report.split, 160))}: on average a little better than on new ones."
    else:
        heading = "On new rows"
        told = f"{capital(clip(report.judged, 160))}, which neither trained the network nor chose b and t."
    return Table(heading, (told, gap_means(report) + _between(report, on)), tuple(head), tuple(rows))


def _between(report: MergeReport, on: str) -> str:
    """The groups that make the gap of the merge, where there are more than two."""
    merged = outcome(report.chosen, on)
    if len(report.groups) == 2 or not merged.highest:
        return ""
    return f" Of the merge it lies between {clip(merged.highest, 30)} and {clip(merged.lowest, 30)}."


def _limit(bound: float, n: int) -> Number:
    return Number(value=bound, n=n, reason="no bound") if math.isnan(bound) else Number(value=bound, n=n)


def _price(report: MergeReport) -> Table:
    """The merge minus every other rule."""
    on = shown_on(report)
    rows: list[tuple[str | int | Number, ...]] = []
    for name, rule in report.rules.items():
        beside = outcome(rule, on).beside
        if beside is not None:
            rows.append((RULES[name], beside.accuracy, beside.selection_rate, beside.changed))
    return Table(
        "What it costs",
        (f"The merge minus the other rule on {_where(report)}, with paired intervals.",),
        ("the merge minus", "accuracy", "selection rate", "decided differently"),
        tuple(rows),
    )


def _changes(report: MergeReport) -> Table:
    rows = [
        (group, change.n, change.raised, change.raised_share, change.lowered, change.lowered_share)
        for group, change in report.changes.items()
    ]
    return Table(
        "Who changes",
        (f"The merge against the task head alone, on {_where(report)}; shares are of the group.",),
        ("group", "rows", "newly selected", "share", "newly rejected", "share"),
        tuple(rows),
    )


def _by_group(report: MergeReport) -> Iterator[Table]:
    """Rates of every group under the task head alone, the merge, and a threshold a group."""
    on = shown_on(report)
    shown = {name: outcome(report.rules[name], on).rates for name in BY_GROUP if name in report.rules}
    for rate in shown["chosen"]:
        rows: tuple[tuple[str | int | Number, ...], ...] = tuple(
            (group, *(rates[rate][group] for rates in shown.values())) for group in report.groups
        )
        head = ("group", *(RULES[name] for name in shown))
        yield Table(f"{capital(rate_name(rate))} by group", (f"On {_where(report)}.",), head, rows)


def _coefficients(report: MergeReport) -> Table:
    """A row an output and one for t; last the thresholds of the groups, where there are some."""
    linear = {name: rule for name, rule in report.rules.items() if rule.space != "groups" and name != "alone"}
    size = len(report.chosen.b)
    named = report.groups[1:] if size == len(report.groups) - 1 else report.groups
    labels = [f"b, {clip(group, 30)}" for group in named] if len(named) == size else [f"b{i + 1}" for i in range(size)]
    rows: list[tuple[str | int | Number, ...]] = [
        (label, *(f"{rule.b[i]:z.4f}" for rule in linear.values())) for i, label in enumerate(labels)
    ]
    rows.append(("t", *(f"{rule.t:z.4f}" for rule in linear.values())))
    told = []
    if "thresholds" in report.rules:
        cuts = thresholds(report, report.rules["thresholds"])
        told = [f"{capital(RULES['thresholds'])}: z_y above {', '.join(_cut(*pair) for pair in cuts.items())}."]
    return Table("Coefficients", tuple(told), ("", *(RULES[name] for name in linear)), tuple(rows))


def _cut(group: str, value: float) -> str:
    return f"{value:z.4f} ({clip(group, 30)})"


# ---------------------------------------------------------------- rows of rules


def records(report: MergeReport) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns, and a row a rule and kind of rows."""
    size = max(len(rule.b) for rule in report.rules.values())
    named = ["b"] if size == 1 else [f"b_{i}" for i in range(1, size + 1)]
    head = ["rule", "rows", "space", *named, "t", "n"]
    for name in ("accuracy", "gap", "selection_rate", "changed"):
        head += [name, f"{name}_low", f"{name}_high"]
    rows = []
    for name, rule in report.rules.items():
        for on, done in (("validation", rule.validation), ("judged", rule.judged)):
            if done is None:
                continue
            changed = None if done.beside is None else done.beside.changed
            numbers = [done.accuracy, done.gap, done.selection_rate, changed]
            given = [*rule.b, *[None] * (size - len(rule.b))]
            bounds = rule.bound if on == "validation" else None
            rows.append((name, on, rule.space, *given, rule.t, done.n, *_values(numbers), bounds))
    return (*head, "bound"), rows


def _values(numbers: list[Number | None]) -> list[float | None]:
    found: list[float | None] = []
    for number in numbers:
        values = (None, None, None) if number is None else (number.value, number.low, number.high)
        found += [value if value is not None and math.isfinite(value) else None for value in values]
    return found


def csv(report: MergeReport) -> str:
    """The records as CSV text."""
    head, rows = records(report)
    return csv_text(head, rows)
