"""What a front puts into tables and sentences, before anybody decides how these look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fairheads.results._csv import csv_text
from fairheads.results._words import EXACT_MEANS, capital, clip, count, percent, rate_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fairheads.results.front import Front
    from fairheads.results.front_points import FrontPoint, FrontSetting
    from fairheads.results.number import Number

DISCLAIMER = "This does not say which setting to use; one chosen on these rows is a little worse on new ones."
"""What the numbers do not say."""

MEANS = (
    "no other setting here is at least as accurate with a gap at least as small, and better in one of the two; the"
    " others may lie below by less than their intervals"
)
"""What it is to be on the front."""

SEVERAL = "Of several seeds the mean is shown, with the mean of their intervals; how far seeds lie apart is not in it."

GROUPS = 4
"""Groups that the lead names before it counts the others."""


def exactly(value: float) -> str:
    """The fewest digits that are this number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def setting_words(setting: Mapping[str, float]) -> str:
    """``weight 3``; the options in the order they were given in."""
    return ", ".join(f"{rate_name(option)} {exactly(value)}" for option, value in setting.items())


def label(setting: FrontSetting) -> str:
    """The objective with its setting."""
    words = setting_words(setting.setting)
    return f"{rate_name(setting.objective)}, {words}" if words else rate_name(setting.objective)


def gap_name(metric: str) -> str:
    """A gap in words, without the word that all of them share."""
    return rate_name(metric.removesuffix("_difference"))


def title(front: Front) -> str:
    """What is set against what."""
    return f"{capital(rate_name(front.accuracy_metric))} against {rate_name(front.gap_metric)}"


def lead(front: Front) -> str:
    """What was judged on what, in a line or two."""
    settings = front.settings
    of_settings = _counted(len(settings), "setting")
    of_objectives = _counted(len({s.objective for s in settings}), "objective")
    networks = _counted(len(front.points), "network")
    named = ", ".join(clip(name, 30) for name in front.groups[:GROUPS])
    if len(front.groups) > GROUPS:
        named += f" and {count(len(front.groups) - GROUPS)} more"
    told = f"{networks}, {of_settings} of {of_objectives}, judged on {clip(front.split, 160)}"
    if front.data and front.data not in front.split:
        told += f" ({clip(front.data, 60)})"
    if named:
        told += f"; groups {named}"
    return f"{told}; {percent(front.confidence)} intervals."


def _counted(n: int, what: str) -> str:
    return f"{count(n)} {what}{'' if n == 1 else 's'}"


def others(front: Front) -> tuple[str, ...]:
    """The further gaps that every setting has."""
    settings = front.settings
    return tuple(name for name in settings[0].gaps if all(name in s.gaps for s in settings)) if settings else ()


def remarks(front: Front, shown: Iterable[str]) -> list[str]:
    """Why numbers are missing, what marks mean, and the notes; ``shown`` are the further gaps in the table."""
    shown = tuple(shown)
    lacks: dict[tuple[str, str], list[str]] = {}
    exact = False
    for setting in front.settings:
        named = {front.accuracy_metric: setting.accuracy, front.gap_metric: setting.gap}
        for name, number in (named | {name: setting.gaps[name] for name in shown}).items():
            exact = exact or number.conservative
            if number.reason and math.isnan(number.value):
                lacks.setdefault((rate_name(name), number.reason), []).append(label(setting))
    told = [f"{capital(what)} of {_some(whose)}: {why.rstrip('.')}." for (what, why), whose in lacks.items()]
    if any(len(setting.points) > 1 for setting in front.settings):
        told.append(SEVERAL)
    return [*told, *([EXACT_MEANS] if exact else []), *front.notes]


def _some(names: list[str]) -> str:
    return "; ".join(names[:3]) + (f"; and {count(len(names) - 3)} more" if len(names) > 3 else "")


# ---------------------------------------------------------------- rows of networks


def records(front: Front) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns, and a row a network; an option that an objective does not have is empty."""
    options = tuple(dict.fromkeys(option for point in front.points for option in point.setting))
    others = tuple(dict.fromkeys(name for point in front.points for name in point.gaps))
    head = ["name", "objective", "seed", *(f"setting_{option}" for option in options)]
    for metric in (front.accuracy_metric, front.gap_metric, *others):
        head += [metric, f"{metric}_low", f"{metric}_high"]
    return (*head, "n", "dominated", "model", "reason"), [_record(point, options, others) for point in front.points]


def _record(point: FrontPoint, options: tuple[str, ...], others: tuple[str, ...]) -> tuple[Any, ...]:
    numbers = [point.accuracy, point.gap, *(point.gaps.get(name) for name in others)]
    reasons = (number.reason for number in numbers if number is not None)
    return (
        point.name,
        point.objective,
        point.seed,
        *(point.setting.get(option) for option in options),
        *(value for number in numbers for value in _values(number)),
        point.accuracy.n,
        point.dominated,
        point.model,
        next((reason for reason in reasons if reason), None),
    )


def _values(number: Number | None) -> tuple[float | None, float | None, float | None]:
    if number is None:
        return None, None, None
    return tuple(v if v is not None and math.isfinite(v) else None for v in (number.value, number.low, number.high))  # type: ignore[return-value]


def csv(front: Front) -> str:
    """The records as CSV text."""
    head, rows = records(front)
    return csv_text(head, rows)
