"""Zip archives of strangers: every name and size is looked at before a member is unpacked, into memory only."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Mapping

from fairheads.errors import UnsafeModelError, first_line

MEMBERS = 100_000
"""Most members of an archive."""
GROWTH = 100
"""Largest ratio of unpacked to packed bytes, beyond `FREE`."""
FREE = 2**24
"""Bytes that an archive may unpack to, whatever its size."""

STORED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def is_zip(content: bytes) -> bool:
    """Whether the bytes begin as a zip archive does."""
    return content[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def unpacked(content: bytes, *, what: str) -> dict[str, bytes]:
    """All members of a zip archive by name; folders are left out.

    Raises
    ------
    UnsafeModelError
        If it is truncated or damaged, holds a name that leads out of a folder, no name or one twice, a link or an
        encrypted member, or unpacks to more than `GROWTH` times its size.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            _refuse_names(infos, what)
            _refuse_sizes(infos, len(content), what)
            return {info.filename: _read(archive, info, what) for info in infos if not info.is_dir()}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        ValueError,
        OverflowError,
        RuntimeError,
    ) as error:
        raise UnsafeModelError(
            f"{what} is a truncated or damaged archive ({first_line(error)[:120]}); get it again."
        ) from error


def without_root(members: Mapping[str, bytes], *, what: str) -> dict[str, bytes]:
    """The members of a torch archive without the one folder that all of them lie in.

    Raises
    ------
    UnsafeModelError
        If they lie in several.
    """
    roots = {name.partition("/")[0] for name in members}
    if len(roots) != 1 or not all("/" in name for name in members):
        raise UnsafeModelError(f"{what} is no torch archive: its members lie in {len(roots)} folders; export it again.")
    return {name.partition("/")[2]: content for name, content in members.items()}


def _refuse_names(infos: list[zipfile.ZipInfo], what: str) -> None:
    if len(infos) > MEMBERS:
        raise UnsafeModelError(f"{what} is an archive of {len(infos):,} members (at most {MEMBERS:,}); not opened.")
    seen: set[str] = set()
    for info in infos:
        name = info.orig_filename
        if not name:
            raise UnsafeModelError(f"{what} holds a member without a name; pack it again.")
        parts = name.replace("\\", "/").split("/")
        if name != info.filename or "\\" in name or ":" in name or name.startswith("/") or ".." in parts:
            raise UnsafeModelError(f"{what} holds a member whose name leads out of its folder ({name[:80]!r}).")
        if name in seen:
            raise UnsafeModelError(f"{what} holds {name[:80]!r} twice; programs would read different ones.")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UnsafeModelError(f"{what} holds a link ({name[:80]!r}); pack files only.")
        if info.flag_bits & 0x1:
            raise UnsafeModelError(f"{what} holds an encrypted member ({name[:80]!r}); save it without.")
        seen.add(name)


def _refuse_sizes(infos: list[zipfile.ZipInfo], size: int, what: str) -> None:
    total, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if packed > size or total > FREE + GROWTH * size:
        raise UnsafeModelError(f"{what} would unpack {size:,} bytes to {total:,}: an archive bomb; not opened.")
    for info in infos:
        if info.compress_type not in STORED:
            raise UnsafeModelError(f"{what} is packed by a method that models do not use; save it again.")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> bytes:
    with archive.open(info) as member:
        content = member.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise UnsafeModelError(f"{what} holds {info.filename[:80]!r} of another size than it says; get it again.")
    return content
