"""What reading an epoch of a folder larger than memory costs: memory that does not grow, time that grows with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from child import printed

FILES = 8
BLOCK = 1 << 16

MEASURE = """
import json, resource, sys, time
import numpy, pandas, pyarrow.parquet
from fairheads.data import RowRecord, stream_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
stream = stream_table(sys.argv[1], label="label", group=["group"])
scanned = time.process_time()
rows = sum(len(batch) for batch in stream.epoch(0, 512))
read = time.process_time()
peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
n = int(sys.argv[2])
assert rows == n // 512 * 512 and len(stream) == n == stream.counts().sum()
record = RowRecord.of(stream)
assert record.n == n
hashed = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps([peak, scanned - start, read - scanned, hashed, 16 * len(record.hashes) / 2**20]))
"""
"""Peak in MB over that of an interpreter with the libraries, seconds of the first pass and of the epoch; then the peak
with the record of the rows, and the size of that record.
"""


def write(folder: Path, n: int) -> Path:
    """A folder of Parquet files with ``n`` rows, written block by block: 12 numbers, a text of 40 values, a group."""
    rng = np.random.default_rng(0)
    cities = pa.array([f"city {i:02d}" for i in range(40)])
    groups = pa.array(["a", "b", "c"])
    folder.mkdir()
    for file in range(FILES):
        writer = None
        for start in range(0, n // FILES, BLOCK):
            k = min(BLOCK, n // FILES - start)
            columns = {f"n{j}": rng.normal(size=k) for j in range(12)}
            columns["city"] = cities.take(pa.array(rng.integers(0, 40, k)))
            columns["group"] = groups.take(pa.array(rng.integers(0, 3, k)))
            columns["label"] = rng.integers(0, 2, k, np.int8)
            block = pa.table(columns)
            writer = writer or pq.ParquetWriter(folder / f"part-{file}.parquet", block.schema)
            writer.write_table(block)
        if writer is not None:
            writer.close()
    return folder


def measured(folder: Path, n: int) -> list[float]:
    """The numbers of `MEASURE`."""
    found: list[float] = json.loads(printed(MEASURE, folder, n))
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    base = tmp_path_factory.mktemp("rows")
    return {n: write(base / str(n), n) for n in (1_000_000, 4_000_000)}


def test_memory_of_an_epoch_is_flat_and_that_of_the_record_is_that_of_its_hashes(folders: dict[int, Path]) -> None:
    few, many = (measured(folder, n) for n, folder in folders.items())
    for n, (peak, scanned, read, hashed, record) in zip(folders, (few, many), strict=True):
        print(
            f"\n{n:,} rows: epoch peak {peak:.0f} MB, first pass {scanned:.1f} s, epoch {read:.1f} s;"
            f" with the record {hashed:.0f} MB, of which the record itself {record:.0f} MB"
        )
    assert many[0] < 500
    assert many[0] / few[0] < 1.25
    assert many[3] - many[0] < 4 * many[4] + 32, "four times the record, as `RowRecord.of` says"
    assert (many[1] + many[2]) / (few[1] + few[2]) < 5.5
