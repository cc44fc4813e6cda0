"""Several models on the same rows: accuracy and gap of each, how often they agree, and whom they decide differently."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from functools import reduce
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network, OnnxNetwork, TorchNetwork, as_network, one_thread
from fairheads.data import Dataset, RowRecord, blocks
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import CORE, disparity_of
from fairheads.metrics.agreement import Decision, changes, paired, share
from fairheads.models import Bundle, Opened, open_model, weights_digest
from fairheads.models.running import running
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
    undefined,
)
from fairheads.sums import Cells, Tally

GAPS = tuple(name for name, metrics in CRITERIA.items() if set(metrics) <= set(CORE))
"""Criteria that the gap may be of."""


@one_thread()
def compare(
    models: Mapping[str, Opened | str | Path],
    data: Mapping[str, Dataset],
    *,
    audits: Sequence[AuditReport] = (),
    gap_metric: str = "demographic_parity",
    split: str = "",
    notes: Sequence[str] = (),
) -> ComparisonReport:
    """Set two or more models side by side on rows that none of them was trained on.

    Parameters
    ----------
    models : mapping of name to model
        As `fairheads.audit.audit` takes them: one logit of the favourable outcome a row, above 0 a favourable decision.
    data : mapping of name to Dataset
        The rows as each model takes them, by the same names: ``dict.fromkeys(models, rows)`` where all take the same.
        Where they differ (each model has held-out rows of its own), those with a row id that all have are compared.
    audits : sequence of AuditReport
        Their verdicts are shown beside the models with the same weights.
    gap_metric : str
        A criterion of `GAPS`, the gap of the front.
    split : str
        Which rows these are, in words; by default how many.
    notes : sequence of str
        Lines to carry into the report.

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
    if gap_metric not in GAPS:
        raise ConfigError(f"`gap_metric` must be one of {', '.join(GAPS)}, got {gap_metric!r}.")
    rows, left_out = common_rows(data)
    opened = {name: open_model(model) if isinstance(model, str | Path) else model for name, model in models.items()}
    networks = {name: as_network(model.net if isinstance(model, Bundle) else model) for name, model in opened.items()}
    for name, model in opened.items():
        if isinstance(model, Bundle) and model.rows is not None:
            model.rows.refuse_overlap(rows[name], of=name)
    decisions = {name: _decisions(name, networks[name], rows[name]) for name in models}
    reports = {name: _judged(rows[name], decided) for name, decided in decisions.items()}
    verdicts = _verdicts(audits, {name: digest_of(network) for name, network in networks.items()})
    some = next(iter(rows.values()))
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
            name: _compared(reports[name], networks[name], rows[name], gap_metric, verdicts.get(name))
            for name in models
        },
        pairs=tuple(_pair(some, one, other, decisions) for one, other in combinations(models, 2)),
        versions=_versions(),
        notes=(*notes, *left_out),
    )


def common_rows(data: Mapping[str, Dataset]) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """The rows that all models have, as each takes them and in one order, and a note about those that are left out.

    Raises
    ------
    InputError
        If none is common, or rows of one id have other labels or groups.

    Examples
    --------
    >>> from fairheads.planted import synthetic
    >>> rows = synthetic(100)
    >>> found, notes = common_rows({"a": rows.take(range(60)), "b": rows.take(range(40, 100))})
    >>> len(found["a"]), notes
    (20, ['Compared on the 20 rows that all models may be judged on, of 60 at most.'])
    """
    first = next(iter(data.values()))
    for name, rows in data.items():
        if rows.group_names != first.group_names:
            raise InputError(
                f"all models must be judged on the same groups; those of {name!r} are {list(rows.group_names)}, not"
                f" {list(first.group_names)}."
            )
    found = dict(data)
    left_out: tuple[str, ...] = ()
    if any(not np.array_equal(rows.row_id, first.row_id) for rows in data.values()):
        if any(len(np.unique(rows.row_id)) < len(rows) for rows in data.values()):
            raise InputError(
                "the rows of `data` differ between models, and their row ids are not unique to match them by."
            )
        ids: NDArray[np.int64] = reduce(np.intersect1d, (rows.row_id for rows in data.values()))
        if not len(ids):
            raise InputError("no row is held out from all models; compare them on rows that none was trained on.")
        found = {
            name: rows.take(np.intersect1d(rows.row_id, ids, return_indices=True)[1]) for name, rows in data.items()
        }
        most = max(len(rows) for rows in data.values())
        left_out = (f"Compared on the {len(ids):,} rows that all models may be judged on, of {most:,} at most.",)
    start = next(iter(found.values()))
    for name, rows in found.items():
        if not (np.array_equal(rows.y, start.y) and np.array_equal(rows.group, start.group)):
            raise InputError(f"the rows of {name!r} have other labels or groups than those of the first model.")
    return found, left_out


