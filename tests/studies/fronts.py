"""Accuracy against disparity on Adult (sex) and COMPAS (race): every objective, and the methods of other libraries.

Run by `make fronts` (half an hour on two cores); resumable (finished runs are kept in --work), one process per core
with one thread each. Writes fronts.json beside this file (counts of every run, means by setting, who dominates whom)
and, by fronts_figure.py, fronts.png. COMPAS and the peers OxonFair and fairness_training are left out where they are
not there.

All methods train a 3 x 128 MLP on the same rows and are judged by their decisions on the same held-out rows. Where a
method reads the recorded group of the rows it decides, it is marked, and compared with our networks that have the group
among their inputs; the others are compared with those that have not.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from fronts_figure import save
from numpy.typing import NDArray

from fairheads.activations import TorchNetwork, one_thread
from fairheads.constraints import RateConstraint, demographic_parity, equalized_odds, mmd, wasserstein
from fairheads.data import Dataset, adult
from fairheads.estimators import AdversarialPeer, Backbone, ExponentiatedGradientPeer, Peer, ThresholdOptimizerPeer
from fairheads.metrics import disparity_report
from fairheads.nets import MLP, TwoHeadNet
from fairheads.pathways.sample import scores
from fairheads.study.rows import compas_table
from fairheads.training import (
    Adversarial,
    GroupDRO,
    Lagrangian,
    Massaged,
    Objective,
    Penalized,
    Reweighted,
    TwoHeaded,
    Unconstrained,
    train,
)
from fairheads.twoheads import fit_frontier, merge_net, two_head_scores

HERE = Path(__file__).parent
HIDDEN = (128, 128, 128)
GAPS = ("demographic_parity", "equalized_odds")
RECIPES = {"adult": {"epochs": 8, "batch_size": 512}, "compas": {"epochs": 30, "batch_size": 128}}
TOLERANCE = 0.02
NEAR = 0.005
"""Gaps this close are the same: less than one standard error of a gap on the held-out rows (.006 and .024)."""
Decisions = NDArray[np.int64]


@dataclass(frozen=True)
class Method:
    """A series of the figure: settings in order, and how one of them decides about held-out rows."""

    name: str
    ours: bool
    settings: tuple[float | None, ...]
    decide: Callable[[str, float | None, Dataset, Dataset, int], Decisions]
    reads_group: bool = False

    def seeds(self, setting: float | None) -> range:
        """Ten where the issue is how often a tolerance is met, else five."""
        return range(10 if self.name.startswith("Lagrangian") and setting == TOLERANCE else 5)


def objective(make: Callable[[float], Objective], *, with_group: bool = False) -> Callable[..., Decisions]:
    """Train with the objective of a setting, decide at logit 0."""

    def decide(data: str, setting: float | None, rows: Dataset, held_out: Dataset, seed: int) -> Decisions:
        if with_group:
            rows, held_out = _with_group(rows), _with_group(held_out)
        net = MLP(rows.inputs["x"].shape[1], hidden=HIDDEN, seed=seed)
        train(net, rows, make(setting or 0.0), seed=seed, **RECIPES[data])
        return (scores(TorchNetwork(net), held_out) > 0).astype(np.int64)

    return decide


def _with_group(rows: Dataset) -> Dataset:
    return Dataset(np.column_stack([rows.inputs["x"], rows.group]), rows.y, rows.group, group_names=rows.group_names)


def merged(data: str, setting: float | None, rows: Dataset, held_out: Dataset, seed: int) -> Decisions:
    """A two-headed network, merged at the gap of the setting on a fifth of the training rows."""
    order = np.random.default_rng(seed).permutation(len(rows))
    choice, rest = rows.take(order[: len(order) // 5]), rows.take(order[len(order) // 5 :])
    net = TwoHeadNet(MLP(rows.inputs["x"].shape[1], hidden=HIDDEN, seed=seed), seed=seed)
    train(net, rest, TwoHeaded(), seed=seed, **RECIPES[data])
    heads = two_head_scores(net, choice)
    coefficients = fit_frontier(heads[:, 0], heads[:, 1], choice.y, choice.group).at(
        max_gap=float(setting or 0), confidence=None
    )
    return (scores(TorchNetwork(merge_net(net, coefficients, choice)), held_out) > 0).astype(np.int64)


def peer(make: Callable[[Backbone, float | None], Peer]) -> Callable[..., Decisions]:
    """Fit a peer around the same network and recipe."""

    def decide(data: str, setting: float | None, rows: Dataset, held_out: Dataset, seed: int) -> Decisions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(Backbone(hidden=HIDDEN, **RECIPES[data]), setting).fit(rows, seed).decide(held_out, seed)

    return decide


def odds(memory: float) -> RateConstraint:
    """Equalized odds with running counts: a batch of Adult has a dozen women with an income above 50K."""
    return equalized_odds(memory=memory)


WEIGHTS = (1.0, 3.0, 10.0, 30.0)
TOLERANCES = (0.0, 0.01, TOLERANCE, 0.05, 0.1)
SMALL = (0.1, 0.3, 1.0, 3.0)


def methods() -> list[Method]:
    """Everything that is compared, peers as far as they are installed."""
    found = [
        Method("Unconstrained", True, (None,), objective(lambda _: Unconstrained())),
        Method("Penalized, DP", True, WEIGHTS, objective(lambda w: Penalized(demographic_parity(), w))),
        Method("Penalized, EO", True, (3.0, 10.0, 30.0, 100.0), objective(lambda w: Penalized(odds(0.9), w))),
        Method("Penalized, MMD", True, SMALL, objective(lambda w: Penalized(mmd(), 3 * w))),
        Method("Penalized, Wasserstein", True, SMALL, objective(lambda w: Penalized(wasserstein(), w))),
        Method("Lagrangian, DP", True, TOLERANCES, objective(lambda t: Lagrangian(demographic_parity(), t))),
        Method("Lagrangian, EO", True, TOLERANCES, objective(lambda t: Lagrangian(odds(0.5), t))),
        Method(
            "Lagrangian, DP, group an input",
            True,
            TOLERANCES,
            objective(lambda t: Lagrangian(demographic_parity(), t), with_group=True),
            reads_group=True,
        ),
        Method(
            "Lagrangian, EO, group an input",
            True,
            TOLERANCES,
            objective(lambda t: Lagrangian(odds(0.5), t), with_group=True),
            reads_group=True,
        ),
        Method(
            "Penalized, DP, group an input",
            True,
            (10.0, 30.0, 100.0),
            objective(lambda w: Penalized(demographic_parity(), w), with_group=True),
            reads_group=True,
        ),
        Method(
            "Penalized, EO, group an input",
            True,
            (10.0, 30.0, 100.0),
            objective(lambda w: Penalized(odds(0.9), w), with_group=True),
            reads_group=True,
        ),
        Method("Adversarial, DP", True, SMALL, objective(lambda w: Adversarial(w))),
        Method("Adversarial, EO", True, SMALL, objective(lambda w: Adversarial(w, given_label=True))),
        Method("Reweighted", True, (0.5, 1.0), objective(lambda s: Reweighted(s))),
        Method("Massaged", True, (0.5, 1.0), objective(lambda s: Massaged(s))),
        Method("GroupDRO", True, (0.01, 0.1), objective(lambda r: GroupDRO(r))),
        Method("Two heads, merged", True, (0.005, 0.02, 0.05, 0.1), merged),
    ]
    for short, constraint in (("DP", "demographic_parity"), ("EO", "equalized_odds")):
        found += [
            Method(
                f"Fairlearn ExponentiatedGradient, {short}",
                False,
                (0.005, 0.03),
                peer(
                    lambda b, t, c=constraint: ExponentiatedGradientPeer(
                        constraint=c, tolerance=t, rounds=12, backbone=b
                    )
                ),
            ),
            Method(
                f"Fairlearn ThresholdOptimizer, {short}",
                False,
                (None, 0.05) if short == "DP" else (None,),
                peer(lambda b, t, c=constraint: ThresholdOptimizerPeer(constraint=c, tolerance=t, backbone=b)),
                reads_group=True,
            ),
            Method(
                f"Fairlearn AdversarialFairness, {short}",
                False,
                (0.3, 1.0),
                peer(lambda b, w, c=constraint: AdversarialPeer(constraint=c, weight=w, backbone=b)),
            ),
            Method(
                f"The same with the paper's step, {short}",
                False,
                (0.3, 1.0),
                peer(lambda b, w, c=constraint: AdversarialPeer(constraint=c, weight=w, published=True, backbone=b)),
            ),
        ]
    if importlib.util.find_spec("oxonfair") and importlib.util.find_spec("fairness_training"):
        from front_peers import OxonFairPeer, ProjectionPeer

        for short, constraint in (("DP", "demographic_parity"), ("EO", "equalized_odds")):
            found += [
                Method(
                    f"OxonFair, {short}",
                    False,
                    (0.01, 0.05),
                    peer(lambda b, t, c=constraint: OxonFairPeer(constraint=c, tolerance=t, backbone=b)),
                ),
                Method(
                    f"fairness_training, {short}",
                    False,
                    (0.02, 0.05),
                    peer(lambda b, t, c=constraint: ProjectionPeer(constraint=c, tolerance=t, backbone=b)),
                    reads_group=short == "DP",
                ),
            ]
    return found


@lru_cache(maxsize=2)
def rows_of(data: str) -> tuple[Dataset, Dataset]:
    """Training rows and held-out rows."""
    if data == "adult":
        return adult(sensitive="sex").split()
    file = Path(os.environ["FAIRHEADS_SHARED_DATA"]) / "compas" / "compas_two_years_deidentified.csv"
    return compas_table(file).split(test=0.3)


def one_run(data: str, name: str, setting: float | None, seed: int, work: str) -> dict[str, Any]:
    """Counts of held-out rows by group, label and decision; kept on disk."""
    file = Path(work) / f"{data}-{name}-{setting}-{seed}.json".replace(" ", "_").replace(",", "")
    if file.exists():
        kept: dict[str, Any] = json.loads(file.read_text())
        return kept
    rows, held_out = rows_of(data)
    method = next(each for each in methods() if each.name == name)
    start = time.perf_counter()
    found = {"data": data, "method": name, "setting": setting, "seed": seed, "ours": method.ours}
    found["reads_group"] = method.reads_group
    try:
        with one_thread():
            decided = method.decide(data, setting, rows, held_out, seed)
    except RuntimeError as error:
        # A peer's training can diverge (its network ends in NaN); that is a finding, of a peer only.
        if method.ours:
            raise
        row = {**found, "failed": str(error)}
    else:
        counts = np.zeros((2, 2, 2), np.int64)
        np.add.at(counts, (held_out.group, held_out.y, decided), 1)
        row = {**found, "seconds": round(time.perf_counter() - start, 1), "counts": counts.tolist()}
    file.write_text(json.dumps(row))
    return row


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Accuracy and both gaps of a run, from its counts."""
    counts = np.array(row["counts"])
    group, y, decided = (axis.ravel() for axis in np.indices(counts.shape))
    each = [np.repeat(values, counts.ravel()) for values in (group, y, decided)]
    report = disparity_report(each[1], each[2], sensitive_features=each[0])
    found = {"accuracy": report.metrics["accuracy"].overall.value}
    for criterion in GAPS:
        gap = report.criteria[criterion].difference
        found[criterion], found[f"{criterion}_low"] = gap.value, gap.low
    return {**row, **found}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means by setting, the shortfall of our front beside every peer, and how often the tolerance was met."""
    settings: dict[tuple[str, str, float | None], list[dict[str, Any]]] = {}
    for row in rows:
        settings.setdefault((row["data"], row["method"], row["setting"]), []).append(row)
    means = []
    for (data, method, setting), some in settings.items():
        mean = {key: float(np.mean([row[key] for row in some])) for key in ("accuracy", "seconds", *GAPS)}
        spread = {
            key: np.std([row[key] for row in some], ddof=1) if len(some) > 1 else np.nan for key in ("accuracy", *GAPS)
        }
        sd = {f"{key}_sd": None if np.isnan(value) else float(value) for key, value in spread.items()}
        same = {key: some[0][key] for key in ("ours", "reads_group")}
        means.append({"data": data, "method": method, "setting": setting, "seeds": len(some), **same, **mean, **sd})
    beside = []
    for data in dict.fromkeys(row["data"] for row in means):
        for gap in GAPS:
            ours = [row for row in means if row["ours"] and row["data"] == data]
            for row in means:
                if row["ours"] or row["data"] != data:
                    continue
                alike = [each for each in ours if row["reads_group"] or not each["reads_group"]]
                found = {k: row[k] for k in ("data", "method", "setting", "reads_group", "accuracy")}
                found |= {"gap": gap, "value": row[gap]}
                for key, slack in (("shortfall", 0.0), ("shortfall_near", NEAR)):
                    at_most = [each for each in alike if each[gap] <= row[gap] + slack]
                    best = max(at_most, key=lambda each: each["accuracy"], default=None)
                    found[key] = None if best is None else row["accuracy"] - best["accuracy"]
                    found[f"{key}_beside"] = None if best is None else [best["method"], best["setting"]]
                beside.append(found)
    met = {}
    for data in dict.fromkeys(row["data"] for row in rows):
        for method, gap in (("Lagrangian, DP", "demographic_parity"), ("Lagrangian, EO", "equalized_odds")):
            some = [row for row in rows if (row["data"], row["method"], row["setting"]) == (data, method, TOLERANCE)]
            met[f"{data}, {method}"] = {
                "seeds": len(some),
                "interval_reaches_tolerance": sum(row[f"{gap}_low"] <= TOLERANCE for row in some),
                "value_within_tolerance": sum(row[gap] <= TOLERANCE for row in some),
                "gaps": [round(row[gap], 4) for row in some],
            }
    return {"settings": means, "peers": beside, "tolerance": met}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default=str(HERE / "work" / "fronts"))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="Run only methods whose name contains this.")
    options = parser.parse_args()
    Path(options.work).mkdir(parents=True, exist_ok=True)
    shared = Path(os.environ.get("FAIRHEADS_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
    os.environ["FAIRHEADS_SHARED_DATA"] = str(shared)
    data = ["adult", *(["compas"] if (shared / "compas").is_dir() else [])]
    jobs = [
        (source, method.name, setting, seed, options.work)
        for source in data
        for method in methods()
        if options.only in method.name
        for setting in method.settings
        for seed in method.seeds(setting)
    ]
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        for done, future in enumerate(as_completed([pool.submit(one_run, *job) for job in jobs]), 1):
            rows.append(future.result())
            print(f"{done}/{len(jobs)} {rows[-1]['data']} {rows[-1]['method']} {rows[-1]['setting']}", flush=True)
    rows.sort(key=lambda row: (row["data"], jobs_order(row), str(row["setting"]), row["seed"]))
    found = summary([judged(row) for row in rows if "failed" not in row])
    found["failed"] = [row for row in rows if "failed" in row]
    written = {"recipes": RECIPES, "hidden": HIDDEN, **found, "runs": [row for row in rows if "failed" not in row]}
    (HERE / "fronts.json").write_text(json.dumps(written, indent=1) + "\n")
    save(found["settings"])
    for row in found["peers"]:
        if row["shortfall"] is None or row["shortfall"] > 0.005:
            print({key: value for key, value in row.items() if value is not None})
    print(json.dumps(found["tolerance"], indent=1))


def jobs_order(row: dict[str, Any]) -> int:
    """Where the method of a row stands in the list."""
    return [method.name for method in methods()].index(row["method"])


if __name__ == "__main__":
    main()
