"""How often the verdict is right: every planted class on many data sets, with twins and without, at several rules.

Run by `make calibrate` (`make calibrate QUICK=1` in ten minutes); resumable: measured data sets are kept in --work, one
process a core with one thread each. Writes calibration.json and calibration.png beside this file. Nothing is chosen on
the data sets that are reported: margins and rules were settled on those with even seeds, the tables are of odd ones.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import click
import numpy as np
from calibration_runs import KINDS, TWINS, Measured, one_data_set, read_data_set

from fairheads.metrics.intervals import clopper_pearson
from fairheads.pathways.analyze import judged
from fairheads.pathways.case import Case
from fairheads.pathways.conditions import twin_summary
from fairheads.results import PathwayReport

HERE = Path(__file__).parent
DATA_SETS = {"table": 200, "image": 60, "tokens": 60}
QUICK = {"table": 6, "image": 2, "tokens": 2}
ALPHA = 0.05

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


def verdict_on(reports: Sequence[PathwayReport]) -> str:
    """One word for a network: the loudest over its groups."""
    return min((report.verdict for report in reports), key=LOUDEST.index)


def with_twins(cases: Sequence[Case], n: int) -> list[Case]:
    """The same cases with the first ``n`` of their twins."""
    return [replace(case, twins=case.twins[:n]) for case in cases]


def share(hits: int, n: int) -> dict[str, Any]:
    """A count with its share and Clopper-Pearson's interval of 95 %."""
    low, high = (float(v) for v in clopper_pearson(hits, n))
    return {"count": hits, "n": n, "share": round(hits / n, 4), "low": round(low, 4), "high": round(high, 4)}


def class_table(found: Sequence[Measured]) -> dict[str, Any]:
    """What is said of one class: verdicts with all twins, with few and with none, and how far that is right."""
    reports = [judged(list(one.cases), ALPHA) for one in found]
    said = [verdict_on(each) for each in reports]
    alone = [verdict_on(judged(with_twins(one.cases, 0), ALPHA)) for one in found]
    n = len(found)
    table: dict[str, Any] = {
        "truth": found[0].truth,
        "n": n,
        "true effect": round(float(np.mean([one.true_effect for one in found])), 3),
        "verdicts": dict(Counter(said).most_common()),
        "without twins": dict(Counter(alone).most_common()),
        "compensating head": share(said.count("compensating_head"), n),
        "consistent, without twins": share(alone.count("consistent_with_compensating_head"), n),
        "undecided": share(sum(word in UNDECIDED for word in said), n),
        "suppression or head": share(sum(word in ("suppression", "head_or_suppression") for word in said), n),
        "by number of twins": {
            str(k): Counter(verdict_on(judged(with_twins(one.cases, k), ALPHA)) for one in found)["compensating_head"]
            for k in (2, 3, 5, 8, TWINS)
        },
    }
    return table


def detectors(found: Sequence[Measured]) -> dict[str, list[float]]:
    """Values of every detector, a network each, beside T*: the first group of each."""
    values: dict[str, list[float]] = {"true effect": []}
    for one in found:
        case = one.cases[0]
        if not case.layers:
            continue
        values["true effect"].append(one.true_effect)
        last = case.layers[-1]
        for name in ("swap", "erasure", "equal_merit", "flips", "probe_auc"):
            values.setdefault(f"{name}, last layer", []).append(last.point[name])
            values.setdefault(f"{name}, largest", []).append(max(layer.point[name] for layer in case.layers))
    return values


def correlations(found: Sequence[Measured]) -> dict[str, float]:
    """Correlation of every detector with T* over all networks of one kind of data."""
    values = {name: np.array(column) for name, column in detectors(found).items()}
    known = np.isfinite(values["true effect"])
    truth = values.pop("true effect")[known]
    return {name: round(float(np.corrcoef(truth, column[known])[0, 1]), 3) for name, column in values.items()}


def twin_p_values(found: Sequence[Measured]) -> dict[str, Any]:
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
    return {"n": len(p), **{f"at most {level:g}": round(float((p <= level).mean()), 4) for level in (0.05, 0.1, 0.25)}}


def tables(kind: str, found: Sequence[Measured]) -> dict[str, Any]:
    """All classes of one kind of data."""
    names = list(dict.fromkeys(one.name for one in found))
    return {
        "data sets": len({one.seed for one in found}),
        "classes": {name: class_table([one for one in found if one.name == name]) for name in names},
        "correlation with the true effect": correlations(found),
        "p of unconstrained networks": twin_p_values(found),
    }


def halves(seeds: Sequence[int]) -> dict[str, Callable[[int], bool]]:
    """Which data sets rules were settled on, and which are reported."""
    return {"settled on": lambda seed: seed % 2 == 0, "reported": lambda seed: seed % 2 == 1} if len(seeds) > 1 else {}


@click.command()
@click.option("--quick", is_flag=True, help="Few data sets: ten minutes.")
@click.option("--work", type=click.Path(path_type=Path), default=HERE / "work" / "calibration")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), default=KINDS)
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
@click.option("--measured-only", is_flag=True, help="Only data sets that are measured already.")
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "calibration.json")
def main(quick: bool, work: Path, kinds: tuple[str, ...], processes: int, measured_only: bool, out: Path) -> None:
    """Measure the data sets that are missing, then judge all and write the tables."""
    work.mkdir(parents=True, exist_ok=True)
    wanted = [(kind, seed) for kind in kinds for seed in range((QUICK if quick else DATA_SETS)[kind])]
    if not measured_only:
        with ProcessPoolExecutor(processes) as pool:
            jobs = [pool.submit(one_data_set, kind, seed, str(work)) for kind, seed in wanted]
            for done, job in enumerate(as_completed(jobs), 1):
                kind, seed, seconds = job.result()
                click.echo(f"{done:4}/{len(jobs)} {kind} {seed} {seconds:.0f} s", err=True)
    here = [(kind, seed) for kind, seed in wanted if (work / f"{kind}-{seed:03}.pickle").exists()]
    result: dict[str, Any] = {"alpha": ALPHA, "twins": TWINS}
    for kind in kinds:
        seeds = [seed for each, seed in here if each == kind]
        for half, chosen in halves(seeds).items():
            found = [one for seed in seeds if chosen(seed) for one in read_data_set(kind, seed, str(work))]
            result.setdefault(kind, {})[half] = tables(kind, found)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for kind in kinds:
        for name, row in result.get(kind, {}).get("reported", {"classes": {}})["classes"].items():
            click.echo(f"{kind:6} {name:24} {row['truth']:12} {row['n']:4} {row['verdicts']}")


if __name__ == "__main__":
    main()
