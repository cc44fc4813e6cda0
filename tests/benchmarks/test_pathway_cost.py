"""What the analyzer costs beside plain forward passes over the same rows, and beside captum's layer-by-layer loop.

One thread, no twins. A small residual network on 64 pixels, as the studies train it on faces, and MLPs; data are made
up, for time hangs on shapes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerIntegratedGradients
from layers_for_tests import Tail, layers_of
from test_cost import median, say

from fairheads.activations import TorchNetwork, one_thread
from fairheads.data import Dataset
from fairheads.nets import MLP, ResNet
from fairheads.pathways.attribution import path_gradients
from fairheads.pathways.effects import point_effects, shifts
from fairheads.pathways.fits import fits_of
from fairheads.pathways.measure import refitted_effects
from fairheads.pathways.sample import collect, scores
from fairheads.planted import synthetic
from fairheads.training import Unconstrained, train

IMAGES = 600


def faces() -> Dataset:
    """Noise that is a little brighter in one group, and labels that hang on the brightness."""
    rng = np.random.default_rng(0)
    group = np.arange(IMAGES) % 2
    X = rng.normal(size=(IMAGES, 3, 64, 64)).astype(np.float32) + 0.02 * group[:, None, None, None].astype(np.float32)
    y = X.mean((1, 2, 3)) + 0.01 * rng.normal(size=IMAGES) > 0.01
    return Dataset(X, y.astype(np.int64), group, group_names=("a", "b"))


@pytest.mark.parametrize("kind", ["a residual network, 64 pixels", "an MLP of 3 x 128"])
def test_statistics_effects_and_refits_beside_a_forward_pass(kind: str) -> None:
    images = kind.startswith("a residual")
    data = faces() if images else synthetic(20_000, seed=0)
    net = ResNet(3, widths=(16, 32, 64), stem_stride=2, seed=0) if images else MLP(8, hidden=(128, 128, 128), seed=0)
    with one_thread():
        train(net, data, Unconstrained(), epochs=1, seed=0)
        network, member = TorchNetwork(net), data.group == 1
        names = [layer.name for layer in network.survey({"x": data.inputs["x"][:8]})]
        sample = collect(network, data, member, names, 0)
        layers = list(layers_of(sample))
        forward = median(lambda: scores(network, data), 3)
        peer = f"one forward pass of {kind} over {len(data):,} rows"
        statistics = median(lambda: list(layers_of(collect(network, data, member, names, 0))), 3)
        points = median(lambda: [point_effects(network, sample, each, fits_of(sample, each)) for each in layers], 1)
        refits = median(lambda: [refitted_effects(network, sample, each) for each in layers], 1)
    say("statistics of all layers", statistics, peer, forward)
    say("point effects of all layers", points, peer, forward)
    say("effects of all layers with their 20 refits", refits, peer, forward)
    assert not images or (statistics < 3 * forward and points < 10 * forward and refits < 60 * forward)


def test_attribution_of_all_units_beside_captums_loop_over_layers() -> None:
    """The same contrast, to 1e-4: captum's default of 50 points on the rest of the network, ours on the whole of it."""
    data = synthetic(4_000, seed=0)
    net = MLP(8, hidden=(64,) * 6, seed=0)
    train(net, data, Unconstrained(), epochs=3, seed=0)
    network, member = TorchNetwork(net), data.group == 1
    with one_thread():
        sample = collect(network, data, member, network.layers(), 0)
        moves = {each.name: shifts(sample, each, fits_of(sample, each)).swap for each in layers_of(sample)}
        toward = np.where(member, -1, 1) / len(data) / sample.score.std()

        def ours() -> dict[str, np.ndarray]:
            return {n: toward @ (move * path_gradients(network, sample, n, move).gradient) for n, move in moves.items()}

        def theirs(summed: bool) -> dict[str, np.ndarray]:
            found = {}
            for name, move in moves.items():
                start, tail = torch.as_tensor(sample.activations[name]), Tail(net, name, summed=summed)
                made = LayerIntegratedGradients(tail, tail.here).attribute(start + torch.as_tensor(move), start)
                found[name] = toward @ made.detach().numpy()
            return found

        others = theirs(summed=True)
        for name, value in ours().items():
            np.testing.assert_allclose(value, others[name], atol=1e-4)
        mine, peer, quick = median(ours, 3), median(lambda: theirs(summed=False), 1), median(lambda: theirs(True), 3)
    what = f"attribution of the units of {len(moves)} layers"
    say(what, mine, "captum's loop", peer)
    say(what, mine, "captum's loop over one sum", quick)
    assert len(moves) * mine < peer
