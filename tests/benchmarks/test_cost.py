"""What things cost: medians of a few runs, as ratios to a named peer in the same run (`make bench`)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from fairheads.activations import TorchNetwork, one_thread
from fairheads.data import adult
from fairheads.nets import MLP
from fairheads.pathways import analyze_pathways
from fairheads.pathways.effects import point_effects
from fairheads.pathways.fits import LayerData, fits_of
from fairheads.pathways.sample import collect, scores
from fairheads.training import Unconstrained, train


def median(run: Callable[[], object], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def say(what: str, seconds: float, peer: str, of_peer: float) -> None:
    print(f"\n{what}: {seconds:.3f} s; {peer}: {of_peer:.3f} s; ratio {seconds / of_peer:.2g}")


def python(code: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_beside_importing_click() -> None:
    ours = median(python("import sys; sys.argv = ['fairheads', '--help']\nfrom fairheads_cli.main import main\nmain()"))
    peer = median(python("import click"))
    say("fairheads --help", ours, "import click", peer)
    assert ours < 10 * peer


def test_pathways_beside_plain_forward_passes() -> None:
    """Adult's test rows, 3 x 128, one thread: point effects of all layers, then everything with intervals."""
    train_rows, test_rows = adult().split()
    net = MLP(train_rows.inputs["x"].shape[1])
    with one_thread():
        train(net, train_rows, Unconstrained(), epochs=1)
        network, member = TorchNetwork(net), test_rows.group == 0
        sample = collect(network, test_rows, member, network.layers(), 0)

        def points() -> None:
            for name in network.layers():
                layer = LayerData.of(sample, name, sample.activations[name], member)
                point_effects(network, sample, layer, fits_of(sample, layer))

        forward = median(lambda: scores(network, test_rows))
        say("point effects, all layers", median(points), "one forward pass", forward)
        whole = median(lambda: analyze_pathways(net, test_rows, sample=len(test_rows)), 3)
        say("the whole analysis without twins", whole, "one forward pass", forward)
    assert np.isfinite(forward)
    assert whole < 5000 * forward
