"""A front as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairheads.errors import ConfigError
from fairheads.results import _front_figure, _style
from fairheads.results._saving import save_texts

if TYPE_CHECKING:
    from fairheads.results.front import Front

CONTENT: dict[str, Callable[[Front], str | bytes]] = {
    "json": lambda front: front.to_json(),
    "csv": lambda front: front.to_csv(),
    "md": lambda front: front.markdown(),
    "html": lambda front: front.page(),
    "png": lambda front: picture(front, "png"),
    "svg": lambda front: picture(front, "svg"),
}


def save(front: Front, folder: str | Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write ``front.FORMAT`` for every format: all is made before any is written."""
    wrong = [form for form in formats if form not in CONTENT]
    if isinstance(formats, str) or wrong or not formats:
        raise ConfigError(f"`formats` must be some of {list(CONTENT)}, got {formats!r}.")
    return save_texts(folder, {f"front.{form}": make(front) for form, make in CONTENT.items() if form in formats})


def picture(front: Front, form: str) -> bytes:
    """The figure as PNG or SVG on white; the same front gives the same bytes."""
    return _style.picture(lambda: _front_figure.plot(front), form)
