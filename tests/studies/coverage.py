"""How often the intervals of a disparity report hold the truth, by simulation: `make coverage`, a few minutes.

Every setting draws tables of groups whose metrics are known and counts how often the 95 % interval holds them. Groups
are independent, so the groups of all tables are estimated as the groups of one. Written to coverage.json beside this
file.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fairheads.metrics import scores as of_scores
from fairheads.metrics.bootstrap import cell_metric, generalized_entropy, replicate, theil
from fairheads.metrics.conditional import over_strata
from fairheads.metrics.estimate import Measured, gap_of, to_everybody
from fairheads.metrics.intervals import compared, difference_interval, ratio_interval
from fairheads.metrics.rates import RATE_OF, balanced_accuracy, error_ratio, rate
from fairheads.results import Number
from fairheads.sums import Cells, ScoreHistogram

OUT = Path(__file__).with_suffix(".json")
SIZES = (200, 1000, 5000, 20_000)
GROUPS = (2, 4, 16)
RATES = (0.01, 0.05, 0.2, 0.5)
TABLES = 2000
BASE = 0.4
REPLICATES = 2000
UNEQUAL = 5000

WEIGHTS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[Any]] | None] = {
    "none": None,
    "uniform .5 to 2": lambda rng, shape: rng.uniform(0.5, 2.0, shape),
    "exponential": lambda rng, shape: rng.exponential(1.0, shape),
}


def f1(tp: Any, fp: Any, fn: Any, tn: Any) -> Any:
    return 2 * tp / (2 * tp + fp + fn)


@dataclass(frozen=True)
class Setting:
    """Rows, groups and selection rate; the label is favourable with chance .4, and decisions depend on it a little."""

    n: int
    groups: int
    p: float
    weights: str

    @property
    def rows(self) -> int:
        return self.n // self.groups

    @property
    def shares(self) -> NDArray[np.float64]:
        """Chances of the cells [label, decision]."""
        high = min(1.5 * self.p, 0.5 * (1 + self.p))
        low = (self.p - BASE * high) / (1 - BASE)
        return np.array([[(1 - BASE) * (1 - low), (1 - BASE) * low], [BASE * (1 - high), BASE * high]])


def drawn_cells(setting: Setting, tables: int, rng: np.random.Generator) -> Cells:
    """The cells of ``tables`` groups."""
    names = tuple(map(str, range(tables)))
    draw = WEIGHTS[setting.weights]
    flat = setting.shares.ravel()
    counts = rng.multinomial(setting.rows, flat, tables).reshape(-1, 2, 2)
    if draw is None:
        return Cells(names, counts)
    sums = np.zeros((2, tables, 4))
    for i, table in enumerate(counts.reshape(-1, 4)):
        w = draw(rng, (setting.rows,))
        cell = np.repeat(np.arange(4), table)
        sums[0, i], sums[1, i] = np.bincount(cell, w, 4), np.bincount(cell, w * w, 4)
    return Cells(names, counts, *sums.reshape(2, tables, 2, 2))


def truth(setting: Setting, name: str) -> float:
    cells = Cells(("truth",), np.zeros((1, 2, 2), np.int64), setting.shares[None], setting.shares[None])
    return float(metrics_of(cells, np.random.default_rng(0), {name})[name].groups.value[0])


def metrics_of(cells: Cells, rng: np.random.Generator, names: set[str]) -> dict[str, Measured]:
    found = {name: rate(cells, of) for name, of in RATE_OF.items() if name in names}
    if "balanced_accuracy" in names:
        found["balanced_accuracy"] = balanced_accuracy(cells)
    if "error_ratio" in names:
        found["error_ratio"] = error_ratio(cells)
    drawn = replicate(cells, 2 if len(cells.groups) == 1 else REPLICATES, rng)
    for name, metric in (("generalized_entropy", generalized_entropy), ("theil", theil), ("f1", f1)):
        if name in names:
            found[name] = cell_metric(cells, metric, drawn)
    return found


NAMES = ("selection_rate", "true_positive_rate", "positive_predictive_value", "accuracy")
MADE = ("balanced_accuracy", "error_ratio", "generalized_entropy", "theil", "f1")
TRIALS = {
    "selection_rate": lambda s: s.sum(),
    "accuracy": lambda s: s.sum(),
    "true_positive_rate": lambda s: s[1].sum(),
    "positive_predictive_value": lambda s: s[:, 1].sum(),
}


def information(setting: Setting, name: str, effective: float) -> float:
    """n p (1 - p) of a rate; of what is made of several cells, that of the rarest cell."""
    if name in TRIALS:
        p = truth(setting, name)
        return effective * float(TRIALS[name](setting.shares)) * p * (1 - p)
    rare = float(setting.shares.min())
    return effective * rare * (1 - rare)


def held(low: Any, high: Any, value: float) -> tuple[float, int]:
    """Share of the defined intervals that hold a value, and their number."""
    known = ~(np.isnan(low) | np.isnan(high))
    inside = (low[known] <= value + 1e-12) & (value - 1e-12 <= high[known])
    return (float(inside.mean()) if known.any() else float("nan")), int(known.sum())


def estimates(setting: Setting, rng: np.random.Generator, tables: int) -> Iterator[dict[str, Any]]:
    """Coverage of single metrics, and of differences and ratios of two groups."""
    cells = drawn_cells(setting, 2 * tables, rng)
    effective = float(setting.rows)
    if cells.weights is not None and cells.squares is not None:
        effective = float((cells.weights.sum((1, 2)) ** 2 / cells.squares.sum((1, 2))).mean())
    names = set(NAMES) | (set(MADE) if tables <= TABLES else set())
    for name, measured in metrics_of(cells, rng, names).items():
        estimate, value = measured.groups, truth(setting, name)
        told = {"metric": name, "information": round(information(setting, name, effective), 2)}
        low, high = estimate.limits(0.95, False)
        defined = np.array([reason is None for reason in estimate.reasons])
        share, n = held(np.where(defined, low, np.nan), high, value)
        yield {**told, "interval": "value", "coverage": round(share, 4), "draws": n}
        one, two = (estimate.take(list(range(side * tables, (side + 1) * tables))) for side in (0, 1))
        (low, high), (least, most) = compared(one.side, two.side, 0.95)
        both = defined[:tables] & defined[tables:]
        share, n = held(np.where(both, low, np.nan), high, 0.0)
        yield {
            **told,
            "interval": "difference",
            "coverage": round(share, 4),
            "draws": n,
        }
        some = both & (one.value > 0) & (two.value > 0)
        if name not in ("generalized_entropy", "theil"):
            share, n = held(np.where(some | one.exact | two.exact, np.where(both, least, np.nan), np.nan), most, 1.0)
            yield {
                **told,
                "interval": "ratio",
                "coverage": round(share, 4),
                "draws": n,
            }


def of_everybody(setting: Setting, rng: np.random.Generator, tables: int) -> Iterator[dict[str, Any]]:
    """Coverage of a group against everybody, and of the largest gap, with and without a true one."""
    told = {"metric": "selection_rate", "information": round(setting.rows * setting.p * (1 - setting.p), 2)}
    names = tuple(map(str, range(setting.groups)))
    against, none, some = [], [], []
    for _ in range(tables):
        cells = drawn_cells(setting, setting.groups, rng)
        cells = Cells(names, cells.counts, cells.weights, cells.squares)
        measured = rate(cells, RATE_OF["selection_rate"])
        found = to_everybody(measured, 2, 0.95)["0"].difference
        if found.reason is None:
            against.append(inside(found, 0.0))
        none.append(inside(gap_of(measured.groups, 0.95).difference, 0.0))
        if setting.weights == "none":
            moved = cells.counts.copy()
            share = min(setting.p + 0.1, 0.9)
            chosen = rng.binomial(setting.rows, share)
            moved[0] = [[setting.rows - chosen, chosen], [0, 0]]
            gap = gap_of(rate(Cells(names, moved), RATE_OF["selection_rate"]).groups, 0.95).difference
            some.append(inside(gap, share - setting.p))
    for interval, hits in (("against everybody", against), ("gap of 0", none), ("gap of .1", some)):
        if hits:
            yield {**told, "interval": interval, "coverage": round(float(np.mean(hits)), 4), "draws": len(hits)}


def inside(number: Number, value: float) -> bool:
    low, high = number.low, number.high
    return (low is None or low <= value + 1e-12) and (high is None or value - 1e-12 <= high)


def of_ranking(setting: Setting, rng: np.random.Generator, tables: int) -> Iterator[dict[str, Any]]:
    """Coverage of metrics of scores: probabilities that mean what they say, with the base rate p."""
    population = scored(setting, 2_000_000, rng, 1)
    truth_of = {name: float(metric(population).groups.value[0]) for name, metric in SCORED.items()}
    hits: dict[tuple[str, str], list[bool]] = {}
    for _ in range(tables):
        histogram = scored(setting, setting.rows, rng, 2)
        for name, metric in SCORED.items():
            measured = metric(histogram)
            if any(measured.groups.reasons):
                continue
            numbers = measured.groups.numbers(0.95)
            if name != "expected_calibration_error":  # its plug-in value is biased upwards: only differences are tested
                hits.setdefault((name, "value"), []).append(inside(numbers["0"], truth_of[name]))
            (low, high), _ = compared(measured.groups.take([0]).side, measured.groups.take([1]).side, 0.95)
            hits.setdefault((name, "difference"), []).append(bool(low[0] <= 0 <= high[0]))
            against = to_everybody(measured, 2, 0.95)["0"].difference
            if against.low is not None:
                hits.setdefault((name, "against everybody"), []).append(inside(against, 0.0))
    for (name, interval), found in hits.items():
        yield {
            "metric": name,
            "information": round(setting.rows * setting.p * (1 - setting.p), 2),
            "interval": interval,
            "coverage": round(float(np.mean(found)), 4),
            "draws": len(found),
        }


SCORED = {
    "mean_score": of_scores.mean_score,
    "auc": of_scores.auc,
    "brier": of_scores.brier,
    "expected_calibration_error": of_scores.expected_calibration_error,
    "median": lambda histogram: of_scores.quantile(histogram, 0.5),
}


def scored(setting: Setting, rows: int, rng: np.random.Generator, groups: int) -> ScoreHistogram:
    """Scores from a beta distribution with mean p, and labels drawn with them."""
    score = rng.beta(4 * setting.p, 4 * (1 - setting.p), rows * groups)
    y = rng.random(len(score)) < score
    draw = WEIGHTS[setting.weights]
    weight = None if draw is None else draw(rng, (len(score),))
    names = [str(g) for g in range(groups)]
    return ScoreHistogram.count(score=score, y=y, group=np.repeat(np.arange(groups), rows), groups=names, weight=weight)


def within_strata(setting: Setting, rng: np.random.Generator, tables: int) -> Iterator[dict[str, Any]]:
    """Coverage of Mantel and Haenszel's difference and ratio over four strata of other sizes and rates."""
    differences, ratios, levels = [], [], []
    for _ in range(tables):
        strata = {}
        for i, factor in enumerate((0.5, 0.8, 1.0, 1.7)):
            n = rng.multinomial(setting.rows, [0.25] * 4, 2)[:, i]
            k = rng.binomial(n, min(setting.p * factor, 0.95))
            strata[str(i)] = Cells(("a", "b"), np.stack([n - k, k], 1)[:, None])
        found = over_strata(strata.values(), ("a", "b"), "a", 0.95)["b"]
        if found.difference.reason is None:
            differences.append(inside(found.difference, 0.0))
        if found.ratio.low is not None:
            ratios.append(inside(found.ratio, 1.0))
        if found.p.reason is None:
            levels.append(found.p.value > 0.05)
    told = {"metric": "conditional", "information": round(setting.rows * setting.p * (1 - setting.p), 2)}
    for interval, hits in (("difference", differences), ("ratio", ratios), ("p above .05", levels)):
        yield {**told, "interval": interval, "coverage": round(float(np.mean(hits)), 4), "draws": len(hits)}


