"""What a disparity report puts into tables, before anybody decides how a table looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fairheads.results._words import amount, clip, clip_middle, count, p_value, percent, rate_name
from fairheads.results.number import Number

if TYPE_CHECKING:
    from fairheads.results.disparity import DisparityReport
    from fairheads.results.metric import Contrast, Gap

DISCLAIMER = "These rates do not say why the groups differ, nor whether a difference is lawful."

PLOTTED = ("selection_rate", "true_positive_rate", "false_positive_rate")
CORE = (*PLOTTED, "accuracy", "positive_predictive_value", "base_rate")

MOST_STRATA_GROUPS = 5
"""Groups that get a column beside the strata."""


class Name(NamedTuple):
    """A name from data or from a caller; ``short`` is its room in a terminal."""

    text: str
    short: int = 16


class Words(NamedTuple):
    """The name of a metric, or what is said of one; ``short`` is its room in a terminal."""

    text: str
    short: int = 26


class P(NamedTuple):
    """A p value, as it is told."""

    text: str


class Head(NamedTuple):
    """The head of a column, and what it means."""

    text: str
    meaning: str = ""


Cell = Name | Words | P | Number | int | str


class Table(NamedTuple):
    """Cells of one table; ``after`` says what was left out of it, if anything."""

    caption: str
    head: tuple[Head, ...]
    rows: list[tuple[Cell, ...]]
    keys: int = 1
    after: str = ""

    @property
    def marked(self) -> bool:
        """Whether an interval in it is an exact one."""
        return any(isinstance(cell, Number) and cell.conservative for row in self.rows for cell in row)


def core(report: DisparityReport) -> tuple[str, ...]:
    """The core rates that there are."""
    return tuple(name for name in CORE if name in report.metrics)


def others(report: DisparityReport) -> tuple[str, ...]:
    """All other metrics, in the order of the report."""
    return tuple(name for name in report.metrics if name not in CORE)


def compared(report: DisparityReport) -> tuple[str, ...]:
    """The metrics whose comparisons are shown first: the plotted rates, without them the first metric."""
    return tuple(name for name in PLOTTED if name in report.metrics) or tuple(report.metrics)[:1]


def label(metric: str) -> str:
    """A metric's name in words."""
    return rate_name(metric)


def makers(gaps: Iterable[Gap]) -> set[str]:
    """The groups that make gaps."""
    return {group for gap in gaps for group in (gap.highest, gap.lowest)}


def apart(gap: Gap) -> bool:
    """Whether two groups make the gap: none do where it cannot be had, or where all groups are alike."""
    return bool(gap.highest) and gap.highest != gap.lowest


def shown(sizes: Mapping[str, int], always: Iterable[str], most: int) -> tuple[str, ...]:
    """The ``most`` groups with the most rows and those of ``always``, in the order given."""
    if len(sizes) <= most:
        return tuple(sizes)
    keep = set(sorted(sizes, key=lambda name: -sizes[name])[:most]) | set(always)
    return tuple(name for name in sizes if name in keep)


def some(report: DisparityReport, metrics: Sequence[str], most: int) -> tuple[str, ...]:
    """The groups to show: all, or the largest, those that make the gaps, the reference, and the unrecorded."""
    always = makers(report.metrics[name].gap for name in metrics) | {report.reference}
    always |= {name for name, group in report.groups.items() if not group.recorded}
    return shown({name: group.n for name, group in report.groups.items()}, always, most)


def left_out(kept: int, of: int, what: str = "groups", which: str = "those that make the gaps") -> str:
    """What a table does not show; nothing where it shows all."""
    if kept == of:
        return ""
    return (
        f"{count(of - kept)} of {count(of)} {what} are left out here; shown are the largest and {which}. "
        "The saved report holds all."
    )


def titled(name: str) -> str:
    """The title of a page; ``name`` is as it will stand there, or empty."""
    return f"{name}: disparity by group" if name else "Disparity by group"


