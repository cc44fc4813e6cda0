"""A front from the disparity reports of trained networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairheads.errors import ConfigError, InputError
from fairheads.results._words import count
from fairheads.results.disparity import DisparityReport
from fairheads.results.front import Front
from fairheads.results.front_points import FrontPoint, marked
from fairheads.results.number import Number

OTHERS = ("demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference")
"""Gaps that a point carries beside the one of the front."""

_SUFFIX = "_difference"


@dataclass(frozen=True, kw_only=True)
class TrainedReport:
    """A disparity report with what the network behind it was trained by.

    Attributes
    ----------
    name, objective, setting, seed, model
        As in `FrontPoint`.
    report : DisparityReport
        Of its decisions, on the rows that all networks of the front are judged on.
    """

    name: str
    objective: str
    setting: Mapping[str, float]
    seed: int
    report: DisparityReport
    model: str | None = None


def front_of(
    trained: Sequence[TrainedReport],
    *,
    accuracy: str = "accuracy",
    gap: str = "demographic_parity_difference",
    split: str = "",
    notes: Sequence[str] = (),
) -> Front:
    """The front of accuracy and gap over networks that were judged on the same rows.

    Parameters
    ----------
    trained : sequence of TrainedReport
        In the order in which objectives are to be listed; networks that differ by their seed alone are judged together.
    accuracy : str
        A metric of the reports of which more is better.
    gap : str
        A criterion or a metric with ``_difference`` behind it: ``equalized_odds_difference``,
        ``true_positive_rate_difference``. Less is better.
    split : str
        Which rows these are, in words; by default how many.
    notes : sequence of str
        Lines to carry along.

    Returns
    -------
    Front

    Raises
    ------
    InputError
        If there are no reports, two have one name, a setting is not a finite number, or they are about different rows
        (other groups, other numbers of rows or of recorded favourable labels in them, another confidence).
    ConfigError
        If a report lacks the metric or the gap.

    Notes
    -----
    Reports do not hold rows: two different samples with the same counts of labels in every group pass.

    Examples
    --------
    >>> from fairheads.metrics import disparity_report
    >>> def judged(decisions, weight):
    ...     report = disparity_report([1, 0, 1, 0, 1, 0], decisions, sensitive_features=list("aaabbb"))
    ...     setting = {"weight": weight}
    ...     return TrainedReport(name=f"{weight:g}", objective="penalized", setting=setting, seed=0, report=report)
    >>> front = front_of([judged([1, 0, 1, 0, 1, 0], 0.0), judged([1, 0, 0, 0, 1, 0], 3.0)])
    >>> [(point.name, round(point.gap.value, 3), point.dominated) for point in front.points]
    [('0', 0.333, False), ('3', 0.0, False)]
    """
    if not trained:
        raise InputError("`trained` must hold at least one report, got none.")
    first = trained[0].report
    for one in trained[1:]:
        _refuse_other_rows(trained[0], one)
    others = [name for name in OTHERS if name != gap]
    points = [
        FrontPoint(
            name=one.name,
            objective=one.objective,
            setting=_numbers(one),
            seed=one.seed,
            accuracy=_accuracy(one, accuracy),
            gap=_gap(one, gap),
            gaps={name: _gap(one, name) for name in others if _has_gap(one.report, name)},
            dominated=False,
            model=one.model,
        )
        for one in trained
    ]
    names = [point.name for point in points]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"`trained` must have a name of its own for every report, got {twice[0]!r} twice.")
    return Front(
        data=first.name,
        split=split or f"{count(first.n)} rows",
        n=first.n,
        groups=tuple(name for name, group in first.groups.items() if group.recorded),
        confidence=first.confidence,
        accuracy_metric=accuracy,
        gap_metric=gap,
        points=marked(points),
        notes=tuple(notes),
    )


def _numbers(one: TrainedReport) -> dict[str, float]:
    setting = {str(option): float(value) for option, value in one.setting.items()}
    wrong = [option for option, value in setting.items() if not math.isfinite(value)]
    if wrong:
        raise InputError(f"`setting` of {one.name!r} must hold finite numbers, got {wrong[0]} = {setting[wrong[0]]}.")
    return setting


def _accuracy(one: TrainedReport, name: str) -> Number:
    if name not in one.report.metrics:
        raise ConfigError(
            f"`accuracy` must be a metric of every report; that of {one.name!r} has no {name!r}, but"
            f" {', '.join(one.report.metrics)}."
        )
    return one.report.metrics[name].overall


def _has_gap(report: DisparityReport, name: str) -> bool:
    stem = name.removesuffix(_SUFFIX)
    return name.endswith(_SUFFIX) and (stem in report.criteria or stem in report.metrics)


def _gap(one: TrainedReport, name: str) -> Number:
    report = one.report
    if not _has_gap(report, name):
        has = ", ".join(f"{stem}{_SUFFIX}" for stem in report.criteria)
        raise ConfigError(f"`gap` must be one of every report; that of {one.name!r} has no {name!r}, but {has}.")
    stem = name.removesuffix(_SUFFIX)
    return report.criteria[stem].difference if stem in report.criteria else report.metrics[stem].gap.difference


def _refuse_other_rows(one: TrainedReport, other: TrainedReport) -> None:
    for what, mine, its in zip(
        ("confidence", "groups and labels"), _rows(one.report), _rows(other.report), strict=True
    ):
        if mine != its:
            raise InputError(
                f"all networks must be judged on the same rows; the {what} of {other.name!r} are not those of"
                f" {one.name!r}."
            )


def _rows(report: DisparityReport) -> tuple[float, dict[str, tuple[int, float | None]]]:
    """What any two reports about the same rows share, whatever was decided about them."""
    return report.confidence, {name: (group.n, _favourable(group.counts)) for name, group in report.groups.items()}


def _favourable(counts: Mapping[str, float]) -> float | None:
    cells = ("true_positives", "false_negatives")
    if any(cell not in counts for cell in cells):
        return None
    return float(f"{sum(counts[cell] for cell in cells):.9g}")  # weights add up in another order for other decisions