def of_unequal(seed: int) -> Iterator[dict[str, Any]]:
    """Coverage of a difference and of a ratio of two rates where one group is a twentieth of the rows."""
    rng = np.random.default_rng([seed, 95])
    for n in (2000, 6000, 20_000):
        few, many = n // 20, n - n // 20
        for p in (0.006, 0.02, 0.06, 0.2, 0.5, 0.94):
            for other in (p, min(2 * p, 0.97)):
                k1, k0 = rng.binomial(few, p, UNEQUAL), rng.binomial(many, other, UNEQUAL)
                told = {"n": n, "groups": 2, "p": p, "weights": "none", "metric": "selection_rate", "draws": UNEQUAL}
                told["information"] = round(min(few * p * (1 - p), many * other * (1 - other)), 2)
                for name, interval, truth in (
                    ("difference", difference_interval, p - other),
                    ("ratio", ratio_interval, p / other),
                ):
                    low, high = interval(k1, few, k0, many)
                    held = float(((low <= truth + 1e-12) & (truth <= high + 1e-12)).mean())
                    yield {**told, "interval": f"{name}, 1 to 19", "coverage": round(held, 4)}


def settings() -> Iterator[Setting]:
    for weights in WEIGHTS:
        for n in SIZES:
            for groups in GROUPS:
                for p in RATES:
                    yield Setting(n, groups, p, weights)