def lead(report: DisparityReport) -> list[str]:
    """What was counted and how the intervals are meant, in sentences."""
    by = ", ".join(clip(column, 30) for column in report.columns)
    groups = sum(group.recorded for group in report.groups.values())
    told = [f"{count(report.n)} rows in {count(groups)} group{'' if groups == 1 else 's'}{f' by {by}' if by else ''}."]
    if report.favourable:
        told[0] = f"{told[0][:-1]}; favourable is {clip(report.favourable, 30)}."
    together = "together for all groups and metrics" if report.simultaneous else "each for its own number"
    told.append(
        f"Intervals hold with {percent(report.confidence)} confidence, {together}; gaps for all pairs of groups."
    )
    if report.reference:
        told.append(f"The reference is {clip(report.reference, 30)}.")
    unrecorded = sum(group.n for group in report.groups.values() if not group.recorded)
    if unrecorded:
        told.append(f"{count(unrecorded)} rows have no recorded group: they are counted and compared with nobody.")
    return told


def between(report: DisparityReport) -> str:
    """How much of the inequality of benefit lies between the groups."""
    if not report.between_groups:
        return ""
    parts = [f"{label(name)} {number}" for name, number in report.between_groups.items()]
    return f"Share of the inequality of benefit that lies between groups rather than within: {', '.join(parts)}."


def rates(report: DisparityReport, metrics: Sequence[str], most: int) -> Table:
    """Metrics of everybody and of every group."""
    groups = some(report, metrics, most)
    head = [Head("group"), Head("n"), *(Head(label(name), report.metrics[name].meaning) for name in metrics)]
    rows: list[tuple[Cell, ...]] = [(Words("everybody"), report.n, *(report.metrics[name].overall for name in metrics))]
    rows += [
        (Name(group), report.groups[group].n, *(report.metrics[name].groups[group] for name in metrics))
        for group in groups
    ]
    caption = f"Rates of every group, with {percent(report.confidence)} intervals"
    if not set(metrics) & set(CORE):
        named = f"{label(metrics[0])} to {label(metrics[-1])}" if len(metrics) > 1 else label(metrics[0])
        caption = f"Further metrics of every group ({named}), with {percent(report.confidence)} intervals"
    return Table(caption, tuple(head), rows, keys=2, after=left_out(len(groups), len(report.groups)))


def gaps(report: DisparityReport) -> Table:
    """The gap in each metric, the two groups that make it, and what chance alone makes."""
    smallest = {p_value(gap.null.smallest_p) for gap in report.gaps.values() if gap.null is not None}
    nulls = bool(smallest)
    tested = Head("p", "share of groupings dealt out at random in which the groups lie as far apart, weighted by rows")
    chance = Head("if there were none", "how large the largest difference is by chance, where there is no gap")
    numbers, pair = (Head("gap in"), Head("difference"), Head("ratio")), (Head("highest"), Head("lowest"))
    head = (*numbers, tested, *pair, chance) if nulls else (*numbers, *pair)
    rows: list[tuple[Cell, ...]] = []
    for name, gap in report.gaps.items():
        first, (p, mean) = _gap(name, gap, 16 if nulls else 12), _null(gap, told=len(smallest) > 1)
        rows.append((*first[:3], p, *first[3:], mean) if nulls else first)
    least = f"; p by permutation, which can be no smaller than {smallest.pop()}" if len(smallest) == 1 else ""
    return Table(f"Gaps between groups. Both intervals hold for all pairs of groups together{least}", head, rows)


def _gap(metric: str, gap: Gap, short: int = 12) -> tuple[Cell, ...]:
    pair = (Name(gap.highest, short), Name(gap.lowest, short)) if apart(gap) else ("none", "none")
    return (Words(label(metric)), gap.difference, gap.ratio, *pair)


def _null(gap: Gap, *, told: bool) -> tuple[P, str]:
    """Its p, with the smallest that it could be where that is ``told``, and what chance makes."""
    if gap.null is None:
        return P("not tested"), "not tested"
    least = f" (least {p_value(gap.null.smallest_p)})" if told else ""
    return P(f"{p_value(gap.null.p)}{least}"), f"mean {amount(gap.null.mean)}, 95 % below {amount(gap.null.high)}"


def criteria(report: DisparityReport) -> Table:
    """What the criteria of the literature ask to be 0 and 1."""
    rows: list[tuple[Cell, ...]] = [
        (Words(label(name)), x.difference, x.ratio, Words(_asked(x.metrics), 40)) for name, x in report.criteria.items()
    ]
    caption = "Criteria: met exactly where the difference is 0 and the ratio 1"
    return Table(caption, tuple(map(Head, ("criterion", "difference", "ratio", "asks to be equal"))), rows)


