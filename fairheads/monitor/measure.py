"""One look at a network: forward pass, effect, probe, retention and disparity on the watched rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import nn

from fairheads.activations import Network, TorchNetwork, as_network
from fairheads.data import Dataset
from fairheads.errors import InputError
from fairheads.metrics import weighted_rate_interval, wilson
from fairheads.metrics.intervals import difference_of_limits
from fairheads.monitor.equal_merit import effect_at_equal_merit, grams_of, probe_auc, standardised
from fairheads.monitor.reading import CURVES, GroupReading, Reading
from fairheads.monitor.retention import Ranking, reference_score, retention
from fairheads.monitor.sample import Pair, Watched
from fairheads.results import Number, undefined

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@cache
def _threads() -> ThreadpoolController:
    """Finding the libraries takes longer than a look, and what holds them cannot be copied: one for the process."""
    return ThreadpoolController()


@dataclass(frozen=True, eq=False)
class Measure:
    """Takes a `Reading` of a network; holds the watched rows and the ranking within groups that they are kept beside.

    ``reference`` has the ranking of each group by its code, or says why there is none.
    """

    watched: Watched
    reference: dict[int, Ranking] | str
    layer: str | None
    margin: float | None

    @classmethod
    def of(
        cls,
        data: Dataset,
        *,
        sample: int,
        seed: int,
        reference: Network | nn.Module | None,
        layer: str | None,
        margin: float | None,
    ) -> Measure:
        """Draw the rows and let the reference rank them."""
        watched = Watched.of(data, sample, seed)
        score = reference_score(reference, data, watched, seed)
        return cls(watched, score if isinstance(score, str) else rankings(watched, score), layer, margin)

    def __call__(self, net: Network | nn.Module, step: int) -> Reading:
        """What there is to see in ``net`` now.

        Raises
        ------
        InputError
            If the network returns probabilities.
        """
        network = as_network(net) if self.layer is None else as_network(net, layers=[self.layer])
        layer = self._layer(network)
        score, h = self._forward(network, layer)
        if not np.isfinite(score).all() or not np.isfinite(h).all():
            return self._undefined(step, layer, "the network's numbers are not finite")
        if 0 <= score.min() < 0.2 and 0.8 < score.max() <= 1:
            raise InputError("all scores lie between 0 and 1, as probabilities do; the network must return logits.")
        own = rankings(self.watched, score)
        # Products this small gain nothing from threads, and on busy cores lose ten times their time to them.
        with _threads().limit(limits=1, user_api="blas"):
            groups = tuple(self._group(pair, score, h, own) for pair in self.watched.pairs)
        margin = np.inf if self.margin is None else self.margin
        alerts = tuple(g.group for g in groups if g.orientation and g.effect.low is not None and g.effect.low > margin)
        return Reading(step=step, layer=layer, accuracy=accuracy(self.watched, score), groups=groups, alerts=alerts)

    def _layer(self, network: Network) -> str:
        """The last layer that is looked at, or "" where there is none."""
        names = network.layers()
        if isinstance(network, TorchNetwork) and network.in_functional_style:
            names = tuple(layer.name for layer in network.survey(self.watched.batches[0].inputs))
        return names[-1] if names else ""

    def _forward(self, network: Network, layer: str) -> tuple[Floats, Singles]:
        """Score (n,) of every watched row, and the layer's units (n, d); no units where there is no layer."""
        score, h = [], []
        with network.tap([layer] if layer else []) as seen:
            for batch in self.watched.batches:
                score.append(network.forward(batch.inputs))
                h.append(seen[layer] if layer else np.zeros((len(batch), 0), np.float32))
        return np.concatenate(score), np.concatenate(h)

    def _group(self, pair: Pair, score: Floats, h: Singles, own: dict[int, Ranking]) -> GroupReading:
        z, scores = standardised(h[pair.rows]), score[pair.rows]
        grams = grams_of(pair, z)
        no_layer = undefined("the network has no hidden layer to look into", len(scores)) if h.shape[1] == 0 else None
        codes = [self.watched.names.index(name) for name in (pair.group, pair.reference)]
        beside = self.reference
        kept = (
            undefined(beside, len(scores))
            if isinstance(beside, str)
            else retention(tuple(own[c] for c in codes), tuple(beside[c] for c in codes))
        )
        return GroupReading(
            group=pair.group,
            reference=pair.reference,
            orientation=pair.orientation,
            effect=no_layer or effect_at_equal_merit(pair, z, scores, grams),
            probe_auc=no_layer or probe_auc(pair, z, grams),
            retention=kept,
            selection_rate_difference=selection(scores[pair.member] > 0, scores[~pair.member] > 0),
        )

    def _undefined(self, step: int, layer: str, reason: str) -> Reading:
        n = len(self.watched.y)
        nothing = dict.fromkeys(CURVES, undefined(reason, n))
        groups = tuple(
            GroupReading(group=p.group, reference=p.reference, orientation=p.orientation, **nothing)
            for p in self.watched.pairs
        )
        return Reading(step=step, layer=layer, accuracy=undefined(reason, n), groups=groups)


def rankings(watched: Watched, score: Floats) -> dict[int, Ranking]:
    """The ranking within each group, by its code."""
    y, group = watched.y, watched.group
    return {int(code): Ranking.of(y[group == code], score[group == code]) for code in np.unique(group)}


def accuracy(watched: Watched, score: Floats) -> Number:
    """Share decided as recorded; every group counts by its share of the data, not of the sample."""
    y, group, share = watched.y, watched.group, watched.share
    n = np.maximum(np.bincount(group, minlength=len(share)), 1)
    right = np.bincount(group, (score > 0) == y, len(share)) / n
    value, variance = float(share @ right), float(share**2 @ (right * (1 - right) / n))
    low, high = weighted_rate_interval(value, value * (1 - value) / variance if variance > 0 else len(y))
    return Number(value=value, n=len(y), low=float(low), high=float(high))


def selection(group: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Number:
    """Difference of two selection rates with Newcombe's interval; an audit's, exact in small samples, takes 5 ms."""
    rates = [side.mean() for side in (group, reference)]
    limits = [wilson(int(side.sum()), len(side)) for side in (group, reference)]
    low, high = difference_of_limits(rates[0], limits[0], rates[1], limits[1])
    return Number(value=float(rates[0] - rates[1]), n=len(group) + len(reference), low=float(low), high=float(high))
