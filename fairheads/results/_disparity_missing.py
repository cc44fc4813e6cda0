"""Which numbers of a disparity report could not be had, and why: one line for all groups that share a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from fairheads.results._words import clip, count, rate_name

if TYPE_CHECKING:
    from fairheads.results.disparity import DisparityReport
    from fairheads.results.metric import Contrast, Gap

NAMED = 3
"""Groups that a line names before it counts the others."""

LINES = 30
"""Lines of reasons in a view; how many more there are is said."""


class Lack(NamedTuple):
    """A number that is missing: ``what link whom``, as in "accuracy of Female", and why."""

    what: str
    link: str
    whom: str
    why: str


def missing(report: DisparityReport) -> list[str]:
    """Every metric and gap that could not be had, with its reason; groups of one reason share a line."""
    return _told([*_of_groups(report), *_of_gaps(report)])


def missing_comparisons(report: DisparityReport) -> list[str]:
    """The same for criteria, comparisons with the reference, strata and distances."""
    return _told([*_of_criteria(report), *_of_contrasts(report), *_of_strata(report), *_of_distances(report)])


def _told(lacks: list[Lack]) -> list[str]:
    """Lines in which those of one reason stand together, then the metrics that the same groups lack."""
    whom: dict[tuple[str, str, str], list[str]] = {}
    for lack in lacks:
        whom.setdefault((lack.what, lack.link, lack.why), []).append(lack.whom)
    what: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for (name, link, why), names in whom.items():
        what.setdefault((link, tuple(names), why), []).append(name)
    lines = [f"{', '.join(whats)} {link} {_whom(names)}, {why}".strip() for (link, names, why), whats in what.items()]
    if len(lines) > LINES:
        lines[LINES:] = [f"{count(len(lines) - LINES)} more reasons, which the saved report holds"]
    return lines


def _whom(names: Iterable[str]) -> str:
    known = list(dict.fromkeys(names))
    more = f" and {count(len(known) - NAMED)} more" if len(known) > NAMED else ""
    return "; ".join(clip(name, 30) for name in known[:NAMED]) + more


def _of_groups(report: DisparityReport) -> Iterator[Lack]:
    for name, metric in report.metrics.items():
        for group, number in metric.groups.items():
            if number.reason:
                yield Lack(rate_name(name), "of", group, number.reason)


def _of_gaps(report: DisparityReport) -> Iterator[Lack]:
    for name, gap in report.gaps.items():
        yield from _gap("gap in", rate_name(name), gap)


def _gap(link: str, where: str, gap: Gap) -> Iterator[Lack]:
    for reason in dict.fromkeys((gap.difference.reason, gap.ratio.reason)):
        if reason:
            yield Lack("", link, where, reason)


def _of_criteria(report: DisparityReport) -> Iterator[Lack]:
    for name, criterion in report.criteria.items():
        for reason in dict.fromkeys((criterion.difference.reason, criterion.ratio.reason)):
            if reason:
                yield Lack("", "criterion", rate_name(name), reason)
    for name, share in report.between_groups.items():
        if share.reason:
            yield Lack("", "share between groups of", rate_name(name), share.reason)


def _of_contrasts(report: DisparityReport) -> Iterator[Lack]:
    for name, metric in report.metrics.items():
        for group, contrast in metric.to_reference.items():
            yield from _contrast(rate_name(name), f"beside {clip(report.reference, 30)} of", group, contrast)


def _contrast(what: str, link: str, group: str, contrast: Contrast) -> Iterator[Lack]:
    for reason in dict.fromkeys(
        x.reason for x in (contrast.difference, contrast.ratio, contrast.p, contrast.detectable)
    ):
        if reason:
            yield Lack(what, link, group, reason)


def _of_strata(report: DisparityReport) -> Iterator[Lack]:
    if report.conditional is None:
        return
    for name, stratum in report.conditional.strata.items():
        yield from _gap("gap in stratum", name, stratum.gap)
        for group, number in stratum.groups.items():
            if number.reason:
                yield Lack("selection rate", f"in stratum {clip(name, 30)} of", group, number.reason)
    for group, contrast in report.conditional.to_reference.items():
        yield from _contrast("comparison", "over all strata of", group, contrast)


def _of_distances(report: DisparityReport) -> Iterator[Lack]:
    for group, distance in report.distances.items():
        for reason in dict.fromkeys(x.reason for x in (distance.kolmogorov_smirnov, distance.wasserstein, distance.p)):
            if reason:
                yield Lack("distance of the scores", "of", group, reason)
