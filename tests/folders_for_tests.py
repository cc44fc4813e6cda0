"""Folders as one file, so that they can be changed like files: names and contents in a row, links among them."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

MAGIC = b"a folder:"
LINK = b"link to "
"""First bytes of what is laid as a link, before the path that it leads to."""

NAMES = (
    b"own.py",
    b"__init__.py",
    b"adapter_config.json",
    b"pytorch_model.bin",
    b"model.safetensors.index.json",
    b"generation_config.json",
    b"rows.safetensors",
    b"tokenizer.json",
    b"tokenizer_config.json",
    b"config.json",
    b"config.json/inside",
    b"deep/er/config.json",
    b"n" * 255,
    b"\xff\xfe.json",
)
"""Names of files that are added."""

LINKS = (LINK + b"/etc/passwd", LINK + b"../secret", LINK + b".", LINK + b"config.json", LINK + b"model.safetensors")


def packed(files: Mapping[bytes, bytes]) -> bytes:
    """The files of a folder in a row."""
    rows = (struct.pack("<HI", len(name), len(content)) + name + content for name, content in files.items())
    return MAGIC + b"".join(rows)


def unpacked(content: bytes) -> dict[bytes, bytes]:
    """The files of a folder that was packed; the end of a damaged one is left out."""
    files: dict[bytes, bytes] = {}
    at = len(MAGIC)
    while at + 6 <= len(content):
        length, size = struct.unpack("<HI", content[at : at + 6])
        name, at = content[at + 6 : at + 6 + length], at + 6 + length
        files[name], at = content[at : at + size], at + size
    return files


def packed_folder(folder: Path) -> bytes:
    """A folder on the disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return packed({os.fsencode(path.relative_to(folder)): path.read_bytes() for path in files})


def laid(content: bytes, folder: Path) -> bool:
    """Write the folder to the disk, as far as its names can be written; whether a link leads out of it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    away = False
    for name, inner in unpacked(content).items():
        if not name or b"\0" in name or name.startswith(b"/") or b".." in name.split(b"/"):
            continue  # no name that lies in a folder
        path = folder / os.fsdecode(name)
        try:
            if not path.parent.resolve().is_relative_to(folder.resolve()):
                continue  # it would be written through a link
            path.parent.mkdir(parents=True, exist_ok=True)
            if inner.startswith(LINK):
                path.symlink_to(os.fsdecode(inner[len(LINK) :]))
                away = away or not path.resolve().is_relative_to(folder.resolve())
            elif not path.is_symlink():
                path.write_bytes(inner)
        except (OSError, ValueError, RuntimeError):
            continue
    return away
