"""The Lightning callback against the same loop in plain torch: weights, steps, checkpoints, curves, the monitor.

This file is also the program that each process of the test with two processes runs.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.monitor import HeadMonitor
from fairheads.nets import MLP
from fairheads.training import Adversarial, GroupDRO, Lagrangian, Objective, Penalized, Unconstrained

pytest.importorskip("lightning", reason="needs the extra `integrations`")
from lightning.pytorch import LightningModule, Trainer

from fairheads.integrations.lightning import ObjectiveCallback

pytestmark = [
    pytest.mark.slow,
    # Lightning advises workers for loading data; the rows are in memory.
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers:UserWarning"),
    # Lightning 2.6 makes leaves of trees as torch 2.13 no longer wants them made.
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
]

ROWS, BATCH = 512, 64


def some_rows(n: int = ROWS, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 4)) + 1.2 * group[:, None]
    y = rng.random(n) < 1 / (1 + np.exp(2 - X[:, 0] - X[:, 1]))
    return torch.tensor(X, dtype=torch.float32), torch.tensor(y).long(), torch.tensor(group)


def loader() -> "DataLoader[tuple[Tensor, ...]]":
    return DataLoader(TensorDataset(*some_rows()), batch_size=BATCH)


def new_net() -> MLP:
    torch.manual_seed(1)
    return MLP(4, hidden=(8,))


class Classifier(LightningModule):
    """What a user has, with the objective as an attribute or out of the module's sight."""

    def __init__(self, objective: Objective, *, hidden: bool = False) -> None:
        super().__init__()
        self.net = new_net()
        self.kept: Any = [objective] if hidden else objective

    @property
    def objective(self) -> Objective:
        found = self.kept[0] if isinstance(self.kept, list) else self.kept
        assert isinstance(found, Objective)
        return found

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        X, y, group = batch
        loss: Tensor = self.objective(self.net(X), y, group)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(dict.fromkeys([*self.parameters(), *self.objective.parameters()]), lr=0.01)


class Validated(Classifier):
    modes: tuple[bool, ...] = ()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        X, y, group = batch
        self.modes += (self.objective.training,)
        self.objective(self.net(X), y, group)