def _decisions(name: str, network: Network, data: Dataset) -> Decision:
    parts = []
    for batch in blocks(data):
        with running(repr(name), batch.inputs):
            parts.append(np.asarray(network.forward(batch.inputs) > 0, np.bool_))
    return np.concatenate(parts)


def _judged(data: Dataset, decided: Decision) -> DisparityReport:
    cells = Cells.count(y=data.y, decision=decided, group=data.group, groups=data.group_names)
    return disparity_of(Tally(n=len(data), columns=("group",), cells=cells), metrics=CORE, replicates=0, name=data.name)


def _compared(
    report: DisparityReport,
    network: Network,
    data: Dataset,
    gap_metric: str,
    audited: AuditReport | None,
) -> ComparedModel:
    metrics = CRITERIA[gap_metric]
    gap = report.gaps[metrics[0]]
    rows, none = RowRecord.of(data).digest, undefined("no rows of this group")
    return ComparedModel(
        digest=digest_of(network),
        rows=rows,
        rates={
            metric: {group: report.metrics[metric].groups.get(group, none) for group in report.groups}
            for metric in dict.fromkeys(("selection_rate", *metrics))
        },
        highest=gap.highest if len(metrics) == 1 else "",
        lowest=gap.lowest if len(metrics) == 1 else "",
        verdicts={} if audited is None else _told(audited, rows),
    )


def _told(report: AuditReport, rows: str) -> dict[str, ComparedVerdict]:
    return {
        group: ComparedVerdict(
            verdict=pathway.verdict,
            reference=pathway.reference,
            effect=pathway.effect,
            twins=0 if pathway.twins is None else pathway.twins.n,
            same_rows=report.data.digest == rows,
        )
        for group, pathway in report.pathways.items()
    }


def _verdicts(audits: Sequence[AuditReport], digests: Mapping[str, str]) -> dict[str, AuditReport]:
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


def _pair(data: Dataset, first: str, second: str, decisions: Mapping[str, Decision]) -> ComparedPair:
    before, after = decisions[first], decisions[second]
    right = data.y == 1
    raised, lowered = (
        {name: tuple(data.row_id[moved & (data.group == code)].tolist()) for code, name in _groups(data)}
        for moved in (~before & after, before & ~after)
    )
    found = changes(before, after, data.group, data.group_names)
    return ComparedPair(
        first=first,
        second=second,
        agreement=share(before == after),
        accuracy=paired((after == right).astype(np.float64) - (before == right)),
        changes={name: found[name] for _, name in _groups(data)},
        raised_rows=raised,
        lowered_rows=lowered,
    )


def _groups(data: Dataset) -> list[tuple[int, str]]:
    """Codes and names of the groups that have rows."""
    return [(code, name) for code, name in enumerate(data.group_names) if (data.group == code).any()]


def digest_of(model: Opened) -> str:
    """The hash of the weights of an opened model, as audits report it; empty where there is none."""
    network = as_network(model.net if isinstance(model, Bundle) else model)
    if isinstance(network, OnnxNetwork):
        return network.digest
    return weights_digest(network.module) if isinstance(network, TorchNetwork) else ""


def _versions() -> dict[str, str]:
    packages = ("fairheads", "torch", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
