"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from glob import escape
from pathlib import Path

from fairheads.errors import InputError


def save_texts(folder: str | Path, texts: Mapping[str, str | bytes]) -> tuple[Path, ...]:
    """Write named texts, and pictures as bytes, into a folder: all beside their places first, then each into its place.

    The first one gets its place last, and what stood there is gone before: where it is there, all are, and of one kind.

    Raises
    ------
    InputError
        If the folder cannot be made or written to; what was there before is then still there.
    """
    target = Path(folder)
    places = [target / name for name in texts]
    parts = [target / f".{name}.{os.getpid()}.part" for name in texts]
    for place in places:
        if place.is_dir():
            raise InputError(f"{str(place)!r} cannot be written: it is a folder.")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(target)!r} cannot be made: {error.strerror}.") from error
    try:
        for part, text in zip(parts, texts.values(), strict=True):
            # A lone surrogate in a name cannot be UTF-8; escaped it is still the same JSON string.
            part.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace"))
        if len(places) > 1:
            places[0].unlink(missing_ok=True)
        for part, place in reversed(list(zip(parts, places, strict=True))):
            os.replace(part, place)  # noqa: PTH105
    except OSError as error:
        raise InputError(f"{str(target)!r} cannot be written: {error.strerror}.") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    remove_left_behind(target, texts)
    return tuple(places)


def exchanged(one: Path, other: Path) -> bool:
    """Gives two folders each other's place in one step; False, and nothing is done, where there is no such step."""
    import ctypes

    try:
        rename = ctypes.CDLL(None).renameat2  # Linux alone has it, and not on every file system
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def remove_left_behind(folder: Path, names: Iterable[str]) -> None:
    """Removes the parts of processes that were killed while they wrote, where the system tells who is alive."""
    running = Path("/proc")
    for name in names if (running / str(os.getpid())).exists() else ():
        for part in folder.glob(f".{escape(name)}.*.part"):
            if (running / part.name.split(".")[-2]).exists():
                continue
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
