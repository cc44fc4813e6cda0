"""Markdown of names and tables. Everything that came from data passes through `inert` here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairheads.results._words import clip


def inert(text: str) -> str:
    """Text that Markdown, HTML in Markdown and the usual extensions leave as it is."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*_{}\[\]#|~$!@])", r"\\\1", escaped)
    return re.sub(r"(?i)(https?|ftp|mailto|www)([:.])", r"\1\\\2", escaped)


def name(text: str, length: int = 60) -> str:
    """A name from data."""
    return inert(clip(text, length))


def pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
