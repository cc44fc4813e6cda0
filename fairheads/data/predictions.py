"""Tables of predictions as tallies: what a disparity report is made of, counted batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.data.batches import Progress, batches_of
from fairheads.data.columns import check_columns, coded
from fairheads.data.faults import Faults
from fairheads.data.outcomes import Outcome, check_agreement
from fairheads.data.roles import Roles
from fairheads.errors import InputError
from fairheads.sums import Coded, Membership, Tally, sum_of
from fairheads.sums.groups import code_column

MOST_GROUPS = 10_000
"""Groups, and strata: a column with more values names no groups but people or numbers."""


def tally_file(
    source: str | Path,
    *,
    group: Sequence[str],
    label: str | None,
    prediction: str | None,
    score: str | None = None,
    threshold: float | None = None,
    weight: str | None = None,
    control: Sequence[str] = (),
    favourable: str | None = None,
    memberships: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Tally:
    """The tally of the rows of a CSV or Parquet file, or of a folder of such files, in memory that does not grow.

    The same rows give the same counts from any kind of file, in any order and of any type: a value is named as a CSV
    would write it. Missing groups are counted as not recorded.

    Parameters
    ----------
    source : str or Path
        A CSV file (``.csv``, ``.csv.gz``, ``.csv.xz``), a Parquet file, or a folder: all tables below it.
    group : sequence of str
        Columns of the groups; several make intersections.
    label, prediction : str, optional
        Columns of the recorded outcome and of the decision: 0/1, yes/no, true/false, or see ``favourable``.
    score : str, optional
        Column of numbers, larger for the favourable outcome.
    threshold : float, optional
        Where there is no ``prediction``: decisions are ``score >= threshold``.
    weight : str, optional
        Column of weights, at least 0.
    control : sequence of str
        Columns of strata within which selection rates are compared too.
    favourable : str, optional
        The favourable value of label and prediction; all others count as unfavourable.
    memberships : mapping of group to column, optional
        Instead of ``group``: columns of the probabilities with which rows belong to each group.
    progress : callable, optional
        Called with the number of rows read so far.

    Raises
    ------
    ConfigError
        If the columns cannot play these roles together.
    InputError
        If a file cannot be read, columns are not there, labels, predictions, scores or weights are missing or out of
        range, or it cannot be told which value is favourable.

    Notes
    -----
    Sums of weights and of scores are rounded as floating-point numbers are, so their last digits depend on the order.
    """
    roles = Roles(
        group=group,
        label=label,
        prediction=prediction,
        score=score,
        threshold=threshold,
        weight=weight,
        control=control,
        favourable=favourable,
        memberships=memberships or {},
    )
    return _tally(batches_of(source, names=roles.names, numbers=roles.numbers), roles, progress)


def tally_batches(
    batches: Iterable[Mapping[str, ArrayLike | Coded]],
    *,
    group: Sequence[str],
    label: str | None,
    prediction: str | None,
    score: str | None = None,
    threshold: float | None = None,
    weight: str | None = None,
    control: Sequence[str] = (),
    favourable: str | None = None,
    memberships: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Tally:
    """The tally of batches of named columns, such as an iterator over a database gives; arguments as `tally_file`.

    Raises
    ------
    ConfigError, InputError
        As `tally_file`.

    Examples
    --------
    >>> batches = [{"sex": ["f", "m"], "hired": ["yes", "no"]}, {"sex": ["m", None], "hired": ["yes", "no"]}]
    >>> tally = tally_batches(batches, group=["sex"], label=None, prediction="hired")
    >>> tally.cells.groups, tally.cells.counts.tolist()
    (('f', 'm', '(not recorded)'), [[[0, 1]], [[1, 1]], [[1, 0]]])
    """
    roles = Roles(
        group=group,
        label=label,
        prediction=prediction,
        score=score,
        threshold=threshold,
        weight=weight,
        control=control,
        favourable=favourable,
        memberships=memberships or {},
    )
    return _tally((_columns_of(batch, roles) for batch in batches), roles, progress)


def scores_of(source: str | Path, column: str, *, progress: Progress | None = None) -> NDArray[np.float64]:
    """A column of numbers (n,) of a file or folder as `tally_file` reads it, for what needs them all, such as a median.

    Raises
    ------
    InputError
        If it cannot be read, there are no rows, or a number is missing or infinite.
    """
    parts: list[NDArray[np.float64]] = []
    faults = Faults()
    for batch in batches_of(source, numbers=[column]):
        values = np.asarray(batch[column], np.float64)
        faults.rows += len(values)
        faults.check_numbers(column, values)
        parts.append(values)
        if progress is not None:
            progress(faults.rows)
    faults.raise_any()
    return np.concatenate(parts)


def favourable_word(source: str | Path, column: str) -> str:
    """The favourable value of a label or decision as the table writes it, where it needs no explanation: ``yes``.

    Raises
    ------
    InputError
        As `tally_file`.
    """
    outcome = Outcome(column, None)
    for batch in batches_of(source, names=[column]):
        values = batch[column]
        if isinstance(values, Coded) and len(values):
            outcome.codes(values)
            break
    return outcome.favourable_seen


def _columns_of(batch: Mapping[str, Any], roles: Roles) -> dict[str, Any]:
    """A batch of arrays as the readers of files give it."""
    check_columns([*roles.names, *roles.numbers], list(batch), "the batch")
    columns: dict[str, Any] = {}
    for name in roles.names:
        column = code_column(batch[name])
        columns[name] = coded(column.names, column.codes)
    for name in roles.numbers:
        try:
            columns[name] = np.asarray(batch[name], np.float64)
        except (TypeError, ValueError):
            raise InputError(f"the column {name!r} must hold numbers.") from None
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"the columns of a batch must be of one length, got {lengths}.")
    return columns


def _tally(batches: Iterable[Mapping[str, Any]], roles: Roles, progress: Progress | None) -> Tally:
    return sum_of(_parts(batches, roles, progress))


def _parts(batches: Iterable[Mapping[str, Any]], roles: Roles, progress: Progress | None) -> Iterator[Tally]:
    """The tally of every batch; once something is wrong with the rows none more, but all faults are counted."""
    outcomes = {c: Outcome(c, roles.favourable) for c in (roles.label, roles.prediction) if c is not None}
    faults = Faults()
    found: dict[str, set[str]] = {"groups": set(), "strata": set()}
    for batch in batches:
        n = len(batch[roles.all[0]])
        if n == 0:
            continue
        faults.rows += n
        codes = {name: outcome.codes(batch[name]) for name, outcome in outcomes.items()}
        faults.check_rows(batch, roles)
        if not faults.kinds:
            part = _part(batch, roles, codes)
            for what, names in (("groups", _groups(part)), ("strata", part.strata)):
                found[what].update(names)
                if len(found[what]) > MOST_GROUPS:
                    raise InputError(f"there are more than {MOST_GROUPS:,} {what}: name columns with fewer values.")
            yield part
        if progress is not None:
            progress(faults.rows)
    faults.raise_any()
    check_agreement(list(outcomes.values()), roles.favourable)


def _part(batch: Mapping[str, Any], roles: Roles, codes: Mapping[str, NDArray[np.uint8]]) -> Tally:
    score: NDArray[np.float64] | None = None if roles.score is None else batch[roles.score]
    decision = None if roles.prediction is None else codes[roles.prediction]
    if roles.threshold is not None and score is not None:
        decision = (score >= roles.threshold).astype(np.uint8)
    group: Any = {name: batch[name] for name in roles.group}
    if roles.memberships:
        columns = [batch[name] for name in roles.memberships.values()]
        group = Membership(tuple(roles.memberships), np.column_stack(columns))
    return Tally.of(
        None if roles.label is None else codes[roles.label],
        decision,
        sensitive_features=group,
        y_score=score,
        sample_weight=None if roles.weight is None else batch[roles.weight],
        control_features={name: batch[name] for name in roles.control} if roles.control else None,
    )


def _groups(part: Tally) -> tuple[str, ...]:
    sums = part.cells or part.scores
    return () if sums is None else sums.groups
