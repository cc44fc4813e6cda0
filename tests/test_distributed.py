"""Two processes that train together: a constraint is that of all their rows, and so is its gradient.

This file is also the program that each of the processes runs.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from fairheads.constraints import Constraint, demographic_parity, equalized_odds, linear_fractional, mmd, wasserstein
from fairheads.constraints.statistics import POSITIVE_PREDICTIVE_VALUE
from fairheads.nets import MLP
from fairheads.training import Adversarial, GroupDRO, Lagrangian, Objective, Penalized

pytestmark = pytest.mark.slow

STEPS = 4
CONSTRAINTS: dict[str, Callable[[], Constraint]] = {
    "demographic parity": demographic_parity,
    "demographic parity, log sum exp": lambda: demographic_parity(kind="log_sum_exp", groups=3),
    "demographic parity, three classes": lambda: demographic_parity(favourable=1, groups=3),
    "equalized odds with memory": lambda: equalized_odds(memory=0.8),
    "precision": lambda: linear_fractional([POSITIVE_PREDICTIVE_VALUE], groups=3),
    "within strata": lambda: equalized_odds(strata=2, groups=3),
    "mmd": mmd,
    "mmd within labels": lambda: mmd(given_label=True, groups=3),
    "wasserstein": wasserstein,
    "wasserstein within labels": lambda: wasserstein(given_label=True, groups=3),
}
TOGETHER: dict[str, Callable[[], Objective]] = {
    "one module, adversarial": lambda: Adversarial(weight=0.5, groups=3, hidden=(4,)),
    "one module, lagrangian with memory": lambda: Lagrangian(
        equalized_odds(memory=0.8), tolerance=0.01, rate=0.5, damping=0.5
    ),
}
SIZES = {"equal batches": (24, 24), "unequal batches": (37, 11)}


def net_for(name: str) -> nn.Module:
    torch.manual_seed(1)
    # Sums of float64 in another order stay below the tolerance.
    return MLP(4, hidden=(8,), outputs=3 if "classes" in name else 1).double()


class Together(nn.Module):
    """Network and objective as one module, so that the objective's own parameters are averaged too."""

    def __init__(self, net: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.net, self.objective = net, objective.double()

    def forward(self, X: Tensor, y: Tensor, group: Tensor, strata: Tensor) -> Tensor:
        loss: Tensor = self.objective(self.net(X), y, group, strata)
        return loss


def rows(step: int, process: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs, label, group and stratum. The second process never has a row of group 2, which is the largest code."""
    rng = np.random.default_rng([step, process])
    group = rng.choice(3, size, p=[(0.2, 0.3, 0.5), (0.6, 0.4, 0.0)][process])
    X = rng.normal(size=(size, 4)) + 0.5 * group[:, None]
    y = rng.random(size) < 0.5
    return torch.tensor(X), torch.tensor(y).long(), torch.tensor(group), torch.tensor(rng.integers(0, 2, size))


def joined(step: int, sizes: tuple[int, int]) -> tuple[Tensor, ...]:
    parts = [rows(step, process, size) for process, size in enumerate(sizes)]
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))


def run_together(objective: Objective, batches: Sequence[tuple[Tensor, ...]], *, parallel: bool) -> list[Tensor]:
    """Gradients of all parameters in a few steps."""
    both = Together(net_for(""), objective)
    called = DistributedDataParallel(both) if parallel else both
    optimizer, found = torch.optim.SGD(both.parameters(), lr=0.5), []
    for batch in batches:
        optimizer.zero_grad()
        called(*batch).backward()
        found.append(torch.cat([p.grad.flatten() for p in both.parameters() if p.grad is not None]))
        optimizer.step()
        objective.step()
    return found


def run(net: nn.Module, loss: nn.Module, batches: Sequence[tuple[Tensor, ...]]) -> dict[str, list[Tensor]]:
    """Gradients, values and multipliers of a few steps, with weights that move between them."""
    found: dict[str, list[Tensor]] = {"gradient": [], "value": [], "multipliers": []}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for X, y, group, strata in batches:
        value = loss(net(X), y, group, strata)
        optimizer.zero_grad()
        value.backward()
        found["gradient"].append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
        found["value"].append(value.detach())
        optimizer.step()
        if isinstance(loss, Objective):
            loss.step()
        if isinstance(loss, Lagrangian):
            found["multipliers"].append(loss.multipliers.clone())
    return found


def cases() -> dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]]:
    """Name of each comparison, what is minimised, and the numbers of rows of the two processes."""
    made: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {}
    for name, constraint in CONSTRAINTS.items():
        for kind, sizes in SIZES.items():
            made[f"{name}, {kind}"] = constraint, sizes
    # The task's loss is the mean of the processes' means, which is that of all rows where batches are equal.
    equal = SIZES["equal batches"]
    made["penalized"] = lambda: Penalized(equalized_odds(), weight=3.0), equal
    made["lagrangian"] = lambda: Lagrangian(demographic_parity(), tolerance=0.01, rate=0.5), equal
    made["lagrangian with memory"] = lambda: Lagrangian(equalized_odds(memory=0.8), tolerance=0.01, rate=0.5), equal
    made["group dro"] = lambda: GroupDRO(0.5, groups=3).double(), equal
    made["lagrangian on wasserstein"] = lambda: Lagrangian(wasserstein(), tolerance=0.01, rate=0.5), equal
    return made


def work(process: int, folder: Path) -> None:
    """What one of the two processes does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=process, world_size=2)
    try:
        found = {}
        for name, (loss, sizes) in cases().items():
            batches = [rows(step, process, sizes[process]) for step in range(STEPS)]
            found[name] = run(DistributedDataParallel(net_for(name)), loss(), batches)
        for name, objective in TOGETHER.items():
            batches = [rows(step, process, 24) for step in range(STEPS)]
            found[name] = {"gradient": run_together(objective(), batches, parallel=True)}
        torch.save(found, folder / f"{process}.pt")
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, list[Tensor]]]]:
    """What each of the two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, __file__]
    started = [
        subprocess.Popen(
            [*command, str(process), str(folder)],
            stderr=subprocess.PIPE,
            text=True,
            # gloo asks for the address of a host name otherwise, which not every machine has.
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else None,
        )
        for process in (0, 1)
    ]
    try:
        complaints = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(complaints)
    return [torch.load(folder / f"{process}.pt") for process in (0, 1)]


@pytest.mark.parametrize("name", cases())
def test_gradients_are_those_of_the_joined_batch_in_one_process(
    name: str, found: list[dict[str, dict[str, list[Tensor]]]]
) -> None:
    loss, sizes = cases()[name]
    alone = run(net_for(name), loss(), [joined(step, sizes) for step in range(STEPS)])
    for process in (0, 1):
        for mine, expected in zip(found[process][name]["gradient"], alone["gradient"], strict=True):
            assert float(expected.abs().max()) > 1e-4, "the comparison must not be of zeros"
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-6)
        for mine, expected in zip(found[process][name]["multipliers"], alone["multipliers"], strict=True):
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-6)
    for mine, other in zip(found[0][name]["multipliers"], found[1][name]["multipliers"], strict=True):
        assert torch.equal(mine, other) and float(mine.max()) > 0


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_every_process_knows_the_value_of_the_joined_batch(
    name: str, found: list[dict[str, dict[str, list[Tensor]]]]
) -> None:
    for kind, sizes in SIZES.items():
        alone = run(net_for(name), CONSTRAINTS[name](), [joined(step, sizes) for step in range(STEPS)])
        for process in (0, 1):
            values = torch.stack(found[process][f"{name}, {kind}"]["value"])
            torch.testing.assert_close(values, torch.stack(alone["value"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TOGETHER)
def test_network_and_objective_can_be_one_module(name: str, found: list[dict[str, dict[str, list[Tensor]]]]) -> None:
    alone = run_together(TOGETHER[name](), [joined(step, (24, 24)) for step in range(STEPS)], parallel=False)
    for process in (0, 1):
        for mine, expected in zip(found[process][name]["gradient"], alone, strict=True):
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", SIZES)
def test_the_positive_control_averaged_constraints_of_own_batches_are_something_else(
    kind: str, found: list[dict[str, dict[str, list[Tensor]]]]
) -> None:
    gradients = []
    for process in (0, 1):
        own = [rows(0, process, SIZES[kind][process])]
        gradients.append(run(net_for("demographic parity"), demographic_parity(), own)["gradient"][0])
    together = found[0][f"demographic parity, {kind}"]["gradient"][0]
    assert float((sum(gradients) / 2 - together).abs().max()) > 1e-3


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
