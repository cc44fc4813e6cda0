"""What the calibration study counts: pure functions from measured networks to tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from calibration_runs import ALPHA, Bench, Measured

from fairheads.metrics.intervals import clopper_pearson
from fairheads.pathways.analyze import judged
from fairheads.pathways.conditions import KINDS, RULE, Rule, bounds_of, twin_summary
from fairheads.pathways.routes import threshold_beside

LOUDEST = (
    "compensating_head",
    "head_or_suppression",
    "consistent_with_compensating_head",
    "aligned_use",
    "consistent_with_aligned_use",
    "suppression",
    "inconclusive",
    "not_testable",
    "neutral",
)
"""Verdicts, the first of which over several groups is that on the network."""

UNDECIDED = ("inconclusive", "not_testable")

EARLIER = Rule(beyond_mean=False, reaches_end=False, absent_at_end=False, moved_share=None, retention=0.9)
KEPT = Rule(absent_at_end=False)
RULES = {
    "margins .02 and .15 of the gap, no further condition": replace(EARLIER, erasure_margin=0.02, erasure_share=0.15),
    "margins .05 and .25": EARLIER,
    "and beyond the twins' mean": replace(EARLIER, beyond_mean=True),
    "and reaching the last layer": replace(EARLIER, beyond_mean=True, reaches_end=True),
    "and a gap that moved": replace(KEPT, retention=0.9),
    "and the ranking kept to .92": KEPT,
    "and absence shown at the last layer: the rule": RULE,
    "that, to .91": Rule(retention=0.91),
    "that, to .93": Rule(retention=0.93),
    "that, margins .02 and .15": Rule(erasure_margin=0.02, erasure_share=0.15),
    "that, swap margin .05": Rule(swap_margin=0.05),
    "that, swap margin .15": Rule(swap_margin=0.15),
}
"""What was compared on the data sets with even seeds."""

UNSETTLED = ("rare", "few rows", "weak")
"""Classes without a head that are left out of the count of undecided ones: nothing could decide them, or they have an
effect that their twins lack."""

Table = dict[str, Any]


@cache
def verdict_on(one: Measured, twins: int | None = None, rule: Rule = RULE) -> str:
    """One word for a network, the loudest over its groups, beside the first ``twins`` of its twins."""
    few = [case if twins is None else replace(case, twins=case.twins[:twins]) for case in one.cases]
    return min((report.verdict for report in judged(few, ALPHA, rule)), key=LOUDEST.index)


def share(hits: int, n: int) -> Table:
    """A count with its share and Clopper-Pearson's interval of 95 %."""
    low, high = (float(v) for v in clopper_pearson(hits, n)) if n else (0.0, 1.0)
    value = round(hits / n, 4) if n else None
    return {"count": int(hits), "n": n, "share": value, "low": round(low, 4), "high": round(high, 4)}


def counted(words: Iterable[str], *wanted: str) -> Table:
    """How many are among the wanted."""
    said = list(words)
    return share(sum(word in wanted for word in said), len(said))


def class_table(found: Sequence[Measured], twins: int) -> Table:
    """What is said of one class: with all twins, with few and with none."""
    said = [verdict_on(one) for one in found]
    alone = [verdict_on(one, 0) for one in found]
    fewer = [k for k in (2, 3, 5, 8) if k < twins]
    return {
        "truth": found[0].truth,
        "n": len(found),
        "true effect": round(float(np.mean([one.true_effect for one in found])), 3),
        "verdicts": dict(Counter(said).most_common()),
        "without twins": dict(Counter(alone).most_common()),
        "compensating head": counted(said, "compensating_head"),
        "suppression or head": counted(said, "suppression", "head_or_suppression"),
        "head or suppression": counted(said, "head_or_suppression"),
        "suppression": counted(said, "suppression"),
        "undecided": counted(said, *UNDECIDED),
        "consistent, without twins": counted(alone, "consistent_with_compensating_head"),
        "compensating head, by twins": {
            str(k): counted([verdict_on(one, k) for one in found], "compensating_head") for k in fewer
        },
    }


