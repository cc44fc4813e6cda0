"""One loop: the same bits from the same seed, a record an auditor can use, and penalties that do what they say."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fairheads.constraints import Constraint, conditional_parity, demographic_parity, equal_opportunity, equalized_odds
from fairheads.data import Dataset, RowRecord, Stream
from fairheads.errors import ConfigError, DivergedError, FairheadsError, InputError, UnsafeModelError
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import (
    Adversarial,
    BalancedRows,
    GroupDRO,
    History,
    Lagrangian,
    Massaged,
    Objective,
    Penalized,
    Reweighted,
    TwoHeaded,
    Unconstrained,
    checkpoint,
    objective_from_dict,
    train,
)


def some_data(n: int = 600, groups: int = 2) -> Dataset:
    rng = np.random.default_rng(0)
    group = rng.integers(0, groups, n)
    X = rng.normal(size=(n, 4)) + 0.8 * group[:, None]
    y = (rng.random(n) < 1 / (1 + np.exp(1 - X[:, 0] - X[:, 1]))).astype(int)
    return Dataset(X, y, group, name="made up")


def trained(objective: Objective, seed: int = 0, data: Dataset | None = None, epochs: int = 3) -> tuple[MLP, History]:
    net = MLP(4, hidden=(16,))
    return net, train(net, data or some_data(), objective, epochs=epochs, batch_size=64, seed=seed)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.usefixtures("random_state_is_left_alone")
def test_the_seed_alone_decides_every_bit_and_the_global_random_state_stays() -> None:
    class WithDropout(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.dropout(self.backbone(x), 0.3, self.training))

    for kind, batch_size in ((WithDropout, 64), (WithDropout, 600), (MLP, 64)):
        runs = []
        for seed in (1, 1, 2):
            net = kind(4, hidden=(16,))
            with torch.random.fork_rng():
                torch.manual_seed(len(runs))
                history = train(net, some_data(), Unconstrained(), epochs=2, batch_size=batch_size, seed=seed)
            runs.append((net, history))
        (a, first), (b, second), (c, third) = runs
        assert same_weights(a, b) and first.losses == second.losses
        assert not same_weights(a, c) and first.losses != third.losses


def test_weight_zero_is_unconstrained_bit_for_bit_and_another_weight_is_not() -> None:
    plain, plain_history = trained(Unconstrained())
    zero, zero_history = trained(Penalized(demographic_parity(), 0.0))
    other, _ = trained(Penalized(demographic_parity(), 1.0))
    assert same_weights(plain, zero) and plain_history.losses == zero_history.losses
    assert not same_weights(plain, other)


def test_the_loss_goes_down_where_there_is_something_to_learn_and_the_net_has_learnt_it() -> None:
    data = some_data(3000)
    net, history = trained(Unconstrained(), data=data, epochs=10)
    assert history.losses[-1] < 0.85 * history.losses[0]
    correct = ((net(torch.as_tensor(data.inputs["x"]))[:, 0] > 0).numpy() == data.y).mean()
    assert correct > max(data.y.mean(), 1 - data.y.mean()) + 0.05
    assert not net.training


def test_losses_by_hand() -> None:
    both, y, group = torch.tensor([[0.3, 0.9], [-1.2, 0.2]]), torch.tensor([1, 0]), torch.tensor([1, 0])
    logits = both[:, :1]
    task = (np.log1p(np.exp(-0.3)) + np.log1p(np.exp(-1.2))) / 2
    gap = 1 / (1 + np.exp(-0.3)) - 1 / (1 + np.exp(1.2))
    assert float(Unconstrained()(logits, y, group)) == pytest.approx(task, abs=1e-6)
    penalized = Penalized(demographic_parity(), 3.0)(logits, y, group)
    assert float(penalized) == pytest.approx(task + 3 * gap**2, abs=1e-6)
    two = TwoHeaded()(both, y, group)
    assert float(two) == pytest.approx(0.5 * task + 0.5 * (0.1**2 + 0.2**2) / 2, abs=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_full_batches_follow_adam_as_its_paper_writes_it(schedule: str) -> None:
    data = some_data()
    net, x, y = MLP(4, hidden=(8,)), torch.as_tensor(data.inputs["x"]), torch.as_tensor(data.y).float()
    by_hand = MLP(4, hidden=(8,))
    history = train(net, data, Unconstrained(), epochs=4, batch_size=600, learning_rate=0.01, schedule=schedule)
    state = [(torch.zeros_like(p), torch.zeros_like(p)) for p in by_hand.parameters()]
    for step in range(1, 5):
        rate = 0.01 if schedule == "constant" else 0.01 * (1 + np.cos(np.pi * (step - 1) / 4)) / 2
        p = torch.sigmoid(by_hand(x)[:, 0])
        loss = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
        assert history.losses[step - 1] == pytest.approx(loss.item(), abs=1e-5)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for weight, gradient, (m, v) in zip(by_hand.parameters(), gradients, state, strict=True):
                m.mul_(0.9).add_(gradient, alpha=0.1)
                v.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                weight -= rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    for ours, wanted in zip(net.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-3)


class Watched(Unconstrained):
    """The unconstrained loss, which notes what it was given and breaks at a given step."""

    def __init__(self, breaks_at: int = -1) -> None:
        super().__init__()
        self.breaks_at, self.rows = breaks_at, []

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        self.rows.append(len(y))
        loss = super().forward(logits, y, group, strata)
        return loss * torch.nan if len(self.rows) == self.breaks_at else loss


def test_training_that_diverges_names_epoch_and_step_and_leaves_the_net_in_eval_mode() -> None:
    net = MLP(4, hidden=(16,))
    with pytest.raises(DivergedError, match=r"became nan in epoch 2, step 3; try a lower learning rate"):
        train(net, some_data(640), Watched(breaks_at=13), epochs=3, batch_size=64)
    assert not net.training
    with pytest.raises(DivergedError, match="epoch 1, step"):
        train(MLP(4, hidden=(16,)), some_data(), Unconstrained(), epochs=3, batch_size=64, learning_rate=1e30)


def test_batches_are_full_and_every_epoch_is_reported() -> None:
    watched, told = Watched(), []
    history = train(
        MLP(4, hidden=(8,)),
        some_data(300),
        watched,
        epochs=2,
        batch_size=128,
        progress=lambda epoch, loss: told.append((epoch, loss)),
    )
    assert watched.rows == [128, 128] * 2
    assert told == list(enumerate(history.losses, 1))
    small = Watched()
    train(MLP(4, hidden=(8,)), some_data(30), small, epochs=1, batch_size=512)
    assert small.rows == [30], "a data set smaller than a batch is one batch"


def test_the_record_says_what_was_done_to_which_rows_in_plain_json() -> None:
    data = some_data(groups=3)
    _, history = trained(Penalized(demographic_parity(kind="absolute", tolerance=0.01), 2.0), seed=7, data=data)
    record = json.loads(json.dumps(history.record()))
    assert record["objective"] == {
        "name": "penalized",
        "constraint": {"name": "demographic_parity", "kind": "absolute", "tolerance": 0.01},
        "weight": 2.0,
    }
    wanted = {"optimizer": "adam", "epochs": 3, "batch_size": 64, "learning_rate": 1e-3, "schedule": "cosine"}
    wanted |= {"seed": 7, "data": "made up"}
    assert {key: record[key] for key in wanted} == wanted
    assert record["losses"] == list(history.losses) and len(record["losses"]) == 3
    assert record["rows"] == {"n": 600, "digest": RowRecord.of(data).digest}
    for code, name in enumerate(data.group_names):
        y = data.y[data.group == code]
        assert record["shares"][name] == {"n": len(y), "base_rate": pytest.approx(y.mean())}


def test_a_group_without_rows_has_a_count_and_no_base_rate_in_the_record() -> None:
    data = some_data()
    _, history = trained(Unconstrained(), data=data.take(data.group == 1), epochs=1)
    assert history.shares["0"] == {"n": 0} and history.shares["1"]["n"] == (data.group == 1).sum()


@pytest.mark.parametrize(
    "objective",
    [Unconstrained(), TwoHeaded(), Penalized(demographic_parity(kind="absolute", tolerance=0.2), 4.0)],
)
def test_an_objective_is_made_again_from_its_record(objective: Objective) -> None:
    again = objective_from_dict(json.loads(json.dumps(objective.to_dict())))
    assert type(again) is type(objective) and again.to_dict() == objective.to_dict()


@pytest.mark.parametrize(
    ("plain", "what"),
    [
        ({}, "objective"),
        ({"name": "magic"}, "objective"),
        ({"name": "penalized", "constraint": {"name": "magic"}}, "constraint"),
    ],
)
def test_an_unknown_objective_is_refused(plain: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown {what} in the training record"):
        objective_from_dict(plain)


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}])
def test_settings_that_train_nothing_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="`epochs` and `batch_size` must be at least 1"):
        train(MLP(4), some_data(), Unconstrained(), **setting)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match="`schedule` must be"):
        train(MLP(4), some_data(), Unconstrained(), schedule="linear")


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_a_weight_below_zero_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match="`weight` must be at least 0"):
        Penalized(demographic_parity(), weight)


def test_two_heads_need_an_output_for_every_group_beside_the_task() -> None:
    two = TwoHeadNet(MLP(4, hidden=(8,)))
    with pytest.raises(ConfigError, match=r"a group head for 2 groups, but the data have 3: \['0', '1', '2'\]; make"):
        train(two, some_data(groups=3), TwoHeaded())
    with pytest.raises(ConfigError, match="TwoHeaded needs a network of 2 outputs"):
        train(MLP(4, hidden=(8,)), some_data(), TwoHeaded())
    with pytest.raises(ConfigError, match="Unconstrained needs a network of 1 outputs"):
        train(two, some_data(), Unconstrained())


def test_a_two_headed_net_learns_both_the_task_and_the_group() -> None:
    data = some_data(3000)
    two = TwoHeadNet(MLP(4, hidden=(16,)))
    train(two, data, TwoHeaded(), epochs=15, batch_size=64, learning_rate=3e-3)
    z_y, z_g = two(torch.as_tensor(data.inputs["x"])).detach().numpy().T
    assert ((z_y > 0) == data.y).mean() > max(data.y.mean(), 1 - data.y.mean()) + 0.05
    assert z_g[data.group == 1].mean() - z_g[data.group == 0].mean() > 0.2
    assert abs(z_g.mean() - data.group.mean()) < 0.1, "the raw group output stays near 0/1"


def test_several_inputs_reach_the_net_in_order() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)
            self.seen: list[tuple[float, float]] = []

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            self.seen.append((float(a.mean()), float(b.mean())))
            return self.linear(torch.cat([a, b], 1))

    net = Two()
    inputs = {"z_first": np.full((8, 1), 5.0), "a_second": np.full((8, 1), -5.0)}
    train(net, Dataset(inputs, [0, 1] * 4, [0, 1] * 4), Unconstrained(), epochs=1)
    assert net.seen == [(5.0, -5.0)]


@dataclass
class Answer:
    loss: None
    logits: Tensor


class Answering(nn.Module):
    """A network whose logits come in a form of its own."""

    def __init__(self, form: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.net, self.form = MLP(4, hidden=(8,), seed=0), form

    def forward(self, x: Tensor) -> object:
        return self.form(self.net(x))


@pytest.mark.parametrize("objective", [Lagrangian(equalized_odds()), Adversarial(), GroupDRO()])
@pytest.mark.parametrize(
    "form", [lambda z: z.squeeze(1), lambda z: {"logits": z}, lambda z: Answer(None, z)], ids=["(n,)", "dict", "object"]
)
def test_logits_are_taken_in_every_form_that_an_audit_takes(form, objective: Objective) -> None:
    data, losses = some_data(64), []
    settings = {"epochs": 2, "batch_size": 16, "validation": some_data(20)}
    nets = [Answering(each) for each in (form, lambda z: z)]
    for net in nets:
        history = train(net, data, copy.deepcopy(objective), **settings)
        losses.append((history.losses, history.validation))
    assert losses[0] == losses[1]
    assert all(torch.equal(p, q) for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


@pytest.mark.parametrize("objective", [Penalized(demographic_parity(), 5.0), Adversarial(), TwoHeaded()])
@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_inputs_take_the_type_of_the_weights(kind: torch.dtype, objective: Objective) -> None:
    data, both = some_data(), []
    for each in (torch.float32, kind):
        net: nn.Module = MLP(4, hidden=(8,), seed=0)
        net = (TwoHeadNet(net) if isinstance(objective, TwoHeaded) else net).to(each)
        history = train(net, data, copy.deepcopy(objective), epochs=3, batch_size=100)
        assert {values.dtype for values in net.parameters()} == {each}
        both.append(history.losses)
    assert both[0] == pytest.approx(both[1], rel=0.02 if kind == torch.bfloat16 else 1e-4)


class OfTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = MLP(4, hidden=(4,), seed=0)

    def forward(self, *, num: torch.Tensor, cat: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([num, cat], 1))


def test_a_network_is_trained_on_inputs_by_their_names() -> None:
    whole, one, two = some_data(), OfTwo(), OfTwo()
    x, y, group = whole.inputs["x"], whole.y, whole.group
    train(one.net, whole, Unconstrained(), epochs=1, seed=0)
    train(two, Dataset({"cat": x[:, 2:], "num": x[:, :2]}, y, group), Unconstrained(), epochs=1, seed=0)
    assert all(map(torch.equal, one.parameters(), two.parameters()))


def test_a_network_with_one_output_a_class_is_told_its_task() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(ConfigError, match=r"needs a network of 1 outputs.*task=cross_entropy.*twins"):
        train(net, some_data(), Penalized(demographic_parity()))
    with pytest.raises(InputError, match="the network must return logits"):
        train(Answering(lambda z: [z]), some_data(), Unconstrained())


def gap_of(net: nn.Module, data: Dataset) -> float:
    selected = (net(torch.as_tensor(data.inputs["x"]))[:, 0] > 0).numpy()
    return float(selected[data.group == 1].mean() - selected[data.group == 0].mean())


def test_the_penalty_closes_the_gap_of_decisions_on_adult(adult_split: tuple[Dataset, Dataset]) -> None:
    train_set, test_set = adult_split
    gaps = {}
    for weight in (0.0, 10.0):
        net = MLP(train_set.inputs["x"].shape[1], hidden=(32,))
        train(net, train_set.take(range(16_000)), Penalized(demographic_parity(), weight), epochs=3, learning_rate=5e-3)
        gaps[weight] = gap_of(net, test_set)
    assert gaps[0.0] > 0.12, "without the penalty men are selected more often"
    assert abs(gaps[10.0]) < 0.5 * gaps[0.0]


# Validation and patience


class Judged(Unconstrained):
    """Judges as the list says."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values, self.weights = list(values), []

    def judge(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> float:
        return self.values.pop(0)


def after_each_epoch(net: nn.Module, steps: int, found: list[dict[str, Tensor]]) -> object:
    def note(seen: nn.Module, step: int) -> bool:
        if step % steps == 0:
            found.append({name: values.clone() for name, values in seen.state_dict().items()})
        return False

    return note


def test_the_weights_of_the_best_epoch_come_back_and_patience_ends_the_run() -> None:
    data, weights = some_data(128), []
    net = MLP(4, hidden=(8,))
    objective = Judged([0.5, 0.3, 0.4, 0.3, 0.2])
    history = train(
        net,
        data,
        objective,
        epochs=5,
        batch_size=64,
        validation=data,
        patience=2,
        monitor=after_each_epoch(net, 2, weights),
    )
    assert history.validation == (0.5, 0.3, 0.4, 0.3) and history.best_epoch == 2 and len(history.losses) == 4
    assert history.stopped == "after 2 epochs without a better one than epoch 2"
    assert all(torch.equal(values, weights[1][name]) for name, values in net.state_dict().items())
    assert not all(torch.equal(values, weights[3][name]) for name, values in net.state_dict().items())
    record = json.loads(json.dumps(history.record()))
    assert record["validation_losses"] == [0.5, 0.3, 0.4, 0.3] and record["best_epoch"] == 2 and record["patience"] == 2
    assert record["stopped"] == history.stopped


def test_without_patience_every_epoch_is_trained_and_the_best_kept() -> None:
    net = MLP(4, hidden=(8,))
    history = train(net, some_data(128), Judged([0.1, 0.3, 0.2]), epochs=3, batch_size=64, validation=some_data(128))
    assert len(history.losses) == 3 and history.best_epoch == 1 and history.stopped is None
    plain = MLP(4, hidden=(8,))
    assert train(plain, some_data(128), Unconstrained(), epochs=3, batch_size=64).best_epoch is None
    assert not same_weights(net, plain), "without validation rows the last weights are kept"


@pytest.mark.parametrize(
    "objective", [Unconstrained(), Lagrangian(demographic_parity(memory=0.5)), Adversarial(), GroupDRO()]
)
def test_validation_leaves_the_course_of_training_alone(objective: Objective) -> None:
    """Dropout, running counts, multipliers and the adversary are where they were before the validation rows."""

    class WithDropout(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.dropout(self.backbone(x), 0.3, self.training))

    losses = []
    for validation in (None, some_data(5000)):
        twin = objective_from_dict(objective.to_dict())
        history = train(WithDropout(4, hidden=(8,)), some_data(), twin, epochs=3, batch_size=64, validation=validation)
        losses.append(history.losses)
        assert len(history.validation) == (0 if validation is None else 3)
    assert losses[0] == losses[1]


def test_the_judgement_is_of_all_validation_rows() -> None:
    data = some_data(9000)
    net = MLP(4, hidden=(8,))
    history = train(net, some_data(), Unconstrained(), epochs=1, validation=data)
    logits = net(torch.as_tensor(data.inputs["x"])).detach()
    wanted = float(Unconstrained()(logits, torch.as_tensor(data.y), torch.as_tensor(data.group)))
    assert history.validation[0] == pytest.approx(wanted, rel=1e-6)


def test_a_validation_loss_that_is_no_number_ends_the_run_by_name() -> None:
    with pytest.raises(DivergedError, match="the validation loss became nan in epoch 2"):
        train(MLP(4, hidden=(8,)), some_data(), Judged([0.3, math.nan, 0.1]), epochs=3, validation=some_data(64))


# Clipping


@pytest.mark.parametrize("limit", [1e-3, 0.05, 1e6])
def test_the_norm_of_the_gradient_is_clipped_as_torch_does_it(limit: float) -> None:
    data = some_data(64)
    net, twin = MLP(4, hidden=(8,)), MLP(4, hidden=(8,))
    objective, alike = Adversarial(2.0, seed=1), Adversarial(2.0, seed=1)
    gradients = []

    def note(_net: nn.Module, _step: int) -> bool:
        gradients.append([p.grad.clone() for p in (*net.parameters(), *objective.parameters())])
        return False

    train(net, data, objective, epochs=1, batch_size=64, clip_norm=limit, monitor=note)
    alike.start(twin, data)
    # The one batch is a permutation of all rows, which changes the mean by rounding only.
    alike(twin(torch.as_tensor(data.inputs["x"])), torch.as_tensor(data.y), torch.as_tensor(data.group)).backward()
    parameters = [*twin.parameters(), *alike.parameters()]
    before = float(nn.utils.clip_grad_norm_(parameters, limit))
    norm = float(torch.cat([g.flatten() for g in gradients[0]]).norm())
    assert norm == pytest.approx(min(before, limit), rel=1e-4)
    for ours, p in zip(gradients[0], parameters, strict=True):
        torch.testing.assert_close(ours, p.grad, rtol=1e-4, atol=1e-7)


# Side batches, strata, streams


class Noted(equal_opportunity):
    """Equal opportunity that notes which groups and labels it was taken on."""

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        if not hasattr(self, "cells"):
            self.cells = []
        self.cells.append(torch.bincount(2 * group + y, minlength=6).tolist())
        return super().forward(logits, y, group, strata)


def rare(n: int = 400) -> Dataset:
    """Three groups, the last with 4 rows."""
    rng = np.random.default_rng(1)
    group = np.where(np.arange(n) < 4, 2, rng.integers(0, 2, n))
    y = np.where(np.arange(n) < 4, np.arange(n) % 2, rng.integers(0, 2, n))
    return Dataset(rng.normal(size=(n, 4)) + group[:, None] + y[:, None], y, group)


def test_a_side_batch_never_lacks_a_group_and_a_batch_does() -> None:
    for side_batch, each in ((None, None), (20, 4), (6, 1)):
        objective = Penalized(Noted())
        net = MLP(4, hidden=(8,))
        history = train(net, rare(), objective, epochs=2, batch_size=32, side_batch=side_batch)
        cells = objective.constraint.cells
        assert len(cells) == 24
        if side_batch is None:
            assert any(row[4] + row[5] == 0 for row in cells), "the positive control"
        else:
            assert all(row == [each] * 6 for row in cells), "the same number of rows of every group and label"
            assert history.recipe["side_batch"] == side_batch


def test_the_task_is_taken_on_the_batch_and_the_constraint_on_the_side_batch() -> None:
    data = rare(64)
    sizes: list[int] = []

    class Sized(MLP):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                sizes.append(len(x))
            return super().forward(x)

    class Split(Penalized):
        def task_loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
            sizes.append(len(logits))
            return super().task_loss(logits, y, group)

        def constraint_loss(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
            sizes.append(len(logits))
            assert torch.bincount(group).tolist() == [4, 4, 4]
            return super().constraint_loss(logits, y, group, strata)

    train(Sized(4, hidden=(8,)), data, Split(demographic_parity()), epochs=1, batch_size=32, side_batch=10)
    assert sizes == [44, 32, 12] * 2, "one pass of the network over both"


def test_a_side_batch_is_refused_where_there_is_none_to_draw() -> None:
    net, data = MLP(4, hidden=(8,)), rare()
    for objective in (Unconstrained(), Adversarial(), GroupDRO(), Reweighted(), Massaged()):
        with pytest.raises(
            ConfigError, match=f"`side_batch` needs an objective with a constraint, got {type(objective).__name__}"
        ):
            train(net, data, objective, epochs=1, side_batch=8)
    with pytest.raises(ConfigError, match="`side_batch` needs rows in memory; with a Stream give the constraint"):
        train(net, Stream([data], group_names=data.group_names), Penalized(demographic_parity()), side_batch=8)
    with pytest.raises(ConfigError, match="`side_batch` must be at least 1, got 0"):
        train(net, data, Penalized(demographic_parity()), epochs=1, side_batch=0)
    one_label = data.take((data.group != 2) | (data.y == 0))
    with pytest.raises(InputError, match="rows of every group to draw from, got none of group 2 with label 1"):
        train(net, one_label, Penalized(equalized_odds()), epochs=1, side_batch=8)
    for missing in (0, 1, 2):
        some = data.take(data.group != missing)
        with pytest.raises(InputError, match=rf"rows of every group to draw from, got none of \['{missing}'\]"):
            train(net, some, Penalized(demographic_parity()), epochs=1, side_batch=8)


def test_draws_are_balanced_with_replacement_and_go_on_from_a_state() -> None:
    group, label = np.array([0] * 50 + [1] * 3 + [-1] * 5), np.arange(58) % 2
    draws = BalancedRows(group, label, size=10, seed=3)
    first = [draws.draw() for _ in range(3)]
    state = json.loads(json.dumps(draws.state()))
    later = [draws.draw() for _ in range(3)]
    draws.restore(state)
    assert all(np.array_equal(a, b) for a, b in zip(later, [draws.draw() for _ in range(3)], strict=True))
    for rows in (*first, *later):
        assert np.bincount(2 * group[rows] + label[rows]).tolist() == [3, 3, 3, 3]
    again = BalancedRows(group, label, size=10, seed=3)
    assert np.array_equal(again.draw(), first[0]) and not np.array_equal(first[0], first[1])


def test_strata_reach_the_constraint_from_the_data() -> None:
    data = some_data(300)
    strata = np.arange(300) % 3
    with_strata = Dataset(data.inputs["x"], data.y, data.group, strata=strata)
    seen: list[Tensor] = []

    class Seen(conditional_parity):
        def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
            seen.append(strata)
            return super().forward(logits, y, group, strata)

    net = MLP(4, hidden=(8,))
    history = train(net, with_strata, Penalized(Seen(strata=3)), epochs=1, batch_size=300, validation=with_strata)
    assert torch.bincount(seen[0]).tolist() == [100, 100, 100] and torch.equal(seen[1], torch.as_tensor(strata))
    logits = net(torch.as_tensor(data.inputs["x"])).detach()
    rows = logits, torch.as_tensor(data.y), torch.as_tensor(data.group), torch.as_tensor(strata)
    assert history.validation[0] == pytest.approx(float(Penalized(conditional_parity(strata=3))(*rows)), rel=1e-5)
    with pytest.raises(InputError, match="`strata` must be given"):
        train(net, data, Penalized(conditional_parity(strata=3)), epochs=1)
    with pytest.raises(InputError, match="`strata` must hold codes from 0 to 1, got 2"):
        train(net, with_strata, Penalized(conditional_parity(strata=2)), epochs=1)
    side = Penalized(conditional_parity(strata=3))
    train(net, with_strata, side, epochs=1, side_batch=30)


@pytest.mark.parametrize("made", [Penalized, Lagrangian])
def test_the_number_of_strata_is_that_of_the_data_unless_given(made: type[Objective]) -> None:
    data = some_data(300)
    with_strata = Dataset(data.inputs["x"], data.y, data.group, strata=np.arange(300) % 3)
    runs = []
    for strata in (None, 3):
        net, objective = MLP(4, hidden=(8,)), made(conditional_parity(strata=strata))
        assert objective_from_dict(objective.to_dict()).to_dict() == objective.to_dict()
        train(net, with_strata, objective, epochs=1, batch_size=64)
        assert objective.constraint.strata == 3
        runs.append(net)
    assert same_weights(*runs)
    for rows in (data, streamed(data)):
        with pytest.raises(InputError, match="`data` must have strata"):
            train(MLP(4, hidden=(8,)), rows, made(conditional_parity()), epochs=1)


def parts_of(data: Dataset, size: int = 50) -> Iterator[Dataset]:
    for start in range(0, len(data), size):
        yield data.take(np.arange(start, min(start + size, len(data))))


def streamed(data: Dataset, **settings: object) -> Stream:
    return Stream(lambda: parts_of(data), group_names=data.group_names, name=data.name, **settings)


@pytest.mark.parametrize(
    "objective",
    [
        Unconstrained(),
        Penalized(demographic_parity(memory=0.9), 2.0),
        Lagrangian(equalized_odds(memory=0.9)),
        Adversarial(),
        Reweighted(),
        GroupDRO(),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_streamed_rows_train_as_those_in_memory_do(objective: Objective) -> None:
    """A full batch is the same rows in another order; several batches are a run of their own, the same every time."""
    data = some_data(400)
    runs = []
    for rows, batch_size in ((data, 400), (streamed(data), 400), (streamed(data), 64), (streamed(data), 64)):
        net, twin = MLP(4, hidden=(8,)), objective_from_dict(objective.to_dict())
        history = train(net, rows, twin, epochs=3, batch_size=batch_size, seed=2)
        runs.append((net, history))
    (a, first), (b, second), (c, third), (d, fourth) = runs
    assert first.losses == pytest.approx(second.losses, rel=1e-4)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)
    assert same_weights(c, d) and third.losses == fourth.losses and not same_weights(a, c)
    assert first.rows.digest == second.rows.digest and first.shares == second.shares
    other = MLP(4, hidden=(8,))
    train(other, streamed(data), objective_from_dict(objective.to_dict()), epochs=3, batch_size=64, seed=3)
    assert not same_weights(c, other)


def test_every_epoch_of_a_stream_has_its_own_order() -> None:
    firsts = []

    class First(MLP):
        def forward(self, x: Tensor) -> Tensor:
            firsts.append(x[0].tolist())
            return super().forward(x)

    train(First(4, hidden=(8,)), streamed(some_data(400)), Unconstrained(), epochs=4, batch_size=400)
    assert len({tuple(row) for row in firsts}) == 4


def test_streamed_rows_cannot_be_ranked() -> None:
    with pytest.raises(InputError, match="`Massaged` ranks all training rows; streamed rows cannot be ranked"):
        train(MLP(4, hidden=(8,)), streamed(some_data()), Massaged(), epochs=1)


# Monitor, device


def test_a_monitor_is_called_after_every_step_and_may_end_the_run() -> None:
    steps = []

    def until_seven(net: nn.Module, step: int) -> bool:
        assert net.training
        steps.append(step)
        return step == 7

    net = MLP(4, hidden=(8,))
    told = []
    history = train(
        net,
        some_data(320),
        Unconstrained(),
        epochs=4,
        batch_size=64,
        monitor=until_seven,
        progress=lambda epoch, loss: told.append((epoch, loss)),
    )
    assert steps == [1, 2, 3, 4, 5, 6, 7] and history.stopped == "by the monitor in epoch 2, step 7"
    assert len(history.losses) == 2 and told == list(enumerate(history.losses, 1)) and not net.training
    whole = []
    plain = MLP(4, hidden=(8,))
    train(plain, some_data(320), Unconstrained(), epochs=4, batch_size=64, monitor=after_each_epoch(plain, 7, whole))
    assert all(torch.equal(values, whole[0][name]) for name, values in net.state_dict().items())


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_is_where_net_and_objective_go(device: object) -> None:
    net, objective = MLP(4, hidden=(8,)), Lagrangian(equalized_odds(memory=0.5))
    plain, same = MLP(4, hidden=(8,)), Lagrangian(equalized_odds(memory=0.5))
    train(net, some_data(), objective, epochs=1, batch_size=64, device=device)
    train(plain, some_data(), same, epochs=1, batch_size=64)
    assert same_weights(net, plain) and torch.equal(objective.multipliers, same.multipliers)
    assert {values.device.type for values in (*net.state_dict().values(), *objective.state_dict().values())} == {"cpu"}


# What cannot be trained


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_norm": 0.0}, "`clip_norm` must be above 0, got 0.0"),
        ({"clip_norm": math.nan}, "`clip_norm`"),
        ({"patience": 1}, "`patience` must be at least 1 and needs `validation` rows, got 1"),
        ({"patience": 0, "validation": some_data(8)}, "`patience` must be at least 1"),
        ({"checkpoint_every": 3}, "`checkpoint_every` must be at least 1 and needs `checkpoint`, got 3"),
        ({"learning_rate": math.nan}, "`learning_rate` above 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    net = MLP(4, hidden=(8,))
    before = {name: values.clone() for name, values in net.state_dict().items()}
    with pytest.raises(ConfigError, match=message):
        train(net, some_data(), Unconstrained(), **settings)
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"net": MLP}, r"`net` must be an nn\.Module, got the class MLP"),
        (
            {"data": TensorDataset(torch.zeros(4, 4))},
            "`data` must be a Dataset or a Stream .*, got TensorDataset; in a",
        ),
        (
            {"data": DataLoader(TensorDataset(torch.zeros(4, 4)))},
            "`data` must be a Dataset .*, got DataLoader; in a loop",
        ),
        ({"objective": Penalized}, r"`objective` must be an Objective .*, got the class Penalized"),
        ({"objective": nn.BCEWithLogitsLoss()}, "got BCEWithLogitsLoss; a loss of your own is its `task`"),
        ({"validation": (torch.zeros(4, 4), [0, 1, 0, 1])}, r"`validation` must be a Dataset .*, got tuple"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(given: dict[str, Any], says: str) -> None:
    net = MLP(4, hidden=(8,)).eval()
    with pytest.raises(FairheadsError, match=says):
        train(**{"net": net, "data": some_data(), "objective": Unconstrained(), **given})
    assert not net.training


def test_validation_rows_of_other_groups_are_refused() -> None:
    with pytest.raises(InputError, match=r"`validation` must have the groups of the training rows, \['0', '1'\], got"):
        train(MLP(4, hidden=(8,)), some_data(), Unconstrained(), validation=some_data(groups=3))


@pytest.mark.parametrize(
    ("y", "group", "message"),
    [
        ([0.0, math.nan], [0, 1], "`y` must be 0 or 1 in every row"),
        ([0, 2], [0, 1], "`y` must be 0 or 1 in every row"),
        ([0, 1], [0.0, math.nan], "`group` must not be missing"),
    ],
)
def test_labels_and_groups_that_are_none_do_not_reach_training(y: list[float], group: list[float], message) -> None:
    with pytest.raises(InputError, match=message):
        Dataset([[0.0], [1.0]], y, group)
    with pytest.raises(InputError, match="`group` must hold codes from 0 to 1"):
        Dataset([[0.0], [1.0]], [0, 1], [0, 2], group_names=["a", "b"])


def test_a_mask_of_minus_infinity_is_no_divergence() -> None:
    class Masked(MLP):
        def __init__(self) -> None:
            super().__init__(4, hidden=(8,))
            self.register_buffer("mask", torch.full((2, 2), -math.inf).triu(1))

    assert len(train(Masked(), some_data(), Unconstrained(), epochs=1).losses) == 1


def test_an_adversary_that_diverges_is_named() -> None:
    class Broken(Adversarial):
        def step(self) -> None:
            with torch.no_grad():
                next(self.parameters()).fill_(math.nan)

    with pytest.raises(DivergedError, match=r"'adversary.0.weight' has weights that are not finite in epoch 1, step 1"):
        train(MLP(4, hidden=(8,)), some_data(64), Broken(), epochs=1, batch_size=64)


def test_constraints_of_a_run_know_the_number_of_groups() -> None:
    constraint: Constraint = demographic_parity()
    train(MLP(4, hidden=(8,)), some_data(groups=3), Penalized(constraint), epochs=1)
    assert constraint.groups == 3


# Checkpoints


def of_run(path: Path, epochs: int = 2, data: Dataset | None = None, **settings: object) -> History:
    usual: dict[str, object] = {"batch_size": 64, "checkpoint": path}
    return train(MLP(4, hidden=(8,)), data or some_data(), Unconstrained(), epochs=epochs, **{**usual, **settings})


def test_a_finished_run_is_only_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "run.pt"
    first, seen = of_run(path), []
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"], "nothing is left beside it"
    net = MLP(4, hidden=(8,), seed=7)
    again = train(
        net,
        some_data(),
        Unconstrained(),
        epochs=2,
        batch_size=64,
        checkpoint=path,
        monitor=lambda *_: bool(seen.append(1)),
    )
    assert again.losses == first.losses and not seen and again.resumed_at == 18 and first.resumed_at is None
    plain = MLP(4, hidden=(8,))
    train(plain, some_data(), Unconstrained(), epochs=2, batch_size=64)
    assert same_weights(net, plain)


def regrouped(data: Dataset) -> Dataset:
    return Dataset(data.inputs["x"], data.y, 1 - data.group, name=data.name)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"seed": 1},
        {"learning_rate": 0.01},
        {"batch_size": 32},
        {"clip_norm": 1.0},
        {"schedule": "constant"},
        {"validation": some_data(64)},
        {"data": some_data(500)},
        {"data": regrouped(some_data())},
        {"data": some_data().take(np.arange(600)[::-1])},
    ],
    ids=["epochs", "seed", "rate", "batch", "clip", "schedule", "validation", "rows", "groups", "order"],
)
def test_a_checkpoint_of_another_run_is_refused_and_left_alone(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    of_run(path)
    bytes_before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"run.pt is of a run with other settings or other rows; remove it"):
        of_run(path, **change)
    assert path.read_bytes() == bytes_before


