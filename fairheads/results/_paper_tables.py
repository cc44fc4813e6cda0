"""The study as records and tables: words for what is measured, the authors' figures, differences in setup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fairheads.results._csv import csv_text
from fairheads.results._tables import Cell, Table
from fairheads.results._words import capital, clip
from fairheads.results.number import Number, undefined

if TYPE_CHECKING:
    from fairheads.results.paper import PaperPoint, PaperReport

MEASURES = {
    "accuracy": "accuracy",
    "gap": "difference in selection rates",
    "validation_gap": "difference in selection rates on the validation rows",
    "selection_rate": "selection rate",
    "probe_auc": "AUC of the group probe on the last layer",
    "head_auc": "AUC of the group head of the merge",
    "swap": "group swap at the last layer, sd of the logit",
    "erasure": "erasure at the last layer, selection rate",
    "equal_merit": "difference at equal merit, sd of the logit",
    "flips": "share of people whose decision flips under the swap",
    "retention": "ranking within groups kept, share of the twins'",
    "agreement": "decisions shared with the best merge",
    "floor": "decisions shared with the two-headed network's task head and an offset",
    "ceiling": "decisions shared with the same network from other seeds",
    "over_floor": "agreement with the best merge minus the floor",
    "b": "slope of the group head in the merge",
    "recovered_accuracy": "accuracy with the group head taken out",
    "recovered_gap": "gap with the group head taken out",
    "recovered_agreement": "decisions shared with the unconstrained network, group head taken out",
    "recovered_floor": "decisions shared with the unconstrained network, offset alone",
    "recovered_ceiling": "decisions shared with the unconstrained network, of its other seeds",
    "gained": "accuracy: group head taken out minus as trained",
    "by_head": "accuracy: group head taken out minus offset alone",
    "cost": "accuracy: unconstrained minus as trained",
    "merge_accuracy": "accuracy of the merge at the same gap",
    "merge_gap": "gap of that merge",
    "merge_minus": "accuracy of that merge minus as trained",
    "merge_agreement": "decisions shared with that merge",
}
"""What is measured, in words; effects are turned, above 0 is compensating."""

SHARES = frozenset(MEASURES) - {
    *("swap", "erasure", "equal_merit", "retention", "over_floor", "b", "gained", "by_head", "cost", "merge_minus"),
}
"""Measures that lie between 0 and 1."""

CLAIMS = {
    1: "The harder the constraint, the better the group can be read from the last layer.",
    2: "A two-headed network, merged, decides like the constrained one.",
    3: "With a group head taken out, the constrained network gives back the unconstrained, more accurate one.",
    4: "At equal merit people are treated differently because of the inferred group.",
}
"""What Lohaus et al. (NeurIPS 2022, arXiv 2204.04440) say."""

METHODS = {
    "unconstrained": "unconstrained",
    "squared": "squared penalty",
    "absolute": "absolute penalty",
    "massaging": "massaging",
    "merge": "two-headed merge",
    "thresholds": "thresholds by true group",
}


class Published(NamedTuple):
    """One point of the authors' published notebook."""

    method: str
    weight: float
    gap: float
    accuracy: float
    probe_auc: float = math.nan


PUBLISHED = (
    Published("squared", 0, 0.201, 0.901, 0.886),
    Published("squared", 1, 0.163, 0.897, 0.888),
    Published("squared", 5, 0.173, 0.908, 0.884),
    Published("squared", 10, 0.096, 0.889, 0.909),
    Published("squared", 20, 0.104, 0.895, 0.936),
    Published("merge", 0, 0.156, 0.902),
    Published("merge", 0, 0.101, 0.897),
    Published("merge", 0, 0.055, 0.885),
    Published("merge", 0, 0.001, 0.870),
    Published("thresholds", 0, 0.141, 0.894),
    Published("thresholds", 0, 0.026, 0.875),
)
"""Measured from the output of the authors' notebook: MobileNetV3-Small, CelebA, smiling by sex, 5,000 rows a split, one
run; the gap without its sign."""

PUBLISHED_AS = "published: CelebA, MobileNetV3-Small, 5,000 rows, one run"

DISCLAIMER = (
    "This does not say what other rows would show: intervals are over seeds of training, on one split of the rows, and"
    " networks are audited beside the same twins."
)


def title(report: PaperReport) -> str:
    return f"Are two heads the same as one? {clip(report.data, 40)}"


def lead(report: PaperReport) -> list[str]:
    """What was done, in sentences."""
    setting = report.setting
    sizes = ", ".join(f"{n:,} {part}" for part, n in report.rows.items())
    widths = ", ".join(map(str, setting["widths"]))
    network = {"mlp": f"Perceptron ({widths})", "resnet": f"Residual network ({widths})"}.get(
        setting["network"], setting["network"]
    ) + (f" at {setting['size']} pixels" if setting["size"] else "")
    where = "the last layer" if setting["last_layer"] else "all layers"
    recipe = f"{setting['epochs']} epochs, batches of {setting['batch_size']}, rate {setting['learning_rate']:g}"
    return [
        f"{clip(', '.join(report.groups), 60)}; rows: {sizes}. {network}, {recipe}; {setting['seeds']} seeds of every"
        " network.",
        "Coefficients are chosen on the validation rows; everything is measured on the test rows. Audits look at"
        f" {where}, on at most {setting['sample']:,} rows, beside the unconstrained networks of other seeds.",
    ]


