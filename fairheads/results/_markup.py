"""HTML of names, numbers, tables and figures. Everything that came from data passes through `escape` here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from html import escape

from fairheads.results._words import (
    EXACT,
    EXACT_MEANS,
    NOT_ESTIMABLE,
    clip,
    clip_middle,
    interval,
    minus_signs,
    printable,
    typeset,
    unbroken,
)
from fairheads.results._words import amount as plain_amount
from fairheads.results.number import Number

NAME_LENGTH = 40
LONG_TEXT = 600
_TAG = re.compile(r"<[^>]*>")

__all__ = [
    "amount",
    "definitions",
    "escape",
    "estimate",
    "heading",
    "layer",
    "name",
    "number",
    "prose",
    "strong",
    "table",
]


def name(text: str, length: int = NAME_LENGTH) -> str:
    """A name from data: escaped, kept to its own reading direction, clipped with the whole in its title."""
    return _shown(text, clip(text, length))


def layer(text: str, length: int = NAME_LENGTH) -> str:
    """A layer's path as code."""
    return f"<code>{_shown(text, clip_middle(text, length))}</code>"


def prose(text: str) -> str:
    """A sentence that may hold names from data; its numbers get the minus sign of print."""
    return _shown(text, clip(text, LONG_TEXT), minus_signs)


def _shown(text: str, short: str, typed: Callable[[str], str] = str) -> str:
    title = f' title="{escape(printable(text))}"' if short != printable(text) else ""
    return f"<bdi{title}>{escape(typed(short))}</bdi>"


def amount(value: float) -> str:
    """A rate or an effect."""
    return typeset(plain_amount(value))


def number(value: float, low: float | None = None, high: float | None = None, exact: bool = False) -> str:
    """A value and its interval, which may break between the two only; ``exact`` marks it."""
    bounds = interval(low, high)
    mark = f'<abbr title="{EXACT_MEANS}">{EXACT}</abbr>' if exact else ""
    shown = f'<span class="n">{amount(value)}</span>'
    return f'{shown} <span class="n i">{typeset(bounds)}{mark}</span>' if bounds else shown


def estimate(value: Number) -> str:
    """A `Number`, or why there is none."""
    if value.reason is not None and plain_amount(value.value) == NOT_ESTIMABLE:
        return f'{NOT_ESTIMABLE} <span class="soft">({prose(value.reason)})</span>'
    return number(value.value, value.low, value.high, value.conservative)


def strong(value: Number) -> str:
    """A `Number` that stands out; why there is none does not."""
    told = estimate(value)
    return told if value.reason is not None and math.isnan(value.value) else f"<strong>{told}</strong>"


def heading(level: int, inner: str) -> str:
    """A heading; ``inner`` is HTML."""
    return f"<h{level}>{inner}</h{level}>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table; cells, head and caption are HTML, the first cell heads its row.

    On a wide screen it scrolls in its own frame, on a narrow one each row becomes a list that repeats the heads. Roles
    are spelled out because some readers forget them where the layout of a table changes.
    """
    side = dict.fromkeys(right, ' class="r"')
    labels = [_TAG.sub("", cell) for cell in head]
    heads = "".join(f'<th role="columnheader" scope="col"{side.get(i, "")}>{cell}</th>' for i, cell in enumerate(head))
    lines = []
    for first, *rest in rows:
        cells = "".join(
            f'<td role="cell"{side.get(i, "")} data-label="{labels[i]}"><span>{cell}</span></td>'
            for i, cell in enumerate(rest, start=1)
        )
        lines.append(f'<tr role="row"><th role="rowheader" scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_TAG.sub("", caption)}">'
        f'<table role="table"><caption>{unbroken(caption)}</caption>\n'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>\n'
        '<tbody role="rowgroup">\n' + "\n".join(lines) + "\n</tbody></table></div>"
    )


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """Terms and what is said of them; both are HTML."""
    return "<dl>" + "\n".join(f"<div><dt>{term}</dt><dd>{said}</dd></div>" for term, said in pairs) + "</dl>"