def correlations(found: Sequence[Measured]) -> Table:
    """Correlation of every detector with T* over all networks: the first group of each."""
    columns: dict[str, list[float]] = {}
    for one in found:
        layers = one.cases[0].layers
        if not layers or np.isnan(one.true_effect):
            continue
        columns.setdefault("true effect", []).append(one.true_effect)
        for name in ("swap", "erasure", "equal_merit", "flips", "probe_auc"):
            columns.setdefault(f"{name}, last layer", []).append(layers[-1].point[name])
            columns.setdefault(f"{name}, largest", []).append(max(layer.point[name] for layer in layers))
    truth = columns.pop("true effect", [])
    return {name: round(float(np.corrcoef(truth, column)[0, 1]), 3) for name, column in columns.items()}


def twin_p_values(found: Sequence[Measured]) -> Table:
    """How often p of the swap at the last layer is small in unconstrained networks: it should be as often as p says."""
    values = []
    for one in found:
        case = one.cases[0]
        if one.name == "unconstrained" and case.layers:
            last = [replace(twin, effects=twin.effects[-1:], replicates=twin.replicates[:, -1:]) for twin in case.twins]
            alone = replace(case, layers=case.layers[-1:], twins=tuple(last))
            summary = twin_summary(alone, 0, 0, 1, case.layers[-1].point["swap"])
            values.append(summary.p / 2 if summary is not None else np.nan)  # doubled for two kinds of effect
    p = np.array(values)
    return {f"at most {level:g}": share(int((p <= level).sum()), len(p)) for level in (0.05, 0.1, 0.25)}


def coverage(found: Sequence[Measured]) -> Table:
    """How often bounds of level alpha hold the effect on many rows: each alone, and all of a network together."""
    tables: Table = {}
    for k, kind in enumerate(KINDS):
        alone: dict[str, list[bool]] = {"lower": [], "upper": []}
        together: dict[str, list[bool]] = {"lower": [], "upper": []}
        estimates, effects = [], []
        for one in found:
            if one.effects is None or len(one.cases[0].layers) != len(one.effects):
                continue
            bounds = bounds_of(one.cases[0], ALPHA)
            truth, point, half = one.effects[:, k], bounds.point[:, k], bounds.critical * bounds.se[:, k]
            alone["lower"] += list(point - half <= truth)
            alone["upper"] += list(point + half >= truth)
            together["lower"].append(bool((bounds.low[:, k] <= truth).all()))
            together["upper"].append(bool((bounds.high[:, k] >= truth).all()))
            estimates.append(point)
            effects.append(truth)
        tables[kind] = {
            "effect on many rows": np.mean(effects, axis=0).round(4).tolist(),
            "mean estimate": np.mean(estimates, axis=0).round(4).tolist(),
            **{f"{side} bound, alone": share(sum(held), len(held)) for side, held in alone.items()},
            **{f"{side} bounds of a network": share(sum(held), len(held)) for side, held in together.items()},
        }
    return tables


def parts(found: Sequence[Measured]) -> Table:
    """Units, layers and routes that the description names, beside those that were planted."""
    reports = [(one, one.report) for one in found if one.report is not None]
    units = [(one, report.units) for one, report in reports if report.units is not None]
    named = [{(u.layer, u.unit) for u in table.every if u.discovered} for _, table in units]
    planted = [{(layer, unit) for layer, those in one.units.items() for unit in those} for one, _ in units]
    layers = [
        len({layer for layer, _ in names}) / len(table.layers) for names, (_, table) in zip(named, units, strict=True)
    ]
    result: Table = {
        "networks": len(reports),
        "networks with named units": share(sum(map(bool, named)), len(named)),
        "layers with named units": round(float(np.mean(layers)), 4) if layers else None,
    }
    if any(planted) and found[0].truth == "head":
        hits = [len(names & those) for names, those in zip(named, planted, strict=True)]
        result["units named that were planted"] = share(sum(hits), sum(map(len, named)))
        result["planted units that are named"] = share(sum(hits), sum(map(len, planted)))
        effects = [(one, report) for one, report in reports if report.rests_on_effect]
        right = sum(report.emerges_at == next(iter(one.units)) for one, report in effects)
        result["layer named that was planted"] = share(right, len(effects))
    routes = [report.routing for _, report in reports if report.routing is not None]
    lows = [max((r.dissociation.low or 0.0 for r in route.layers), default=0.0) for route in routes]
    beyond = [low > threshold_beside(route.largest_in_twins) for low, route in zip(lows, routes, strict=True)]
    result["routed"] = share(sum(beyond), len(beyond))
    return result


