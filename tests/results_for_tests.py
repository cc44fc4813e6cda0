"""Small results made by hand: no training, no torch."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

from fairheads.metrics.standards import four_fifths
from fairheads.reports import render
from fairheads.results import (
    CRITERIA,
    RATES,
    SCORES,
    AuditReport,
    CalibrationBin,
    ComparedModel,
    ComparedPair,
    ComparedVerdict,
    Comparison,
    ComparisonReport,
    Conditional,
    Contrast,
    CounterfactualEffect,
    Criterion,
    Curves,
    DataInfo,
    DisparityReport,
    Distances,
    Effect,
    Evidence,
    Flips,
    Gap,
    GapNull,
    Group,
    GroupChange,
    GroupShare,
    HeadReading,
    ImpactReport,
    Judged,
    LabelBias,
    LayerReport,
    LayerRoutes,
    LayerUnits,
    MergeCheck,
    MergeDifference,
    MergeOutcome,
    MergePoint,
    MergeReport,
    MergeRule,
    MeritCurve,
    Metric,
    ModelInfo,
    Neutralisation,
    Number,
    PathwayReport,
    Recovery,
    RoutingReport,
    SelftestClass,
    SelftestReport,
    Stratum,
    ThroughLayer,
    TrainedReport,
    TwinSummary,
    TwoHeadFit,
    UnitEffect,
    UnitReport,
    front_of,
    undefined,
)
from fairheads.results.reads import Completeness, ReadColumn, ReadMap, ReadPart, ReadValue
from fairheads.results.shown import Shown
from fairheads.sums import Tally

HOSTILE = '<script>alert("x")</script>\'|`a`\n$\\frac$ [b](javascript:c) **d** \u202e\x00 & -->'
LONG = "n" * 3_000

_DRAWN: dict[tuple[str, type, str], str] = {}


def page_of(report: AuditReport | ComparisonReport | DisparityReport) -> str:
    """Its page, drawn once for equal reports: figures take most of the time of these tests."""
    key = ("page", type(report), report.to_json())
    if key not in _DRAWN:
        _DRAWN[key] = render(report, "html")
    return _DRAWN[key]


def fragment_of(result: Shown) -> str:
    """Its HTML, drawn once for equal results."""
    key = ("fragment", type(result), result.to_json())
    if key not in _DRAWN:
        _DRAWN[key] = result.html()
    return _DRAWN[key]


def number(value: float, half: float = 0.01, n: int = 4000) -> Number:
    return Number(value=value, n=n, low=value - half, high=value + half)


PLOTTED = ("selection_rate", "true_positive_rate", "false_positive_rate")
CORE: dict[str, float] = {
    "selection_rate": 0.2,
    "accuracy": 0.85,
    "true_positive_rate": 0.6,
    "false_positive_rate": 0.05,
    "positive_predictive_value": 0.7,
    "base_rate": 0.25,
}
FURTHER = {name: 0.45 for name in RATES if name not in CORE} | {"error_ratio": 1.2}
SCORED = {"mean_score": 0.3, "auc": 0.9, "brier": 0.12, "expected_calibration_error": 0.02}


def counts(n: int, selection: float) -> dict[str, float]:
    chosen = round(n * selection)
    return {
        "true_positives": float(chosen // 2),
        "false_positives": float(chosen - chosen // 2),
        "false_negatives": float(n // 10),
        "true_negatives": float(n - chosen - n // 10),
    }


def gap(highest: str, lowest: str, value: float, *, null: bool = False) -> Gap:
    chance = GapNull(mean=0.008, high=0.021, p=0.0005, smallest_p=0.0005) if null else None
    return Gap(difference=number(value), ratio=number(0.8), highest=highest, lowest=lowest, null=chance)


def lacking(reason: str) -> Gap:
    return Gap(difference=undefined(reason), ratio=undefined(reason), highest="", lowest="")


def contrast(difference: float, ratio: float, *, reason: str = "") -> Contrast:
    if reason:
        none = undefined(reason)
        return Contrast(difference=none, ratio=none, p=none, detectable=none)
    open_ended = ratio < 0.5
    return Contrast(
        difference=number(difference),
        ratio=Number(value=ratio, n=4000, low=ratio - 0.06, high=None if open_ended else ratio + 0.06),
        p=Number(value=0.00042, n=4000),
        detectable=Number(value=0.021, n=4000),
    )


def metric(
    meaning: str,
    overall: float,
    values: dict[str, Number],
    *,
    reference: str = "",
    overalls: bool = False,
    null: bool = False,
) -> Metric:
    """A metric whose gap is that of the values, made as far as it must be."""
    known = {g: x.value for g, x in values.items() if x.reason is None}
    if len(known) < len(values):
        first = next(g for g in values if g not in known)
        made = lacking(f"{values[first].reason} in {first}")
    elif len(known) < 2:
        made = lacking("one group only")
    else:
        highest, lowest = max(known, key=lambda g: known[g]), min(known, key=lambda g: known[g])
        made = gap(highest, lowest, known[highest] - known[lowest], null=null)

    def beside(other: float) -> dict[str, Contrast]:
        return {
            g: contrast(x.value - other, x.value / other)
            if x.reason is None and other
            else contrast(0, 1, reason=x.reason or "the reference has a rate of 0")
            for g, x in values.items()
            if g != reference
        }

    return Metric(
        meaning=meaning,
        overall=number(overall),
        groups=values,
        gap=made,
        to_reference=beside(known[reference]) if reference in known else {},
        to_overall=beside(overall) if overalls else {},
    )


def disparity(groups: tuple[str, ...] = ("Female", "Male"), *, no_positives: bool = False) -> DisparityReport:
    """What an audit carries: the core rates and their gaps."""
    none = undefined("no rows recorded as favourable")

    def values(name: str, base: float) -> dict[str, Number]:
        step = 0.05 if name == "selection_rate" else 0.01
        made = {g: number(base - step * (len(groups) - 1 - i), n=2000) for i, g in enumerate(groups)}
        return made | ({groups[0]: none} if no_positives and name == "true_positive_rate" else {})

    return DisparityReport(
        name="adult",
        n=2000 * len(groups),
        columns=("group",),
        favourable="1",
        reference=groups[-1],
        confidence=0.95,
        simultaneous=False,
        groups={
            g: Group(n=2000, share=1 / len(groups), parts={"group": g}, counts=counts(2000, 0.15 + 0.05 * i))
            for i, g in enumerate(groups)
        },
        metrics={name: metric(RATES[name], base, values(name, base)) for name, base in CORE.items()},
        criteria={},
        between_groups={},
        curves={},
        distances={},
        notes=(),
    )


def full(
    groups: tuple[str, ...] = ("Female", "Male"),
    *,
    columns: tuple[str, ...] = ("sex",),
    sizes: tuple[int, ...] | None = None,
    custom: dict[str, float] | None = None,
    bases: dict[str, float] | None = None,
    **changes: Any,
) -> DisparityReport:
    """A disparity report with everything that there can be; names of intersections are joined by `` & ``."""
    ns = sizes or tuple(1000 * (i + 1) for i in range(len(groups)))
    reference = groups[-1]
    meanings = RATES | SCORES | dict.fromkeys(custom or {}, "what the caller counts")

    def value(base: float, i: int, n: int) -> Number:
        shifted = base * (1 - 0.12 * ((len(groups) - 1 - i) % 7))
        half = 1.96 * math.sqrt(max(abs(shifted) * (1 - min(abs(shifted), 0.99)), 1e-4) / n)
        return Number(value=shifted, n=n, low=shifted - half, high=shifted + half, conservative=n < 100)

    made = {
        name: metric(
            meanings[name],
            base,
            {g: value(base, i, n) for i, (g, n) in enumerate(zip(groups, ns, strict=True))},
            reference=reference,
            overalls=True,
            null=name in ("selection_rate", "accuracy"),
        )
        for name, base in (bases or (CORE | FURTHER | SCORED) | (custom or {})).items()
    }
    steps = [i / 20 for i in range(21)]
    curves = {
        g: Curves(
            false_positive_rate=tuple(steps),
            true_positive_rate=tuple(1 - (1 - x) ** (3 + i % 5) for x in steps),
            calibration=tuple(
                CalibrationBin(score=x + 0.05, observed=number(min(1.0, x + 0.02 * (i % 5) + 0.02), 0.04))
                for x in (0.05, 0.2, 0.4, 0.6, 0.8)
            ),
        )
        for i, g in enumerate(groups)
    }
    strata = {
        f"{place}": Stratum(
            n=900 - 100 * i,
            groups={g: number(0.15 + 0.03 * j) for j, g in enumerate(groups)},
            gap=gap(reference, groups[0], 0.04 + 0.01 * i),
        )
        for i, place in enumerate(("A", "B", "C"))
    }
    fields: dict[str, Any] = {
        "name": "loans of 2024",
        "n": sum(ns),
        "columns": columns,
        "favourable": ">50K",
        "reference": reference,
        "confidence": 0.95,
        "simultaneous": False,
        "groups": {
            g: Group(
                n=n,
                share=n / sum(ns),
                parts=dict(zip(columns, g.rsplit(" & ", len(columns) - 1), strict=True)),
                counts=counts(n, 0.2),
            )
            for g, n in zip(groups, ns, strict=True)
        },
        "metrics": made,
        "criteria": {
            name: Criterion(metrics=asked, difference=number(0.05), ratio=number(0.8))
            for name, asked in CRITERIA.items()
        },
        "between_groups": {"generalized_entropy": number(0.02, 0.004), "theil": number(0.03, 0.004)},
        "conditional": Conditional(
            columns=("department",),
            strata=strata,
            to_reference={g: contrast(-0.03, 0.85) for g in groups[:-1]},
        ),
        "curves": curves,
        "distances": {
            g: Distances(kolmogorov_smirnov=number(0.14), wasserstein=number(0.06), p=Number(value=2.3e-7, n=3000))
            for g in groups[:-1]
        },
        "notes": ("Weights were given: n counts rows, rates weigh them.",),
    }
    return DisparityReport(**(fields | changes))


INTERSECTIONS = tuple(
    f"{race} & {sex}"
    for race in ("Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White")
    for sex in ("Female", "Male")
    if (race, sex) != ("Other", "Male")
)


def intersections(names: tuple[str, ...] = INTERSECTIONS) -> DisparityReport:
    """Groups made by two columns: one intersection is empty, one cannot be had, one has few rows."""
    report = full(names, columns=("race", "sex"), sizes=(60, *(300 * (i + 2) for i in range(len(names) - 1))))
    rate = report.metrics["selection_rate"]
    lost = rate.groups | {names[2]: undefined("3 rows, at least 10 are needed", 3)}
    return replace(report, metrics=report.metrics | {"selection_rate": replace(rate, groups=lost)})


def unlabelled() -> DisparityReport:
    """Decisions without labels or scores."""
    report = full(
        bases={"selection_rate": 0.2}, criteria={}, between_groups={}, conditional=None, curves={}, distances={}
    )
    counted = {"selected": 100.0, "not_selected": 900.0}
    return replace(report, groups={g: replace(group, counts=counted) for g, group in report.groups.items()})


def regression() -> DisparityReport:
    """Scores alone, of any size."""
    report = full(
        bases={"mean_score": 51234.5},
        criteria={},
        between_groups={},
        conditional=None,
        curves={},
        favourable="",
    )
    return replace(report, groups={g: replace(group, counts={}) for g, group in report.groups.items()})


def incomparable() -> DisparityReport:
    """One recorded group and rows without one: nobody to compare."""
    report = full(("only",), criteria={}, between_groups={}, conditional=None, distances={}, reference="")
    lonely = {"only": report.groups["only"]}
    lonely["not recorded"] = Group(
        n=70, share=0.07, parts={"sex": "not recorded"}, counts=counts(70, 0.2), recorded=False
    )
    metrics = {
        name: replace(m, groups=m.groups | {"not recorded": number(0.3, n=70)}, to_overall={}, to_reference={})
        for name, m in report.metrics.items()
    }
    return replace(report, groups=lonely, metrics=metrics, n=1070)


@cache
def thousand() -> DisparityReport:
    """A thousand groups; half of them have no recorded favourable row."""
    names = tuple(f"district {i:04d}" for i in range(1000))
    sizes = tuple(20 + (i * 7919) % 1000 for i in range(1000))
    report = full(names, sizes=sizes, bases={name: CORE[name] for name in PLOTTED})
    rate = report.metrics["true_positive_rate"]
    none = undefined("no rows recorded as favourable")
    groups = {g: none if i % 2 else x for i, (g, x) in enumerate(rate.groups.items())}
    made = replace(rate, groups=groups, gap=lacking("no rows recorded as favourable in 500 groups"), to_reference={})
    return replace(report, metrics=report.metrics | {"true_positive_rate": made})


def layer(name: str, swap: float, erasure: float, twins: int) -> LayerReport:
    return LayerReport(
        name=name,
        units=32,
        swap=number(swap, 0.05),
        erasure=number(erasure, 0.01),
        equal_merit=number(0.3, 0.04),
        flips=number(0.12, 0.02),
        probe_auc=number(0.88),
        control_auc=number(0.5),
        merit_auc=number(0.9),
        merit_auc_after=Number(value=0.899, n=4000),
        group_auc_before=Number(value=0.84, n=4000),
        group_auc_after=Number(value=0.55, n=4000),
        twin_swaps=tuple(0.01 * i - 0.02 for i in range(twins)),
        twin_erasures=tuple(0.004 * i - 0.006 for i in range(twins)),
    )


def evidence(**changes: Any) -> Evidence:
    line: dict[str, Any] = {"detector": "swap at hidden.0", "tag": "causal", "value": 0.3, "low": 0.25, "high": 0.35}
    return Evidence(**(line | {"null": 0.1, "passed": True, "note": "beyond the margin"} | changes))


def pathway(group: str = "Female", reference: str = "Male", *, n_twins: int = 5, **changes: Any) -> PathwayReport:
    lines = (
        evidence(),
        evidence(detector="erasure at hidden.0", value=0.06, low=0.05, high=0.07, null=0.02),
        evidence(
            detector="group probe at hidden.0", tag="descriptive", passed=None, null=0.5, note="no evidence of use"
        ),
        evidence(detector="tap changes nothing", tag="check", value=1.0, low=None, high=None, null=1.0, note=""),
        evidence(detector="rows are no training rows", tag="check", value=math.nan, low=None, high=None, null=1.0)
        if n_twins == 0
        else evidence(detector="merit kept by erasure", tag="check", value=0.8, low=None, high=None, passed=False),
    )
    summary = TwinSummary(n=n_twins, mean=0.01, sd=0.012, p=0.000131, p_rank=1 / (n_twins + 1), p_min=1 / (n_twins + 1))
    fields: dict[str, Any] = {
        "group": group,
        "reference": reference,
        "verdict": "compensating_head" if n_twins else "consistent_with_compensating_head",
        "reason": "swap at hidden.0 beyond its margin, ranking within groups kept",
        "orientation": -1,
        "base_rate_gap": number(-0.19),
        "effect": Effect(
            kind="swap", layer="hidden.0", value=0.3, low=0.25, high=0.35, margin=0.1, unit="sd of the logit"
        ),
        "layers": (layer("hidden.0", 0.3, 0.06, n_twins), layer("hidden.2", 0.15, 0.03, n_twins)),
        "twins": summary if n_twins else None,
        "retention": number(0.96),
        "flips": Flips(n=480, share=0.12, layer="hidden.0", row_ids=(3, 5)),
        "equal_merit_outside": number(0.2),
        "input_auc": number(0.93),
        "curve": MeritCurve(
            layer="hidden.0",
            merit=(-0.1, 0.1, 0.3, 0.6, 0.9),
            group=(-3.0, -1.2, 0.1, 1.4, 3.1),
            reference=(-3.4, -2.0, -0.9, 0.6, 2.8),
        ),
        "margins": {"swap": 0.1, "erasure": 0.025},
        "label_bias": LabelBias(group=reference, share=Number(value=0.4, n=900), creates=False),
        "evidence": lines,
        "n": 4000,
        "alpha": 0.05,
    }
    return PathwayReport(**(fields | changes))


def not_testable(group: str, reference: str) -> PathwayReport:
    reason = "the group has 12 rows; at least 40 are needed"
    return pathway(
        group,
        reference,
        verdict="not_testable",
        reason=reason,
        orientation=0,
        effect=None,
        margins={},
        label_bias=None,
        layers=(),
        twins=None,
        retention=undefined(reason),
        flips=None,
        equal_merit_outside=undefined(reason),
        input_auc=undefined(reason),
        curve=None,
        evidence=(),
    )


def column(name: str, head: float, task: float, values: tuple[str, ...] = ()) -> ReadColumn:
    def part(contrast: float) -> ReadPart:
        halves = number(contrast / 2), number(-contrast / 2)
        return ReadPart(
            contrast=number(contrast),
            share=abs(contrast),
            group=halves[0],
            reference=halves[1],
            group_sd=0.1,
            reference_sd=0.1,
            mean_absolute=abs(contrast),
        )

    made = tuple(
        ReadValue(
            value=value,
            group_share=0.1,
            reference_share=0.6,
            head=number(head / (i + 2)),
            task=number(task / (i + 2)),
            head_mean=0.1,
            task_mean=0.1,
        )
        for i, value in enumerate(values)
    )
    return ReadColumn(name=name, head=part(head), task=part(task), values=made)


def reading(
    group: str = "Female", reference: str = "Male", *, image: bool = False, columns: tuple[ReadColumn, ...] = ()
) -> HeadReading:
    """What a head takes from eight columns, or from the channels of an image of 4 x 4 pixels."""
    made = columns or (
        column("relationship", 0.6, -0.05, ("Husband", "Wife")),
        column("occupation", 0.2, 0.02),
        *(column(f"column {i}", 0.04 - 0.005 * i, -0.3 + 0.05 * i) for i in range(6)),
    )
    pixels = tuple(tuple(0.01 * (x - y) for x in range(4)) for y in range(4))
    return HeadReading(
        group=group,
        reference=reference,
        layer="hidden.0",
        kind="image" if image else "table",
        input="x",
        method="integrated gradients",
        baseline="4 people for each, drawn from both groups",
        baselines=4,
        steps=32,
        n_group=500,
        n_reference=500,
        head_distance=number(1.2),
        task_distance=number(-0.5),
        head_complete=Completeness(mean=0.01, largest=0.02),
        task_complete=Completeness(mean=0.01, largest=0.02),
        columns=made,
        rest=column("2 others", 0.01, -0.05),
        shown=8,
        maps=tuple(
            ReadMap(readout=readout, group=name, values=pixels)
            for readout in ("head", "task")
            for name in (group, reference)
        )
        if image
        else (),
    )


def units(group: str = "Female", reference: str = "Male", *, twins: int = 5, named: int = 2) -> UnitReport:
    effects = tuple(
        UnitEffect(
            layer=layer,
            unit=unit,
            value=0.05 / (unit + 1),
            low=0.04 / (unit + 1),
            high=0.06 / (unit + 1),
            p=0.002 * (unit + 1),
            p_rank=1 / (twins + 1),
            q=0.004 * (unit + 1),
            discovered=unit < named and layer == "hidden.0",
        )
        for layer in ("hidden.0", "hidden.2")
        for unit in range(6)
    )
    largest = tuple(0.01 + 0.001 * i for i in range(twins))
    return UnitReport(
        group=group,
        reference=reference,
        rate=0.1,
        smallest=0.01,
        twins=twins,
        p_min=1 / (twins + 1),
        reason="" if named else "no unit carries more than the largest of a twin is likely to",
        layers=tuple(
            LayerUnits(name=name, units=32, effect=0.3, completeness=0.001, largest_in_twins=largest)
            for name in ("hidden.0", "hidden.2")
        ),
        units=effects,
        neutralised=tuple(
            Neutralisation(
                layer=name,
                direction=1,
                units=(0, 1, 2),
                gap=number(gap),
                logit=number(0.2),
                twin_gaps=(0.01, 0.02, 0.015),
                twin_logits=(0.02, 0.03, 0.025),
                p=0.003,
                p_rank=0.25,
            )
            for name, gap in (("hidden.0", 0.055), ("hidden.2", 0.044))
        ),
    )


def routes(group: str = "Female", reference: str = "Male", *, routed: bool = False) -> RoutingReport:
    d = 3.5 if routed else 0.4
    shares = tuple(0.02 + 0.001 * i for i in range(32))
    return RoutingReport(
        group=group,
        reference=reference,
        routed=routed,
        reason="the lower bound of the dissociation exceeds the twins'" if routed else "it lies among the twins'",
        layer="hidden.0",
        threshold=2.0,
        largest_in_twins=0.7,
        twins=5,
        p_rank=1 / 6,
        p_min=1 / 6,
        layers=tuple(
            LayerRoutes(
                name=name,
                units=32,
                dissociation=number(d - shift, 0.2),
                matrix=((0.2, 0.05), (0.04, 0.25)),
                overlap=0.9,
                reference_units=(1, 2),
                group_units=(3, 4),
                twin_dissociations=(0.1, 0.7),
                twin_overlaps=(0.9, 0.91),
            )
            for name, shift in (("hidden.0", 0.0), ("hidden.2", 0.2))
        ),
        reference_shares=shares,
        group_shares=shares[::-1],
    )


def two_heads(group: str = "Female", reference: str = "Male") -> TwoHeadFit:
    return TwoHeadFit(
        layer="hidden.0",
        group=group,
        reference=reference,
        orientation=-1,
        n=4000,
        strength=number(2.5, 0.5),
        b=number(2.5, 0.5),
        merit=number(0.8),
        offset=0.1,
        logit_sd=2.0,
        r2=number(0.93),
        r2_floor=number(0.87),
        r2_ceiling=number(0.99),
        agreement=number(0.956),
        floor=number(0.932),
        ceiling=number(0.985),
        over_floor=number(0.024),
        to_ceiling=number(-0.029),
        beside=TwinSummary(n=5, mean=0.003, sd=0.15, p=0.00006, p_rank=1 / 6, p_min=1 / 6),
    )


def recovery() -> Recovery:
    def judged(accuracy: float) -> Judged:
        return Judged(accuracy=number(accuracy), selection_rate=number(0.2), gap=number(0.05))

    return Recovery(
        name="group taken out at hidden.0",
        fitted_on=2000,
        n=2000,
        confidence=0.95,
        b=(2.4,),
        t=-0.6,
        offset=-0.3,
        repeats=4,
        agreement=number(0.962),
        floor=number(0.921),
        ceiling=number(0.986),
        over_floor=number(0.041),
        to_ceiling=number(-0.024),
        share=number(0.63),
        constrained_agreement=number(0.907),
        constrained=judged(0.83),
        recovered=judged(0.849),
        offset_only=judged(0.837),
        unconstrained=judged(0.854),
        gained=number(0.019),
        cost=number(0.024),
        by_head=number(0.012),
        accuracy_share=number(0.8),
    )


def counterfactual(group: str = "Female", reference: str = "Male") -> CounterfactualEffect:
    return CounterfactualEffect(
        group=group,
        reference=reference,
        what="sex exchanged",
        orientation=-1,
        n=4000,
        changed=number(1.0, 0.0),
        effect=number(0.22),
        decisions=number(0.03),
        flips=number(0.04),
        layers=(ThroughLayer(layer="hidden.0", remains=number(0.02), through=number(0.91)),),
    )


def detailed(group: str = "Female", reference: str = "Male", **changes: Any) -> PathwayReport:
    """A pathway with everything that can be told of it."""
    details: dict[str, Any] = {
        "units": units(group, reference),
        "routing": routes(group, reference),
        "two_heads": two_heads(group, reference),
        "recovery": recovery(),
        "reading": reading(group, reference),
        "counterfactual": counterfactual(group, reference),
    }
    return pathway(group, reference, **(details | changes))


def detailed_audit(groups: tuple[str, ...] = ("Female", "Male"), **changes: Any) -> AuditReport:
    """An audit whose groups have all details."""
    *others, reference = groups
    return replace(audit(groups), pathways={g: detailed(g, reference, **changes) for g in others})


def audit(
    groups: tuple[str, ...] = ("Female", "Male"),
    *,
    name: str = "parity",
    twins: int = 5,
    no_positives: bool = False,
    untestable: tuple[str, ...] = (),
    training: dict[str, Any] | None = None,
) -> AuditReport:
    *others, reference = groups
    recorded = training or {
        "objective": {"name": "penalized", "constraint": {"name": "demographic_parity"}, "weight": 10.0},
        "epochs": 8,
        "losses": [0.5, 0.4],
        "rows": {"n": 9000, "digest": "ef" * 32},
    }
    shares = GroupShare(n=2000, base_rate=number(0.25, n=2000), training_n=4500, training_base_rate=0.24)
    return AuditReport(
        model=ModelInfo(
            name=name,
            digest="ab" * 32,
            architecture="MLP 10-32-32-1",
            parameters=1441,
            layers=("hidden.0", "hidden.2"),
            training=recorded,
        ),
        data=DataInfo(
            name="adult",
            n=2000 * len(groups),
            sampled=4000,
            digest="cd" * 32,
            groups=dict.fromkeys(groups, shares),
            overlap=Number(value=0.159, n=4000),
            expected_overlap=undefined("the record holds no counts"),
            unseen_categories={"country": 3},
        ),
        seed=7,
        versions={"fairheads": "0.1.0"},
        disparity=disparity(groups, no_positives=no_positives),
        pathways={
            g: not_testable(g, reference) if g in untestable else pathway(g, reference, n_twins=twins) for g in others
        },
        notes=("Rows were drawn for the interventions.",),
    )


def comparison() -> Comparison:
    return Comparison(reports={"plain": audit(name="plain", twins=0), "parity": audit()})


def selftest_report(model: str = "parity") -> SelftestReport:
    """Heads of two strengths, of which the faint one is found once in five twins."""

    def of(name: str, strength: float, found: int) -> SelftestClass:
        verdicts: dict[str, int] = {"compensating_head": found, "neutral": 5 - found}
        return SelftestClass(
            name=name,
            head=strength > 0,
            strength=strength,
            verdicts={verdict: n for verdict, n in verdicts.items() if n},
            reasons={} if found == 5 else {"every effect lies within its margin": 5 - found},
            found=Number(value=found / 5, n=5, low=0.0, high=1.0, conservative=True),
            added=(0.8 * strength,) * 5,
        )

    return SelftestReport(
        model=model,
        data="Adult",
        group="Female",
        reference="Male",
        n=4000,
        fitted_on=8000,
        split=False,
        twins=5,
        layers=("hidden.0",),
        alpha=0.05,
        margin=0.1,
        seed=0,
        verdict="neutral",
        classes=(of("MERGE", 1.0, 5), of("MERGE", 0.05, 1), of("U", 0.0, 0)),
        measured=20,
        provenance={"model": "0123456789abcdef" * 4, "rows": "fedcba9876543210" * 4},
    )


def impact(name: str = "decisions.csv") -> ImpactReport:
    """Two categories, one of which is selected half as often."""
    decision = [1, 0, 1, 0, 1, 0, 0, 0] * 10
    tally = Tally.of(None, decision, sensitive_features=[*"aaaabbbb"] * 10)
    return four_fifths(tally, name=name)


def compared(
    names: tuple[str, ...] = ("plain", "parity"),
    groups: tuple[str, ...] = ("Female", "Male"),
    *,
    audited: bool = True,
) -> ComparisonReport:
    """Models that differ by a hundredth each; the first was audited."""
    made = disparity(groups)
    reports = [
        replace(
            made,
            metrics=made.metrics | {"accuracy": replace(made.metrics["accuracy"], overall=number(0.85 - 0.01 * i))},
            criteria={
                "demographic_parity": Criterion(
                    metrics=("selection_rate",), difference=number(0.15 / (i + 1)), ratio=number(0.5)
                )
            },
        )
        for i in range(len(names))
    ]
    rates = {"selection_rate": made.metrics["selection_rate"].groups}
    told = {g: pathway(g, groups[-1]) for g in groups[:-1]} if audited else {}
    verdicts = {
        g: ComparedVerdict(verdict=p.verdict, reference=p.reference, effect=p.effect, twins=5, same_rows=False)
        for g, p in told.items()
    }
    changes = {
        g: GroupChange(
            n=2000, raised=20, lowered=2, raised_share=number(0.01, 0.004), lowered_share=number(0.001, 0.001)
        )
        for g in groups
    }
    return ComparisonReport(
        front=front_of(
            [
                TrainedReport(name=name, objective=name, setting={}, seed=0, report=report)
                for name, report in zip(names, reports, strict=True)
            ]
        ),
        models={
            name: ComparedModel(
                digest="0123456789abcdef" * 4,
                rows="fedcba9876543210" * 4,
                rates=rates,
                highest=groups[-1],
                lowest=groups[0],
                verdicts={} if i else verdicts,
            )
            for i, name in enumerate(names)
        },
        pairs=tuple(
            ComparedPair(first=one, second=two, agreement=number(0.95), accuracy=number(-0.01), changes=changes)
            for one, two in combinations(names, 2)
        ),
        versions={"fairheads": "0.1.0"},
        notes=("A note.",),
    )


def merge_outcome(
    accuracy: float,
    gap: float,
    rates: dict[str, float],
    *,
    beside: tuple[float, float, float] | None = None,
    further: tuple[str, ...] = (),
) -> MergeOutcome:
    """One rule on 6,513 rows."""
    groups = tuple(rates)
    return MergeOutcome(
        n=6513,
        accuracy=number(accuracy, 0.009, n=6513),
        selection_rate=number(sum(rates.values()) / len(rates), 0.008, n=6513),
        gap=number(gap, 0.018, n=6513),
        highest=groups[-1] if gap > 0 else groups[0],
        lowest=groups[0] if gap > 0 else groups[-1],
        rates={
            name: {g: number(rate, 0.012, n=2000) for g, rate in rates.items()} for name in ("selection_rate", *further)
        },
        beside=None
        if beside is None
        else MergeDifference(
            accuracy=number(beside[0], 0.003), selection_rate=number(beside[1], 0.003), changed=number(beside[2], 0.005)
        ),
    )


def merge_report(
    groups: tuple[str, ...] = ("Female", "Male"),
    *,
    judged: bool = True,
    confidence: float | None = 0.95,
    missing: bool = False,
    **other: Any,
) -> MergeReport:
    """A merge at a gap of .03 whose front rises as they do; of more than two groups the gap has no sign."""
    several = len(groups) > 2
    b = tuple(0.4 - 0.3 * i for i in range(len(groups))) if several else (-1.2345,)
    shifted = tuple(0.6 - 0.4 * i for i in range(len(groups))) if several else (-0.9,)

    def rates(base: float, gap: float) -> dict[str, float]:
        return {g: base + gap * i / max(len(groups) - 1, 1) for i, g in enumerate(groups)}

    def rule(
        b: tuple[float, ...],
        t: float,
        accuracy: float,
        gap: float,
        *,
        space: str = "logit",
        bound: float | None = None,
        beside: tuple[float, float, float] | None = None,
    ) -> MergeRule:
        made = [
            merge_outcome(accuracy - less, gap + more, rates(0.17, gap), beside=beside)
            for less, more in ((0.0, 0.0), (0.002, 0.004))
        ]
        return MergeRule(b=b, t=t, space=space, bound=bound, validation=made[0], judged=made[1] if judged else None)  # type: ignore[arg-type]

    rules = {"chosen": rule(b, 0.1, 0.833, 0.011, bound=0.0287 if confidence else None)}
    if confidence is not None:
        rules["point"] = rule(tuple(0.9 * x for x in b), 0.08, 0.8365, 0.0296, beside=(-0.0035, -0.002, 0.021))
    rules["alone"] = rule((0.0,) * len(b), 0.0, 0.852, 0.176, beside=(-0.019, -0.011, 0.094))
    if not missing:
        rules["probability"] = rule(b, 0.2, 0.831, 0.012, space="probability", bound=0.0291, beside=(0.002, 0.0, 0.019))
        rules["thresholds"] = rule(
            shifted, 0.3, 0.8395, -0.009, space="groups", bound=0.0277, beside=(-0.006, 0.0, 0.05)
        )
    front = tuple(
        MergePoint(
            b=tuple(x * (1 - i / 60) for x in b),
            t=0.1,
            accuracy=0.826 + 0.0285 * (1 - math.exp(-i / 12)),
            gap=0.0002 + 0.0033 * i,
            selection_rate=0.2,
        )
        for i in range(61)
    )
    fields: dict[str, Any] = {
        "model": "adult-two",
        "data": "adult",
        "split": "the 6,513 validation rows of the split that the model was trained with",
        "judged": "the 16,281 test rows of the split that the model was trained with" if judged else "",
        "groups": groups,
        "gap_metric": "demographic_parity",
        "objective": "accuracy",
        "minimum_rates": {},
        "max_gap": 0.03,
        "confidence": confidence,
        "rules": rules,
        "missing": {"probability": "no merge keeps the gap", "thresholds": "no merge keeps the gap"} if missing else {},
        "front": front,
        "changes": {
            g: GroupChange(
                n=5421 - 100 * i,
                raised=471 // (i + 1),
                lowered=12 + 300 * i,
                raised_share=number((471 // (i + 1)) / (5421 - 100 * i), 0.008),
                lowered_share=number((12 + 300 * i) / (5421 - 100 * i), 0.004),
            )
            for i, g in enumerate(groups)
        },
        "check": MergeCheck(rows=6513, largest=2.4e-7, tolerance=1.1e-6, other_decisions=0),
        "provenance": {"validation rows": "0123456789abcdef" * 4},
        "versions": {"fairheads": "0.1.0"},
        "notes": ("A note.",),
    }
    return MergeReport(**(fields | other))
