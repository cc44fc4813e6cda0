"""Changes to PNG images, whose chunks have checksums, and to lines of text: options in TOML, and rows of CSV."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from random import Random

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 2**18
"""Bytes of what is added to a table."""

LARGE = (0, 1, 255, 9_000, 12_000, 2**16, 2**31 - 1, 2**32 - 1)
"""Widths and heights."""


def changed_picture(content: bytes, random: Random) -> bytes:
    """A PNG with other chunks, or another header, whose checksums are right."""
    chunks = _chunks(content)
    index = random.randrange(len(chunks))
    kind, inner = chunks[index]
    match random.randrange(6):
        case 0:
            del chunks[index]
        case 1:
            chunks.insert(random.randrange(len(chunks)), chunks[index])
        case 2:
            sides = struct.pack(">II", random.choice(LARGE), random.choice(LARGE))
            chunks[0] = (chunks[0][0], sides + chunks[0][1][8:])
        case 3:
            look = bytes(random.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(5))
            chunks[0] = (chunks[0][0], chunks[0][1][:8] + look)
        case 4:
            text = b"x\0\0" + zlib.compress(bytes(2**24))
            chunks.insert(1, (random.choice((b"zTXt", b"iCCP", b"iTXt", b"acTL", b"eXIf", b"PLTE", b"tRNS")), text))
        case _:
            at = random.randrange(len(inner) + 1)
            chunks[index] = (kind, inner[:at] + random.randbytes(random.choice((1, 4, 300))) + inner[at + 1 :])
    said = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return PNG + b"".join(said)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(PNG)
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    return found


def changed_settings(content: bytes, random: Random, words: Sequence[str]) -> bytes:
    """Options with another value for one of them."""
    lines = content.decode().splitlines()
    at = random.randrange(len(lines))
    name = lines[at].partition(" = ")[0]
    word = random.choice(words).replace("\\", "\\\\").replace('"', '\\"')
    values = ("1e999", "-inf", "nan", "9" * 5000, "-1", "0x" + "f" * 5000, "[" * 3000, "[[1]]", "{a = 1}", "true")
    values += ('"""', "1979-05-27", f'"{word}"', f'["{word}"]', '"\\uD800"', "[]", '""', '"a\\u0000b"', "2" * 30)
    more = (f"{name} = {random.choice(values)}", f"[{name}]", f"{name}.x = 1", lines[at], f'"{word}" = 1')
    lines[at] = random.choice((more[0], more[0], more[0], *more))
    if random.random() < 0.2:
        lines.insert(random.randrange(len(lines) + 1), random.choice(more))
    return "\n".join(lines).encode()


def _times(cell: bytes, times: int) -> bytes:
    return cell * min(times, LARGEST // len(cell))


def changed_rows(content: bytes, random: Random, words: Sequence[str]) -> bytes:
    """A table with another cell, another row, or one of either many times."""
    rows = [line.split(b",") for line in content.splitlines()]
    row, other = random.choice(rows), random.choice(rows)
    at = random.randrange(len(row))
    match random.randrange(6):
        case 0:
            row[at] = random.choice((b'"', b"", b"1e999", b"nan", b"9" * 400, b"\0", b"\xff", b"'", b"=1+1", b" "))
        case 1:
            row[at] = random.choice(words).encode()
        case 2:
            row[at] = _times(random.choice(other)[:60_000] or b"x", random.choice((40, 3_000, 60_000)))
        case 3:
            most = LARGEST // (sum(map(len, row)) + len(row))
            rows += [list(row) for _ in range(min(random.choice((1, 400, 4_000)), most))]
        case 4:
            row += [row[at]] * min(random.choice((1, 2, 300)), LARGEST // (len(row[at]) + 1))
        case _:
            for each in rows:
                each.insert(at, random.choice((row[at], each[-1]))[:200])
    return b"\n".join(b",".join(row) for row in rows)