def tables(bench: Bench, found: Sequence[Measured]) -> Table:
    """All classes of a bench."""
    names = list(dict.fromkeys(one.name for one in found))
    by_name = {name: [one for one in found if one.name == name] for name in names}
    result: Table = {
        "data sets": len({one.seed for one in found}),
        "twins": bench.twins,
        "rows": max(entry.rows for entry in bench.entries),
        "measured by versions of the code": dict(Counter(one.code for one in found)),
        "measured on": dict(Counter(one.device for one in found)),
        "summary": summary(found),
        "classes": {name: class_table(those, bench.twins) for name, those in by_name.items()},
        "correlation with the true effect": correlations(found),
        "p of unconstrained networks": twin_p_values(found),
    }
    if bench.many_rows:
        result["coverage"] = {name: coverage(those) for name, those in by_name.items()}
    if bench.described:
        result["parts"] = {name: parts(those) for name, those in by_name.items()}
    return result


def kind_of(one: Measured) -> str:
    """What a network's class has in common with others."""
    if one.name in UNSETTLED:
        return "hard to decide"
    if one.truth == "head":
        return next((part for part in ("half", "a quarter") if one.name.startswith(part)), "whole") + " head"
    return one.truth


def summary(found: Sequence[Measured]) -> Table:
    """What is said of networks whose truth is alike."""
    kinds: dict[str, list[Measured]] = {}
    for one in found:
        kinds.setdefault(kind_of(one), []).append(one)
    result = {}
    for kind, those in kinds.items():
        said, alone = [verdict_on(one) for one in those], [verdict_on(one, 0) for one in those]
        result[kind] = {
            "classes": len({one.name for one in those}),
            "networks": len(those),
            "compensating head": counted(said, "compensating_head"),
            "suppression, or either": counted(said, "suppression", "head_or_suppression"),
            "aligned use": counted(said, "aligned_use"),
            "neutral": counted(said, "neutral"),
            "undecided": counted(said, *UNDECIDED),
            "consistent, without twins": counted(alone, "consistent_with_compensating_head"),
        }
    return result


def rules(found: Sequence[Measured]) -> Table:
    """What each rule says of networks without a head and with one."""
    without = [one for one in found if one.truth == "no head"]
    decidable = [one for one in without if one.name not in UNSETTLED]
    heads = [one for one in found if one.truth == "head"]
    whole = [one for one in heads if not one.name.startswith(("half", "a quarter"))]
    lost = [one for one in found if one.truth == "suppression"]
    return {
        name: {
            "false heads": counted((verdict_on(one, rule=rule) for one in without), "compensating_head"),
            "undecided without a head": counted((verdict_on(one, rule=rule) for one in decidable), *UNDECIDED),
            "heads at full strength": counted((verdict_on(one, rule=rule) for one in whole), "compensating_head"),
            "all heads": counted((verdict_on(one, rule=rule) for one in heads), "compensating_head"),
            "suppression": counted((verdict_on(one, rule=rule) for one in lost), "suppression", "head_or_suppression"),
            "consistent, without twins": counted(
                (verdict_on(one, 0, rule) for one in without), "consistent_with_compensating_head"
            ),
        }
        for name, rule in RULES.items()
    }


def seeds_where(found: Sequence[Measured], odd: bool) -> list[Measured]:
    """Networks of data sets with odd or with even seeds."""
    return [one for one in found if one.seed % 2 == int(odd)]
