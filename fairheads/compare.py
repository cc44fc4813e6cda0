"""Several models on the same rows: accuracy and gap of each, how often they agree, and whom they decide differently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network, as_network, one_thread
from fairheads.audit import told
from fairheads.audit.opening import net_of
from fairheads.data import Batch, Dataset, RowRecord, Stream, blocks
from fairheads.data.dataset import joined
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import CORE, disparity_of
from fairheads.metrics.agreement import Decision, changes, paired, share
from fairheads.models import Bundle, Opened, network_digest, open_model
from fairheads.models.running import running
from fairheads.models.scikit import refuse_other_columns
from fairheads.results import (
    CRITERIA,
    AuditReport,
    ComparedModel,
    ComparedPair,
    ComparedVerdict,
    ComparisonReport,
    DisparityReport,
    TrainedReport,
    front_of,
    gap_named,
    undefined,
)
from fairheads.sums import Cells, Tally, is_recorded

GAPS = tuple(name for name, metrics in CRITERIA.items() if set(metrics) <= set(CORE))
"""Criteria that the gap may be of."""


@one_thread()
def compare(
    models: Mapping[str, Opened | str | Path],
    data: Mapping[str, Dataset | Stream],
    *,
    audits: Iterable[AuditReport] = (),
    gap_metric: str = "demographic_parity",
    split: str = "",
    notes: Sequence[str] = (),
    before: Callable[[str, str], None] | None = None,
) -> ComparisonReport:
    """Set two or more models side by side on rows that none of them was trained on.

    Parameters
    ----------
    models : mapping of name to model
        As `fairheads.audit.audit` takes them: one logit of the favourable outcome a row, above 0 a favourable decision.
    data : mapping of name to Dataset or Stream
        The rows as each model takes them, by the same names: ``dict.fromkeys(models, rows)`` where all take the same.
        Where they differ (each model has held-out rows of its own), those with a row id that all have are compared. Of
        streams labels, groups, ids and decisions are kept.
    audits : iterable of AuditReport
        Their verdicts are shown beside the models with the same weights. They are asked for after ``before``.
    gap_metric : str
        A criterion of `GAPS`, or the metric of one, the gap of the front.
    split : str
        Which rows these are, in words; by default how many.
    notes : sequence of str
        Lines to carry into the report.
    before : callable, optional
        Called with the digests of all weights and of all rows, as ``ComparisonReport.subject`` has them, before
        anything is decided. What it raises ends the comparison: `fairheads.reports.refuse_other` keeps a report of
        something else that way.

    Returns
    -------
    ComparisonReport
        With the ids of rows that two models decide differently in its pairs, outside of its JSON.

    Raises
    ------
    InputError
        If there are fewer than two models, rows are not the same people, none is common to all, they hold rows that a
        model was trained on, an audit is of another model, or a network fails.
    ConfigError
        If ``gap_metric`` is not known, or a kind of model makes no sense.
    UnsafeModelError
        If loading a file would run code, or it is damaged.

    Notes
    -----
    The gap of each model is judged with all pairs of groups together, everything else by itself. Not shown: which
    model to use. One that is chosen on these rows is a little worse on new ones.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> from fairheads.planted import synthetic
    >>> rows, nets = synthetic(400), {"small": MLP(8, hidden=(4,)), "large": MLP(8, hidden=(16,))}
    >>> report = compare(nets, dict.fromkeys(nets, rows))
    >>> report.pair("small", "large").agreement.n
    400
    """
    if len(models) < 2:
        raise InputError(f"`models` must be two or more, got {len(models)}.")
    if list(data) != list(models):
        raise InputError(f"`data` must have rows for each of `models`, {list(models)}, got {list(data)}.")
    gap_metric = gap_named(gap_metric)
    if gap_metric not in GAPS:
        raise ConfigError(f"`gap_metric` must be one of {', '.join(GAPS)}, got {gap_metric!r}.")
    opened = {name: open_model(model) if isinstance(model, str | Path) else model for name, model in models.items()}
    for name, model in opened.items():
        refuse_other_columns(model, data[name], name)
    networks = {name: as_network(net_of(model)) for name, model in opened.items()}
    digests = {name: network_digest(network) for name, network in networks.items()}
    records = _records(data)
    if before is not None:
        before(" ".join(digests.values()), " ".join(record.digest for record in records.values()))
    for name, model in opened.items():
        if isinstance(model, Bundle) and model.rows is not None:
            model.rows.refuse_overlap(records[name], of=name)
    verdicts = _verdicts(audits, digests)
    decided, left_out = _common({name: _decided(name, networks[name], data[name]) for name in models})
    reports = {name: each.report() for name, each in decided.items()}
    return ComparisonReport(
        front=front_of(
            [
                TrainedReport(name=name, objective=name, setting={}, seed=0, report=report)
                for name, report in reports.items()
            ],
            gap=f"{gap_metric}_difference",
            split=split,
        ),
        models={
            name: ComparedModel(
                digest=digests[name],
                rows=records[name].digest,
                verdicts=_told(verdicts.get(name), records[name].digest, whole=not left_out),
                **_by_group(report, gap_metric),
            )
            for name, report in reports.items()
        },
        pairs=tuple(_pair(one, other, decided) for one, other in combinations(models, 2)),
        versions=reduce(or_, map(told.versions, networks.values())),
        notes=(*notes, *left_out),
    )


def _records(data: Mapping[str, Dataset | Stream]) -> dict[str, RowRecord]:
    """The rows of every model by their hashes; rows that several models take are read once."""
    made: dict[int, RowRecord] = {}
    for rows in data.values():
        if id(rows) not in made:
            made[id(rows)] = RowRecord.of(rows)
    return {name: made[id(rows)] for name, rows in data.items()}


@dataclass(frozen=True, eq=False)
class _Decided:
    """Rows without their inputs, and what a model decided about each."""

    name: str
    groups: tuple[str, ...]
    y: NDArray[np.int64]
    group: NDArray[np.int64]
    row_id: NDArray[np.int64]
    decision: Decision

    def at(self, ids: NDArray[np.int64]) -> _Decided:
        """The rows of these ids, which are sorted, in their order."""
        at = np.intersect1d(self.row_id, ids, return_indices=True)[1]
        return replace(self, y=self.y[at], group=self.group[at], row_id=self.row_id[at], decision=self.decision[at])

    def report(self) -> DisparityReport:
        """The disparity report of the decisions."""
        cells = Cells.count(y=self.y, decision=self.decision, group=self.group, groups=self.groups)
        tally = Tally(n=len(self.y), columns=("group",), cells=cells)
        return disparity_of(tally, metrics=CORE, replicates=0, name=self.name)

    @property
    def present(self) -> list[tuple[int, str]]:
        """Codes and names of the recorded groups that have rows."""
        there = set(np.unique(self.group).tolist())
        return [(code, name) for code, name in enumerate(self.groups) if code in there and is_recorded(name, 1)]


def _decided(name: str, network: Network, data: Dataset | Stream) -> _Decided:
    batches: list[Batch] = []
    decisions: list[Decision] = []
    for batch in blocks(data):
        with running(repr(name), batch.inputs):
            decisions.append(np.asarray(network.forward(batch.inputs) > 0, np.bool_))
        batches.append(replace(batch, inputs={}))
    rows = joined(batches)
    return _Decided(data.name, tuple(data.group_names), rows.y, rows.group, rows.row_id, np.concatenate(decisions))


def _common(decided: Mapping[str, _Decided]) -> tuple[dict[str, _Decided], tuple[str, ...]]:
    """The rows that all models have, in one order, and a note about those that are left out."""
    first = next(iter(decided.values()))
    for name, rows in decided.items():
        if rows.groups != first.groups:
            raise InputError(
                f"all models must be judged on the same groups; those of {name!r} are {list(rows.groups)}, not"
                f" {list(first.groups)}."
            )
    found = dict(decided)
    left_out: tuple[str, ...] = ()
    if any(not np.array_equal(rows.row_id, first.row_id) for rows in decided.values()):
        if any(len(np.unique(rows.row_id)) < len(rows.row_id) for rows in decided.values()):
            raise InputError(
                "the rows of `data` differ between models, and their row ids are not unique to match them by."
            )
        ids: NDArray[np.int64] = reduce(np.intersect1d, (rows.row_id for rows in decided.values()))
        if not len(ids):
            raise InputError("no row is held out from all models; compare them on rows that none was trained on.")
        found = {name: rows.at(ids) for name, rows in decided.items()}
        most = max(len(rows.row_id) for rows in decided.values())
        if len(ids) < most:
            left_out = (f"Compared on the {len(ids):,} rows that all models may be judged on, of {most:,} at most.",)
    start = next(iter(found.values()))
    for name, rows in found.items():
        if not (np.array_equal(rows.y, start.y) and np.array_equal(rows.group, start.group)):
            raise InputError(f"the rows of {name!r} have other labels or groups than those of the first model.")
    return found, left_out


def _by_group(report: DisparityReport, gap_metric: str) -> dict[str, Any]:
    """Rates by group, and which groups make the gap."""
    metrics = CRITERIA[gap_metric]
    gap, none = report.gaps[metrics[0]], undefined("no rows of this group")
    rates = {
        metric: {group: report.metrics[metric].groups.get(group, none) for group in report.groups}
        for metric in dict.fromkeys(("selection_rate", *metrics))
    }
    one = len(metrics) == 1
    return {"rates": rates, "highest": gap.highest if one else "", "lowest": gap.lowest if one else ""}


def _told(report: AuditReport | None, rows: str, *, whole: bool) -> dict[str, ComparedVerdict]:
    """The verdicts of an audit; ``whole``: all rows with the digest ``rows`` are compared."""
    if report is None:
        return {}
    return {
        group: ComparedVerdict(
            verdict=pathway.verdict,
            reference=pathway.reference,
            effect=pathway.effect,
            twins=0 if pathway.twins is None else pathway.twins.n,
            same_rows=whole and report.data.digest == rows,
        )
        for group, pathway in report.pathways.items()
    }


def _verdicts(audits: Iterable[AuditReport], digests: Mapping[str, str]) -> dict[str, AuditReport]:
    """The audit of every model that has one, by its weights; of several the last."""
    found = {}
    for report in audits:
        of = [name for name, digest in digests.items() if digest and digest == report.model.digest]
        if not of:
            raise InputError(
                f"none of the compared models has the weights that {report.model.name!r} was audited with."
            )
        found.update(dict.fromkeys(of, report))
    return found


def _pair(first: str, second: str, decided: Mapping[str, _Decided]) -> ComparedPair:
    rows, before, after = decided[first], decided[first].decision, decided[second].decision
    right = rows.y == 1
    raised, lowered = (
        {name: tuple(rows.row_id[moved & (rows.group == code)].tolist()) for code, name in rows.present}
        for moved in (~before & after, before & ~after)
    )
    found = changes(before, after, rows.group, rows.groups)
    return ComparedPair(
        first=first,
        second=second,
        agreement=share(before == after),
        accuracy=paired((after == right).astype(np.float64) - (before == right)),
        changes={name: found[name] for _, name in rows.present},
        raised_rows=raised,
        lowered_rows=lowered,
    )


def digest_of(model: Opened) -> str:
    """The hash of the weights of an opened model, as audits report it; empty where there is none."""
    return network_digest(as_network(net_of(model)))
