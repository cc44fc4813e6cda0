"""What constrained training costs: medians, in turns with a named peer in the same run, one thread (`make bench`)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fairheads.activations import one_thread
from fairheads.constraints import demographic_parity, equalized_odds
from fairheads.data import Dataset, adult
from fairheads.nets import MLP
from fairheads.training import Lagrangian, Objective, Penalized, Unconstrained, train

BATCH = 512


def interleaved(runs: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Median seconds of each, taken in turns so that a busy machine is busy for all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(times + times // 10):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn >= times // 10:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def say(found: dict[str, float], peer: str) -> None:
    print()
    for name, value in found.items():
        print(f"  {name}: {1e6 * value:,.0f} us; {value / found[peer]:.3f} x {peer}")


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return adult().split()[0]


def a_step(rows: Dataset, objective: Objective) -> Callable[[], object]:
    net = MLP(rows.inputs["x"].shape[1], hidden=(128, 128, 128))
    objective.start(net, rows)
    optimizer = torch.optim.Adam(net.parameters())
    x, y, group = (torch.as_tensor(values[:BATCH]) for values in (rows.inputs["x"], rows.y, rows.group))

    def step() -> None:
        loss = objective(net(x), y, group)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.step()

    return step


def test_a_penalised_step_beside_one_without(rows: Dataset) -> None:
    objectives: dict[str, Objective] = {
        "unconstrained": Unconstrained(),
        "penalized": Penalized(demographic_parity(), 10.0),
        "penalized, equalized odds": Penalized(equalized_odds(), 10.0),
        "penalized, memory": Penalized(demographic_parity(memory=0.9), 10.0),
        "lagrangian": Lagrangian(demographic_parity()),
    }
    with one_thread():
        found = interleaved({name: a_step(rows, objective) for name, objective in objectives.items()}, 1000)
    say(found, "unconstrained")
    assert found["penalized"] < 1.5 * found["unconstrained"]


def test_the_constraint_alone_beside_fairret(rows: Dataset) -> None:
    loss_of = pytest.importorskip("fairret.loss").NormLoss
    statistic = pytest.importorskip("fairret.statistic").PositiveRate
    logits = torch.randn(BATCH, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y, group = torch.as_tensor(rows.y[:BATCH]), torch.as_tensor(rows.group[:BATCH])
    sensitive = torch.nn.functional.one_hot(group, 2).float()
    theirs = loss_of(statistic())

    def backward(loss: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: loss().backward()

    ours = {kind: demographic_parity(kind=kind, groups=2) for kind in ("squared", "absolute", "log_sum_exp")}
    runs = {kind: backward(lambda each=each: each(logits, y, group)) for kind, each in ours.items()}
    with one_thread():
        found = interleaved({**runs, "fairret NormLoss": backward(lambda: theirs(logits, sensitive))}, 1000)
    say(found, "fairret NormLoss")
    assert found["absolute"] < found["fairret NormLoss"] / 2


def test_an_epoch_beside_a_data_loader(rows: Dataset) -> None:
    """The same network, optimiser, batches and objective, fed by torch's DataLoader without workers."""
    parts = [torch.as_tensor(values) for values in (rows.inputs["x"], rows.y, rows.group)]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*parts), BATCH, shuffle=True, drop_last=True)
    net, objective = MLP(rows.inputs["x"].shape[1], hidden=(128, 128, 128)), Unconstrained()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def epoch() -> None:
        for x, y, group in loader:
            loss = objective(net(x), y, group)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    ours = MLP(rows.inputs["x"].shape[1], hidden=(128, 128, 128))
    with one_thread():
        found = interleaved({"fairheads": lambda: train(ours, rows, Unconstrained(), epochs=1), "DataLoader": epoch}, 5)
        once = interleaved({"two more": lambda: train(ours, rows, Unconstrained(), epochs=3)}, 3)["two more"]
    found["fairheads, after the first"] = (once - found["fairheads"]) / 2
    say(found, "DataLoader")
    assert found["fairheads, after the first"] < found["DataLoader"]
