"""Does the gap of a merge hold on new rows? Two hundred validation samples, judged on a million rows each.

    python tests/studies/margins.py

writes ``margins.json`` beside this file. Two populations: two groups of equal size that differ in merit, and a third of
the rows in a group that is rarely favoured. OxonFair 0.3 chooses on the same samples of 1,000 rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError
from fairheads.twoheads import fit_frontier

Rows = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]
TRUTH, SEEDS, ASKED = 1_000_000, 200, 0.02


def equal(seed: int, n: int) -> Rows:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    merit = rng.normal(size=n) + 0.8 * group
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * merit))).astype(np.int64)
    return 2 * merit, group + 0.3 * rng.normal(size=n), y, group


def rare(seed: int, n: int) -> Rows:
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < 0.33).astype(np.int64)
    merit = rng.normal(size=n) - 0.7 * group
    y = (rng.random(n) < 1 / (1 + np.exp(2.2 - 2.2 * merit))).astype(np.int64)
    return 2.2 * merit - 2.2 + 0.3 * rng.normal(size=n), group + 0.35 * rng.normal(size=n), y, group


POPULATIONS: dict[str, Callable[[int, int], Rows]] = {"equal groups": equal, "a third, rarely favoured": rare}


def judged(decision: NDArray[np.bool_], truth: Rows) -> tuple[float, float, float]:
    """True gap, accuracy and selection rate."""
    _, _, y, group = truth
    gap = abs(float(decision[group == 1].mean() - decision[group == 0].mean()))
    return gap, float((decision == y).mean()), float(decision.mean())


def named(error: InputError) -> float:
    """The smallest gap, as the refusal has it."""
    return float(str(error).rstrip(".").split()[-1])


def one(draw: Callable[[int, int], Rows], seed: int, n: int, truth: Rows, *, peer: bool) -> dict[str, Any]:
    """One sample: the gap it is held to, and what the certified and the point rule give on new rows."""
    rows = draw(seed, n)
    front = fit_frontier(*rows)
    refused = False
    limit = ASKED
    try:
        chosen = front.at(max_gap=limit)
    except InputError as error:
        refused, limit = True, named(error)
        chosen = front.at(max_gap=limit)
    found: dict[str, Any] = {"refused": refused, "limit": limit, "base rate": float(rows[2].mean())}
    decisions = {"certified": chosen, "point": front.at(max_gap=limit, confidence=None)}
    for name, merge in decisions.items():
        found[name] = judged(merge.score(truth[0], truth[1]) > 0, truth)
    if peer:
        found["oxonfair"] = judged(_oxonfair(rows, limit, truth), truth)
    return found


def _oxonfair(rows: Rows, limit: float, truth: Rows) -> NDArray[np.bool_]:
    from oxonfair import DeepFairPredictor, group_metrics

    rule = DeepFairPredictor(rows[2], np.column_stack(rows[:2]), rows[3])
    rule.fit(group_metrics.accuracy, group_metrics.demographic_parity, limit)
    outputs = np.column_stack([truth[1], 1 - truth[1]])
    scores = np.clip(truth[0], -15, 15)[:, None] * np.array([-0.5, 0.5]) + outputs @ rule.offset
    return np.asarray(scores.argmax(1) == 1)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the samples, and how often the true gap is larger than what was asked for."""
    limits = np.array([each["limit"] for each in found])
    plain: dict[str, Any] = {
        "samples": len(found),
        f"refused at {ASKED:g}": int(sum(each["refused"] for each in found)),
        "mean limit": round(float(limits.mean()), 4),
        "mean base rate": round(float(np.mean([each["base rate"] for each in found])), 4),
    }
    for name in ("certified", "point", "oxonfair"):
        if name in found[0]:
            gap, accuracy, selection = np.array([each[name] for each in found]).T
            plain[name] = {
                "violated": int((gap > limits).sum()),
                "mean true gap": round(float(gap.mean()), 4),
                "mean accuracy": round(float(accuracy.mean()), 4),
                "mean selection rate": round(float(selection.mean()), 4),
                "smallest selection rate": round(float(selection.min()), 4),
            }
    return plain


@click.command()
@click.option("--seeds", default=SEEDS, show_default=True)
@click.option("--peer/--no-peer", default=True, show_default=True, help="OxonFair on the samples of 1,000 rows.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).with_name("margins.json"))
def main(seeds: int, peer: bool, out: Path) -> None:
    """Judge certified merges, and merges by the point rule, on rows that nobody chose on."""
    table: dict[str, Any] = {"asked": ASKED, "confidence": 0.95, "rows that judge": TRUTH, "populations": {}}
    for name, draw in POPULATIONS.items():
        truth = draw(10**6, TRUTH)
        here = table["populations"].setdefault(name, {})
        for n in (1_000, 20_000):
            found = [one(draw, seed, n, truth, peer=peer and n == 1_000) for seed in range(seeds)]
            here[f"{n:,} rows"] = summary(found)
            click.echo(f"{name}, {n:,} rows: {json.dumps(here[f'{n:,} rows'])}")
    out.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