def made(root: Path, *callbacks: Any, **settings: Any) -> Trainer:
    """A trainer that shows nothing, and writes to ``root`` alone."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "devices": 1}
    quiet["enable_checkpointing"] = False
    return Trainer(accelerator="cpu", default_root_dir=root, callbacks=list(callbacks), **{**quiet, **settings})


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Callable[..., Trainer]]:
    """Makes trainers that leave nothing in the working folder."""
    before = set(Path.cwd().iterdir())
    yield partial(made, tmp_path)
    assert set(Path.cwd().iterdir()) == before, "a folder was left behind"


def plain_loop(objective: Objective, epochs: int, accumulate: int = 1, batches: int = ROWS // BATCH) -> MLP:
    """The same training, written out."""
    net = new_net()
    optimizer = torch.optim.Adam([*net.parameters(), *objective.parameters()], lr=0.01)
    with objective.attached(net):
        for _ in range(epochs):
            for i, (X, y, group) in enumerate(islice(loader(), batches), 1):
                (objective(net(X), y, group) / accumulate).backward()
                if i % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
                    objective.step()
    return net


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.allclose(p, q, rtol=0, atol=1e-6) for p, q in pairs)


def lagrangian() -> Lagrangian:
    return Lagrangian(demographic_parity(groups=2), tolerance=0.02)


def remembering() -> Lagrangian:
    return Lagrangian(demographic_parity(groups=2, memory=0.9), tolerance=0.02)


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "unconstrained": Unconstrained,
    "penalized": lambda: Penalized(demographic_parity(groups=2), weight=3.0),
    "lagrangian": lagrangian,
    "remembering": remembering,
    "group dro": lambda: GroupDRO(rate=0.1, groups=2),
    "adversarial": lambda: Adversarial(weight=0.5, groups=2, hidden=(4,)),
    "adversarial on a layer": lambda: Adversarial(weight=0.5, layer="backbone", groups=2, width=8, hidden=(4,)),
}


@pytest.mark.parametrize("hidden", [False, True], ids=["part of the module", "kept elsewhere"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_are_those_of_the_same_loop_in_plain_torch(
    name: str, hidden: bool, trainer: Callable[..., Trainer]
) -> None:
    model, other = Classifier(OBJECTIVES[name](), hidden=hidden), OBJECTIVES[name]()
    callback = ObjectiveCallback(model.objective, network="net")
    trainer(callback, max_epochs=2).fit(model, loader())
    assert same(model.net, plain_loop(other, 2)) and same(model.objective, other)
    assert not same(model.net, new_net())
    assert callback.steps == 2 * ROWS // BATCH
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert not model.objective._forward_hooks


def test_the_positive_control_without_the_callback_the_multipliers_stand_still(trainer: Callable[..., Trainer]) -> None:
    model = Classifier(lagrangian())
    trainer(max_epochs=2).fit(model, loader())
    assert not same(model.net, plain_loop(lagrangian(), 2))


def gap(net: nn.Module) -> float:
    X, _, group = some_rows(4000, seed=1)
    with torch.no_grad():
        decision = (net(X)[:, 0] > 0).float()
    return float((decision[group == 1].mean() - decision[group == 0].mean()).abs())


def test_training_under_a_tolerance_closes_a_gap_that_is_there_without(trainer: Callable[..., Trainer]) -> None:
    gaps = []
    for objective in (Unconstrained(), lagrangian()):
        model = Classifier(objective)
        trainer(ObjectiveCallback(objective), max_epochs=40).fit(model, loader())
        gaps.append(gap(model.net))
    assert gaps[0] > 0.3 and gaps[1] < 0.1


def test_accumulated_batches_are_one_step(trainer: Callable[..., Trainer]) -> None:
    stepped = []

    class Counting(Lagrangian):
        def step(self) -> None:
            stepped.append(int(self._calls))
            super().step()

    objective = Counting(demographic_parity(groups=2), tolerance=0.02)
    model, other = Classifier(objective), lagrangian()
    callback = ObjectiveCallback(objective)
    trainer(callback, max_epochs=2, accumulate_grad_batches=4).fit(model, loader())
    assert stepped == [4] * 4 and callback.steps == 4
    assert same(model.net, plain_loop(other, 2, accumulate=4)) and same(objective, other)


@pytest.mark.parametrize("hidden", [False, True], ids=["part of the module", "kept elsewhere"])
@pytest.mark.parametrize("name", ["remembering", "adversarial"])
def test_a_resumed_training_goes_on_where_the_first_stopped(
    name: str, hidden: bool, trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    def fit(epochs: int, resume: Path | None = None) -> tuple[Classifier, ObjectiveCallback]:
        model = Classifier(OBJECTIVES[name](), hidden=hidden)
        callback = ObjectiveCallback(model.objective)
        each = trainer(callback, max_epochs=epochs)
        each.fit(model, loader(), ckpt_path=resume)
        each.save_checkpoint(tmp_path / f"after-{epochs}.ckpt")
        return model, callback

    whole, _ = fit(4)
    first, _ = fit(2)
    path = tmp_path / "after-2.ckpt"
    written = torch.load(path, weights_only=True)
    (mine,) = (state for key, state in written["callbacks"].items() if key.startswith("ObjectiveCallback"))
    # Once: with the module's weights, or by the callback.
    in_module = [key for key in written["state_dict"] if key.startswith("kept")]
    assert bool(in_module) is not hidden and (mine["objective"] is not None) is hidden
    second, callback = fit(4, resume=path)
    assert same(second.net, whole.net) and same(second.objective, whole.objective)
    assert not same(second.objective, first.objective)
    assert callback.steps == 4 * ROWS // BATCH


def test_a_checkpoint_without_the_objective_is_refused_when_it_is_kept_elsewhere(
    trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    model = Classifier(lagrangian())
    each = trainer(ObjectiveCallback(model.objective), max_epochs=1)
    each.fit(model, loader())
    each.save_checkpoint(tmp_path / "part.ckpt")
    with pytest.raises(InputError, match="as a part of the module"):
        ObjectiveCallback(lagrangian()).load_state_dict(
            next(iter(torch.load(tmp_path / "part.ckpt")["callbacks"].values()))
        )


@pytest.mark.parametrize("hidden", [False, True], ids=["part of the module", "kept elsewhere"])
def test_validation_moves_nothing(hidden: bool, trainer: Callable[..., Trainer]) -> None:
    model, other = Validated(remembering(), hidden=hidden), remembering()
    trainer(ObjectiveCallback(model.objective), max_epochs=2).fit(model, loader(), loader())
    assert model.modes and not any(model.modes)
    assert same(model.net, plain_loop(other, 2)) and same(model.objective, other)


def test_curves_are_logged(trainer: Callable[..., Trainer]) -> None:
    model = Classifier(lagrangian())
    each = trainer(ObjectiveCallback(model.objective), max_epochs=2, log_every_n_steps=1)
    each.fit(model, loader())
    assert isinstance(model.objective, Lagrangian)
    logged = each.logged_metrics
    assert set(logged) == {f"fairheads/{name}" for name in ("constraint", "gap", "multiplier", "price")}
    assert float(logged["fairheads/multiplier"]) == pytest.approx(float(model.objective.multipliers.max()))
    assert 0 < float(logged["fairheads/gap"]) <= 1
    model = Classifier(Unconstrained())
    each = trainer(ObjectiveCallback(model.objective), max_epochs=1, log_every_n_steps=1)
    each.fit(model, loader())
    assert not each.logged_metrics


def test_the_monitor_is_called_after_each_step_and_ends_the_training(trainer: Callable[..., Trainer]) -> None:
    seen = []

    def monitor(net: nn.Module, step: int) -> bool:
        seen.append((type(net), step))
        return step == 5

    model = Classifier(lagrangian())
    callback = ObjectiveCallback(model.objective, monitor, network="net")
    each = trainer(callback, max_epochs=3, accumulate_grad_batches=2)
    each.fit(model, loader())
    assert seen == [(MLP, step) for step in range(1, 6)] and each.global_step == callback.steps == 5


def test_the_head_monitor_watches_and_its_history_is_kept(trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    X, y, group = some_rows(1200, seed=3)
    held_out = Dataset(X.numpy(), y.numpy(), group.numpy())
    model = Classifier(lagrangian())
    monitor = HeadMonitor(held_out, every=4)
    each = trainer(ObjectiveCallback(model.objective, monitor, network="net"), max_epochs=1)
    each.fit(model, loader())
    each.save_checkpoint(tmp_path / "half.ckpt")
    assert [reading.step for reading in monitor.history] == [4, 8]
    again, other = HeadMonitor(held_out, every=4), Classifier(lagrangian())
    callback = ObjectiveCallback(other.objective, again, network="net")
    trainer(callback, max_epochs=2).fit(other, loader(), ckpt_path=tmp_path / "half.ckpt")
    assert [reading.step for reading in again.history] == [4, 8, 12, 16]
    unwatched = Classifier(lagrangian())
    trainer(ObjectiveCallback(unwatched.objective), max_epochs=2).fit(unwatched, loader())
    assert same(other.net, unwatched.net)


def test_hooks_are_gone_after_a_training_that_failed(trainer: Callable[..., Trainer]) -> None:
    def failing(net: nn.Module, step: int) -> bool:
        raise RuntimeError("the monitor failed")

    model = Classifier(OBJECTIVES["adversarial on a layer"]())
    with pytest.raises(RuntimeError, match="the monitor failed"):
        trainer(ObjectiveCallback(model.objective, failing, network="net"), max_epochs=1).fit(model, loader())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_the_package_itself_imports_neither_library() -> None:
    question = "import sys, fairheads.integrations; print(sorted({'lightning', 'transformers'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_what_cannot_work_is_refused(trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ConfigError, match="`objective` must be an Objective, got ReLU"):
        ObjectiveCallback(nn.ReLU())  # type: ignore[arg-type]
    model = Classifier(lagrangian())
    with pytest.raises(ConfigError, match=r"`network` must be the path of a submodule .*'net'.*, got 'nett'"):
        trainer(ObjectiveCallback(model.objective, network="nett"), max_epochs=1).fit(model, loader())


def work(name: str, folder: Path) -> None:
    """What one of two processes does: train on its half of every batch."""
    torch.set_num_threads(1)
    model, calls = Classifier(OBJECTIVES[name]()), []

    def monitor(net: nn.Module, step: int) -> bool:
        calls.append(step)
        return step == 6

    callback = ObjectiveCallback(model.objective, monitor, network="net")
    settings = {"devices": 2, "strategy": "ddp", "max_epochs": 2, "log_every_n_steps": 2}
    # Rows are dealt out in turn, so that both halves of a batch together are a batch of the plain loop.
    rows = TensorDataset(*some_rows())
    dealt: DistributedSampler[Any] = DistributedSampler(rows, 2, int(os.environ["RANK"]), shuffle=False)
    batches = DataLoader(rows, batch_size=BATCH // 2, sampler=dealt)
    made(folder, callback, use_distributed_sampler=False, **settings).fit(model, batches)
    state = {"net": model.net.state_dict(), "objective": model.objective.state_dict(), "calls": calls}
    torch.save(state, folder / f"{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["remembering", "adversarial on a layer"])
def test_two_processes_train_as_one_does_on_both_their_batches(name: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    world |= {"TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}  # as torchrun sets them
    if sys.platform == "linux":
        world["GLOO_SOCKET_IFNAME"] = "lo"
    started = [
        subprocess.Popen(
            [sys.executable, __file__, name, str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    try:
        complaints = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(complaints)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    objective = OBJECTIVES[name]()
    # The monitor of the first process ends the training of both.
    net = plain_loop(objective, 1, batches=6)
    for found in (first, second):
        for part, expected in (("net", net.state_dict()), ("objective", objective.state_dict())):
            assert set(found[part]) == set(expected)
            for key, values in expected.items():
                # Adam makes steps of one size of small gradients and of their rounding.
                torch.testing.assert_close(found[part][key], values, rtol=0, atol=1e-5)
    assert (first["calls"], second["calls"]) == ([1, 2, 3, 4, 5, 6], [])


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))
