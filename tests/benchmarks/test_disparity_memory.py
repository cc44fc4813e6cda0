"""What counting a folder of predictions costs: memory that does not grow with the rows, time that grows with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from child import printed

GROUPS = 1000
FILES = 16
BLOCK = 1 << 17

MEASURE = """
import json, resource, sys, time
import numpy, pyarrow.parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
from fairheads.data import tally_file
tally = tally_file(sys.argv[1], group=["group"], label="label", prediction="decision", score=sys.argv[2] or None)
assert len(tally.cells.groups) == 1000 and tally.n == int(sys.argv[3]) == tally.cells.counts.sum()
seconds = time.perf_counter() - start
print(json.dumps([(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, seconds]))
"""
"""Peak over that of an interpreter with numpy and pyarrow, in MB, and seconds."""


def write(folder: Path, n: int) -> Path:
    """A folder of Parquet files with ``n`` rows, written block by block."""
    rng = np.random.default_rng(0)
    names = pa.array([f"group {i:04d}" for i in range(GROUPS)])
    folder.mkdir()
    for file in range(FILES):
        writer = None
        for start in range(0, n // FILES, BLOCK):
            k = min(BLOCK, n // FILES - start)
            group = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, GROUPS, k, np.int32)), names)
            label, decision = (rng.integers(0, 2, k, np.int8) for _ in range(2))
            columns = {"group": group.cast(pa.string()), "label": label, "decision": decision, "score": rng.random(k)}
            block = pa.table(columns)
            writer = writer or pq.ParquetWriter(folder / f"part-{file:02d}.parquet", block.schema)
            writer.write_table(block)
        if writer is not None:
            writer.close()
    return folder


def measured(folder: Path, n: int, score: str) -> tuple[float, float]:
    """Peak memory in MB over the interpreter's own, and the better time of two."""
    found = [json.loads(printed(MEASURE, folder, score, n)) for _ in range(2)]
    return max(peak for peak, _ in found), min(seconds for _, seconds in found)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    base = tmp_path_factory.mktemp("predictions")
    return {n: write(base / str(n), n) for n in (1_000_000, 10_000_000)}


@pytest.mark.parametrize("score", ["", "score"])
def test_memory_is_flat_and_time_linear_in_the_rows(folders: dict[int, Path], score: str) -> None:
    (few, quick), (many, slow) = (measured(folder, n, score) for n, folder in folders.items())
    what = "labels, decisions and scores" if score else "labels and decisions"
    print(f"\n{what}: 1e6 rows {few:.0f} MB, {quick:.2f} s; 1e7 rows {many:.0f} MB, {slow:.2f} s")
    assert many < 500
    assert many / few < 1.25
    assert slow / quick < 13
