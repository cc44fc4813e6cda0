"""Small results made by hand: no training, no torch."""

from __future__ import annotations

import math
from typing import Any

from fairheads.results import (
    AuditReport,
    Comparison,
    DataInfo,
    DisparityReport,
    Effect,
    Evidence,
    Flips,
    Gap,
    GroupRates,
    GroupShare,
    LabelBias,
    LayerReport,
    MeritCurve,
    ModelInfo,
    Number,
    PathwayReport,
    TwinSummary,
    undefined,
)

HOSTILE = '<script>alert("x")</script>\'|`a`\n$\\frac$ [b](javascript:c) **d** \u202e\x00 & -->'
LONG = "n" * 10_000


def number(value: float, half: float = 0.01, n: int = 4000) -> Number:
    return Number(value=value, n=n, low=value - half, high=value + half)


def rates(n: int, selection: float, *, no_positives: bool = False) -> GroupRates:
    chosen = round(n * selection)
    return GroupRates(
        n=n,
        true_positives=chosen // 2,
        false_positives=chosen - chosen // 2,
        false_negatives=n // 10,
        true_negatives=n - chosen - n // 10,
        selection_rate=number(selection, n=n),
        accuracy=number(0.85, n=n),
        true_positive_rate=undefined("no rows recorded as favourable") if no_positives else number(0.6, n=n),
        false_positive_rate=number(0.05, n=n),
        positive_predictive_value=number(0.7, n=n),
        base_rate=number(0.25, n=n),
    )


def gap(highest: str, lowest: str, value: float) -> Gap:
    return Gap(difference=number(value), ratio=number(0.8), highest=highest, lowest=lowest)


def disparity(groups: tuple[str, ...] = ("Female", "Male"), *, no_positives: bool = False) -> DisparityReport:
    first, *_, last = groups
    gaps = {name: gap(last, first, 0.05) for name in ("selection_rate", "accuracy", "base_rate")}
    gaps["true_positive_rate"] = gap(last, first, 0.1)
    if no_positives:
        lacking = undefined(f"no rows recorded as favourable in {first}")
        gaps["true_positive_rate"] = Gap(difference=lacking, ratio=lacking, highest="", lowest="")
    return DisparityReport(
        n=2000 * len(groups),
        overall=rates(2000 * len(groups), 0.2),
        groups={g: rates(2000, 0.15 + 0.05 * i, no_positives=no_positives and i == 0) for i, g in enumerate(groups)},
        gaps=gaps,
    )


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
