"""What watching a training costs: an epoch of `train` with a look at its end beside one without (`make bench`)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from fairheads.activations import one_thread
from fairheads.data import Dataset, adult
from fairheads.monitor import HeadMonitor
from fairheads.nets import MLP
from fairheads.training import Unconstrained, train

BATCH, EPOCHS, TIMES = 512, 3, 9


def interleaved(runs: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Median seconds of the core of each, in turns: a look is a few percent, which other processes would drown."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(times + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


@pytest.fixture(scope="module", params=["sex", "race"])
def split(request: pytest.FixtureRequest) -> tuple[Dataset, Dataset]:
    return adult(sensitive=request.param).split()


def test_a_watched_epoch_beside_one_that_is_not(split: tuple[Dataset, Dataset]) -> None:
    """Adult, 3 x 128; the groups are 2 (sex) and 5 (race), each of which costs a reading of its own."""
    rows, held_out = split
    net = MLP(rows.inputs["x"].shape[1], hidden=(128, 128, 128))
    monitor = HeadMonitor(held_out, every=len(rows) // BATCH)

    def epochs(watch: HeadMonitor | None) -> Callable[[], object]:
        return lambda: train(net, rows, Unconstrained(), epochs=EPOCHS, batch_size=BATCH, monitor=watch)

    with one_thread():
        found = interleaved(
            {"not watched": epochs(None), "watched": epochs(monitor), "one look": lambda: monitor.read(net, 1)}, TIMES
        )
    epoch = found["not watched"] / EPOCHS
    print(f"\n  an epoch, not watched: {1e3 * epoch:.1f} ms; one look: {1e3 * found['one look']:.1f} ms")
    print(f"  watched: {found['watched'] / found['not watched']:.3f} x not watched")
    print(f"  a look: {found['one look'] / epoch:.3f} of an epoch, {len(held_out.group_names)} groups")
    assert len(monitor.history) == EPOCHS
    assert found["watched"] < 1.5 * found["not watched"]
