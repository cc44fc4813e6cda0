"""Networks audited beside the twins, which are measured once, and what was said of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import Network, as_network
from fairheads.data import Dataset
from fairheads.errors import InputError
from fairheads.metrics import clopper_pearson, stratified_difference
from fairheads.pathways.case import Background, measure_case
from fairheads.pathways.effects import FINE_BINS
from fairheads.pathways.measure import TwinMeasure, measure_twin
from fairheads.pathways.pair import Pair
from fairheads.pathways.sample import scores
from fairheads.pathways.verdict import judge
from fairheads.results import Number, PathwayReport, SelftestClass, undefined
from fairheads.results.selftest import FOUND
from fairheads.selftest.plants import Plant
from fairheads.twins.job import permuted_within, with_group

Progress = Callable[[int, int], None]
CONFIDENCE = 0.95

ROWS_A_BIN = 20
"""Rows of the smaller group for each bin of equal scores."""


@dataclass(eq=False)
class Bench:
    """Where networks are audited beside the twins; the twins are measured once."""

    network: Network
    twins: tuple[nn.Module, ...]
    pair: Pair
    layers: tuple[str, ...]
    background: Background
    train_data: Dataset | None
    alpha: float
    progress: Progress | None
    measured: int = 0
    expected: int = 0
    beside: list[TwinMeasure] = field(default_factory=list)

    def expect(self, plants: int, *, unused: bool) -> None:
        """Count what there will be to measure: twins on both kinds of groups, plants, nulls, and the model twice."""
        self.expected = len(self.twins) * (2 + plants + 1 + unused + 1) + 2
        self.tell(0)

    def tell(self, more: int = 1, *, made: bool = True) -> None:
        self.measured += more if made else 0
        self.expected -= 0 if made else more
        if self.progress is not None:
            self.progress(self.measured, self.expected)

    def as_network(self, net: nn.Module) -> Network:
        return as_network(net, layers=self.layers, like=self.network)

    def measure_twins(self) -> None:
        self.beside = []
        for twin in self.twins:
            self.beside.append(measure_twin(self.as_network(twin), self.pair, self.layers, self.train_data))
            self.tell()

    def audited(self, network: Network, left_out: int | None) -> PathwayReport:
        """What an audit of this network says, beside the twins but for one."""
        others = [twin for at, twin in enumerate(self.beside) if at != left_out]
        case = measure_case(
            network, others, self.pair, self.layers, background=self.background, train_data=self.train_data
        )
        self.tell()
        return judge(case, alpha=self.alpha)

    def planted(
        self, name: str, plant: Callable[[nn.Module], Plant], strengths: Sequence[float]
    ) -> list[SelftestClass]:
        """A kind of head at every strength: planted in each twin, which is audited beside the others."""
        said: dict[float, list[PathwayReport]] = {strength: [] for strength in strengths}
        added: dict[float, list[float]] = {strength: [] for strength in strengths}
        failed: list[str] = []
        for at, twin in enumerate(self.twins):
            base = scores(self.as_network(twin), [self.pair.data.rows()])
            try:
                made = [(strength, self.as_network(net)) for strength, net in _each(plant(twin), strengths)]
                there = [self.added(network, base) for _, network in made]
                if any(more <= 0 for more in there):
                    raise InputError("a head that closes the gap in decisions gives the group nothing at equal score.")
            except InputError as error:
                failed.append(str(error))
                self.tell(len(strengths), made=False)
                continue
            for (strength, network), more in zip(made, there, strict=True):
                added[strength].append(more)
                said[strength].append(self.audited(network, at))
        return [_counted(name, s, said[s], added=tuple(added[s]), failed=tuple(failed)) for s in strengths]

    def without_head(self, name: str, nets: Sequence[nn.Module]) -> SelftestClass:
        """Networks that have no head, one made of each twin."""
        return _counted(name, 0.0, [self.audited(self.as_network(net), at) for at, net in enumerate(nets)])

    def permuted(self, audited: Dataset, seed: int) -> SelftestClass:
        """The twins and the model where the groups say nothing. What overfits says nothing there either."""
        dealt = with_group(audited, permuted_within(audited.y, audited.group, seed))
        pair = Pair.of(dealt, self.pair.group, self.pair.reference, len(self.pair.data), seed)
        other = replace(self, pair=pair, train_data=None)
        other.measure_twins()
        said = [other.audited(self.as_network(twin), at) for at, twin in enumerate(self.twins)]
        said.append(other.audited(self.network, None))
        self.measured, self.expected = other.measured, other.expected
        return _counted("PERM", 0.0, said)

    def added(self, network: Network, base: NDArray[np.float64]) -> float:
        """The turned difference that the plant makes between the groups at equal score without it, in sd."""
        after = scores(network, [self.pair.data.rows()])
        smaller = min(int(self.pair.member.sum()), int((~self.pair.member).sum()))
        bins = min(FINE_BINS, max(2, smaller // ROWS_A_BIN))
        difference, _ = stratified_difference(after - base, self.pair.member, base, bins=bins)
        return -self.pair.sign * difference / float(after.std())


def _each(plant: Plant, strengths: Sequence[float]) -> list[tuple[float, nn.Module]]:
    return [(strength, plant(strength)) for strength in strengths]


def _counted(
    name: str,
    strength: float,
    said: Sequence[PathwayReport],
    *,
    added: tuple[float, ...] = (),
    failed: tuple[str, ...] = (),
) -> SelftestClass:
    n, heads = len(said), sum(report.verdict in FOUND for report in said)
    found = undefined("nothing could be planted")
    if n:
        low, high = (float(bound) for bound in clopper_pearson(heads, n, confidence=CONFIDENCE))
        found = Number(value=heads / n, n=n, low=low, high=high, conservative=True)
    return SelftestClass(
        name=name,
        head=strength > 0,
        strength=strength,
        verdicts=dict(sorted(Counter(report.verdict for report in said).items())),
        reasons=dict(Counter(report.reason for report in said if report.verdict not in FOUND).most_common()),
        found=found,
        added=added,
        failed=failed,
    )
