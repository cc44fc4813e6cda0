"""Does a group head explain a constrained network? Statements 2 and 3 of the paper, on Adult and COMPAS.

Run by `make heads` (three minutes on one core); resumable: trained networks are kept in --work. Five seeds of
unconstrained, constrained (demographic parity at several weights) and two-headed 3 x 128 MLPs, trained on the training
rows; coefficients are fitted on the validation rows, and everything is measured on the test rows. The groups are the
sexes of Adult, its five races, and the two largest races of COMPAS. Writes two_heads.json beside this file, and prints
its tables. COMPAS is left out where FAIRHEADS_SHARED_DATA does not have it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import one_thread
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset, Table, adult
from fairheads.errors import InputError
from fairheads.metrics import auc
from fairheads.nets import MLP, TwoHeadNet
from fairheads.study.rows import compas_table
from fairheads.training import Objective, Penalized, TwoHeaded, Unconstrained, train
from fairheads.twoheads import (
    Frontier,
    approximates,
    attach_group_head,
    fit_frontier,
    group_thresholds,
    recovers,
    two_head_scores,
)
from fairheads.twoheads.thresholds import membership

HERE = Path(__file__).parent
RECIPES = {
    "adult": {"epochs": 8, "batch_size": 512},
    "adult, race": {"epochs": 8, "batch_size": 512},
    "compas": {"epochs": 30, "batch_size": 128},
}
WEIGHTS = {"adult": (3.0, 10.0, 30.0), "adult, race": (0.3, 1.0), "compas": (3.0, 10.0, 30.0)}
"""Of demographic parity. Races have few rows in a batch, and larger weights refuse nearly everybody."""

SEEDS = 5
KEYS = ("data", "weight", "method", "max_gap", "confidence")
"""What tells the rows of a table apart."""

GAPS = (0.01, 0.02, 0.03, 0.047, 0.1)
"""Largest gaps that merges are asked for on the validation rows."""

PUBLISHED = {"accuracy": 0.8408, "gap": 0.0466}
"""OxonFair's published figures on Adult by sex, where the rows' groups are not read (Delaney et al., NeurIPS 2024)."""

Floats = NDArray[np.float64]


def table_of(data: str, shared: Path) -> Table:
    """Adult by sex or race, or COMPAS by race: the two largest groups, favourable is no new arrest in two years."""
    if data.startswith("adult"):
        return adult(sensitive="sex" if data == "adult" else "race")
    return compas_table(shared / "compas" / "compas_two_years_deidentified.csv")


@lru_cache(maxsize=1)
def parts_of(data: str, shared: Path) -> dict[str, Dataset]:
    """Training, validation and test rows, encoded as the training rows say."""
    table = table_of(data, shared)
    masks = table.parts(test=0.3, validation=0.2, seed=0)
    encoder = table.fit_encoder(masks["train"])
    return {name: table.encode(encoder, rows) for name, rows in masks.items()}


def kinds(data: str) -> dict[str, Objective]:
    """What the networks of each kind are trained by."""
    constrained = {f"constrained-{w:g}": Penalized(demographic_parity(), w) for w in WEIGHTS[data]}
    return {"unconstrained": Unconstrained(), **constrained, "two_headed": TwoHeaded()}


def network(data: str, kind: str, seed: int, rows: Dataset, work: Path) -> nn.Module:
    """A trained network, read from ``work`` where it is there."""
    net: nn.Module = MLP(rows.inputs["x"].shape[1], seed=seed)
    if kind == "two_headed":
        net = TwoHeadNet(net, len(rows.group_names), seed=seed)
    file = work / f"{data.replace(', ', '-')}-{kind}-{seed}.pt"
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
        return net.eval()
    start = time.perf_counter()
    with one_thread():
        train(net, rows, kinds(data)[kind], seed=seed, **RECIPES[data])
    torch.save(net.state_dict(), file)
    print(f"{data} {kind} {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    return net


class Measured:
    """Scores of all networks of a table on its validation rows followed by its test rows."""

    def __init__(self, data: str, shared: Path, work: Path) -> None:
        parts = parts_of(data, shared)
        self.data, self.rows = data, {name: len(part) for name, part in parts.items()}
        chosen, held_out = parts["validation"], parts["test"]
        self.y, self.group = (np.concatenate([getattr(p, of) for p in (chosen, held_out)]) for of in ("y", "group"))
        self.fit = np.arange(len(self.y)) < len(chosen)
        self.outputs: dict[tuple[str, int], Floats] = {}
        for seed in range(SEEDS):
            for kind in kinds(data):
                net = network(data, kind, seed, parts["train"], work)
                # A single head gets a group head by a readout; that of the two-headed network was trained with it.
                two = net if kind == "two_headed" else attach_group_head(net, parts["train"])
                self.outputs[kind, seed] = np.concatenate([two_head_scores(two, p) for p in (chosen, held_out)])

    def task(self, kind: str, seed: int) -> Floats:
        return self.outputs[kind, seed][:, 0]

    def head(self, kind: str, seed: int) -> Floats:
        outputs = self.outputs[kind, seed][:, 1:]
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def others(self, kind: str, seed: int) -> list[Floats]:
        return [self.task(kind, other) for other in range(SEEDS) if other != seed]


def group_auc(group: NDArray[np.int64], head: Floats) -> float:
    """How well the head tells group 1 from group 0, or on average each of several groups from the rest."""
    if head.ndim == 1:
        return auc(group, head)
    return float(np.mean([auc((group == k).astype(np.int64), head[:, k]) for k in range(head.shape[1])]))


def statements(found: Measured, seed: int) -> list[dict[str, Any]]:
    """Both statements for every weight; the control has a group head that knows nothing."""
    rows = []
    noise = np.random.default_rng(seed).permutation(found.head("two_headed", seed), axis=0)
    for weight in WEIGHTS[found.data]:
        kind = f"constrained-{weight:g}"
        about = {"fit": found.fit, "name": found.data}
        constrained, task = found.task(kind, seed), found.task("two_headed", seed)
        second = approximates(
            constrained,
            task,
            found.head("two_headed", seed),
            found.y,
            found.group,
            repeats=found.others(kind, seed),
            **about,
        )
        control = approximates(constrained, task, noise, found.y, found.group, **about)
        third = recovers(
            constrained,
            found.head(kind, seed),
            found.task("unconstrained", seed),
            found.y,
            found.group,
            repeats=found.others("unconstrained", seed),
            **about,
        )
        test = ~found.fit
        rows.append(
            {
                "data": found.data,
                "weight": weight,
                "seed": seed,
                "approximates": second.to_dict(),
                "approximates_with_noise": control.over_floor.value,
                "recovers": third.to_dict(),
                "group_auc": {
                    of: group_auc(found.group[test], found.head(of, seed)[test])
                    for of in ("unconstrained", kind, "two_headed")
                },
            }
        )
    return rows


def merges(found: Measured, seed: int) -> list[dict[str, Any]]:
    """Merges, and thresholds by the true group, chosen on validation rows at several gaps, judged on the test rows."""
    chosen, test = found.fit, ~found.fit
    task, head = found.task("two_headed", seed), found.head("two_headed", seed)
    truth = membership(found.group)
    y, group = found.y[chosen], found.group[chosen]
    fronts: dict[str, tuple[Frontier, Floats]] = {
        "merge": (fit_frontier(task[chosen], head[chosen], y, group), head),
        "thresholds by true group": (group_thresholds(task[chosen], y, group), truth),
    }
    rows = []
    for method, (front, second) in fronts.items():
        for gap in GAPS:
            for confidence in (None, 0.95):
                row = {"data": found.data, "method": method, "max_gap": gap, "confidence": confidence, "seed": seed}
                try:
                    at = front.at(max_gap=gap, confidence=confidence)
                except InputError:
                    rows.append({**row, "accuracy": None, "gap": None})
                    continue
                selected = (at.score(task, second) > 0)[test]
                rates = [selected[found.group[test] == g].mean() for g in np.unique(found.group)]
                rows.append(
                    {
                        **row,
                        "b": at.slopes.tolist(),
                        "t": at.t,
                        "accuracy": float((selected == found.y[test]).mean()),
                        "gap": float(max(rates) - min(rates)),
                    }
                )
    return rows


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, smallest and largest of the seeds where there is a number, and of how many."""
    known = [value for value in values if value is not None]
    if not known:
        return {"seeds": 0, "mean": None, "low": None, "high": None}
    return {"seeds": len(known), "mean": float(np.mean(known)), "low": min(known), "high": max(known)}


