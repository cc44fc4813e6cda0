"""Numbers, names and verdicts in words: the same in text, Markdown, HTML and figures."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from fairheads.results.number import Number

NOT_ESTIMABLE = "not estimable"

_MINUS = re.compile(r"(?<![^ \[(])-(?=\d[\d,]*\.\d|\d{1,3},\d{3})|(?<=\de)-(?=\d\d\b)")
_PER_CENT = re.compile(r"(?<=\d) %")

EXACT = "†"
EXACT_MEANS = (
    f"{EXACT} exact interval, taken where rows are few or a rate is near 0 or 1: it covers at least its confidence, "
    "mostly more."
)
"""The mark of intervals that are wider than they would have to be, and what it stands for."""

SPELT = {"auc": "AUC", "brier": "Brier score", "theil": "Theil index"}
"""Metrics whose names are not English words."""

_SHARES = ("accuracy", "_rate", "_value", "_parity_difference", "_odds_difference", "_opportunity_difference")
"""How the names of shares, and of differences of shares, end."""

VERDICT_NAME: dict[str, str] = {
    "compensating_head": "Compensating head",
    "consistent_with_compensating_head": "Consistent with a compensating head",
    "head_or_suppression": "Head or suppression",
    "suppression": "Suppression",
    "aligned_use": "Aligned use",
    "consistent_with_aligned_use": "Consistent with aligned use",
    "neutral": "Neutral",
    "inconclusive": "Inconclusive",
    "not_testable": "Not testable",
}

EFFECT_MEANS: dict[str, str] = {
    "swap": "change of the score when the network's internal picture of a person is moved to the other group's",
    "erasure": "change of the gap in decisions when the internal estimate of the group is erased",
}

TAG_MEANS: dict[str, str] = {
    "causal": "the network was changed and its decisions compared",
    "functional": "what the network does to people of equal merit",
    "descriptive": "what can be read from inside; decides nothing",
    "check": "whether the measurement itself can be trusted",
}

DIRECTION = "Right of 0 it works against the gap in the labels, left of 0 along it."
NO_DIRECTION = (
    "The labels show no gap, so that the sign says little: right of 0 works against the gap that these rows happen to "
    "have."
)


def sides(directed: bool) -> str:
    """What lies left and right of 0 in a figure of effects, where the gap in labels has a direction."""
    return "← aligned · compensating →" if directed else "(no gap in the labels)"


def amount(value: float) -> str:
    """A rate or an effect: three decimals, never ``-0.000``; fewer where a score runs into the hundreds."""
    if math.isnan(value):
        return NOT_ESTIMABLE
    if abs(value) >= 1e9:
        return f"{value:.4g}"
    return f"{value:z.3f}" if abs(value) < 100 else f"{value:,.1f}" if abs(value) < 1e5 else f"{value:,.0f}"


def interval(low: float | None, high: float | None) -> str:
    """An interval in brackets, open where it has no bound on one side; nothing where there is none."""
    low, high = (None if bound is None or not math.isfinite(bound) else bound for bound in (low, high))
    if low is None and high is None:
        return ""
    left = "(no lower bound" if low is None else f"[{amount(low)}"
    return f"{left}, no upper bound)" if high is None else f"{left}, {amount(high)}]"


def estimate(number: Number) -> str:
    """A number with its interval, marked where that is an exact one; the reason of a missing one is told elsewhere."""
    bounds = interval(number.low, number.high)
    return f"{amount(number.value)} {bounds}{EXACT if number.conservative and bounds else ''}".strip()


def percent(share: float) -> str:
    """A confidence or a share of people, in whole or broken percent."""
    return f"{100 * share:g} %"


def count(n: int) -> str:
    """A number of rows, thousands apart."""
    return f"{n:,}"


def p_value(p: float) -> str:
    """Two significant digits."""
    return NOT_ESTIMABLE if math.isnan(p) else f"{p:.2g}"


def people(n: int, share: float) -> str:
    """A number of people with their share."""
    return f"{count(n)} ({amount(share)})"


def typeset(number: str) -> str:
    """A formatted number with the minus sign of print."""
    return number.replace("-", "−")


def minus_signs(text: str) -> str:
    """A text with the minus sign of print in ``-0.5``, ``-1,000`` and ``5e-06``; names such as ``-1`` stay."""
    return _MINUS.sub("−", text)


def unbroken(text: str) -> str:
    """A text whose lines do not end between a number and its per cent sign."""
    return _PER_CENT.sub("\u00a0%", text)


def printable(text: str) -> str:
    """One line without control characters, lone surrogates or marks that reverse the reading direction."""
    return " ".join("".join(_printable(c) for c in text).split()) or "(no name)"


def _printable(c: str) -> str:
    kind = unicodedata.category(c)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    joiner = c in "\u200c\u200d"
    return "\ufffd" if kind == "Cs" or (kind == "Cf" and not joiner) else c


def clip(text: str, length: int) -> str:
    """A printable name of at most ``length`` characters."""
    line = printable(text)
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def clip_middle(text: str, length: int) -> str:
    """The same with the middle left out: a layer's path tells itself by both ends."""
    line = printable(text)
    if len(line) <= length:
        return line
    end = (length - 1) // 2
    return f"{line[: length - 1 - end]}…{line[-end:]}"


def capital(text: str) -> str:
    """With a capital letter."""
    return f"{text[:1].upper()}{text[1:]}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return capital(text).rstrip(".") + "."


def rate_name(rate: str) -> str:
    """``true_positive_rate`` in words."""
    return SPELT.get(rate, rate.replace("_", " "))


def axis_name(rate: str) -> str:
    """The same for an axis, with its unit where it is a share of rows or a difference of such shares."""
    return f"{rate_name(rate)} (share)" if rate.endswith(_SHARES) else rate_name(rate)


def met(passed: bool | None) -> str:
    """What became of a condition."""
    return "no test" if passed is None else "met" if passed else "not met"


def evidence_value(tag: str, value: float, null: float | None) -> tuple[str, str]:
    """Value and what it is compared with; yes and no where a check has no other values."""
    if tag == "check" and null == 1.0 and (math.isnan(value) or value in (0.0, 1.0)):
        return ("not known" if math.isnan(value) else "yes" if value else "no"), "yes"
    return amount(value), "" if null is None else amount(null)


def in_words(value: Any) -> str:
    """A record (nested dicts, lists and scalars) as a phrase: its ``name`` first, then what it says of itself."""
    if isinstance(value, Mapping):
        rest = ", ".join(f"{rate_name(str(k))} {in_words(v)}" for k, v in value.items() if k != "name")
        name = in_words(value["name"]) if "name" in value else ""
        return f"{name} ({rest})" if name and rest else name or rest
    if isinstance(value, list | tuple):
        return ", ".join(in_words(v) for v in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return count(value) if isinstance(value, int) else rate_name(str(value))


def recipe(training: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The training record as (what, how) in words; the curve of losses as its last value."""
    if training is None:
        return [("training", "no record was saved with the model")]
    lines = [
        (rate_name(str(k)), str(v) if k == "seed" else in_words(v))
        for k, v in training.items()
        if k not in ("losses", "rows", "shares")
    ]
    losses, rows = training.get("losses"), training.get("rows")
    if isinstance(losses, list) and losses and isinstance(losses[-1], int | float):
        lines.append(("last training loss", amount(float(losses[-1]))))
    if isinstance(rows, Mapping) and isinstance(rows.get("n"), int):
        lines.append(("training rows", f"{count(rows['n'])}, digest {rows.get('digest', 'not known')}"))
    return lines
