"""From runs to a report: means over seeds, and which of the four claims hold."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

import fairheads
from fairheads.metrics.seeds import over_seeds
from fairheads.results import Number, PaperClaim, PaperPoint, PaperReport, PaperRun
from fairheads.results.paper import SHARES, Holds
from fairheads.study.rows import Parts
from fairheads.study.setting import PaperSetting

CLOSE = 0.9
"""Share of decisions from which on a merge decides like a network (claim 2)."""

MOST = 0.8
"""Share of networks whose verdict must be a head (claim 4)."""


def report_of(setting: PaperSetting, parts: Parts, runs: Sequence[PaperRun], notes: Sequence[str] = ()) -> PaperReport:
    """Everything that was measured, and the claims at the smallest weight that halves the gap and at the largest."""
    points = points_of(runs)
    weights = dict.fromkeys((halving(points), setting.largest))
    claims = [claim(runs, weight) for claim in (first, second, third, fourth) for weight in weights]
    return PaperReport(
        data=setting.data,
        groups=parts.test.group_names,
        rows=parts.sizes,
        setting=setting.to_dict(),
        points=points,
        claims=tuple(claims),
        runs=tuple(runs),
        versions={
            "fairheads": fairheads.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__.split("+")[0],
        },
        notes=tuple(notes),
    )


def points_of(runs: Sequence[PaperRun]) -> tuple[PaperPoint, ...]:
    """The runs that differ by their seed alone, together; in the order of the runs."""
    alike: dict[tuple[str, float, float], list[PaperRun]] = {}
    for run in runs:
        alike.setdefault((run.method, run.weight, run.max_gap), []).append(run)
    return tuple(
        PaperPoint(
            method=method,
            weight=weight,
            max_gap=max_gap,
            seeds=len(some),
            values={
                name: _over(name, [run.values.get(name, math.nan) for run in some])
                for name in dict.fromkeys(name for run in some for name in run.values)
            },
            verdicts=dict(Counter(run.verdict for run in some if run.verdict).most_common()),
        )
        for (method, weight, max_gap), some in alike.items()
    )


def _over(name: str, values: Sequence[float]) -> Number:
    """Mean over seeds; without interval where each value is itself a mean over pairs of seeds."""
    found = over_seeds(values, within=(0.0, 1.0) if name in SHARES else None)
    return replace(found, low=None, high=None) if name in ("ceiling", "recovered_ceiling") else found


def halving(points: Sequence[PaperPoint]) -> float:
    """The smallest weight of the squared penalty that halves the gap on the validation rows; else the largest."""
    free = next(point.values["validation_gap"].value for point in points if point.method == "unconstrained")
    penalised = sorted((p for p in points if p.method == "squared"), key=lambda p: p.weight)
    return next((p.weight for p in penalised if p.values["validation_gap"].value <= free / 2), penalised[-1].weight)


def _at(runs: Sequence[PaperRun], weight: float) -> list[tuple[PaperRun, PaperRun]]:
    """The network of every seed at this weight of the squared penalty (0: none), with the unconstrained one."""
    free = {run.seed: run for run in runs if run.method == "unconstrained"}
    return [(run, free[run.seed]) for run in runs if run.method == "squared" and run.weight == weight]


def _mean(pairs: Sequence[tuple[PaperRun, PaperRun]], measure: str) -> Number:
    return _over(measure, [run.values.get(measure, math.nan) for run, _ in pairs])


def _missing(pairs: Sequence[tuple[PaperRun, PaperRun]], number: Number) -> str:
    """What is said of networks that a number is not of: those that decide everybody alike."""
    return "" if number.n == len(pairs) else f" Of {number.n} of {len(pairs)} seeds alone."


def _change(pairs: Sequence[tuple[PaperRun, PaperRun]], measure: str) -> Number:
    """Less that of the unconstrained network of the same seed."""
    return over_seeds([run.values.get(measure, math.nan) - free.values.get(measure, math.nan) for run, free in pairs])


def side(number: Number, of: float = 0.0) -> int:
    """1 where the interval lies above ``of``, -1 where below, 0 where it holds it or there is none."""
    if number.low is None or number.high is None:
        return 0
    return 1 if number.low > of else -1 if number.high < of else 0


ANSWERS: dict[int, Holds] = {1: "holds", -1: "does not hold", 0: "undecided"}


def first(runs: Sequence[PaperRun], weight: float) -> PaperClaim:
    """Claim 1: the probe's AUC less that on the unconstrained network of the same seed."""
    change = _change(_at(runs, weight), "probe_auc")
    return PaperClaim(
        claim=1,
        weight=weight,
        holds=ANSWERS[side(change)],
        because=f"AUC of the group probe minus that on the unconstrained network: {change:+.3f}.",
        values={"change of the probe's AUC": change},
    )


