"""Files of an enemy that are handed over beside a model: reports, options, descriptions, arrays and images.

`files` gives them by name as bytes, whose end says how each is opened, beside each what its refusal says.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import results_for_tests as results
from folders_for_tests import LINK, packed
from handed_for_tests import CONFIG, FEED, images
from hostile_for_tests import Calls, Hostile, source, unzipped, zipped
from mutated_parts_for_tests import PNG

NO_WHOLE = "its parts do not fit together"


def files(marker: Path) -> Iterator[Hostile]:
    """Every hostile file."""
    yield from reports()
    yield from settings()
    yield from arrays(marker)
    yield from pictures()


def _changed(report: Any, keys: str, value: Any) -> bytes:
    """The JSON of a report with another value in one place."""
    whole = inner = json.loads(report.to_json())
    *first, last = keys.split("/")
    for key in first:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[last] = value
    return json.dumps(whole).encode()


def reports() -> Iterator[Hostile]:
    audit, compared, selftest = results.audit(), results.compared(), results.selftest_report()
    text = audit.to_json()
    seed = f'"seed": {audit.seed}'
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    yield Hostile("brackets.report", b"[" * 200_000, "is not a JSON file")
    yield Hostile("list.report", b"[]", "holds no fairheads result")
    yield Hostile("bytes.report", b"\xff" + text.encode(), "is not a JSON file")
    yield Hostile("nan.report", text.replace(seed, '"seed": NaN').encode(), "NaN is no number of JSON")
    yield Hostile("infinite.report", text.replace(seed, '"seed": -Infinity').encode(), "-Infinity is no number of JSON")
    yield Hostile("digits.report", text.replace(seed, f'"seed": {"9" * 5000}').encode(), "is not a JSON file")
    yield Hostile("huge.report", _changed(audit, "seed", 10**400), "AuditReport.seed must be a number below 9.22")
    beyond = _changed(audit, "data/overlap/value", 0).replace(b'"value": 0,', b'"value": 1e999,', 1)
    yield Hostile("beyond.report", beyond, "must be a number below 1e.300, got inf")
    yield Hostile("low.report", _changed(audit, "data/overlap/low", 10**308), "low must be a number below 1e.300")
    yield Hostile("truth.report", _changed(audit, "seed", True), "seed must be a int, got bool")
    yield Hostile("schema.report", _changed(audit, "schema", "x" * 9_000), "is not of the schema fairheads/audit/1")
    yield Hostile("verdict.report", _changed(audit, "pathways/Female/verdict", "v" * 9_000), "must be one of")
    yield Hostile("keys.report", _changed(audit, "k" * 9_000, 1), "unknown keys .*k{100}")
    yield Hostile("key.report", _changed(audit, "versions", {"k" * 9_000: 1}), "k{100}.* must be a str")
    yield Hostile("deep.report", _changed(audit, "model/training", deep), NO_WHOLE)
    yield Hostile("group.report", _changed(compared, "front/groups", ["x"]), "of the groups .'x'")
    yield Hostile("class.report", _changed(selftest, "classes/0/verdicts", {"a_verdict": 3}), NO_WHOLE)
    large = text.encode() + b" " * 2**26
    yield Hostile("large.report", large, "has more than 64 MB")


def settings() -> Iterator[Hostile]:
    for name, line, says in (
        ("digits", b"seed = 0x" + b"f" * 5_000, "'seed' must be a whole number, got something huge"),
        ("gap", b"max-gap = " + b"9" * 400, "'max-gap' must be a number"),
        ("nan", b"max-gap = nan", "'max-gap' must be a number, got nan"),
        ("brackets", b"group = " + b"[" * 9_000, "is no TOML file"),
        ("tables", b"[data" + b".a" * 2_000 + b"]", "'data' must be a text, got something huge"),
        ("null", b'data = "a\\u0000b"', "'data' must be a text"),
        ("null_inside", b'group = ["a\\u0000b"]', "'group' must be without null characters"),
        ("long", b'label = ["' + b"x" * 9_000 + b'"]', "'label' must be a text, got"),
        ("key", b"x" * 9_000 + b" = 1", "there is no 'x"),
        ("keys", b"\n".join(b"x%d = 1" % i for i in range(999)), "and 994 more"),
        ("large", b"#" * 2**21, "more than 1 MB"),
    ):
        kept = b"\n".join(each for each in CONFIG.splitlines() if not each.startswith(line.partition(b" ")[0] + b" "))
        yield Hostile(f"{name}.toml", line + b"\n" + kept, says)
    for name, changes, says in (
        ("size", {"size": [4096, 4096]}, "1 to 1,048,576 pixels"),
        ("sizes", {"size": [3] * 9_000}, "1 to 1,048,576 pixels"),
        ("layout", {"layout": ["CHW"]}, "`layout` must be CHW or HWC"),
        ("mean", {"mean": [10**40] * 3}, "must be numbers below"),
        ("scale", {"scale": ["inf"] * 3}, "must be numbers below"),
        ("digits", {"mean": ["9" * 9_000] * 3}, "must be numbers below"),
        ("text", {"size": ["n" * 9_000, 3]}, "lists of numbers"),
    ):
        yield Hostile(f"{name}.feed", json.dumps(json.loads(FEED) | changes).encode(), says)
    yield Hostile("brackets.feed", b"[" * 200_000, "no description of how images are fed")


def arrays(marker: Path) -> Iterator[Hostile]:
    """In an archive, or a file of named columns."""
    n = np.arange(12)
    parts: dict[str, Any] = {"x": np.ones((12, 4), np.float32), "y": n % 2, "group": np.array(["a", "b"])[n // 6]}
    file = io.BytesIO()
    np.savez(file, **{**parts, "x": np.array([Calls(eval, source(marker))] * 12, dtype=object)})
    yield Hostile("objects.arrays", file.getvalue(), "holds Python objects, which would run code")
    file = io.BytesIO()
    np.savez(file, **parts)
    whole = unzipped(file.getvalue())

    def archive(name: str, array: bytes, says: str) -> Hostile:
        return Hostile(f"{name}.arrays", zipped({**whole, "x.npy": array}), says)

    yield archive("absurd", _array("<f2", "(4398046511104,)"), "is not of the size that it says")
    yield archive("negative", _array("<f8", "(-1,)"), "is not of the size that it says|cannot be read")
    yield archive("version", b"\x93NUMPY\x09\x00", "of an unknown version")
    yield archive("pickle", b"\x80\x04.", "cannot be read as a table")
    yield archive("times", _array("<M8[s]", "(2,)", bytes(16)), "holds values of type datetime64")
    yield archive("fields", _array([("a", "<f8")], "(12,)", bytes(96)), "holds values of type")
    yield archive("single", _array("<f8", "()", bytes(8)), "`x` must have one entry per row")
    yield archive("head", _array("<f8" + "9" * 9_000, "(1,)"), "cannot be read as a table")
    yield Hostile("single_label.arrays", zipped({**whole, "y.npy": _array("<i8", "()", bytes(8))}), "one value a row")
    yield Hostile("not_packed.arrays", whole["x.npy"], "cannot be read as a table")
    bomb = {**whole, "x.npy": _array("|b1", f"({2**27},)", bytes(2**27))}
    yield Hostile("bomb.arrays", zipped(bomb, compression=zipfile.ZIP_DEFLATED), "an archive bomb")
    letters = struct.pack("<I", 0x110000)
    yield Hostile("packed.array", file.getvalue(), "cannot be read as a table")
    yield Hostile("no_letters.array", _table("<U1", letters), "texts of what are no letters")
    yield Hostile("half_letters.array", _table("<U1", struct.pack("<I", 0xD800)), "texts of what are no letters")
    yield Hostile("bytes.array", _table("|S4", b"\xff" * 4), "cannot be read as a table")
    yield Hostile("objects.array", _table("|O", bytes(8)), "holds Python objects")
    yield Hostile("cut.array", _table("<U1", letters)[:-1], "not of the size that it says")
    yield Hostile("wide.array", _array([("f1", "<i8", (2,)), ("f2", "<U1")], "(1,)", bytes(20)), "one value a row")


def _table(kind: str, value: bytes) -> bytes:
    return _array([("f1", "<i8"), ("f2", kind)], "(1,)", bytes(8) + value)


def _array(kind: Any, shape: str, content: bytes = b"") -> bytes:
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


def pictures() -> Iterator[Hostile]:
    """A table of images, the first of which differs."""
    in_archive, in_folder = images()
    members = unzipped(in_archive[b"faces.zip"])

    def member(name: str, content: bytes, says: str, **options: Any) -> Hostile:
        faces = zipped({**members, "0.png": content}, **options)
        return Hostile(f"{name}.images", packed({**in_archive, b"faces.zip": faces}), says)

    sides = struct.pack(">II", 60_000, 60_000)
    whole = members["0.png"]
    yield member("absurd", whole.replace(whole[16:24], sides), "broken|cannot be read")
    absurd = (
        _chunk(b"IHDR", sides + b"\x08\x02\0\0\0") + _chunk(b"IDAT", zlib.compress(bytes(99))) + _chunk(b"IEND", b"")
    )
    yield member("pixels", PNG + absurd, "more than 80,000,000|decompression bomb")
    text = _chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(bytes(2**27)))
    yield member("text_bomb", whole[:33] + text + whole[33:], "Decompressed data too large|too large")
    yield member("bomb", bytes(2**26 + 1), "more than 64 MB", compression=zipfile.ZIP_DEFLATED)
    yield member("lzma", whole, "a method other than deflate", compression=zipfile.ZIP_LZMA)
    yield member("program", b"%!PS-Adobe-3.0 EPSF-3.0\n", "no image of these kinds")
    yield Hostile("cut.images", packed({**in_archive, b"faces.zip": in_archive[b"faces.zip"][:-9]}), "neither a folder")
    for name, called in (
        ("up", b"../secret.png"),
        ("away", b"/etc/passwd"),
        ("null", b"a\0b"),
        ("long", b"0" * 9_000),
        ("below", b"link.png"),
    ):
        rows = in_folder[b"rows.csv"].replace(b"0.png", called)
        beside = {b"secret.png": whole, b"faces/link.png": LINK + b"../secret.png"}
        says = "lies outside the folder|null|no such file|too long"
        yield Hostile(f"{name}.images", packed({**in_folder, **beside, b"rows.csv": rows}), says)
    yield Hostile("link_long.images", packed({**in_archive, b"faces.zip": LINK + b"n" * 300}), "no folder or archive")
    yield Hostile(
        "link_circle.images", packed({**in_archive, b"faces.zip": LINK + b"faces.zip"}), "no folder or archive"
    )
    other = in_archive[b"rows.csv"].replace(b"file,", b"f" * 9_000 + b",")
    yield Hostile("column.images", packed({**in_archive, b"rows.csv": other}), "has no column 'file'; it has: fff")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
