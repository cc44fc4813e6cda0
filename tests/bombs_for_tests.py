"""Small tables that unpack to gigabytes, or whose one long text would, and how each reader refuses them.

Run as a program it opens those in a folder, and tells what each said and the most memory that all took.
"""

from __future__ import annotations

import gzip
import json
import lzma
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from fairheads.data import read_table, stream_table
from fairheads.data.predictions import tally_file
from fairheads.errors import FairheadsError

HEAD = b"x,job,g,y\n"
ROWS = b"0.5,cook,a,0\n1.5,clerk,b,1\n"
TIMES = 4_000
"""Megabytes of a bomb."""


def stream(path: Path) -> None:
    """Take all batches of a stream."""
    for _ in stream_table(path, label="y", group=["g"]):
        pass


READERS: dict[str, Callable[[Path], object]] = {
    "read": lambda path: read_table(path, label="y", group=["g"]),
    "stream": stream,
    "tally": lambda path: tally_file(path, group=["g"], label="y", prediction=None, score="x", threshold=0.5),
}


@dataclass(frozen=True)
class Bomb:
    """A file, and what the readers that do not read it say."""

    name: str
    content: bytes
    says: dict[str, str] = field(default_factory=dict)


def bombs() -> Iterator[Bomb]:
    """Every bomb; gzip and xz files may be of many parts, which are the same here."""
    whole = "unpacks to more than"
    packed = gzip.compress(ROWS * (2**20 // len(ROWS)), 9, mtime=0)
    yield Bomb("rows.csv.gz", gzip.compress(HEAD, mtime=0) + packed * TIMES, {"read": whole})
    slim = lzma.compress(ROWS * (2**20 // len(ROWS)))
    yield Bomb("rows.csv.xz", lzma.compress(HEAD) + slim * TIMES, {"read": whole})
    apart = "rows that belong together take more than 1024 MB"
    endless = "its first line does not end"
    for name, first, part, says in (
        ("field", HEAD + b"1,", b"A" * 2**20, apart),
        ("quote", HEAD + b'1,"', b"a,b\n" * 2**18, apart),
        ("header", b"x,job,g,y,", b"A" * 2**20, endless),
        ("commas", b"x,job,g,y,", b"a," * 2**19, endless),
    ):
        content = gzip.compress(first, mtime=0) + gzip.compress(part, 9, mtime=0) * TIMES
        yield Bomb(f"{name}.csv.gz", content, {"read": whole, "stream": says, "tally": says})
    columns = b"x,job,g,y" + b"".join(b",c%d" % i for i in range(100_001)) + b"\n"
    many = "more than 100,000 columns"
    yield Bomb("columns.csv", columns, {"read": many, "stream": many, "tally": many})
    room = "for which there is no room"
    long = b"1," + b"k" * 10**5 + b",a,0\n"
    yield Bomb("long.csv", HEAD + long + ROWS * 50_000, {"read": room, "stream": room})
    wide = b"x,g,y" + b"".join(b",c%d" % i for i in range(40)) + b"\n1,a,0" + (b"," + b"k" * 4_000) * 40 + b"\n"
    wide += (b"1,b,1" + b",k" * 40 + b"\n2,a,0" + b",c" * 40 + b"\n") * 8_192
    yield Bomb("wide.csv", wide, {"read": room, "stream": room})
    yield from _parquet()


def _parquet() -> Iterator[Bomb]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return
    file = BytesIO()
    cells = pa.table({"x": ["A" * (2**28 + 2**20), "q"], "g": ["a", "b"], "y": [0, 1]})
    pq.write_table(cells, file, compression="zstd")
    says = "has a column that unpacks to 269,4"
    yield Bomb("field.parquet", file.getvalue(), {"read": "unpacks to more than", "stream": says, "tally": says})
    file, n = BytesIO(), 2**20
    rows = pa.table({"x": [0.5] * n, "job": ["cook"] * n, "g": ["a"] * n, "y": [1] * n})
    with pq.ParquetWriter(file, rows.schema, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(rows)
    yield Bomb("rows.parquet", file.getvalue(), {"read": "unpacks to more than"})


def main() -> None:
    for path in sorted(Path(sys.argv[1]).iterdir()):
        for reader in sys.argv[2:]:
            try:
                READERS[reader](path)
                said = "was read"
            except FairheadsError as error:
                said = str(error)
            except Exception as error:
                said = f"raised {type(error).__name__}"
            print(json.dumps([path.name, reader, said]))  # noqa: T201
    said = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage counts what started this, too
    print(int(said.partition("VmHWM:")[2].split()[0]) >> 10)  # noqa: T201


if __name__ == "__main__":
    main()