Part = Callable[[Setting, np.random.Generator, int], Iterator[dict[str, Any]]]
COLUMNS = ("n", "groups", "p", "weights", "metric", "interval", "information", "coverage", "draws")


def one_setting(number: int, setting: Setting, tables: int, seed: int) -> list[dict[str, Any]]:
    """All coverages of one setting."""
    start = time.time()
    parts: list[Part] = [estimates, of_everybody]
    if setting.groups == 2 and setting.n <= 5000:
        parts += [of_ranking] + ([within_strata] if setting.weights == "none" else [])
    rows = []
    for place, part in enumerate(parts):
        rng = np.random.default_rng([seed, number, place])
        rows += [{**asdict(setting), **row} for row in part(setting, rng, tables) if row["draws"]]
    print(setting, f"{time.time() - start:.1f} s", flush=True)
    return rows


def study(tables: int, seed: int) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(max_workers=2) as pool:
        runs = [pool.submit(one_setting, number, setting, tables, seed) for number, setting in enumerate(settings())]
        return [*(row for run in runs for row in run.result()), *of_unequal(seed)]


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Least and largest coverage of each interval, above and below n p (1 - p) = 5, beyond what chance explains."""
    lines = []
    keys = sorted({(r["weights"] != "none", r["metric"], r["interval"]) for r in rows})
    for weighted, metric, interval in keys:
        mine = [r for r in rows if (r["weights"] != "none", r["metric"], r["interval"]) == (weighted, metric, interval)]
        for small in (False, True):
            some = [r for r in mine if (r["information"] < 5) == small and r["draws"] > 200]
            if some:
                covered = [r["coverage"] for r in some]
                beyond = sum(
                    not stats.binomtest(round(r["coverage"] * r["draws"]), r["draws"], 0.935).pvalue > 0.01
                    and r["coverage"] < 0.935
                    for r in some
                )
                what = f"{'weighted' if weighted else 'counted':9} {metric:28} {interval:18}"
                lines.append(
                    f"{what} {'below 5' if small else '5 or more':10}"
                    f" {min(covered):.3f} to {max(covered):.3f} ({len(some)} settings, {beyond} surely below .935)"
                )
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=TABLES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    found = study(given.tables, given.seed)
    lines = ",\n".join(json.dumps([row[column] for column in COLUMNS]) for row in found)
    given.out.write_text(f'{{"columns": {json.dumps(COLUMNS)}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
    print("\n".join(summary(found)))
