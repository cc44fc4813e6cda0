"""The pathway analysis of a network: measure every group against the reference, then judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from fairheads.activations import Layer, Network, as_network, one_thread
from fairheads.data import BLOCK, Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import difference_interval
from fairheads.pathways.conditions import Background, Case
from fairheads.pathways.effects import decision_gap
from fairheads.pathways.intervals import jackknife_se, pointwise_critical
from fairheads.pathways.measure import LayerMeasure, measure_inputs, measure_layer, measure_twin, within_group_aucs
from fairheads.pathways.probes import score_auc_within_groups
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, collect, scores
from fairheads.pathways.sensitivity import label_bias
from fairheads.pathways.verdict import judge
from fairheads.results import LabelBias, Number, PathwayReport

SAMPLE = 20_000
"""Default size of the bounded sample."""

MEMORY = 256 * 2**20
"""Largest size in bytes of the activations that are kept; the sample is cut to fit."""

MAX_UNITS = 2_500
"""Widest layer: the sums of products of its units, one square for each jackknife block, then take a gigabyte."""

MIN_ROWS = 2 * JACKKNIFE_BLOCKS
MIN_CLASS = 10
MIN_COVERED = 0.5


@one_thread()
def analyze_pathways(
    model: Network | nn.Module,
    data: Dataset,
    *,
    twins: Sequence[Network | nn.Module] = (),
    reference: str | None = None,
    layers: Sequence[str] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    alpha: float = 0.05,
    train_data: Dataset | None = None,
    rows_disjoint: bool | None = None,
    twins_matched: bool | None = None,
) -> dict[str, PathwayReport]:
    """The verdict on every group against the reference group, with its evidence.

    Parameters
    ----------
    model : Network or nn.Module
        Gives one logit a row; of one a class a `TorchNetwork` says which is favourable.
    data : Dataset
        Rows that the model was NOT trained on, with labels and groups.
    twins : sequence of networks
        Trained like the model, on the same rows, without the constraint; at least 2 for a test, 5 or more for a
        useful one. Without twins the strongest word is ``consistent_with_compensating_head``.
    reference : str, optional
        Name of the reference group; by default the largest.
    layers : sequence of str, optional
        Layers to look at, named as `fairheads.activations.Place` says; by default those of `Network.survey`. More
        layers widen the simultaneous intervals.
    sample : int
        Rows that interventions and their intervals run on, drawn with ``seed``, fewer where their
        activations would take more than 256 MB. More rows narrow the intervals and cost time in proportion.
    alpha : float
        Level of the test; groups are tested with Holm's correction.
    train_data : Dataset, optional
        The training rows, for the check that the model overfits like its twins.
    rows_disjoint, twins_matched : bool, optional
        What is known about training rows: that ``data`` holds none of them, that the twins used the same.

    Returns
    -------
    dict of group to PathwayReport

    Raises
    ------
    InputError, ConfigError, LayerNotFoundError
        On one group only, a group of one row, an unknown reference or layer, or activations that are not finite.

    Notes
    -----
    Not shown: that a network is lawful, or fair. Merit means the recorded label and no more: biased labels create or
    hide every effect here.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440); Belrose et al., NeurIPS 2023 (LEACE).
    """
    if not 0 < alpha < 1 or sample < 1:
        raise ConfigError(f"`alpha` must lie between 0 and 1 and `sample` be at least 1, got {alpha} and {sample}.")
    if seed < 0 or (layers is not None and len(set(layers)) != len(layers)):
        raise ConfigError(f"`layers` must differ from each other and `seed` be at least 0, got {layers} and {seed}.")
    network = as_network(model, layers=layers)
    found = survey(network, data, layers)
    names = tuple(layer.name for layer in found)
    others = [as_network(twin, layers=names, like=network) for twin in twins]
    sample = min(sample, _affordable(found))
    background = Background(rows_disjoint, twins_matched if others else None)
    pairs = [_Pair.of(data, code, against, names, sample, seed) for code, against in _contrasts(data, reference)]
    reports = _judged([_case(network, others, pair, background, train_data) for pair in pairs], alpha)
    return {
        report.group: replace(report, label_bias=_label_bias(network, pair, report))
        for pair, report in zip(pairs, reports, strict=True)
    }


def _label_bias(network: Network, pair: _Pair, report: PathwayReport) -> LabelBias | None:
    if report.effect is None:
        return None
    sample = collect(network, pair.data, pair.member(pair.data), [report.effect.layer], pair.seed)
    return label_bias(network, sample, report, pair.seed)


def _contrasts(data: Dataset, reference: str | None) -> list[tuple[int, int]]:
    """The code of every group that has rows, beside that of the reference."""
    if reference is not None and reference not in data.group_names:
        raise ConfigError(f"`reference` must be one of the groups {list(data.group_names)}, got {reference!r}.")
    sizes = np.bincount(data.group, minlength=len(data.group_names))
    against = int(sizes.argmax()) if reference is None else data.group_names.index(reference)
    present = [code for code in range(len(sizes)) if sizes[code] > 0]
    for code in {*present, against}:
        if sizes[code] < 2:
            rows = "one row" if sizes[code] else "no rows"
            raise InputError(f"group {data.group_names[code]!r} has {rows}; nothing can be said about it.")
    if len(present) < 2:
        raise InputError(f"at least two groups are needed, got only {data.group_names[present[0]]!r}.")
    return [(code, against) for code in present if code != against]


def survey(network: Network, data: Dataset, layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
    """The layers to look at, by default those that the network offers, as the first rows show them."""
    return network.survey(data.rows().take(slice(0, BLOCK)).inputs, layers)


def _affordable(layers: Sequence[Layer]) -> int:
    """Rows whose activations fit into `MEMORY`.

    Raises
    ------
    InputError
        If the sums of products of one layer alone would not fit.
    """
    for layer in layers:
        if layer.units > MAX_UNITS:
            raise InputError(f"layer {layer.name!r} has {layer.units:,} units; at most {MAX_UNITS:,} can be analysed.")
    return max(1, MEMORY // (4 * max(sum(layer.units for layer in layers), 1)))


def _judged(cases: list[Case], alpha: float) -> list[PathwayReport]:
    """Holm over groups: each is judged at alpha / m, those found leave, the rest are judged at alpha / (m - found)."""
    found: dict[str, PathwayReport] = {}
    left = list(cases)
    while left:
        reports = [judge(case, alpha=alpha / len(left)) for case in left]
        heads = {report.group: report for report in reports if report.rests_on_effect}
        found |= heads or {report.group: report for report in reports}
        left = [case for case in left if case.group not in found]
    return [found[case.group] for case in cases]


def _at_most(most: int, rows: np.ndarray, seed: int) -> np.ndarray:
    """These rows, or ``most`` of them drawn with ``seed``, in their order."""
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


@dataclass(frozen=True, eq=False)
class _Pair:
    """The sampled rows of a group and its reference."""

    data: Dataset
    group: int
    reference: int
    layers: tuple[str, ...]
    seed: int

    @classmethod
    def of(cls, data: Dataset, group: int, reference: int, layers: tuple[str, ...], sample: int, seed: int) -> _Pair:
        rows = np.flatnonzero((data.group == group) | (data.group == reference))
        return cls(data.take(_at_most(sample, rows, seed)), group, reference, layers, seed)

    def member(self, data: Dataset) -> Mask:
        return np.asarray(data.group == self.group)


def _case(
    network: Network, twins: list[Network], pair: _Pair, background: Background, train_data: Dataset | None
) -> Case:
    data, member = pair.data, pair.member(pair.data)
    base_rate_gap, orientation = _orientation(data.y, member)
    sample = collect(network, data, member, pair.layers, pair.seed)
    case = Case(
        group=data.group_names[pair.group],
        reference=data.group_names[pair.reference],
        n=len(data),
        orientation=orientation,
        base_rate_gap=base_rate_gap,
        gap=decision_gap(sample.score, member),
        layers=(),
        auc_within=np.array([]),
        inputs=None,
        twins=(),
        row_id=data.row_id,
        tap_is_inert=bool(np.array_equal(scores(network, sample.batches), sample.score)),
        background=background,
        untestable=_too_small(data.y, member),
        seed=pair.seed,
    )
    if case.untestable is None and np.ptp(sample.score) == 0:
        case = replace(case, untestable="the score is the same for every row")
    if case.untestable is None and not pair.layers:
        case = replace(case, untestable="the network has no hidden layer to look into")
    if case.untestable is not None:
        return case
    control = np.random.default_rng(pair.seed).permutation(member)
    sign = orientation or (1 if base_rate_gap.value >= 0 else -1)
    measured = [measure_layer(network, sample, name, control, sign) for name in pair.layers]
    layers = tuple(layer for layer in measured if layer.covered >= MIN_COVERED)
    if not layers:
        covered = max(layer.covered for layer in measured)
        reason = f"only {covered:.0%} of the rows lie in merit bins that have rows of both groups"
        return replace(case, untestable=reason)
    names = [layer.name for layer in layers]
    own = within_group_aucs(sample.score, sample)
    others = tuple(measure_twin(twin, data, member, names, control, sign, pair.seed) for twin in twins)
    held_out = [own[0], *(twin.auc_within[0] for twin in others)]
    return replace(
        case,
        layers=layers,
        auc_within=own,
        inputs=measure_inputs(sample, control, sign),
        twins=others,
        background=replace(background, generalisation_gap=_overfitting([network, *twins], held_out, train_data, pair)),
        untestable=_unreadable(layers),
    )


def _orientation(y: np.ndarray, member: Mask) -> tuple[Number, int]:
    """The gap in recorded labels (group minus reference), and its sign, 0 where its interval holds 0."""
    k1, n1, k0, n0 = (int(v) for v in (y[member].sum(), member.sum(), y[~member].sum(), (~member).sum()))
    low, high = (float(v) for v in difference_interval(k1, n1, k0, n0))
    gap = Number(value=k1 / n1 - k0 / n0, n=len(y), low=low, high=high)
    return gap, 1 if low > 0 else -1 if high < 0 else 0


def _too_small(y: np.ndarray, member: Mask) -> str | None:
    for side, name in ((member, "group"), (~member, "reference")):
        n, favourable = int(side.sum()), int(y[side].sum())
        if n < MIN_ROWS:
            return f"the {name} has {n} rows in the sample; at least {MIN_ROWS} are needed"
        if min(favourable, n - favourable) < MIN_CLASS:
            return f"the {name} has fewer than {MIN_CLASS} rows with one of the labels"
    return None


def _unreadable(layers: tuple[LayerMeasure, ...]) -> str | None:
    critical = pointwise_critical(JACKKNIFE_BLOCKS, 0.05)
    lows = [m.point["probe_auc"] - critical * jackknife_se(m.column("probe_auc")[:, None])[0] for m in layers]
    return None if max(lows) > 0.5 else "the group cannot be read from any layer"


def _overfitting(
    networks: list[Network], held_out: list[float], train_data: Dataset | None, pair: _Pair
) -> tuple[float, float] | None:
    """Training minus held-out AUC within groups, of the model and of its twins on average; None if it cannot be had."""
    pair_names = [pair.data.group_names[c] for c in (pair.group, pair.reference)]
    if train_data is None or len(networks) < 2 or not set(pair_names) <= set(train_data.group_names):
        return None
    codes = [train_data.group_names.index(name) for name in pair_names]
    rows = np.flatnonzero(np.isin(train_data.group, codes))
    if not len(rows):
        return None
    part = train_data.take(_at_most(len(pair.data), rows, pair.seed))
    trained = [score_auc_within_groups(scores(n, part), part.y, part.group == codes[0]) for n in networks]
    gaps = np.subtract(trained, held_out)
    return (float(gaps[0]), float(gaps[1:].mean())) if np.isfinite(gaps).all() else None
