"""The verdicts on Adult: ten seeds of four kinds of networks, at 8 and at 30 epochs, each with five twins of its own.

Run by `make study`; resumable (finished runs are kept in --work), one process per core with one thread each. Writes
adult_verdicts.json beside this file: every run, and the counts that the README and the tests quote.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from fairheads.activations import one_thread
from fairheads.audit import audit
from fairheads.constraints import demographic_parity
from fairheads.data import Table, adult
from fairheads.models import Bundle, fit_table
from fairheads.training import Penalized, TwoHeaded, Unconstrained
from fairheads.twins import TwinRecipe
from fairheads.twoheads import Coefficients, merge_bundle, merge_net

HERE = Path(__file__).parent
KINDS = ("unconstrained", "constrained", "merged", "half merged")
WEIGHT, MAX_GAP, TWINS = 10.0, 0.03, 5
SAMPLES = (20_000, 5_000)


def merged(bundle: Bundle, table: Table, share: float) -> Bundle:
    """A two-headed network merged for a small gap, with a share of the coefficients that this takes."""
    validation, _ = bundle.encode(table, "validation")
    made = merge_bundle(bundle, validation, max_gap=MAX_GAP)
    if share == 1:
        return made.bundle
    whole = made.report.chosen
    part = Coefficients(b=tuple((share * np.atleast_1d(whole.b)).tolist()), t=share * whole.t)
    return replace(made.bundle, net=merge_net(bundle.net, part, validation), merge=None)


def one_run(kind: str, epochs: int, seed: int, work: str) -> dict[str, Any]:
    """Train, audit with twins at both sample sizes and without twins; keep the result on disk."""
    file = Path(work) / f"{kind.replace(' ', '-')}-{epochs}-{seed}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    table = adult(sensitive="sex")
    objectives = {
        "unconstrained": Unconstrained(),
        "constrained": Penalized(demographic_parity(), WEIGHT),
        "merged": TwoHeaded(),
        "half merged": TwoHeaded(),
    }
    with one_thread():
        bundle = fit_table(table, objectives[kind], epochs=epochs, seed=seed)
    if kind in ("merged", "half merged"):
        bundle = merged(bundle, table, 1.0 if kind == "merged" else 0.5)
    test, _ = bundle.encode(table, "test")
    train, _ = bundle.encode(table, "train")
    recipe = TwinRecipe(train, n=TWINS, seed=seed, processes=1, cache=Path(work) / "twins")
    row: dict[str, Any] = {"kind": kind, "epochs": epochs, "seed": seed}
    for sample in SAMPLES:
        report = audit(bundle, test, twins=recipe, sample=sample, details=False)
        path = report.pathways["Female"]
        row[f"sample_{sample}"] = {
            "verdict": path.verdict,
            "reason": path.reason,
            "effect": [path.effect.kind, path.effect.layer, path.effect.value, path.effect.low, path.effect.high],
            "p": path.twins.p,
            "retention": [path.retention.value, path.retention.low, path.retention.high],
            "flips": path.flips.share,
            "swap": [layer.swap.value for layer in path.layers],
            "erasure": [layer.erasure.value for layer in path.layers],
            "probe_auc": [layer.probe_auc.value for layer in path.layers],
        }
    row["accuracy"] = report.disparity.metrics["accuracy"].overall.value
    row["gap"] = report.disparity.demographic_parity_difference.value
    row["without_twins"] = audit(bundle, test, details=False).pathways["Female"].verdict
    file.write_text(json.dumps(row))
    return row


def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Verdicts by kind and epochs, with the range of accuracy and gap."""
    table = {}
    for kind in KINDS:
        for epochs in sorted({row["epochs"] for row in rows}):
            some = [row for row in rows if row["kind"] == kind and row["epochs"] == epochs]
            if not some:
                continue
            entry: dict[str, Any] = {
                "runs": len(some),
                "accuracy": [min(r["accuracy"] for r in some), max(r["accuracy"] for r in some)],
                "gap": [min(r["gap"] for r in some), max(r["gap"] for r in some)],
            }
            for key in (*(f"sample_{s}" for s in SAMPLES), "without_twins"):
                verdicts = [r[key] if key == "without_twins" else r[key]["verdict"] for r in some]
                entry[key] = {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}
            table[f"{kind}, {epochs} epochs"] = entry
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, nargs="+", default=[8, 30])
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    jobs = [(kind, e, s, str(options.work)) for e in options.epochs for s in range(options.seeds) for kind in KINDS]
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        for done in as_completed([pool.submit(one_run, *job) for job in jobs]):
            row = done.result()
            rows.append(row)
            large = row[f"sample_{SAMPLES[0]}"]
            print(
                f"{len(rows):3}/{len(jobs)} {row['kind']:13} {row['epochs']:2} epochs seed {row['seed']}"
                f" accuracy {row['accuracy']:.4f} gap {row['gap']:.4f} {large['verdict']} (p {large['p']:.1g})",
                flush=True,
            )
    rows.sort(key=lambda row: (KINDS.index(row["kind"]), row["epochs"], row["seed"]))
    result = {"weight": WEIGHT, "max_gap": MAX_GAP, "twins": TWINS, "summary": counted(rows), "runs": rows}
    (HERE / "adult_verdicts.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
