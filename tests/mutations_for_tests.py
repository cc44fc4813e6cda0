"""Changes to models that know what they are made of: files of folders, members of archives, JSON, protobuf, pickles.

A change of bytes alone rarely gets past a checksum; these take the file apart, change a part, often by the same means,
and put it together again with checksums and lengths that fit.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickletools
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from folders_for_tests import LINKS, MAGIC, NAMES, packed, unpacked
from mutated_parts_for_tests import PNG, changed_picture, changed_rows, changed_settings

SIZES = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
    2**63,
    -(2**63),
)
LARGEST = 2**18
"""Bytes of a changed file."""


class Mutator:
    """Changes files, the same ones for the same seed.

    Parameters
    ----------
    seed : int
    pool : sequence of bytes
        Files that parts are taken from.
    words : sequence of str
        Text that is written where text stands: names of functions, code, paths.
    """

    def __init__(self, seed: int, pool: Sequence[bytes], words: Sequence[str]) -> None:
        self.random = random.Random(seed)
        self.pool, self.words = pool, words

    def changed(self, content: bytes) -> bytes:
        """One to four changes, one upon the other."""
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            content = self.part(content)[:LARGEST]
        return content

    def part(self, content: bytes, depth: int = 0) -> bytes:
        """One change, by what the bytes are."""
        r = self.random
        ways = (
            [self._of_bytes]
            if depth > 3 or r.random() < 0.15
            else [way for is_it, way in self._kinds() if is_it(content)]
        )
        try:
            return r.choice(ways or [self._of_bytes])(content, depth + 1)
        except Exception:  # it was not of this kind after all
            return self._of_bytes(content, depth)

    def _kinds(self) -> list[tuple[Callable[[bytes], bool], Callable[[bytes, int], bytes]]]:
        return [
            (lambda c: c.startswith(MAGIC), self._of_folder),
            (lambda c: c[:2] == b"PK", self._of_archive),
            (lambda c: c[:2] == b"\x1f\x8b" or c[:6] == b"\xfd7zXZ\x00", self._of_packed),
            (lambda c: c[:1] in (b"{", b"["), self._of_json),
            (lambda c: c[:1] == b"\x80" and c[1:2] <= b"\x05", self._of_pickle),
            (lambda c: c[8:9] == b"{", self._of_safetensors),
            (lambda c: c[:6] == b"\x93NUMPY", self._of_array),
            (lambda c: c.startswith(PNG), lambda c, _: changed_picture(c, self.random)),
            (lambda c: b" = " in c[:40], lambda c, _: changed_settings(c, self.random, self.words)),
            (lambda c: b"," in c.partition(b"\n")[0][:40], lambda c, _: changed_rows(c, self.random, self.words)),
            (_is_protobuf, self._of_protobuf),
        ]

    def _of_bytes(self, content: bytes, _depth: int) -> bytes:
        r = self.random
        at, to = sorted(r.randrange(len(content) + 1) for _ in range(2))
        to = min(to, at + r.choice((1, 2, 4, 8, 64, 4096)))
        match r.randrange(6):
            case 0 if content:
                at = min(at, len(content) - 1)
                return content[:at] + bytes([content[at] ^ 1 << r.randrange(8)]) + content[at + 1 :]
            case 1:
                return content[:at] + content[to:]
            case 2:
                return content[:to] + content[at:to] * r.choice((1, 2, 50)) + content[to:]
            case 3:
                return content[:at]
            case 4:
                number = struct.pack(r.choice(("<Q", "<I", ">I", "<H")), 2 ** r.choice((0, 8, 15, 16)) - 1)
                return content[:at] + number + content[at + len(number) :]
            case _:
                other = r.choice(self.pool)
                start = r.randrange(len(other) + 1)
                return content[:at] + other[start : start + r.choice((4, 32, 512))] + content[to:]

    def _of_folder(self, content: bytes, depth: int) -> bytes:
        r, files = self.random, unpacked(content)
        name, other = r.choice(list(files)), r.choice(list(files))
        match r.randrange(10):
            case 0:
                del files[name]
            case 1:
                files[r.choice(NAMES)] = r.choice((*files.values(), r.choice(self.pool), b"{}", b"import os"))
            case 2:
                files[name] = r.choice(LINKS)
            case 3:
                files[r.choice(NAMES)] = r.choice(LINKS)
            case 4:
                files[name], files[other] = files[other], files[name]
            case 5:
                files[name] = r.choice(self.pool)
            case _:
                files[name] = self.part(files[name], depth)
        return packed(files)

    def _of_packed(self, content: bytes, depth: int) -> bytes:
        module: Any = gzip if content[:1] == b"\x1f" else lzma
        inner = self.part(module.decompress(content), depth)
        return bytes(module.compress(inner))

    def _of_archive(self, content: bytes, depth: int) -> bytes:
        r = self.random
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist() if info.file_size < LARGEST]
        index = r.randrange(len(members))
        name, inner = members[index]
        match r.randrange(8):
            case 0:
                del members[index]
            case 1:
                members.append((name, self.part(inner, depth)))
            case 2:
                members[index] = (self._text(name), inner)
            case 3:
                members[index] = (name, r.choice(self.pool))
            case 4:
                members[index] = (name, r.choice(members)[1])
            case _:
                members[index] = (name, self.part(inner, depth))
        packed = r.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
        file = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(file, "w", packed) as archive:
            warnings.simplefilter("ignore")  # a name that is there twice
            for name, inner in members:
                archive.writestr(zipfile.ZipInfo(name), inner, packed)  # of 1980: the same bytes at any time
        return file.getvalue()

    def _of_json(self, content: bytes, _depth: int) -> bytes:
        r, data = self.random, json.loads(content)
        places = list(_places(data))
        if not places:
            return json.dumps(self._value(data, [])).encode()
        holder, key = r.choice(places)
        if r.random() < 0.2:
            del holder[key]
        else:
            holder[key] = self._value(holder[key], [h[k] for h, k in r.sample(places, min(3, len(places)))])
        text = json.dumps(data)
        return self._oddly(text) if r.random() < 0.2 else text.encode()

    def _oddly(self, text: str) -> bytes:
        """JSON as `json.dumps` does not write it: keys twice, numbers beyond all numbers, depth, other encodings."""
        r = self.random
        key = re.search(r'"[^"]*": ', text[r.randrange(len(text)) :]) or re.search(r'"[^"]*": ', text)
        name = key.group() if key else '"x": '
        fresh = (
            "1e999",
            "-1e999",
            "9" * 400,
            "1" * 5000,
            "[" * 3000 + "]" * 3000,
            "NaN",
            '{"a":' * 500 + "1" + "}" * 500,
        )
        at = text.find(name) if key else text.find("{") + 1
        return r.choice(
            (
                (text[:at] + name + r.choice(fresh) + ", " + text[at:]).encode(),
                re.sub(re.escape(name) + r"[\w.-]+", lambda _: name + r.choice(fresh), text, count=1).encode(),
                b"\xef\xbb\xbf" + text.encode(),
                text.encode("utf-16"),
                text.replace("a", "\\ud800", 1).encode(),
                text.encode().replace(b"e", b"\xe9", 1),
                b"\x00" + text.encode(),
                f"[{text}]".encode(),
            )
        )

    def _value(self, old: Any, others: Sequence[Any]) -> Any:
        r = self.random
        if isinstance(old, str) and r.random() < 0.6:
            return self._text(old)
        if isinstance(old, int) and r.random() < 0.6:
            return r.choice((old + 1, old - 1, *SIZES))
        if isinstance(old, list) and r.random() < 0.5:
            return old * r.choice((0, 2, 3, 40))
        fresh = (None, True, 1.5, float("nan"), 1e308, "", [], {}, [[[[]]]], r.choice(SIZES), r.choice(self.words))
        return r.choice((*fresh, *(json.loads(json.dumps(other)) for other in others)))

    def _text(self, old: str) -> str:
        r = self.random
        at = r.randrange(len(old) + 1)
        new = (
            r.choice(self.words),
            old + r.choice(self.words),
            old[:at],
            old[:at] + "\x00" + old[at:],
            old * 40,
            old[::-1],
            "../" + old,
            old.replace(".", ".__class__.", 1),
            old[:at] + r.choice("\n'\"\\/;(){}é\ud7ff") + old[at:],
        )
        return r.choice(new)

    def _of_pickle(self, content: bytes, _depth: int) -> bytes:
        r = self.random
        spots = [at for _, _, at in pickletools.genops(content) if at is not None]
        at, to = sorted((r.choice(spots), r.choice(spots)))
        word = r.choice(self.words).replace("\n", "").encode("ascii", "replace")
        call = b"cbuiltins\neval\n(X" + struct.pack("<I", len(word)) + word + b"tR0"
        match r.randrange(5):
            case 0:
                return content[:at] + call + content[at:]
            case 1:
                return content[:at] + content[to:]
            case 2:
                return content[:to] + content[at:to] + content[to:]
            case 3:
                return (
                    content[:at]
                    + r.choice((b".", b"0", b"(", b"R", b"\x81", b"b", b"\x93", b"2" * 99, b"j\xff\xff\xff\x7f"))
                    + content[at:]
                )
            case _:
                return content.replace(
                    b"torch._utils", r.choice((b"torch.hub   ", b"torch._utilz", b"torch.serial")), 1
                )

    def _of_safetensors(self, content: bytes, depth: int) -> bytes:
        (length,) = struct.unpack("<Q", content[:8])
        header, body = content[8 : 8 + length], content[8 + length :]
        if self.random.random() < 0.8:
            header = self._of_json(header, depth)
        else:
            body = self._of_bytes(body, depth)
        said = self.random.choice((len(header), len(header), len(header), len(header) + 1, 2**40))
        return struct.pack("<Q", said) + header + body

    def _of_array(self, content: bytes, _depth: int) -> bytes:
        end = content.index(b"\n") + 1
        shape = self.random.choice(
            ("(2, 2)", "()", "(-1,)", "(4611686018427387904,)", "(1099511627776, 4)", "(2,) * 9", "(0,)")
        )
        kind = self.random.choice(
            ("<f8", "|O", "<f4", "<U9", "<M8[s]", "[('a', '|O')]", "<c16", "|b1", ">f4", "<f2", "|V9")
        )
        head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}"
        head = self.random.choice((head, head, head * 2, self._text(head)))
        said = head.encode("latin-1", "replace") + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", min(len(said), 65535)) + said + content[end:]

    def _of_protobuf(self, content: bytes, depth: int) -> bytes:
        fields = _fields(content)
        index = self.random.randrange(len(fields))
        number, wire, value = fields[index]
        match self.random.randrange(7):
            case 0:
                del fields[index]
            case 1:
                fields.insert(index, fields[index])
            case 2:
                fields.insert(self.random.randrange(len(fields) + 1), fields.pop(index))
            case 3:
                fields[index] = (self.random.randrange(1, 30), wire, value)
            case _ if isinstance(value, int):
                fields[index] = (number, wire, self.random.choice((value + 1, *SIZES)) % 2**64)
            case _ if isinstance(value, bytes):
                inner = _is_protobuf(value) and len(value) > 3
                fields[index] = (number, wire, self._of_protobuf(value, depth) if inner else self._leaf(value, depth))
        return b"".join(_field(*field) for field in fields)

    def _leaf(self, value: bytes, depth: int) -> bytes:
        if value.isascii() and self.random.random() < 0.7:
            return self._text(value.decode()).encode("utf-8", "replace")
        return self._of_bytes(value, depth)


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """What holds a value, and under which key, for every value inside."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield data, key
        yield from _places(value)


# Protobuf: fields of (number, wire type, value), a value being a number or bytes


def _is_protobuf(content: bytes) -> bool:
    try:
        return bool(_fields(content))
    except (ValueError, IndexError):
        return False


def _fields(content: bytes) -> list[tuple[int, int, int | bytes]]:
    found: list[tuple[int, int, int | bytes]] = []
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(content, at)
        else:
            size = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                size, at = _varint(content, at)
            if size is None or not 0 < number < 10_000 or at + size > len(content):
                raise ValueError("no protobuf")
            value, at = content[at : at + size], at + size
        found.append((number, wire, value))
    return found


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("no protobuf")


def _field(number: int, wire: int, value: int | bytes) -> bytes:
    head = _packed(number << 3 | wire)
    if isinstance(value, int):
        return head + _packed(value)
    return head + (_packed(len(value)) if wire == 2 else b"") + value


def _packed(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
