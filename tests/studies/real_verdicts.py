"""Verdicts on real data as they come: constrained and unconstrained networks on Adult, COMPAS and FairFace, five seeds.

Run by `make verdicts`; resumable: trained networks and finished rows are kept in --work. Networks of tables are 3 x 128
MLPs; the constraint is a penalty on demographic parity. Twins are five more unconstrained networks of the same recipe.
Networks of faces are those of the paper's study (`make paper`; trained here where they are missing), whose
unconstrained ones are each other's twins. Also: the same networks of Adult audited with labels that were flipped and
with rows that were sampled by outcome. Writes real_verdicts.json beside this file. COMPAS and FairFace are left out
where FAIRHEADS_SHARED_DATA does not have them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import click
import numpy as np
import torch
from torch import nn

from fairheads.activations import one_thread
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset, Table, adult
from fairheads.nets import MLP
from fairheads.pathways import analyze_pathways
from fairheads.results import Number, PathwayReport
from fairheads.results.record import json_text
from fairheads.study import SETTINGS
from fairheads.study.rows import compas_table, read_parts
from fairheads.study.setting import Task as PaperTask
from fairheads.study.studio import Studio
from fairheads.training import Penalized, Unconstrained, train

HERE = Path(__file__).parent
SEEDS, TWINS = 5, 5
TWIN_SEED = 100


@dataclass(frozen=True)
class Task:
    """Rows, weight of the penalty and recipe of a comparison."""

    name: str
    weight: float
    recipe: dict[str, Any] = field(default_factory=dict)


TASKS = (
    Task("adult, sex", 10.0, {"epochs": 8}),
    Task("adult, race", 1.0, {"epochs": 8}),
    Task("compas, race", 10.0, {"epochs": 30, "batch_size": 128}),
    Task("fairface, gender", 10.0),
)


def shared_data() -> Path:
    return Path(os.environ.get("FAIRHEADS_SHARED_DATA", HERE.parents[2] / "shared" / "data"))


@cache
def rows_of(name: str) -> tuple[Dataset, Dataset]:
    """Training and held-out rows."""
    table = _table(name)
    masks = table.parts(test=0.3, validation=0.0, seed=0)
    encoder = table.fit_encoder(masks["train"])
    return table.encode(encoder, masks["train"]), table.encode(encoder, masks["test"])


def _table(name: str) -> Table:
    if name.startswith("adult"):
        return adult(sensitive="race" if name.endswith("race") else "sex")
    return compas_table(shared_data() / "compas" / "compas_two_years_deidentified.csv")


def trained(task: Task, kind: str, seed: int, work: Path) -> nn.Module:
    """A network, read from ``work`` where it is there."""
    rows, _ = rows_of(task.name)
    net = MLP(rows.inputs["x"].shape[1], seed=seed)
    file = work / f"{task.name.replace(', ', '-')}-{kind}-{seed}.pt"
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
        return net.eval()
    objective = Penalized(demographic_parity(), task.weight) if kind == "constrained" else Unconstrained()
    train(net, rows, objective, seed=seed, **task.recipe)
    torch.save(net.state_dict(), file)
    return net


def _plain(number: Number) -> list[float | None]:
    return [
        round(number.value, 4),
        *(None if bound is None else round(bound, 4) for bound in (number.low, number.high)),
    ]


def row_of(report: PathwayReport) -> dict[str, Any]:
    """What the table shows of one group."""
    last = report.layers[-1] if report.layers else None
    effect = report.effect
    return {
        "group": report.group,
        "reference": report.reference,
        "n": report.n,
        "verdict": report.verdict,
        "reason": report.reason,
        "orientation": report.orientation,
        "effect": None if effect is None else [effect.kind, effect.layer, effect.value, effect.low, effect.high],
        "p": None if report.twins is None else report.twins.p,
        "retention": _plain(report.retention),
        "flips": None if report.flips is None else report.flips.share,
        "swap": {layer.name: _plain(layer.swap) for layer in report.layers},
        "erasure": {layer.name: _plain(layer.erasure) for layer in report.layers},
        "probe AUC, last layer": None if last is None else _plain(last.probe_auc),
        "difference at equal merit, own readout": None if last is None else _plain(last.equal_merit),
        "difference at equal merit, outside readout": _plain(report.equal_merit_outside),
    }


def accuracy_and_gap(net: nn.Module, rows: Dataset) -> tuple[float, float]:
    from fairheads.audit import network_disparity

    report = network_disparity(net, rows)
    return report.metrics["accuracy"].overall.value, report.demographic_parity_difference.value


def flipped_labels(rows: Dataset) -> Dataset:
    """Half of the favourable labels of the group with fewer of them made unfavourable."""
    rng = np.random.default_rng(0)
    lower = int(np.argmin([rows.y[rows.group == code].mean() for code in (0, 1)]))
    flipped = (rows.y == 1) & (rows.group == lower) & (rng.random(len(rows)) < 0.5)
    return rows.relabelled(np.where(flipped, 0, rows.y))


def sampled_by_outcome(rows: Dataset) -> Dataset:
    """Half of the favourable rows of the group with fewer of them left out."""
    rng = np.random.default_rng(0)
    lower = int(np.argmin([rows.y[rows.group == code].mean() for code in (0, 1)]))
    dropped = (rows.y == 1) & (rows.group == lower) & (rng.random(len(rows)) < 0.5)
    return rows.take(np.flatnonzero(~dropped))


AUDITS: dict[str, Callable[[Dataset], Dataset]] = {
    "as recorded": lambda rows: rows,
    "labels flipped": flipped_labels,
    "sampled by outcome": sampled_by_outcome,
}


def one(task: Task, kind: str, seed: int, audit: str, work: Path) -> dict[str, Any]:
    """Train, audit and keep on disk."""
    file = work / f"{task.name.replace(', ', '-')}-{kind}-{seed}-{audit.replace(' ', '-')}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    audited = _faces if task.name.startswith("fairface") else _tables
    with one_thread():
        reports, accuracy, gap = audited(task, kind, seed, audit, work)
    row = {
        "data": task.name,
        "network": kind,
        "seed": seed,
        "audited": audit,
        "accuracy": accuracy,
        "gap": gap,
        "groups": [row_of(report) for report in reports.values()],
        "label bias": {
            name: None
            if report.label_bias is None
            else [report.label_bias.group, report.label_bias.creates, report.label_bias.share.value]
            for name, report in reports.items()
        },
    }
    file.write_text(json.dumps(row))
    return row


Audited = tuple[Mapping[str, PathwayReport], float, float]
"""Reports by group, accuracy and gap."""


def _tables(task: Task, kind: str, seed: int, audit: str, work: Path) -> Audited:
    net = trained(task, kind, seed, work)
    twins = [trained(task, "twin", TWIN_SEED + i, work) for i in range(TWINS)]
    rows, held_out = rows_of(task.name)
    audited = AUDITS[audit](held_out)
    reports = analyze_pathways(
        net, audited, twins=twins, train_data=rows, rows_disjoint=True, twins_matched=True, details=False
    )
    return reports, *accuracy_and_gap(net, audited)


def _faces(task: Task, kind: str, seed: int, audit: str, work: Path) -> Audited:
    """A network of the paper's study, looked at in all its layers, beside the unconstrained ones of the other seeds."""
    if audit != "as recorded":
        raise ValueError("faces are audited as recorded")
    studio = studio_of(work.parent / "paper" / "fairface")
    asked = PaperTask("squared", task.weight, seed) if kind == "constrained" else PaperTask("unconstrained", 0.0, seed)
    for each in (asked, *(PaperTask("unconstrained", 0.0, twin) for twin in range(studio.setting.seeds))):
        if not studio.is_trained(each):
            studio.train(each)
    net = studio.network(asked)
    report = studio.effects.report(net, None if kind == "constrained" else seed)
    return {report.group: report}, *accuracy_and_gap(net, studio.parts.test)