def differences(report: PaperReport) -> list[str]:
    """In what this study is not the authors'."""
    setting = report.setting
    told = []
    if report.data != "celeba":
        told.append(f"Data: {clip(report.data, 40)}; the authors use CelebA and FairFace.")
    if setting["network"] in ("mlp", "resnet"):
        kind = "A perceptron" if setting["network"] == "mlp" else "A small residual network"
        told.append(f"{kind} ({', '.join(map(str, setting['widths']))}) in place of ResNet50 and MobileNetV3-Small.")
    if setting["size"] and setting["size"] < 200:
        told.append(f"Images of {setting['size']} pixels.")
    told += [
        "Networks start from random weights and are trained by Adam with a cosine schedule, the same for every method.",
        "Merges and thresholds are chosen on validation rows; the published code chooses them on the test rows.",
        f"{setting['seeds']} seeds a point, where the published figures are of one run.",
        "The group probe is a ridge regression on the training rows, in eval mode.",
    ]
    if setting["size"]:
        told.append("Massaging ranks faces by the unconstrained network of the same seed.")
    return told


def where(point: PaperPoint) -> str:
    """Weight or gap of a point, in words."""
    if point.method in ("squared", "absolute"):
        return f"weight {point.weight:g}"
    return f"gap up to {point.max_gap:g}" if point.method in ("merge", "thresholds") else "-"


def value(point: PaperPoint, measure: str) -> Number:
    """A measure of a point, or that there is none."""
    return point.values.get(measure, undefined("not measured"))


def tables(report: PaperReport) -> list[Table]:
    """What was measured: a table for each kind of question."""
    return [_table(report, *spec) for spec in _TABLES]


CLAIM_HEAD = ("claim", "weight", "answer", "because")
ASKED_AT = (
    "Weights are those of the squared penalty: the smallest that halves the gap on the validation rows, if one does,"
    " and the largest."
)

ALL = ("unconstrained", "squared", "absolute", "massaging", "merge", "thresholds")
VERDICTS = "Verdicts"
TRAINED = ("squared", "absolute", "massaging")

_TABLES = (
    ("Accuracy and gap", ("accuracy", "gap"), ALL),
    ("What is encoded, and what is done", ("probe_auc", "swap", "erasure", "equal_merit"), ALL),
    (VERDICTS, ("retention",), ALL),
    ("Beside the best merge", ("agreement", "floor", "ceiling"), TRAINED),
    ("Beside the merge at the same gap", ("merge_minus", "merge_gap", "merge_agreement"), TRAINED),
    ("With the group head taken out", ("cost", "gained", "by_head"), TRAINED),
    (
        "Decisions of the unconstrained network",
        ("recovered_floor", "recovered_agreement", "recovered_ceiling"),
        TRAINED,
    ),
)


def _table(report: PaperReport, heading: str, measures: Sequence[str], methods: Sequence[str]) -> Table:
    points = [point for point in report.points if point.method in methods]
    shown = [point for point in points if any(measure in point.values for measure in measures)]
    said = sorted({verdict for point in shown for verdict in point.verdicts}) if heading == VERDICTS else []
    rows: list[tuple[Cell, ...]] = [
        (
            METHODS[point.method],
            where(point),
            *(value(point, measure) for measure in measures),
            *(point.verdicts.get(verdict, 0) for verdict in said),
        )
        for point in shown
    ]
    names = [measure.replace("_", " ") for measure in measures]
    words = "; ".join(
        MEASURES[measure] if name == MEASURES[measure] else f"{name}: {MEASURES[measure]}"
        for name, measure in zip(names, measures, strict=True)
    )
    counted = " Then how many networks each verdict was given." if said else ""
    head = ("method", "at", *names, *(verdict.replace("_", " ") for verdict in said))
    return Table(heading, (f"Mean over seeds [95 % interval]. {capital(words)}.{counted}",), head, tuple(rows))


def records(report: PaperReport) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """A row a run."""
    head = ("method", "weight", "max_gap", "seed", "verdict", *MEASURES)
    rows = [
        (run.method, run.weight, run.max_gap, run.seed, run.verdict, *(run.values.get(m, math.nan) for m in MEASURES))
        for run in report.runs
    ]
    return head, rows


def csv(report: PaperReport) -> str:
    """The records as CSV text."""
    head, rows = records(report)
    blank = [[None if isinstance(v, float) and math.isnan(v) else v for v in row] for row in rows]
    return csv_text(head, blank)
