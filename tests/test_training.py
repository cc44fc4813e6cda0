"""One loop: the same bits from the same seed, a record an auditor can use, and penalties that do what they say."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fairheads.constraints import demographic_parity
from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, DivergedError, InputError
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import History, Objective, Penalized, TwoHeaded, Unconstrained, objective_from_dict, train


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
    logits, y, group = torch.tensor([[0.3, 0.9], [-1.2, 0.2]]), torch.tensor([1, 0]), torch.tensor([1, 0])
    task = (np.log1p(np.exp(-0.3)) + np.log1p(np.exp(-1.2))) / 2
    gap = 1 / (1 + np.exp(-0.3)) - 1 / (1 + np.exp(1.2))
    assert float(Unconstrained().loss(logits, y, group)) == pytest.approx(task, abs=1e-6)
    penalized = Penalized(demographic_parity(), 3.0).loss(logits, y, group)
    assert float(penalized) == pytest.approx(task + 3 * gap**2, abs=1e-6)
    two = TwoHeaded().loss(logits, y, group)
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


@dataclass(frozen=True)
class Watched:
    """The unconstrained loss, which notes what it was given and breaks at a given step."""

    breaks_at: int = -1
    rows: list[int] = field(default_factory=list)
    outputs = 1

    def loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        self.rows.append(len(y))
        loss = binary_cross_entropy_with_logits(logits[:, 0], y.float())
        return loss * torch.nan if len(self.rows) == self.breaks_at else loss

    def to_dict(self) -> dict[str, str]:
        return {"name": "watched"}


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
    assert again == objective and again.to_dict() == objective.to_dict()


@pytest.mark.parametrize("plain", [{}, {"name": "magic"}, {"name": "penalized", "constraint": {"name": "magic"}}])
def test_an_unknown_objective_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="unknown objective"):
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


def test_two_heads_need_two_groups_and_two_outputs() -> None:
    two = TwoHeadNet(MLP(4, hidden=(8,)))
    with pytest.raises(InputError, match=r"`TwoHeaded` needs two groups, got \['0', '1', '2'\]"):
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
