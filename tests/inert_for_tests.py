"""What the pages of a report must keep to, whatever stands in it: markup that closes, no script, no way out."""

from __future__ import annotations

import json
import unicodedata
from html.parser import HTMLParser

VOID = ("meta", "br", "hr", "img", "input", "col", "wbr")
"""Elements without an end."""

FORBIDDEN = ("iframe", "object", "embed", "form", "base", "link", "foreignobject", "animate", "set", "audio", "video")
LEADS = ("href", "xlink:href", "src", "srcset", "action", "formaction", "data", "background", "poster")
"""Attributes that fetch something, or lead to it."""


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.inside += data

    def _check(self, tag: str, given: dict[str, str | None]) -> None:
        if tag in FORBIDDEN or (tag == "script" and given.get("type") != "application/json"):
            self.wrong.append(f"<{tag} {given}>")
        for name, value in given.items():
            leads = name in LEADS and not (value or "").startswith(("#", "data:image/png;base64,"))
            if name.startswith("on") or leads or (name == "style" and "url(" in (value or "").replace("url(#", "")):
                self.wrong.append(f"{name}={value!r:.80}")


def check_page(page: str) -> None:
    """Whether a page parses, runs nothing, fetches nothing and holds its report as JSON.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    parsed = _Page()
    parsed.feed(page)
    parsed.close()
    if parsed.wrong or parsed.open:
        raise ValueError(f"the page is not inert: {parsed.wrong[:3]}, open {parsed.open[:5]}")
    json.loads(parsed.inside)


def check_lines(text: str) -> None:
    """Whether a text may be printed on a terminal: no controls but tabs and line breaks, nothing that is no UTF-8.

    Raises
    ------
    ValueError
        With the first character that may not.
    """
    for c in set(text) - {"\n", "\t"}:
        if unicodedata.category(c) in ("Cc", "Cs"):
            raise ValueError(f"the text holds {c!r}: {text[max(text.index(c) - 60, 0) : text.index(c) + 60]!r}")
