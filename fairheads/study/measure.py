"""What is measured of one network of a study, and of the merges and thresholds of one seed, on the test rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import one_thread
from fairheads.errors import InputError
from fairheads.metrics import auc
from fairheads.nets import TwoHeadNet
from fairheads.results import PaperRun
from fairheads.study.effects import effect_values
from fairheads.study.setting import GAPS, Task
from fairheads.study.studio import Studio
from fairheads.twoheads import Coefficients, Frontier, approximates, group_thresholds, merge_net, recovers
from fairheads.twoheads.thresholds import membership

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

AUDITED_GAP = 0.02
"""The merge of every seed that is audited: its largest gap on the validation rows."""


@one_thread()
def measure_network(studio: Studio, task: Task) -> PaperRun:
    """Accuracy, gap, probe and effects of a network; of a constrained one also the two statements about two heads."""
    outputs = studio.outputs(task)
    selected = outputs[:, 0] > 0
    values = {**_decided(studio, selected), "validation_gap": _gap(studio, selected, studio.fit)}
    values["probe_auc"] = auc(studio.group[~studio.fit], outputs[~studio.fit, 1])
    report = studio.effects.report(studio.network(task), task.seed if task.kind == "unconstrained" else None)
    values |= effect_values(report)
    reasons = {"verdict": report.reason}
    if task.is_constrained:
        for part in (_approximates, _recovers, _beside_merge):
            try:
                values |= part(studio, task)
            except InputError as error:  # a network that decides all alike, or a gap that no merge reaches
                reasons[part.__name__.strip("_")] = str(error)
    return PaperRun(
        method=task.kind, weight=task.weight, seed=task.seed, values=values, verdict=report.verdict, reasons=reasons
    )


def _decided(studio: Studio, selected: Mask) -> dict[str, float]:
    """Accuracy, gap and selection rate of decisions on validation and test rows, on the latter."""
    rows = ~studio.fit
    return {
        "accuracy": float((selected == studio.y)[rows].mean()),
        "gap": _gap(studio, selected, rows),
        "selection_rate": float(selected[rows].mean()),
    }


def _gap(studio: Studio, selected: Mask, rows: Mask) -> float:
    """Difference between the selection rates of the groups on some rows."""
    first, second = (float(selected[rows & (studio.group == code)].mean()) for code in (0, 1))
    return abs(second - first)


def _approximates(studio: Studio, task: Task) -> dict[str, float]:
    """Statement 2: the merge that decides most like the network."""
    two = studio.outputs(Task("two-headed", 0.0, task.seed))
    found = approximates(
        studio.outputs(task)[:, 0],
        two[:, 0],
        two[:, 1],
        studio.y,
        studio.group,
        fit=studio.fit,
        repeats=[studio.outputs(other)[:, 0] for other in _others(studio, task)],
    )
    return {
        "agreement": found.agreement.value,
        "floor": found.floor.value,
        "ceiling": found.ceiling.value,
        "over_floor": found.over_floor.value,
        "b": found.b[0],
    }


def _recovers(studio: Studio, task: Task) -> dict[str, float]:
    """Statement 3: the unconstrained network, with the group head taken out of this one."""
    free, outputs = Task("unconstrained", 0.0, task.seed), studio.outputs(task)
    found = recovers(
        outputs[:, 0],
        outputs[:, 1],
        studio.outputs(free)[:, 0],
        studio.y,
        studio.group,
        fit=studio.fit,
        repeats=[studio.outputs(other)[:, 0] for other in _others(studio, free)],
    )
    return {
        "recovered_accuracy": found.recovered.accuracy.value,
        "recovered_gap": found.recovered.gap.value,
        "recovered_agreement": found.agreement.value,
        "recovered_floor": found.floor.value,
        "recovered_ceiling": found.ceiling.value,
        "gained": found.gained.value,
        "by_head": found.by_head.value,
        "cost": found.cost.value,
    }


def _beside_merge(studio: Studio, task: Task) -> dict[str, float]:
    """The merge that the validation rows allow the network's own gap there."""
    rows, two = studio.fit, studio.outputs(Task("two-headed", 0.0, task.seed))
    selected = studio.outputs(task)[:, 0] > 0
    at = studio.merges(task.seed).at(max_gap=_gap(studio, selected, rows), confidence=None)
    merged = at.score(two[:, 0], two[:, 1]) > 0
    found = _decided(studio, merged)
    return {
        "merge_accuracy": found["accuracy"],
        "merge_gap": found["gap"],
        "merge_minus": found["accuracy"] - _decided(studio, selected)["accuracy"],
        "merge_agreement": float((merged == selected)[~rows].mean()),
    }


def _others(studio: Studio, task: Task) -> list[Task]:
    return [task.again(seed) for seed in range(studio.setting.seeds) if seed != task.seed]


@one_thread()
def measure_fronts(studio: Studio, seed: int) -> list[PaperRun]:
    """Merges of the two-headed network, and thresholds by the true group of the unconstrained one, at every gap."""
    two = studio.outputs(Task("two-headed", 0.0, seed))
    free, truth = studio.outputs(Task("unconstrained", 0.0, seed))[:, 0], membership(studio.group)
    rows = studio.fit
    thresholds = group_thresholds(free[rows], studio.y[rows], studio.group[rows])
    runs = list(_along(studio, seed, "merge", studio.merges(seed), two[:, 0], two[:, 1]))
    runs += _along(studio, seed, "thresholds", thresholds, free, truth)
    return runs


def _along(studio: Studio, seed: int, method: str, front: Frontier, z_y: Floats, z_g: Floats) -> Iterator[PaperRun]:
    for max_gap in GAPS:
        try:
            at = front.at(max_gap=max_gap, confidence=None)
        except InputError as error:
            yield PaperRun(method=method, max_gap=max_gap, seed=seed, reasons={"accuracy": str(error)})
            continue
        values = {**_decided(studio, at.score(z_y, z_g) > 0), "b": float(at.slopes[0])}
        verdict = ""
        if method == "merge" and max_gap == AUDITED_GAP:
            verdict = _audited(studio, seed, at, values)
        yield PaperRun(method=method, max_gap=max_gap, seed=seed, values=values, verdict=verdict)


def _audited(studio: Studio, seed: int, at: Coefficients, values: dict[str, float]) -> str:
    """The verdict on a merge; its effects go into ``values``."""
    net = studio.network(Task("two-headed", 0.0, seed))
    if not isinstance(net, TwoHeadNet):
        return ""
    report = studio.effects.report(merge_net(net, at, studio.parts.validation), None)
    outputs = studio.outputs(Task("two-headed", 0.0, seed))[~studio.fit]
    values["head_auc"] = auc(studio.group[~studio.fit], outputs[:, 1])
    values.update({key: value for key, value in effect_values(report).items() if not math.isnan(value)})
    return report.verdict