@cache
def studio_of(folder: Path) -> Studio:
    setting = replace(SETTINGS["fairface"], last_layer=False)
    return Studio(setting, read_parts(setting, shared_data() / "fairface"), folder)


def summary_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Verdicts by data, network, audit and group."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for group in row["groups"]:
            key = f"{row['data']}: {group['group']} beside {group['reference']}, {row['network']}, {row['audited']}"
            counts.setdefault(key, Counter())[group["verdict"]] += 1
    return {key: dict(count.most_common()) for key, count in counts.items()}


def nulls(plain: Any) -> Any:
    """The same with null in place of NaN, which is no JSON."""
    if isinstance(plain, dict):
        return {key: nulls(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [nulls(value) for value in plain]
    return None if isinstance(plain, float) and np.isnan(plain) else plain


@click.command()
@click.option("--data", "names", multiple=True, type=click.Choice([t.name for t in TASKS]), help="By default all.")
@click.option("--seeds", default=SEEDS, show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=HERE / "work" / "verdicts")
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "real_verdicts.json")
def main(names: tuple[str, ...], seeds: int, work: Path, out: Path) -> None:
    """Audit constrained and unconstrained networks on real data, and again on labels and rows that are biased."""
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for task in TASKS:
        if (names and task.name not in names) or not (task.name.startswith("adult") or shared_data().exists()):
            continue
        for seed in range(seeds):
            for kind in ("unconstrained", "constrained"):
                for audit in AUDITS if task.name == "adult, sex" else ("as recorded",):
                    rows.append(one(task, kind, seed, audit, work))
                    said = ", ".join(f"{g['group']} {g['verdict']}" for g in rows[-1]["groups"])
                    click.echo(f"{task.name} {kind} {seed} {audit}: {said}", err=True)
    result = {"seeds": seeds, "twins": TWINS, "summary": summary_of(rows), "runs": rows}
    out.write_text(json_text(nulls(result)), encoding="utf-8")
    click.echo(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
