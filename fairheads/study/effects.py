"""What interventions say of the networks of a study: each is audited beside the unconstrained ones of other seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from fairheads.activations import as_network
from fairheads.data import Dataset
from fairheads.pathways import survey
from fairheads.pathways.analyze import affordable
from fairheads.pathways.case import Background
from fairheads.pathways.pair import pairs_of
from fairheads.results import PathwayReport
from fairheads.selftest.bench import Bench
from fairheads.study.rows import Parts
from fairheads.study.setting import PaperSetting

ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Effects:
    """The audited pair of groups, with the twins measured."""

    bench: Bench

    @classmethod
    def of(cls, setting: PaperSetting, parts: Parts, twins: list[nn.Module]) -> Effects:
        """The twins of a setting, measured on its test rows: the larger group is the reference."""
        found = survey(as_network(twins[0]), parts.test)[-1 if setting.last_layer else 0 :]
        layers = tuple(layer.name for layer in found)
        network = as_network(twins[0], layers=layers)
        pair, *_ = pairs_of(parts.test, None, min(setting.sample, affordable(found)), seed=0)
        train_data = parts.train if isinstance(parts.train, Dataset) else None
        background = Background(rows_disjoint=True, twins_matched=True)
        bench = Bench(network, tuple(twins), pair, layers, background, train_data, ALPHA, None)
        bench.measure_twins()
        return cls(bench)

    def report(self, net: nn.Module, twin: int | None) -> PathwayReport:
        """What an audit says of a network; of a twin, beside the others."""
        return self.bench.audited(self.bench.as_network(net), twin)


def effect_values(report: PathwayReport) -> dict[str, float]:
    """The numbers of a report that a study follows, of the last layer; those that cannot be had are NaN."""
    last = report.layers[-1] if report.layers else None
    nothing = math.nan
    return {
        "swap": nothing if last is None else last.swap.value,
        "erasure": nothing if last is None else last.erasure.value,
        "equal_merit": nothing if last is None else last.equal_merit.value,
        "flips": nothing if last is None else last.flips.value,
        "retention": report.retention.value,
    }