def test_a_checkpoint_of_another_net_or_objective_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    of_run(path)
    for net, objective in (
        (MLP(4, hidden=(9,)), Unconstrained()),
        (MLP(4, hidden=(8,)), Penalized(demographic_parity())),
        (MLP(4, hidden=(8,)), Adversarial()),
    ):
        with pytest.raises(ConfigError, match="of a run with other settings"):
            train(net, some_data(), objective, epochs=2, batch_size=64, checkpoint=path)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_text("no checkpoint")
    with pytest.raises(UnsafeModelError, match=r"run.pt is no checkpoint of a training run"):
        of_run(path)
    torch.save(MLP(4).state_dict(), path)
    with pytest.raises(UnsafeModelError, match=r"run.pt is no checkpoint of a training run"):
        of_run(path)
    torch.save(MLP(4), path)
    with pytest.raises(UnsafeModelError, match="nothing was run"):
        of_run(path)
    with pytest.raises(InputError, match="`checkpoint` must be a file, got the folder"):
        of_run(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="`checkpoint` must be a file in a folder that can be written"):
        of_run(tmp_path / "file" / "run.pt")


def test_a_damaged_checkpoint_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    of_run(path)
    good = path.read_bytes()
    damaged = [good[:cut] for cut in (0, 1, 50, 100, len(good) // 2, len(good) - 1)] + [good + b"0", good[100:]]
    for place in np.random.default_rng(0).integers(0, len(good), 300):
        damaged.append(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UnsafeModelError, match=r"run.pt is (no checkpoint|damaged)"):
            checkpoint.read(path, "", torch.device("cpu"))
    with pytest.raises(UnsafeModelError, match=r"run.pt is damaged; remove it to start anew"):
        of_run(path)
    path.write_bytes(good)
    assert of_run(path).resumed_at == 18


def test_a_run_that_diverges_leaves_the_checkpoint_from_before_which_can_be_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    data = some_data(640)
    with pytest.raises(DivergedError, match="became nan in epoch 2, step 8"):
        train(MLP(4, hidden=(8,)), data, Watched(18), epochs=3, batch_size=64, checkpoint=path, checkpoint_every=3)
    # Steps 3, 6, 9, 10 (the end of the epoch), 12 and 15 were written, 18 was not.
    net = MLP(4, hidden=(8,))
    history = train(net, data, Watched(), epochs=3, batch_size=64, checkpoint=path, checkpoint_every=3)
    plain = MLP(4, hidden=(8,))
    wanted = train(plain, data, Watched(), epochs=3, batch_size=64)
    assert history.resumed_at == 15 and same_weights(net, plain) and history.losses == wanted.losses


def test_a_stratum_that_only_the_validation_rows_have_is_no_error() -> None:
    data = some_data(400)
    strata = np.arange(400) % 2
    held = Dataset(data.inputs["x"][:90], data.y[:90], data.group[:90], strata=np.arange(90) % 3)
    rows = Dataset(data.inputs["x"], data.y, data.group, strata=strata)
    objective = Penalized(conditional_parity(), 1.0)
    history = train(MLP(4, hidden=(8,)), rows, objective, epochs=1, batch_size=100, validation=held)
    assert objective.constraint.strata == 3 and len(history.validation) == 1
