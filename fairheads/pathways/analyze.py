"""The pathway analysis of a network: measure every group against the reference, then judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import nn
from torch.export import ExportedProgram

from fairheads.activations import Layer, Network, as_network, one_thread
from fairheads.data import Dataset, Stream, blocks, refuse_other_rows
from fairheads.errors import ConfigError, InputError
from fairheads.pathways.case import Background, Case, measure_case
from fairheads.pathways.conditions import RULE, Rule
from fairheads.pathways.counterfactual import PairGenerator
from fairheads.pathways.details import checked_flip, described
from fairheads.pathways.measure import measure_twin
from fairheads.pathways.pair import Pair, pairs_of
from fairheads.pathways.placebos import beside_placebos
from fairheads.pathways.sample import collect
from fairheads.pathways.sensitivity import label_bias
from fairheads.pathways.verdict import judge
from fairheads.results import LabelBias, PathwayReport

T = TypeVar("T")

SAMPLE = 20_000
"""Default size of the bounded sample."""

MEMORY = 256 * 2**20
"""Largest size in bytes of the activations that are kept; the sample is cut to fit."""

MAX_UNITS = 2_500
"""Widest layer: the sums of products of its units, one square for each jackknife block, then take a gigabyte."""


@one_thread()
def analyze_pathways(
    model: Network | nn.Module | ExportedProgram,
    data: Dataset | Stream,
    *,
    twins: Sequence[Network | nn.Module | ExportedProgram] = (),
    placebos: Sequence[Network | nn.Module | ExportedProgram] = (),
    reference: str | None = None,
    layers: Sequence[str] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    alpha: float = 0.05,
    train_data: Dataset | None = None,
    rows_disjoint: bool | None = None,
    twins_matched: bool | None = None,
    flip: PairGenerator | Sequence[str] | None = None,
    details: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, PathwayReport]:
    """The verdict on every group against the reference group, with its evidence.

    Parameters
    ----------
    model : Network, nn.Module or torch.export.ExportedProgram
        Gives one logit a row; of one a class a `TorchNetwork` says which is favourable.
    data : Dataset or Stream
        Rows that the model was NOT trained on, with labels and groups. A stream is read once or twice, whatever its
        length, and the drawn rows are held: the report is that of the same rows in memory.
    twins : sequence of networks
        Trained like the model, on the same rows, without the constraint; at least 2 for a test, 5 or more for a
        useful one. Without twins the strongest word is ``consistent_with_compensating_head``.
    placebos : sequence of networks
        Trained like the model, constraint and all, on groups permuted among the rows of each label. The deciding effect
        is shown beside theirs; no verdict rests on them.
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
    flip : callable or sequence of str, optional
        Exchanges the groups in the inputs, the rest as it was, where the network is fed the group: the columns that
        hold it (of the table, where the data know their encoder, or of the inputs), or a function from inputs by name
        to inputs. Then the effect of the flip is reported.
    details : bool
        Whether to describe units, routes, two heads and what the head reads beside the verdict, which does not rest on
        them. Costs about as much as the verdict.
    progress : callable, optional
        Called with the number of networks that were looked into, and of all: the model and its twins, for every group,
        and once more for the details. `fairheads.progress.Bar` draws it.

    Returns
    -------
    dict of group to PathwayReport

    Raises
    ------
    InputError, ConfigError, LayerNotFoundError
        On one group only, a group of one row, an unknown reference or layer, a flip that is none (before anything is
        measured), or activations that are not finite.

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
    if flip is not None and not details:
        raise ConfigError("`flip` is one of the details; leave it out, or `details` on.")
    network = as_network(model, layers=layers)
    found = survey(network, data, layers)
    names = tuple(layer.name for layer in found)
    others = [as_network(twin, layers=names, like=network) for twin in twins]
    controls = [as_network(placebo, layers=names, like=network) for placebo in placebos]
    sample = min(sample, affordable(found))
    background = Background(rows_disjoint, twins_matched if others else None)
    pairs = pairs_of(data, reference, sample, seed)
    flips = [None if flip is None or pair.too_small else checked_flip(flip, pair) for pair in pairs]
    testable = [bool(names) and pair.too_small is None for pair in pairs]
    looked = _Looked(progress, (1 + len(others)) * (1 + details) * sum(testable))
    cases = []
    for pair, can_be in zip(pairs, testable, strict=True):
        theirs = [looked.after(measure_twin(twin, pair, names, train_data)) for twin in others if can_be]
        case = measure_case(network, theirs, pair, names, background=background, train_data=train_data)
        cases.append(looked.after(case, can_be))
    reports = {}
    for pair, can_be, flipped, report in zip(pairs, testable, flips, judged(cases, alpha), strict=True):
        shown = replace(report, label_bias=_label_bias(network, pair, report))
        reports[report.group] = beside_placebos(shown, controls, pair)
        if details:
            shown = described(reports[report.group], network, others, pair, flip=flipped)
            reports[report.group] = looked.after(shown, (1 + len(others)) * can_be)
    return {group: report.among(data.group_names) for group, report in reports.items()}


@dataclass
class _Looked:
    """Tells of the networks that were looked into."""

    progress: Callable[[int, int], None] | None
    of: int
    done: int = 0

    def after(self, made: T, more: int = 1) -> T:
        """What was made, told as so many networks more."""
        self.done += more
        if self.progress is not None and more:
            self.progress(self.done, self.of)
        return made


def _label_bias(network: Network, pair: Pair, report: PathwayReport) -> LabelBias | None:
    if report.effect is None:
        return None
    sample = collect(network, pair.data, pair.member, [report.effect.layer], pair.seed)
    return label_bias(network, sample, report, pair.seed)


def survey(network: Network, data: Dataset | Stream, layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
    """The layers to look at, by default those that the network offers, as the first rows show them."""
    refuse_other_rows(data)
    return network.survey(next(blocks(data)).inputs, layers)


def affordable(layers: Sequence[Layer]) -> int:
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


def judged(cases: list[Case], alpha: float, rule: Rule = RULE) -> list[PathwayReport]:
    """Holm over groups: each is judged at alpha / m, those found leave, the rest are judged at alpha / (m - found)."""
    found: dict[str, PathwayReport] = {}
    left = list(cases)
    while left:
        reports = [judge(case, alpha=alpha / len(left), rule=rule) for case in left]
        heads = {report.group: report for report in reports if report.rests_on_effect}
        found |= heads or {report.group: report for report in reports}
        left = [case for case in left if case.group not in found]
    return [found[case.group] for case in cases]
