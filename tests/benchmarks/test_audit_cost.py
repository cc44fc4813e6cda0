"""What auditing a million rows of Parquet costs: core seconds beside reading and plain forward passes, and memory.

Two parts: what is done with every row, and the analysis of the bounded sample (20,000 rows), which takes the same
however many rows there are.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from child import printed

from fairheads.data import RowRecord, read_table
from fairheads.models import Bundle, save_bundle
from fairheads.nets import MLP
from fairheads.training import Unconstrained, train

ROWS, SAMPLE, BLOCK = 1_000_000, 20_000, 1 << 16

PEER = """
import json, sys, time
import numpy as np
from fairheads.activations import as_network, one_thread
from fairheads.data import BLOCK, stream_table
from fairheads.models import load_bundle
bundle = load_bundle(sys.argv[2])
stream = stream_table(sys.argv[1], label="label", group=["group"], encoder=bundle.preprocess)
start = time.process_time()
parts = [batch.inputs["x"] for batch in stream]
reading = time.process_time() - start
with one_thread():
    network = as_network(bundle.net)
    start = time.process_time()
    for part in parts:
        for row in range(0, len(part), BLOCK):
            network.forward({"x": part[row : row + BLOCK]})
print(json.dumps([reading, time.process_time() - start, time.process_time()]))
"""
"""Core seconds of reading all rows once, encoded, of a forward pass over them, and of the whole process that did that
and no more: what it imports, and the first look at the table, are in the last one alone."""

AUDIT = """
import json, resource, sys, time
sys.argv = ["fairheads", "audit", sys.argv[2], "--data", sys.argv[1], "--label", "label", "--group", "group",
            "--out", sys.argv[3], "--format", "json"]
from fairheads_cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print()
print(json.dumps([time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
"""The report, and in the last line core seconds of the whole process and its peak in MB, the interpreter included."""


def write(file: Path, n: int, seed: int) -> Path:
    """A Parquet file written block by block: 12 numbers, a text of 8 values, a group, a label that depends on them."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(0).normal(size=12) / 3
    cities, groups = pa.array([f"city {i}" for i in range(8)]), pa.array(["a", "b"])
    writer = None
    for start in range(0, n, BLOCK):
        k = min(BLOCK, n - start)
        group, numbers = rng.integers(0, 2, k), rng.normal(size=(k, 12))
        numbers[:, 0] += 0.8 * group
        columns = {f"n{j}": numbers[:, j] for j in range(12)}
        columns["city"] = cities.take(pa.array(rng.integers(0, 8, k)))
        columns["group"] = groups.take(pa.array(group))
        columns["label"] = (numbers @ weights + rng.normal(size=k) > 0.3).astype(np.int8)
        block = pa.table(columns)
        writer = writer or pq.ParquetWriter(file, block.schema)
        writer.write_table(block)
    if writer is not None:
        writer.close()
    return file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 3 x 128 MLP with its encoder and the record of its rows."""
    folder = tmp_path_factory.mktemp("model")
    table = read_table(write(folder / "train.parquet", 20_000, 1), label="label", group=["group"])
    rows, _ = table.split()
    net = MLP(len(rows.feature_names or ()), hidden=(128, 128, 128))
    history = train(net, rows, Unconstrained(), epochs=1, seed=0)
    bundle = Bundle(net=net, preprocess=rows.preprocess, training=history.record(), rows=RowRecord.of(rows))
    return save_bundle(bundle, folder / "net")


def audited(file: Path, model: Path, out: Path, n: int) -> tuple[float, float]:
    """Core seconds and peak in MB of an audit of all ``n`` rows."""
    *report, last = printed(AUDIT, file, model, out).splitlines()
    data = json.loads("\n".join(report))["data"]
    assert data["n"] == sum(group["n"] for group in data["groups"].values()) == n
    assert sorted(each.name for each in out.iterdir()) == ["report.html", "report.json", "report.md"]
    seconds, peak = json.loads(last)
    return seconds, peak


def test_every_row_costs_at_most_six_times_reading_and_a_forward_pass_in_bounded_memory(
    model: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.parquet", ROWS, 2)
    # The first process compiles what it imports.
    audited(write(tmp_path / "first.parquet", SAMPLE, 4), model, tmp_path / "first", SAMPLE)
    reading, forward, whole = json.loads(printed(PEER, file, model))
    few, least = audited(write(tmp_path / "few.parquet", SAMPLE, 3), model, tmp_path / "few", SAMPLE)
    seconds, peak = audited(file, model, tmp_path / "report", ROWS)
    once = reading + forward
    print(
        f"\n{ROWS:,} rows: reading {reading:.1f} s, a forward pass {forward:.1f} s, both {once:.1f} s; the audit"
        f" {seconds:.1f} s ({seconds / once:.1f} times both, {seconds / whole:.1f} times the process that did both),"
        f" {seconds - few:.1f} s more than of {SAMPLE:,} rows ({(seconds - few) / once:.1f} times both);"
        f" peak {peak:.0f} MB, of {SAMPLE:,} rows {least:.0f} MB"
    )
    assert seconds - few < 6 * once
    assert seconds < 6 * whole
    assert peak < 1500
    assert peak - least < 250, "no copy of the rows is held: as text and numbers they take more"
