"""Merging a saved two-headed network, with the report of what that does."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from torch import nn

from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, InputError
from fairheads.models import Bundle
from fairheads.models.bundle import weights_digest
from fairheads.nets import TwoHeadNet
from fairheads.results import MergeCheck, MergeReport, gap_named
from fairheads.results.record import to_plain
from fairheads.results.shown import Displayed
from fairheads.twoheads.coefficients import Coefficients
from fairheads.twoheads.criteria import GAP_METRICS, Utility
from fairheads.twoheads.merge import merge_net
from fairheads.twoheads.outcomes import HeadRows
from fairheads.twoheads.outputs import heads_of
from fairheads.twoheads.rules import Asked, decided, front_points, rule_of
from fairheads.twoheads.verify import verify_merge


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Merge(Displayed):
    """A merged model and the report of its merge.

    Attributes
    ----------
    bundle : Bundle
        The single-head network, with the coefficients and what they rest on in ``merge``.
    report : MergeReport
    """

    bundle: Bundle
    report: MergeReport

    def summary(self) -> str:
        """That of the report."""
        return self.report.summary()

    def html(self) -> str:
        """That of the report."""
        return self.report.html()


def merge_bundle(
    bundle: Bundle,
    validation: Dataset,
    *,
    max_gap: float,
    confidence: float | None = 0.95,
    gap_metric: str = "demographic_parity",
    objective: str | Utility = "accuracy",
    minimum_rates: Mapping[str, float] | None = None,
    judged_on: Dataset | None = None,
    split: str = "",
    judged: str = "",
    seed: int = 0,
) -> Merge:
    """The single-head bundle of a two-headed one, merged at the best point whose gap is at most ``max_gap``.

    The merge is verified on the validation rows before it is returned. A network without an encoder or a record is
    merged as ``Bundle(net=net)``.

    Parameters
    ----------
    validation : Dataset
        Rows that the network was not trained on: the coefficients are chosen on them.
    max_gap : float
        Largest gap, 0 to 1. A smaller one costs accuracy.
    confidence : float or None
        One-sided confidence with which new rows keep the gap; costs accuracy. None asks it of these rows alone.
    gap_metric, objective, minimum_rates, seed
        As `fit_frontier` takes them.
    judged_on : Dataset, optional
        Rows that neither trained the network nor are in ``validation``, with the same groups: what the report says of
        new rows comes from them.
    split, judged : str
        Which rows ``validation`` and ``judged_on`` are, in words; by default how many of what.

    Raises
    ------
    InputError
        If the bundle has one head, the groups are not those it was trained with, rows are used twice, or no merge keeps
        the gap.
    ConfigError
        If a setting is out of range.

    Notes
    -----
    The report compares the merge with the most accurate one at the same gap on the validation rows alone, with the
    task head as it is, with the best rule in probability space and with thresholds by the true group (Lipton et al.
    2018). Comparators that cannot keep the gap are named with the reason.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from fairheads.nets import MLP
    >>> from fairheads.training import TwoHeaded, train
    >>> rng = np.random.default_rng(0)
    >>> X, group = rng.normal(size=(4000, 3)), rng.integers(0, 2, 4000)
    >>> X[:, 0] += group
    >>> data = Dataset(X, X[:, 0] + X[:, 1] > 0.5, group)
    >>> net, fit = TwoHeadNet(MLP(3, hidden=(16,))), np.arange(4000) < 2000
    >>> _ = train(net, data.take(fit), TwoHeaded(), epochs=8)
    >>> made = merge_bundle(Bundle(net=net), data.take(~fit), max_gap=0.1)
    >>> made.report.chosen.bound <= 0.1
    True
    """
    net = bundle.net
    if not isinstance(net, TwoHeadNet):
        raise InputError("only a two-headed network can be merged; this one has a single head.")
    gap_metric = gap_named(gap_metric)
    if gap_metric not in GAP_METRICS:
        raise ConfigError(f"`gap_metric` must be one of {sorted(GAP_METRICS)}, got {gap_metric!r}.")
    _refuse_other_groups(bundle, net, validation)
    _refuse_rows_used_twice(bundle, validation, judged_on)
    rows = _rows(net, validation, gap_metric, objective)
    new = None if judged_on is None else _rows(net, judged_on, gap_metric, objective)
    asked = Asked(
        max_gap=float(max_gap),
        confidence=confidence,
        gap_metric=gap_metric,
        objective=objective,
        minimum_rates={name: float(least) for name, least in (minimum_rates or {}).items()},
        seed=seed,
    )
    front = asked.front(rows, rows.z_g)
    chosen = asked.at(front)
    single = merge_net(net, chosen, validation)
    others, missing = asked.others(rows, front)
    rules = {name: rule_of(name, c, chosen, rows, new) for name, c in {"chosen": chosen, **others}.items()}
    merges = [rule for rule in rules.values() if rule.space == "logit"]
    last = rows if new is None else new
    report = MergeReport(
        model=bundle.name or "the network",
        data=validation.name,
        split=split or _counted(validation),
        judged="" if judged_on is None else judged or _counted(judged_on),
        groups=validation.group_names,
        gap_metric=gap_metric,
        objective=chosen.objective,
        minimum_rates=asked.minimum_rates,
        max_gap=asked.max_gap,
        confidence=confidence,
        rules=rules,
        missing=missing,
        front=front_points(front, merges, by_objective=objective != "accuracy"),
        changes=last.changes(decided("alone", others["alone"], last), decided("chosen", chosen, last)),
        check=_check(net, single, chosen, validation),
        provenance=_provenance(bundle, single, validation, judged_on),
        versions=_versions(),
        notes=_notes(bundle),
    )
    return Merge(bundle=dataclasses.replace(bundle, net=single, merge=_carried(chosen, report)), report=report)


def _refuse_other_groups(bundle: Bundle, net: TwoHeadNet, validation: Dataset) -> None:
    trained, given = sorted(bundle.training.get("shares", validation.group_names)), list(validation.group_names)
    if trained != sorted(given):
        raise InputError(f"the group head was trained with the groups {trained}; these rows have {given}.")
    if len(given) != net.n_groups:
        raise InputError(f"the network has a group head for {net.n_groups} groups; these rows have {given}.")


def _refuse_rows_used_twice(bundle: Bundle, validation: Dataset, judged_on: Dataset | None) -> None:
    used = [] if bundle.rows is None else [("validation", "the network was trained on", bundle.rows, validation)]
    if judged_on is not None:
        if judged_on.group_names != validation.group_names:
            raise InputError(
                f"`judged_on` must have the groups of `validation`, {list(validation.group_names)}, got"
                f" {list(judged_on.group_names)}."
            )
        if bundle.rows is not None:
            used.append(("judged_on", "the network was trained on", bundle.rows, judged_on))
        used.append(("judged_on", "the coefficients are chosen on", RowRecord.of(validation), judged_on))
    for name, what, record, data in used:
        share, expected, more = record.overlap(data)
        if more:
            raise InputError(
                f"`{name}` must hold other rows than {what}; {share:.1%} of its {len(data):,} rows are equal and"
                f" duplicates explain {expected:.1%}."
            )


def _rows(net: TwoHeadNet, data: Dataset, gap_metric: str, objective: str | Utility) -> HeadRows:
    z_y, z_g = heads_of(net, data)
    return HeadRows(z_y, z_g, data.y, data.group, data.group_names, gap_metric, objective)


def _check(net: TwoHeadNet, single: nn.Module, chosen: Coefficients, data: Dataset) -> MergeCheck:
    seen = verify_merge(net, single, chosen, data)
    return MergeCheck(
        rows=seen.rows,
        largest=seen.largest,
        tolerance=seen.tolerance,
        other_decisions=seen.rows - seen.same_decisions,
    )


def _counted(data: Dataset) -> str:
    return f"{len(data):,} rows" + (f" of {data.name}" if data.name else "")


def _provenance(bundle: Bundle, single: nn.Module, validation: Dataset, judged_on: Dataset | None) -> dict[str, str]:
    """Digests by what they are of."""
    told = {
        "two-headed network": weights_digest(bundle.net),
        "merged network": weights_digest(single),
        "validation rows": RowRecord.of(validation).digest,
    }
    if judged_on is not None:
        told["new rows"] = RowRecord.of(judged_on).digest
    if bundle.rows is not None:
        told["training rows"] = bundle.rows.digest
    table = bundle.training.get("split", {}).get("source")
    return told if table is None else {**told, "table": str(table)}


def _carried(chosen: Coefficients, report: MergeReport) -> dict[str, Any]:
    """The coefficients and what they rest on, as the saved model carries them."""
    slopes = [float(b) for b in chosen.slopes]
    told = {
        "b": slopes[0] if len(slopes) == 1 else slopes,
        "t": chosen.t,
        "space": chosen.space,
        "accuracy": chosen.accuracy,
        "gap": chosen.gap,
        "bound": chosen.bound,
        "selection_rate": chosen.selection_rate,
        "n": chosen.n,
        "max_gap": report.max_gap,
        "confidence": report.confidence,
        "gap_metric": report.gap_metric,
        "objective": report.objective,
        "minimum_rates": report.minimum_rates,
        "groups": list(report.groups),
        "validation_rows": report.provenance["validation rows"],
        "two_headed": report.provenance["two-headed network"],
        "largest_difference": report.check.largest,
    }
    plain: dict[str, Any] = to_plain({name: value for name, value in told.items() if value not in (None, {})})
    return plain


def _notes(bundle: Bundle) -> tuple[str, ...]:
    told = []
    if bundle.rows is None:
        told.append("The model has no record of its training rows: whether these rows are others is not known.")
    if "patience" in bundle.training:
        told.append(
            "Validation rows ended the training; where they are those that b and t were chosen on, the bound of the gap"
            " is a little optimistic."
        )
    return tuple(told)


def _versions() -> dict[str, str]:
    packages = ("fairheads", "torch", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