def summary(statement_rows: list[dict[str, Any]], merge_rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and ranges over the seeds."""
    second, third = [], []
    for data, weight in dict.fromkeys((row["data"], row["weight"]) for row in statement_rows):
        some = [row for row in statement_rows if (row["data"], row["weight"]) == (data, weight)]
        one: dict[str, Any] = {"data": data, "weight": weight}
        for name in ("agreement", "floor", "ceiling", "over_floor", "to_ceiling", "share"):
            one[name] = spread([row["approximates"][name]["value"] for row in some])
        for name in ("constrained", "merged", "offset_only"):
            one[f"{name}_accuracy"] = spread([row["approximates"][name]["accuracy"]["value"] for row in some])
            one[f"{name}_gap"] = spread([row["approximates"][name]["gap"]["value"] for row in some])
        if len(some[0]["approximates"]["b"]) == 1:
            one["b"] = spread([row["approximates"]["b"][0] for row in some])
        one["noise_over_floor"] = spread([row["approximates_with_noise"] for row in some])
        for of in ("unconstrained", f"constrained-{weight:g}", "two_headed"):
            one[f"group_auc_{of.split('-')[0]}"] = spread([row["group_auc"][of] for row in some])
        second.append(one)
        other: dict[str, Any] = {"data": data, "weight": weight}
        scalars = ("constrained_agreement", "agreement", "floor", "ceiling", "over_floor", "to_ceiling", "share")
        for name in (*scalars, "gained", "by_head", "cost", "accuracy_share"):
            other[name] = spread([row["recovers"][name]["value"] for row in some])
        for name in ("constrained", "recovered", "offset_only", "unconstrained"):
            other[f"{name}_accuracy"] = spread([row["recovers"][name]["accuracy"]["value"] for row in some])
            other[f"{name}_gap"] = spread([row["recovers"][name]["gap"]["value"] for row in some])
        if len(some[0]["recovers"]["b"]) == 1:
            other["b"] = spread([row["recovers"]["b"][0] for row in some])
        third.append(other)
    merged = []
    for key in dict.fromkeys(tuple(row[k] for k in KEYS if k in row) for row in merge_rows):
        some = [row for row in merge_rows if tuple(row[k] for k in KEYS if k in row) == key]
        numbers = {
            "accuracy": spread([row["accuracy"] for row in some]),
            "gap": spread([row["gap"] for row in some]),
        }
        merged.append({**{k: some[0][k] for k in KEYS if k in some[0]}, **numbers})
    return {"approximates": second, "recovers": third, "merges": merged, "beside_published": beside(merged)}


def beside(merged: list[dict[str, Any]]) -> dict[str, Any]:
    """The merges of Adult that validation rows promise the published gap; none was chosen by the test rows."""
    asked = [row for row in merged if (row["data"], row["max_gap"]) == ("adult", 0.047)]
    return {"published": PUBLISHED, "ours": asked}


COLUMNS = {
    "approximates": (
        "agreement floor ceiling share over_floor noise_over_floor constrained_accuracy merged_accuracy constrained_gap"
        " merged_gap offset_only_gap"
    ),
    "recovers": (
        "constrained_agreement agreement floor ceiling share gained by_head cost constrained_accuracy"
        " recovered_accuracy unconstrained_accuracy recovered_gap unconstrained_gap"
    ),
    "merges": "accuracy gap",
}
"""What is printed of each table; the rest is in the file."""


def show(found: dict[str, Any]) -> None:
    """The tables: means over the seeds, of merges with the smallest and the largest."""
    for title, columns in COLUMNS.items():
        names = columns.split()
        print(f"\n{title}, mean over {SEEDS} seeds: {', '.join(names)}")
        for row in found[title]:
            about = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for k, v in row.items() if k in KEYS)
            print(f"  {about}: {'  '.join(cell(row[name], title == 'merges') for name in names)}")
    print("\nbeside the published figures on Adult:", PUBLISHED)
    for row in found["beside_published"]["ours"]:
        print(f"  {row['method']}, confidence {row['confidence']}: {cell(row['accuracy'])} at {cell(row['gap'])}")


def cell(number: dict[str, Any], whole: bool = True) -> str:
    """A mean, and where the ``whole`` is asked for the range and how many seeds have the number."""
    if number["mean"] is None:
        return "-"
    text = f"{number['mean']:.4f}"
    return f"{text} ({number['low']:.4f} to {number['high']:.4f}; {number['seeds']})" if whole else text


def rounded(value: Any) -> Any:
    """Floats to five decimals, so that the file does not depend on the last bits of a machine."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work" / "two_heads")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    shared = Path(os.environ.get("FAIRHEADS_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
    statement_rows, merge_rows, rows = [], [], {}
    for data in ["adult", "adult, race", *(["compas"] if (shared / "compas").is_dir() else [])]:
        found = Measured(data, shared, options.work)
        rows[data] = found.rows
        for seed in range(SEEDS):
            statement_rows += statements(found, seed)
            merge_rows += merges(found, seed)
            print(f"{data}: seed {seed} measured", flush=True)
    about = {
        "seeds": list(range(SEEDS)),
        "recipes": RECIPES,
        "rows": rows,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
    }
    tables = summary(statement_rows, merge_rows)
    written = rounded({**about, **tables, "statement_runs": statement_rows, "merge_runs": merge_rows})
    (HERE / "two_heads.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    show(tables)


if __name__ == "__main__":
    main()
