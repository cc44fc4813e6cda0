"""A front as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairheads.errors import ConfigError, InputError
from fairheads.results import _front_figure, _style
from fairheads.results._saving import save_texts

if TYPE_CHECKING:
    from fairheads.results.front import Front

TEXTS: dict[str, Callable[[Front], str]] = {
    "json": lambda front: front.to_json(),
    "csv": lambda front: front.to_csv(),
    "md": lambda front: front.markdown(),
    "html": lambda front: front.page(),
}
PICTURES = ("png", "svg")


def save(front: Front, folder: str | Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write ``front.FORMAT`` for every format: all is made, and the pictures are beside their places, before any is."""
    known = (*TEXTS, *PICTURES)
    wrong = [form for form in formats if form not in known]
    if isinstance(formats, str) or wrong or not formats:
        raise ConfigError(f"`formats` must be some of {list(known)}, got {formats!r}.")
    wanted = [form for form in known if form in formats]
    texts = {f"front.{form}": TEXTS[form](front) for form in wanted if form in TEXTS}
    pictures = {f"front.{form}": picture(front, form) for form in wanted if form in PICTURES}
    target = Path(folder)
    parts = {name: target / f".{name}.{os.getpid()}.part" for name in pictures}
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(target)!r} cannot be made: {error.strerror}.") from error
    try:
        for name, content in pictures.items():
            parts[name].write_bytes(content)
        save_texts(target, texts)
        for name, part in parts.items():
            part.replace(target / name)
    except OSError as error:
        raise InputError(f"{str(target)!r} cannot be written: {error.strerror}.") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return tuple(target / f"front.{form}" for form in wanted)


def picture(front: Front, form: str) -> bytes:
    """The figure as PNG or SVG on white; the same front gives the same bytes."""
    return _style.picture(lambda: _front_figure.plot(front), form)