def second(runs: Sequence[PaperRun], weight: float) -> PaperClaim:
    """Claim 2: decisions shared with the best merge; at least .9, and more than an offset alone shares."""
    pairs = _at(runs, weight)
    agreement, over, ceiling = (_mean(pairs, measure) for measure in ("agreement", "over_floor", "ceiling"))
    missing = _missing(pairs, agreement)
    holds = "undecided" if missing else ANSWERS[min(side(agreement, CLOSE), side(over))]
    return PaperClaim(
        claim=2,
        weight=weight,
        holds=holds,
        because=f"Decisions shared with the best merge: {agreement:.3f} (asked: {CLOSE:g}); more than with an offset"
        f" alone by {over:.3f}. Other seeds of the network share {ceiling:.3f}.{missing}",
        values={"agreement": agreement, "over the floor": over, "ceiling": ceiling},
    )


def third(runs: Sequence[PaperRun], weight: float) -> PaperClaim:
    """Claim 3: most of the accuracy that the constraint cost comes back, some of it beyond what an offset brings."""
    pairs = _at(runs, weight)
    cost, by_head, gained = (_mean(pairs, measure) for measure in ("cost", "by_head", "gained"))
    most = over_seeds([r.values.get("gained", math.nan) - r.values.get("cost", math.nan) / 2 for r, _ in pairs])
    missing = _missing(pairs, by_head)
    holds = "undecided" if missing or side(cost) <= 0 else ANSWERS[min(side(by_head), side(most))]
    return PaperClaim(
        claim=3,
        weight=weight,
        holds=holds,
        because=f"The constraint costs {cost:.3f} of accuracy; taking the group head out brings {gained:.3f} back,"
        f" {by_head:.3f} of it beyond an offset alone (asked: half, and more than an offset).{missing}",
        values={"cost": cost, "gained": gained, "by the head": by_head},
    )


def fourth(runs: Sequence[PaperRun], weight: float) -> PaperClaim:
    """Claim 4: the verdicts of the audits, with the change of the difference at equal merit."""
    pairs = _at(runs, weight)
    change, swap = _change(pairs, "equal_merit"), _mean(pairs, "swap")
    verdicts = Counter(run.verdict for run, _ in pairs)
    heads, maybe = verdicts["compensating_head"], verdicts["head_or_suppression"] + verdicts["inconclusive"]
    enough = MOST * len(pairs)
    holds: Holds = "undecided"
    if heads >= enough and side(change) > 0:
        holds = "holds"
    elif heads + maybe < enough or side(change) < 0:
        holds = "does not hold"
    told = ", ".join(f"{verdict} {n}" for verdict, n in verdicts.most_common())
    why = Counter(run.reasons.get("verdict", "") for run, _ in pairs if run.verdict != "compensating_head")
    commonest = f" (mostly because {why.most_common(1)[0][0]})" if why else ""
    return PaperClaim(
        claim=4,
        weight=weight,
        holds=holds,
        because=f"Verdicts: {told}{commonest}. Difference at equal merit minus that of the unconstrained network:"
        f" {change:+.3f} sd of the logit; group swap {swap:+.3f} sd.",
        values={"change of the difference at equal merit": change, "swap": swap},
    )
