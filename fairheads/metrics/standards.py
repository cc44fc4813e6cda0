"""Two audit standards of employment law in the United States, as functions of counts: impact ratios by category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import ConfigError, InputError
from fairheads.metrics._impact import checked, over, split, table, unknown
from fairheads.results.impact import ImpactReport, ImpactTable
from fairheads.sums import Cells, Tally

TWO_PERCENT = 0.02

EEOC_RULE = (
    "The selection rate of each group is divided by that of the group with the highest rate. A ratio below four fifths"
    " is generally regarded by the federal enforcement agencies as evidence of adverse impact, one that is not below as"
    " no such evidence. Smaller differences may still be adverse impact where they are significant in statistics and"
    " in practice; larger ones may not where they rest on small numbers and are not statistically significant."
)
EEOC_SOURCE = (
    "Uniform Guidelines on Employee Selection Procedures (1978), 29 CFR 1607.4(D) and 1607.15(A)(2); Questions and"
    " Answers, 44 FR 11996 (March 2, 1979), Q. 21; Castaneda v. Partida, 430 U.S. 482, 496 n. 17 (1977); Hazelwood"
    " School District v. United States, 433 U.S. 299, 308 n. 14, 311 n. 17 (1977)."
)
EEOC_NOTES = (
    "Standard deviations: the difference of two rates over its standard error from the pooled rate of both. The cases"
    " cited take differences of more than two or three standard deviations as hardly due to chance; they compared one"
    " number with its binomial expectation, this statistic compares two samples. Fisher's test is exact and two-sided.",
    "One person: selecting one person of the group in place of one of the group with the highest rate would give it the"
    " higher rate of the two. With numbers so small the agencies do not take a difference for adverse impact without"
    " other evidence (Q. 21).",
)
TWO_PERCENT_EEOC = (
    "The Guidelines ask for determinations for groups of at least 2 % of the labor force in the relevant area or of the"
    " applicable workforce (29 CFR 1607.15(A)(2)). That share is not in these data; groups of less than {share} of the"
    " people counted here are left out of the ratios instead."
)
SUBGROUPS = "The Guidelines compare sexes, and races and ethnic groups; they ask for no comparison of intersections."

NYC_RULE = {
    "selection": (
        "The selection rate of each category is divided by that of the most selected category, separately for sex"
        " categories, race/ethnicity categories and intersectional categories of both. People of unknown category are"
        " counted and not included; a category of less than 2 % of the data may be left out of the ratios with the"
        " independent auditor's justification, its number and rate still given."
    ),
    "scoring": (
        "The scoring rate of a category is the share of its people who score above the median of the full sample. It is"
        " divided by the highest scoring rate, separately for sex categories, race/ethnicity categories and"
        " intersectional categories of both. People of unknown category are counted and not included; a category of"
        " less than 2 % of the data may be left out of the ratios with the independent auditor's justification, its"
        " number and rate still given."
    ),
}
NYC_SOURCE = (
    "New York City Local Law 144 of 2021, Administrative Code Sec. 20-870 to 20-874; rules of the Department of"
    " Consumer and Worker Protection, 6 RCNY Sec. 5-300 (definitions), 5-301(b) to (d) (bias audit), 5-302 (data),"
    " 5-303 (published results)."
)
NYC_NOTES = (
    "The rule sets no line that a ratio must reach. That of four fifths is the Uniform Guidelines' (29 CFR 1607.4(D)),"
    " shown beside it, as are standard deviations and Fisher's two-sided exact test, which the rule does not ask for.",
    "A tool that sorts people into several classes needs these tables for each class (6 RCNY Sec. 5-301(b)).",
)
CHOSEN = (
    "The category that the others are compared with is the one with the highest rate in these data, and each comparison"
    " is a test of its own: among several categories chance alone makes differences of two standard deviations more"
    " often than 5 times in 100. Each interval, too, holds for its ratio alone and knows nothing of the choice: where"
    " all categories have one rate, all intervals of a table hold 1 in about 95 of 100 tables of two categories, 55 of"
    " 100 of seven and 17 of 100 of fifteen (300 people in each, a rate of .3)."
)
BY_WEIGHT = (
    "Rows are weighted: rates and shares are of the weights, intervals use the effective number of rows, numbers of"
    " people are unweighted."
)


def above_median(score: ArrayLike) -> NDArray[np.uint8]:
    """1 for every score strictly above the median of all the scores given, else 0.

    The decisions that `local_law_144` needs for a tool that scores: pass the scores of the full sample, people of
    unknown category among them. With an even number the median is the mean of the middle two.

    Raises
    ------
    InputError
        If there are no scores, or one is no finite number.

    References
    ----------
    6 RCNY Sec. 5-300 (scoring rate), 5-301(c).

    Examples
    --------
    >>> above_median([1.0, 2.0, 2.0, 3.0]).tolist()
    [0, 0, 0, 1]
    """
    threshold = threshold_above_median(score)
    above: NDArray[np.uint8] = (np.asarray(score, np.float64) >= threshold).astype(np.uint8)
    return above


def threshold_above_median(score: ArrayLike) -> float:
    """The least number that is strictly above the median of the scores: with it as threshold `above_median` decides.

    Raises
    ------
    InputError
        As `above_median`.
    """
    scores = np.asarray(score)
    if scores.ndim != 1 or not len(scores) or scores.dtype.kind not in "iuf":
        raise InputError(f"`score` must be one number per row, got {scores.dtype} of shape {scores.shape}.")
    if not np.isfinite(scores).all():
        raise InputError("`score` must be finite in every row.")
    return float(np.nextafter(np.median(scores.astype(np.float64)), np.inf))


def four_fifths(
    counted: Tally | Cells,
    *,
    columns: Sequence[str] | None = None,
    name: str = "decisions",
    exclude_below: float = TWO_PERCENT,
) -> ImpactReport:
    """Impact ratios against the four-fifths rule of the Uniform Guidelines, with both tests that courts look at.

    A table for each column, and one of their intersections where there are several. Missing values of a column are
    left out of the tables that need it.

    Parameters
    ----------
    counted : Tally or Cells
        Counts of decisions, with or without recorded labels; 1 is "selected".
    columns : sequence of str, optional
        The columns that make the groups; a `Tally` knows its own.
    name : str
        What was counted, for the report.
    exclude_below : float
        Groups of a smaller share get no ratio and are nobody's comparison. 0 compares all, and lets a group of one or
        two people be the highest.

    Raises
    ------
    InputError
        If there are no decisions, they are not of two classes, or people belong to groups with probabilities.
    ConfigError
        If ``columns`` do not fit the groups, or ``exclude_below`` is not from 0 to 0.5.

    Notes
    -----
    Standard deviations are z = (p1 - p0) / sqrt(p (1 - p) (1/n1 + 1/n0)) with p the rate of both groups together.
    Not shown: whether a procedure is related to the job, nor whether a difference is lawful.

    References
    ----------
    29 CFR 1607.4(D), 1607.15(A)(2); 44 FR 11996 (1979); Castaneda v. Partida, 430 U.S. 482 (1977); Hazelwood School
    District v. United States, 433 U.S. 299 (1977).

    Examples
    --------
    >>> tally = Tally.of(None, [1] * 48 + [0] * 32 + [1] * 12 + [0] * 28, sensitive_features=["W"] * 80 + ["B"] * 40)
    >>> report = four_fifths(tally)
    >>> [(row.category, row.impact_ratio.value, row.shortfall) for row in report.tables[0].rows]
    [('B', 0.5, 8), ('W', 1.0, 0)]
    """
    cells, names = checked(counted, columns)
    if not 0 <= exclude_below <= 0.5:
        raise ConfigError(f"`exclude_below` must be from 0 to 0.5, got {exclude_below!r}.")
    left_out = f"less than {_percent(exclude_below)} of the people counted here"
    tables = [
        table(f"{column} groups", (column,), *split(over(cells, len(names), (i,)), 1), exclude_below, left_out)
        for i, column in enumerate(names)
    ]
    notes = [*EEOC_NOTES]
    if len(names) > 1:
        title = f"Intersections of {_listed(names)}"
        tables.append(table(title, names, *split(cells, len(names)), exclude_below, left_out))
        notes.append(SUBGROUPS)
    if exclude_below:
        notes.append(TWO_PERCENT_EEOC.format(share=_percent(exclude_below)))
    return ImpactReport(
        standard="four-fifths",
        kind="selection",
        name=name,
        n=int(cells.counts.sum()),
        unknown=unknown(cells, len(names)),
        rule=EEOC_RULE,
        source=EEOC_SOURCE,
        tables=tuple(tables),
        notes=(*notes, *_general(tables, cells)),
    )


def local_law_144(
    counted: Tally | Cells,
    *,
    columns: Sequence[str] | None = None,
    kind: Literal["selection", "scoring"] = "selection",
    name: str = "decisions",
    exclude_below: float = TWO_PERCENT,
    justification: str = "",
) -> ImpactReport:
    """Impact ratios as New York City's rule on automated employment decision tools asks for them.

    A table for each of the two columns, sex and race/ethnicity, and one for their intersections. As in the rule's own
    example, a person for whom either is not recorded is in none of them and in the number of unknown category.

    Parameters
    ----------
    counted : Tally or Cells
        Counts of decisions, 1 is "selected"; for scores of what `above_median` makes of them.
    columns : sequence of str, optional
        The columns that make the categories, in any order; a `Tally` knows its own.
    kind : str
        ``selection``, or ``scoring`` where the decisions say who scored above the median.
    name : str
        What was counted, for the report.
    exclude_below : float
        Categories of a smaller share of the data get no ratio; the rule allows this below 2 %. 0 compares all.
    justification : str
        The independent auditor's reason for leaving them out, which the published summary must hold.

    Raises
    ------
    InputError
        If there are no decisions, they are not of two classes, or people belong to categories with probabilities.
    ConfigError
        If ``columns`` do not fit the groups or are more than two, ``exclude_below`` is not from 0 to 0.02, or there is
        no such ``kind``.

    Notes
    -----
    Not shown: an audit. The law asks for an independent auditor and for historical data of the tool's use.

    References
    ----------
    6 RCNY Sec. 5-300 to 5-304; New York City Administrative Code Sec. 20-870 to 20-874.

    Examples
    --------
    >>> people = {"sex": ["F", "F", "M", "M"], "race": ["a", "b", "a", "b"]}
    >>> report = local_law_144(Tally.of(None, [1, 0, 1, 1], sensitive_features=people))
    >>> [table.title for table in report.tables]
    ['sex categories', 'race categories', 'Intersectional categories of sex and race']
    """
    cells, names = checked(counted, columns)
    if kind not in NYC_RULE:
        raise ConfigError(f"`kind` must be one of {list(NYC_RULE)}, got {kind!r}.")
    if len(names) > 2:
        raise ConfigError(f"`columns` must be sex and race/ethnicity, at most two columns, got {list(names)}.")
    if not 0 <= exclude_below <= TWO_PERCENT:
        raise ConfigError(f"`exclude_below` must be from 0 to 0.02, got {exclude_below!r}.")
    left_out = f"less than {_percent(exclude_below)} of the data (6 RCNY Sec. 5-301(d)); "
    left_out += f"justification: {justification}" if justification else "the auditor's justification is to be added"
    known, missing = split(cells, len(names))
    parts: list[tuple[tuple[int, ...], str]] = [((i,), f"{column} categories") for i, column in enumerate(names)]
    if len(names) > 1:
        parts.append((tuple(range(len(names))), f"Intersectional categories of {_listed(names)}"))
    tables = [
        table(
            title,
            tuple(names[i] for i in at),
            over(known, len(names), at),
            missing,
            exclude_below,
            left_out,
        )
        for at, title in parts
    ]
    notes = [*NYC_NOTES] if kind == "selection" else [*NYC_NOTES[:1]]
    if len(names) == 1:
        notes.append(
            f"Only {names[0]} was counted. The rule asks for three tables: sex, race/ethnicity, and both together."
        )
    return ImpactReport(
        standard="nyc-ll144",
        kind=kind,
        name=name,
        n=int(cells.counts.sum()),
        unknown=missing,
        rule=NYC_RULE[kind],
        source=NYC_SOURCE,
        tables=tuple(tables),
        notes=(*notes, *_general(tables, cells)),
    )


def _general(tables: Sequence[ImpactTable], cells: Cells) -> list[str]:
    """Notes that hold for both standards, where they are of use."""
    if cells.weights is not None:
        return [BY_WEIGHT]
    return [CHOSEN] if max(sum(row.included for row in table.rows) for table in tables) > 2 else []


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