def _asked(metrics: Sequence[str]) -> str:
    named = [label(name) for name in metrics]
    if len(named) < 2 or not all(name.endswith(" rate") for name in named):
        return ", ".join(named)
    return ", ".join(name.removesuffix(" rate") for name in named) + " rates"


def contrasts(report: DisparityReport, metric: str, most: int, *, overall: bool = False) -> Table:
    """Every group beside the reference, or beside everybody, in one metric."""
    made = report.metrics[metric].to_overall if overall else report.metrics[metric].to_reference
    beside = "everybody" if overall else clip(report.reference, 30)
    kept = [group for group in some(report, (metric,), most) if group in made]
    rows = [_contrast(group, made[group]) for group in kept]
    caption = f"{label(metric)} of every group beside {beside}; p two-sided, by Holm for all groups together"
    return Table(caption, CONTRAST, rows, after=left_out(len(kept), len(made)))


CONTRAST = (
    Head("group"),
    Head("difference", "the group's minus the other's"),
    Head("ratio", "the group's over the other's"),
    Head("p", "of no difference, two-sided, with Holm's correction for the groups that are compared"),
    Head("detectable", "smallest difference that samples of these sizes show with power .8 at level .05, before Holm"),
)


def _contrast(group: str, contrast: Contrast) -> tuple[Cell, ...]:
    return Name(group), contrast.difference, contrast.ratio, P(p_value(contrast.p.value)), contrast.detectable


def strata(report: DisparityReport, most: int) -> list[Table]:
    """Gaps and rates in every stratum, and every group beside the reference over all strata."""
    if report.conditional is None:
        return []
    found = report.conditional.strata
    largest = max(found, key=lambda s: _size(found[s].gap.difference), default="")
    kept = shown({name: stratum.n for name, stratum in found.items()}, [largest], most)
    after = left_out(len(kept), len(found), "strata")
    named = ", ".join(clip(column, 30) for column in report.conditional.columns)
    rows: list[tuple[Cell, ...]] = [(Name(s), found[s].n, *_gap("", found[s].gap, 14)[1:]) for s in kept]
    head = tuple(map(Head, ("stratum", "n", "difference", "ratio", "highest", "lowest")))
    parts = [Table(f"Gap in selection rate among rows alike in {named}", head, rows, keys=2, after=after)]
    columns = shown({g: x.n for g, x in report.groups.items() if x.recorded}, [report.reference], MOST_STRATA_GROUPS)
    absent = "no rows"
    rows = [(Name(s), found[s].n, *(found[s].groups.get(g, absent) for g in columns)) for s in kept]
    head = (Head("stratum"), Head("n"), *(Head(clip_middle(g, 24)) for g in columns))
    recorded = sum(group.recorded for group in report.groups.values())
    told = " ".join(part for part in (after, left_out(len(columns), recorded, which="the reference")) if part)
    parts.append(Table(f"Selection rates among rows alike in {named}", head, rows, keys=2, after=told))
    made = report.conditional.to_reference
    groups = [g for g in some(report, core(report)[:1], most) if g in made]
    rows = [_contrast(g, made[g]) for g in groups]
    caption = f"Over all strata together (Mantel and Haenszel), beside {clip(report.reference, 30)}"
    return [*parts, Table(caption, CONTRAST, rows, after=left_out(len(groups), len(made)))] if rows else parts


def _size(number: Number) -> float:
    return number.value if number.reason is None else -1.0


def distances(report: DisparityReport, most: int) -> Table:
    """How far the scores of every group lie from the reference's."""
    sizes = {group: report.groups[group].n for group in report.distances}
    farthest = max(sizes, key=lambda g: _size(report.distances[g].kolmogorov_smirnov), default="")
    kept = shown(sizes, [farthest], most)
    rows: list[tuple[Cell, ...]] = [
        (Name(g), d.kolmogorov_smirnov, d.wasserstein, P(p_value(d.p.value)))
        for g in kept
        for d in [report.distances[g]]
    ]
    head = (
        Head("group"),
        Head("Kolmogorov-Smirnov", "largest difference of the two distribution functions"),
        Head("Wasserstein", "mean distance by which scores must move, in units of the score"),
        Head("p", "of one distribution (Kolmogorov and Smirnov), with Holm's correction for the groups"),
    )
    caption = f"Scores of every group beside {clip(report.reference, 30)}"
    return Table(caption, head, rows, after=left_out(len(kept), len(sizes)))
