"""How figures look: one palette, one size of type, and SVG that is the same bytes for the same figure."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from fairheads.results._words import unbroken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1b1f24"
SOFT = "#57606a"
RULE = "#d0d7de"
BAND = "#e6eaef"
TWIN = "#868f99"
PAPER = "#fffffe"
"""Not quite white, so that it can be told from a white that a caller set."""

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b1fa8", "#8f2d56")
"""Okabe and Ito's colours, told apart by most colour-blind readers, but violet and wine red for black and yellow."""

PALETTE_LIGHT = (*PALETTE[:4], "#5c4400", "#338fc7", *PALETTE[6:])
"""The same on a light page, where two are too pale to be seen by everybody (3 to 1, WCAG 1.4.11)."""

PALETTE_DARK = ("#5ab4ee", "#ff8f4d", "#2fc79b", "#e5a3c8", "#f7d774", "#a5d8f6", "#8f5cf0", "#c2475a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")

NAMES = {INK: "ink", SOFT: "soft", RULE: "rule", BAND: "band", TWIN: "twin", PAPER: "paper"} | {
    colour: f"group-{i}" for i, colour in enumerate(PALETTE)
}
"""Colours that a page may set anew, as CSS variables ``--fh-NAME``."""

_RC: dict[Any, Any] = {
    "svg.hashsalt": "fairheads",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "axes.labelsize": 9.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
}

WIDTH = 4.4
"""Inches; at this width the type stays legible on a telephone."""

BELOW_NAME = -0.4
"""Where the line at 0 begins, in rows: a row above the first one holds the name of the grey band."""

DOTS = 200
"""Pixels an inch of a PNG."""


class Look(NamedTuple):
    """Colour, marker and line of a group: it is never told by the colour alone."""

    colour: str
    marker: str
    line: str


def look(name: str, names: Iterable[str]) -> Look:
    """The look of one of ``names``, the same wherever these are the names; 64 differ in colour or marker."""
    at = sorted(names).index(name)
    again = at // len(PALETTE)
    return Look(PALETTE[at % len(PALETTE)], MARKERS[(at + again) % len(MARKERS)], LINES[(at + again) % len(LINES)])


@contextmanager
def house_style() -> Iterator[None]:
    """The settings above and matplotlib's own defaults for the rest; the caller's settings come back afterwards.

    It decorates whatever draws: some settings count when a title is set, not when the axes are made.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure that belongs to nobody's pyplot.

    It is white where it is shown by itself, as in a dark notebook, whose ink would be lost; pages save it without.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def bare(ax: Axes, *keep: str) -> None:
    """Only the named spines."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in keep)


def svg(figure: Figure, says: str) -> str:
    """The figure as an inline SVG element whose colours follow the page; ``says`` tells it to who cannot see it.

    Letters are drawn as paths, so that they look the same everywhere. Where the font lacks a letter, text stays text
    and the reader's fonts draw it.
    """
    with house_style(), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        raw = _written(figure)
        if any("missing from" in str(warning.message) for warning in heard):
            import matplotlib

            matplotlib.rcParams["svg.fonttype"] = "none"
            raw = _written(figure)
    body = raw[raw.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"\s+xmlns(:\w+)?=\"[^\"]*\"", "", body, count=3)
    key = "f" + hashlib.sha256(body.encode() + says.encode("utf-8", "replace")).hexdigest()[:8]
    body = re.sub(r"(\bid=\"|href=\"#|url\(#)", rf"\g<1>{key}-", body)
    for colour, name in NAMES.items():
        body = body.replace(colour, f"var(--fh-{name}, {colour})")
    label = escape(says, quote=True)
    return body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def _written(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def picture(draw: Callable[[], Axes], form: str) -> bytes:
    """The figure of the axes that ``draw`` returns as PNG or SVG on white; the same drawing gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from"
        )  # a name is then boxes, and in the other files
        figure = cast("Figure", draw().figure)
        figure.savefig(buffer, format=form, dpi=DOTS, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def html_figure(ax: Axes, says: str, caption: str) -> str:
    """The figure of some axes in HTML; ``caption`` is HTML, ``says`` is not."""
    figure = cast("Figure", ax.figure)
    return f"<figure>{svg(figure, says)}<figcaption>{unbroken(caption)}</figcaption></figure>"


def spread(values: Sequence[float], pad: float = 0.08) -> tuple[float, float]:
    """Limits around finite values with a margin, never of no width."""
    finite = [v for v in values if v == v and abs(v) != float("inf")]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = (high - low) * pad or max(abs(high), 1.0) * pad
    return low - room, high + room
