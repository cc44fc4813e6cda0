"""Objectives against their definitions: adversary, reweighing, massaging, the worst group, two heads, tasks."""

import copy
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fairheads.constraints import Constraint, demographic_parity, equalized_odds, mmd
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import (
    OBJECTIVES,
    Adversarial,
    GroupDRO,
    Lagrangian,
    Massaged,
    Objective,
    Penalized,
    Reweighted,
    TwoHeaded,
    Unconstrained,
    binary_cross_entropy,
    cross_entropy,
    objective_from_dict,
    squared_error,
    train,
)

NAN = float("nan")


def some_data(n: int = 400, groups: int = 2, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    X = rng.normal(size=(n, 4)) + 0.8 * group[:, None]
    y = (rng.random(n) < 1 / (1 + np.exp(1 - X[:, 0] - X[:, 1]))).astype(int)
    return Dataset(X, y, group, name="made up")


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def hooks_of(net: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in net.modules())


ROWS = torch.tensor([0.4, -1.0, 2.0, 0.1]), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1])

EVERY: list[Objective] = [
    Unconstrained(),
    Unconstrained(task=squared_error),
    TwoHeaded(),
    TwoHeaded(0.2, groups=4, task=cross_entropy),
    Penalized(equalized_odds(kind="absolute", tolerance=0.2), 4.0),
    Penalized(mmd(favourable=1), 0.5, task=cross_entropy),
    Lagrangian(demographic_parity(memory=0.9), 0.05, rate=0.3, damping=2.0),
    Adversarial(0.7, layer="backbone.1", given_label=True, hidden=(4, 3), seed=5),
    Adversarial(hidden=()),
    Reweighted(0.5),
    Massaged(0.25),
    GroupDRO(0.1, by_label=True),
]


@pytest.mark.parametrize("objective", EVERY, ids=lambda objective: type(objective).__name__)
def test_an_objective_is_made_again_from_its_record(objective: Objective) -> None:
    plain = json.loads(json.dumps(objective.to_dict()))
    again = objective_from_dict(plain)
    assert type(again) is type(objective) and again.to_dict() == plain == objective.to_dict()
    assert type(again) is OBJECTIVES[plain["name"]] and again.outputs == objective.outputs


def test_every_setting_is_in_the_record() -> None:
    """A setting that the record forgets would train another network from it."""
    changed = {
        Adversarial: {"weight": 2.0, "layer": "head", "given_label": True, "hidden": (7,), "seed": 3},
        Lagrangian: {"tolerance": 0.3, "rate": 0.7, "damping": 0.4},
        Penalized: {"weight": 0.3},
        Reweighted: {"share": 0.3},
        Massaged: {"share": 0.3},
        GroupDRO: {"rate": 0.3, "by_label": True},
        TwoHeaded: {"weight": 0.3, "groups": 3},
    }
    for made, settings in changed.items():
        first = [demographic_parity()] if made in (Lagrangian, Penalized) else []
        usual = made(*first).to_dict()
        for setting, value in {**settings, "task": squared_error}.items():
            assert made(*first, **{setting: value}).to_dict() != usual, (made, setting)
            again = objective_from_dict(made(*first, **{setting: value}).to_dict())
            assert getattr(again, setting) == value


def mine(logits: Tensor, y: Tensor) -> Tensor:
    return (logits[:, 0] - y).abs()


def test_a_task_of_ones_own_is_used_named_in_the_record_and_not_guessed_from_it() -> None:
    logits, y, group = torch.tensor([[0.5], [2.0]]), torch.tensor([1.0, 0.0]), torch.tensor([0, 1])
    objective = Unconstrained(task=mine)
    assert float(objective(logits, y, group)) == pytest.approx(1.25) and objective.outputs is None
    assert objective.to_dict()["task"].endswith(":mine")
    with pytest.raises(ConfigError, match=r"names the task '.*:mine', which is the caller's own; pass the objective"):
        objective_from_dict(objective.to_dict())


def test_tasks_by_hand() -> None:
    logits, y = torch.tensor([[0.5], [-2.0]]), torch.tensor([1, 0])
    wanted = (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(-2.0))) / 2
    assert float(Unconstrained()(logits, y, y)) == pytest.approx(wanted, abs=1e-6)
    assert float(Unconstrained()(logits[:, 0], y.double(), y)) == pytest.approx(wanted, abs=1e-6)
    classes = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]])
    wanted = float(torch.stack([-classes[0].log_softmax(0)[2], -classes[1].log_softmax(0)[0]]).mean())
    assert float(Unconstrained(task=cross_entropy)(classes, torch.tensor([2, 0]), y)) == pytest.approx(wanted)
    scores = torch.tensor([1.5, -1.0])
    assert float(Unconstrained(task=squared_error)(logits, scores, y)) == pytest.approx(1.0)
    for task in (squared_error, binary_cross_entropy):
        with pytest.raises(InputError, match=r"`y` must be of shape \(2,\), one number a row, got \(2, 1\)"):
            task(logits, scores[:, None])
        with pytest.raises(InputError, match=r"`logits` must be of shape \(n,\) or \(n, 1\), got \(2, 3\)"):
            task(classes, y)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
@pytest.mark.parametrize("value", [-1, 2])
def test_labels_that_are_no_probability_of_the_outcome_are_refused(value: int, dtype: torch.dtype) -> None:
    y = torch.tensor([1, value]).to(dtype)
    with pytest.raises(InputError, match=rf"`y` must lie in \[0, 1\] in every row \(1 = favourable\), got {value}"):
        Unconstrained()(torch.zeros(2), y, y)
    soft = torch.tensor([0.25, 1.0])
    assert float(Unconstrained()(torch.zeros(2), soft, y)) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    "made",
    [
        Unconstrained,
        lambda task: Penalized(demographic_parity(groups=2), task=task),
        lambda task: Reweighted(counts=[[6, 2], [2, 2]], task=task),
        lambda task: GroupDRO(groups=2, task=task),
    ],
)
def test_a_task_that_returns_another_loss_than_that_of_rows_is_refused(made: Callable[..., Objective]) -> None:
    logits, y, group = ROWS[0], ROWS[1].float(), ROWS[2]
    mean, rows = nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(reduction="none")
    assert float(made(task=rows)(logits, y, group)) == float(made(task=binary_cross_entropy)(logits, y, group))
    with pytest.raises(ConfigError, match=r'a loss for every row, shape \(4,\), got \(\); .* reduction="none"'):
        made(task=mean)(logits, y, group)
    with pytest.raises(ConfigError, match=r"shape \(4,\), got \(4, 4\)"):
        made(task=lambda logits, y: torch.square(logits[:, None] - y))(logits, y, group)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"name": "magic"}, "unknown objective"),
        ({}, "unknown objective"),
        ({"name": "penalized", "constraint": {"name": "magic"}}, "unknown constraint"),
        ({"name": "penalized"}, "settings it does not take"),
        ({"name": "unconstrained", "weight": 1.0}, "settings it does not take"),
        ({"name": "group_dro", "task": "no.module:task"}, "the caller's own"),
        ({"name": "reweighted", "share": 2.0}, "`share`"),
    ],
)
def test_a_record_that_makes_no_objective_is_refused(plain: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objective_from_dict(plain)


@pytest.mark.parametrize("value", [-1.0, NAN, float("inf")])
def test_settings_out_of_range_are_refused(value: float) -> None:
    parity = demographic_parity()
    makes = {
        "weight": [lambda: Penalized(parity, value), lambda: Adversarial(value)],
        "tolerance": [lambda: Lagrangian(parity, value)],
        "rate": [lambda: Lagrangian(parity, rate=value), lambda: GroupDRO(value)],
        "damping": [lambda: Lagrangian(parity, damping=value)],
        "share": [lambda: Reweighted(value), lambda: Massaged(value)],
    }
    for setting, each in makes.items():
        for make in each:
            with pytest.raises(ConfigError, match=f"`{setting}` must"):
                make()


def test_other_settings_that_make_no_objective_are_refused() -> None:
    for make, message in (
        (lambda: Lagrangian(demographic_parity(), rate=0.0), "`rate`"),
        (lambda: Adversarial(hidden=(0,)), "`hidden`"),
        (lambda: Adversarial(groups=1), "`groups`"),
        (lambda: GroupDRO(groups=1), "`groups`"),
        (lambda: Penalized(equalized_odds), "`constraint` must be a Constraint, got type"),
        (lambda: Reweighted(counts=[[1, 2]]), "`counts`"),
        (lambda: Reweighted(counts=[1, 2]), "`counts`"),
        (lambda: Reweighted(counts=[[0, 0], [0, 0]]), "`counts`"),
        (lambda: Reweighted(counts=[[-1, 1], [1, 1]]), "`counts`"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()


@pytest.mark.parametrize(
    "objective",
    [
        Penalized(equalized_odds()),
        Lagrangian(demographic_parity()),
        Adversarial(groups=2),
        Reweighted(counts=[[3, 1], [2, 2]]),
        GroupDRO(groups=2),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_a_group_that_does_not_exist_is_refused_by_name_and_value(objective: Objective) -> None:
    logits, y, group = ROWS
    if isinstance(getattr(objective, "constraint", None), Constraint):
        objective.constraint.groups = 2
    for bad in (2, 7, -2):
        with pytest.raises(InputError, match=rf"`group` must hold codes .*got {bad}"):
            objective(logits, y, torch.where(group == 1, bad, group))
    objective(logits, y, torch.where(group == 1, -1, group)), "a row without a group is none of them"


@pytest.mark.parametrize(
    "called",
    [
        Unconstrained(),
        demographic_parity(),
        Penalized(equalized_odds()),
        Lagrangian(mmd()),
        Adversarial(groups=2),
        Reweighted(counts=[[3, 1], [2, 2]]),
        GroupDRO(groups=2),
    ],
    ids=lambda called: type(called).__name__,
)
def test_what_is_no_tensor_of_the_rows_is_refused_by_name(called: nn.Module) -> None:
    logits, y, group = ROWS
    for given, says in (
        ((logits, y.numpy(), group), r"`y` must be a tensor, got ndarray; see torch\.as_tensor"),
        ((logits, y, group.numpy()), r"`group` must be a tensor, got ndarray; see torch\.as_tensor"),
        ((logits, y, ["a", "b"]), r"`group` must be a tensor, got list"),
        ((logits.numpy(), y, group), r"`logits` must be a tensor, got ndarray; see torch\.as_tensor"),
        (({"logits": logits}, y, group), r"`logits` must be a tensor, got dict; give its `logits`"),
        ((logits, y[:3], group), r"`y` must have one entry per row of `logits` \(4\), got 3"),
        ((logits, y, group[:3]), r"`group` must have one entry per row of `logits` \(4\), got 3"),
        ((logits, y, group, group.numpy()), "`strata` must be a tensor, got ndarray"),
    ):
        with pytest.raises(InputError, match=says):
            called(*given)
        with pytest.raises(InputError, match=says):
            called(given[0], y=given[1], group=given[2], strata=given[3] if len(given) > 3 else None)


@pytest.mark.parametrize("objective", [Adversarial(), Adversarial(layer="x", groups=2), Reweighted(), GroupDRO()])
def test_what_an_objective_must_know_before_the_loop_is_said(objective: Objective) -> None:
    with pytest.raises(ConfigError, match=r"must be given, or `start` be called|open `objective.attached\(net\)`"):
        objective(*ROWS)


@pytest.mark.parametrize(
    "objective",
    [
        Penalized(demographic_parity()),
        Lagrangian(equalized_odds()),
        Adversarial(),
        Reweighted(),
        Massaged(),
        GroupDRO(),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_one_group_is_nothing_to_compare(objective: Objective) -> None:
    data = some_data()
    with pytest.raises(InputError, match=r"`data` must have at least two groups to compare, got \['0'\]"):
        train(MLP(4, hidden=(4,)), Dataset(data.inputs["x"], data.y, data.group * 0), objective, epochs=1)


def test_a_constraint_for_other_groups_than_the_data_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`groups` of the constraint is 3, but the data have 2: \['0', '1'\]"):
        train(MLP(4, hidden=(4,)), some_data(), Penalized(demographic_parity(groups=3)), epochs=1)
    with pytest.raises(ConfigError, match="`groups` is 3, but the data have 2"):
        train(MLP(4, hidden=(4,)), some_data(), Adversarial(groups=3), epochs=1)


@pytest.mark.parametrize("objective", [each for each in EVERY if each.outputs == 1], ids=lambda o: type(o).__name__)
def test_in_eval_mode_and_when_judged_no_state_changes(objective: Objective) -> None:
    objective = copy.deepcopy(objective)
    net = MLP(4, hidden=(8,))
    objective.start(net, some_data())
    x = torch.randn(4, 4)
    with objective.attached(net):
        objective(net(x), *ROWS[1:]).backward()
        objective.step()
        before = copy.deepcopy(objective.state_dict())
        objective.eval()
        objective(net(x), *ROWS[1:])
        objective.step()
    assert math.isfinite(objective.judge(net(x).detach(), *ROWS[1:])) and not objective.training
    objective.train()
    assert math.isfinite(objective.judge(net(x).detach(), *ROWS[1:])) and objective.training
    objective.step()
    after = objective.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


# Adversarial


@pytest.mark.parametrize("given_label", [False, True])
@pytest.mark.parametrize("weight", [0.3, 2.0])
def test_the_adversary_descends_its_loss_and_the_network_climbs_it(weight: float, given_label: bool) -> None:
    net = MLP(3, hidden=(4,), activation="tanh").double()
    objective = Adversarial(weight, groups=3, hidden=(5,), given_label=given_label).double()
    x, y = torch.randn(9, 3, dtype=torch.float64), torch.arange(9) % 2
    group = torch.tensor([0, 1, 2, -1, 1, 0, -1, 2, 2])
    loss = objective(net(x), y, group)
    loss.backward()
    # By hand, with the two losses apart.
    logits = net(x)
    task = functional.binary_cross_entropy_with_logits(logits[:, 0], y.double())
    shown = torch.cat([logits, y[:, None].double()], 1) if given_label else logits
    there = group >= 0
    assert objective.adversary is not None
    theirs = functional.cross_entropy(objective.adversary(shown)[there], group[there])
    assert float(loss.detach()) == pytest.approx(float((task + theirs).detach()), abs=1e-12)
    of_task = torch.autograd.grad(task, list(net.parameters()), retain_graph=True)
    of_theirs = torch.autograd.grad(theirs, list(net.parameters()), retain_graph=True)
    for p, a, b in zip(net.parameters(), of_task, of_theirs, strict=True):
        torch.testing.assert_close(p.grad, a - weight * b)
    own = torch.autograd.grad(theirs, list(objective.parameters()))
    for p, wanted in zip(objective.parameters(), own, strict=True):
        torch.testing.assert_close(p.grad, wanted)
    assert any(bool(b.any()) for b in of_theirs)


def test_the_adversary_of_a_layer_reaches_what_is_below_it_and_nothing_above() -> None:
    net = MLP(3, hidden=(4, 5), activation="tanh").double()
    objective = Adversarial(1.5, layer="backbone.1", groups=2, width=4).double()
    x, y, group = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 2, torch.arange(6) // 2 % 2
    with objective.attached(net):
        objective(net(x), y, group).backward()
    task = functional.binary_cross_entropy_with_logits(net(x)[:, 0], y.double())
    assert objective.adversary is not None
    theirs = functional.cross_entropy(objective.adversary(net.backbone[1](net.backbone[0](x))), group)
    for name, p in net.named_parameters():
        (a,) = torch.autograd.grad(task, p, retain_graph=True)
        (b,) = torch.autograd.grad(theirs, p, retain_graph=True, allow_unused=True)
        assert (b is not None) == name.startswith("backbone.0")
        torch.testing.assert_close(p.grad, a if b is None else a - 1.5 * b)
    assert hooks_of(net) == 0


def test_a_layer_with_positions_is_read_as_their_mean() -> None:
    class Positions(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer, self.seen = layer, None

        def forward(self, x: Tensor) -> Tensor:
            self.seen = self.layer(x)
            return self.seen.flatten(1).sum(1, keepdim=True)

    y = group = torch.tensor([0, 1])
    for layer, x, axes, width in (
        (nn.Linear(3, 5), torch.randn(2, 7, 3), (1,), 5),
        (nn.Conv2d(3, 6, 1), torch.randn(2, 3, 4, 4), (2, 3), 6),
        (nn.Conv3d(3, 2, 1), torch.randn(2, 3, 2, 2, 2), (2, 3, 4), 2),
    ):
        net = Positions(layer)
        objective = Adversarial(layer="layer")
        objective.start(net, Dataset(x.numpy(), y.numpy(), group.numpy()))
        assert objective.adversary is not None and objective.adversary[0].in_features == width
        with objective.attached(net):
            loss = objective(net(x), y, group)
        guess = objective.adversary(net.seen.mean(axes))
        wanted = objective.task_loss(net(x), y, group) + functional.cross_entropy(guess, group)
        torch.testing.assert_close(loss, wanted)


def test_no_hook_survives_whatever_happens() -> None:
    net, data = MLP(4, hidden=(8,)), some_data()
    train(net, data, Adversarial(layer="backbone.1"), epochs=1, batch_size=64)
    assert hooks_of(net) == 0
    with pytest.raises(LayerNotFoundError, match=r"no layer 'backbone.9'"):
        train(net, data, Adversarial(layer="backbone.9"), epochs=1)
    assert hooks_of(net) == 0

    class StoppedError(Exception):
        pass

    def stop(_net: nn.Module, _step: int) -> bool:
        raise StoppedError

    with pytest.raises(StoppedError):
        train(net, data, Adversarial(layer="backbone.1"), epochs=1, batch_size=64, monitor=stop)
    assert hooks_of(net) == 0 and not net.training
    objective = Adversarial(layer="backbone.1", groups=2, width=8)
    with pytest.raises(ConfigError, match=r"open `objective.attached\(net\)` around the loop"):
        objective(net(torch.zeros(4, 4)), *ROWS[1:])


def test_an_adversary_without_anybody_to_tell_apart_says_nothing() -> None:
    objective = Adversarial(groups=3)
    logits = torch.randn(4, requires_grad=True)
    loss = objective(logits, ROWS[1], torch.full((4,), -1))
    assert float(loss.detach()) == pytest.approx(float(Unconstrained()(logits.detach(), *ROWS[1:])))
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in objective.parameters())
    objective(logits, ROWS[1], torch.tensor([0, 0, 0, 0])).backward(), "a batch of one group is a batch like others"


def test_shared_membership_is_the_target_of_the_adversary() -> None:
    objective = Adversarial(groups=2)
    logits, y, group = ROWS
    sure = functional.one_hot(group, 2).float()
    torch.testing.assert_close(objective(logits, y, sure), objective(logits, y, group))
    with pytest.raises(InputError, match=r"probabilities of shape \(n, 2\), got torch.float32 of shape \(4, 3\)"):
        objective(logits, y, torch.zeros(4, 3))


@pytest.mark.parametrize(
    "objective",
    [Penalized(demographic_parity()), Adversarial(groups=2), Reweighted(counts=[[6, 2], [2, 2]])],
    ids=lambda objective: type(objective).__name__,
)
def test_logits_of_membership_are_refused_where_their_softmax_is_taken(objective: Objective) -> None:
    logits, y, group = ROWS
    guess = functional.one_hot(group, 2) * 4.0 - 2
    assert objective(logits, y, guess.softmax(1)).isfinite()
    with pytest.raises(InputError, match=r"probabilities of membership, .* take the softmax"):
        objective(logits, y, guess)


def test_train_gives_the_adversary_to_the_optimiser_and_its_seed_decides_it() -> None:
    made = [Adversarial(seed=seed) for seed in (0, 0, 1)]
    starts = []
    for objective in made:
        objective.start(MLP(4), some_data(groups=3))
        starts.append(copy.deepcopy(objective.state_dict()))
        assert objective.adversary is not None and objective.adversary[-1].out_features == 3
    assert all(torch.equal(starts[0][key], starts[1][key]) for key in starts[0])
    assert not all(torch.equal(starts[0][key], starts[2][key]) for key in starts[0])
    train(MLP(4, hidden=(4,)), some_data(groups=3), made[0], epochs=1, batch_size=64)
    assert not any(torch.equal(starts[0][key], values) for key, values in made[0].state_dict().items())


def test_the_adversary_takes_the_group_out_of_the_logits() -> None:
    data = some_data(3000)
    gaps = {}
    for weight in (0.0, 3.0):
        net = MLP(4, hidden=(16,))
        train(net, data, Adversarial(weight), epochs=12, batch_size=128, learning_rate=5e-3)
        z = net(torch.as_tensor(data.inputs["x"])).detach().numpy()[:, 0]
        gaps[weight] = (z[data.group == 1].mean() - z[data.group == 0].mean()) / z.std()
    assert gaps[0.0] > 0.5 and abs(gaps[3.0]) < 0.3 * gaps[0.0]


# Reweighted


def test_the_weights_are_those_of_the_paper() -> None:
    # Kamiran and Calders 2012, table 1: 10 applicants, women 2 of 5 accepted, men 4 of 5.
    weights = Reweighted(counts=[[3, 2], [1, 4]]).weights
    torch.testing.assert_close(weights, torch.tensor([[2 / 3, 1.5], [2.0, 0.75]]))
    half = Reweighted(0.5, counts=[[3, 2], [1, 4]]).weights
    torch.testing.assert_close(half, (1 + weights) / 2)
    assert Reweighted(0.0, counts=[[3, 2], [1, 4]]).weights.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("groups", [2, 4])
def test_with_the_weights_label_and_group_are_independent(groups: int) -> None:
    data = some_data(groups=groups)
    objective = Reweighted()
    objective.start(MLP(4), data)
    weight = objective.weights.numpy()[data.group, data.y].astype(np.float64)
    rates = [np.average(data.y[data.group == k], weights=weight[data.group == k]) for k in range(groups)]
    assert rates == pytest.approx([data.y.mean()] * groups, abs=1e-6)
    assert weight.sum() == pytest.approx(len(data), rel=1e-6)
    logits = torch.randn(len(data))
    losses = functional.binary_cross_entropy_with_logits(logits, torch.as_tensor(data.y).float(), reduction="none")
    wanted = float((losses * torch.as_tensor(weight)).mean())
    y, group = torch.as_tensor(data.y), torch.as_tensor(data.group)
    assert float(objective(logits, y, group)) == pytest.approx(wanted, rel=1e-5)
    shares = functional.one_hot(group, groups).float()
    assert float(objective(logits, y, shares)) == pytest.approx(wanted, rel=1e-5)
    assert float(objective(logits, y, torch.full_like(group, -1))) == pytest.approx(float(losses.mean()), rel=1e-5)


def test_a_cell_without_rows_has_no_weight_and_is_no_nan() -> None:
    weights = Reweighted(counts=[[5, 0], [2, 3], [0, 0]]).weights
    assert bool(weights.isfinite().all()) and weights[0, 1] == 0 == weights[2].sum()


# Massaged


def rated(groups: list[tuple[int, int]]) -> Dataset:
    """Groups of so many rows with so many favourable labels; the one feature is the merit."""
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.permutation(np.arange(n) < favourable) for n, favourable in groups]).astype(int)
    group = np.repeat(np.arange(len(groups)), [n for n, _ in groups])
    return Dataset((y + 0.5 * rng.normal(size=len(y)))[:, None], y, group)


def test_the_number_of_flips_is_the_papers() -> None:
    # disc * n_b * n_w / n = .4 * 5 * 5 / 10 = 1 in the paper's example; here also 20 * 30 / 50 * (.7 - .2) = 6.
    for groups, flips in (([(5, 2), (5, 4)], 1), ([(20, 4), (30, 21)], 6)):
        data = rated(groups)
        labels = Massaged().labels(data)
        promoted = (labels > data.y) & (data.group == 0)
        demoted = (labels < data.y) & (data.group == 1)
        assert promoted.sum() == demoted.sum() == flips and (labels != data.y).sum() == 2 * flips
        x = data.inputs["x"][:, 0]
        assert x[promoted].min() >= x[(data.group == 0) & (labels == 0)].max(), "the best of the refused"
        assert x[demoted].max() <= x[(data.group == 1) & (labels == 1)].min(), "the worst of the taken"


def test_several_groups_come_to_one_base_rate_and_share_says_how_far() -> None:
    data = rated([(100, 20), (50, 25), (200, 130), (10, 1)])
    start = np.abs([data.y[data.group == k].mean() - data.y.mean() for k in range(4)])
    for share in (0.0, 0.5, 1.0):
        labels = Massaged(share).labels(data)
        now = np.abs([labels[data.group == k].mean() - data.y.mean() for k in range(4)])
        rows = np.bincount(data.group)
        assert np.all(np.abs(now - (1 - share) * start) <= 0.5 / rows + 1e-12)
        for k in range(4):
            changed = labels[data.group == k] - data.y[data.group == k]
            assert len(set(np.sign(changed)) - {0}) <= 1, "a group is promoted or demoted, not both"


def test_massaged_trains_on_the_new_labels_and_the_record_is_of_the_old() -> None:
    data = some_data(600)
    new = data.relabelled(Massaged().labels(data))
    (a, first), (b, second) = (
        (net, train(net, rows, objective, epochs=2, batch_size=64))
        for net, rows, objective in (
            (MLP(4, hidden=(8,)), data, Massaged()),
            (MLP(4, hidden=(8,)), new, Unconstrained()),
        )
    )
    assert same_weights(a, b) and first.losses == second.losses
    assert first.shares != second.shares and first.rows.digest != second.rows.digest
    assert data.counts().tolist() == some_data(600).counts().tolist(), "the caller's rows stay"


def test_labels_of_one_kind_stay() -> None:
    data = rated([(5, 5), (5, 5)])
    assert Massaged().labels(data).tolist() == data.y.tolist()


# GroupDRO


def test_the_weights_of_groups_follow_algorithm_1() -> None:
    rate, q = 0.5, np.ones(3) / 3
    objective = GroupDRO(rate, groups=3)
    draw = torch.Generator().manual_seed(0)
    for present in ([0, 1, 2], [0, 2, 2], [1, 1, -1], [-1, -1, -1], [2, 1, 0]):
        logits, y, group = torch.randn(3, generator=draw), torch.tensor([0, 1, 1]), torch.tensor(present)
        losses = functional.binary_cross_entropy_with_logits(logits, y.float(), reduction="none").numpy()
        means = np.array([losses[group == k].mean() if (group == k).any() else 0.0 for k in range(3)])
        assert float(objective(logits, y, group)) == pytest.approx(float(q @ means), rel=1e-5)
        objective.step()
        q = q * np.exp(rate * means)
        q /= q.sum()
        np.testing.assert_allclose(objective.shares.numpy(), q, rtol=1e-5)


def test_by_label_every_group_and_label_is_a_group() -> None:
    objective = GroupDRO(1.0, by_label=True, groups=2)
    assert objective.shares.tolist() == pytest.approx([0.25] * 4)
    logits, y, group = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0, 1, 1]), torch.tensor([1, 0, -1])
    loss = objective(logits, y, group)
    wanted = (math.log1p(math.exp(3.0)) + math.log(2)) / 4
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    objective.step()
    q = np.exp([0.0, math.log(2), math.log1p(math.exp(3.0)), 0.0])
    np.testing.assert_allclose(objective.shares.numpy(), q / q.sum(), rtol=1e-5)
    with pytest.raises(InputError, match="`group` must be codes"):
        objective(logits, y, torch.zeros(3, 2))


def test_a_step_follows_the_losses_of_all_batches_since_the_last() -> None:
    logits, y, group = torch.tensor([2.0, -1.0, 0.5, 3.0]), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0])
    whole, parts = GroupDRO(0.7, groups=2), GroupDRO(0.7, groups=2)
    whole(logits, y, group)
    for k in (slice(0, 1), slice(1, 4)):
        parts(logits[k], y[k], group[k])
    for objective in (whole, parts):
        objective.step()
    np.testing.assert_allclose(parts.shares.numpy(), whole.shares.numpy(), rtol=1e-6)


def test_the_worst_group_is_served_better_than_by_the_mean() -> None:
    # Groups that need opposite slopes, one of them rare: the mean serves the many.
    rng = np.random.default_rng(0)
    group = (rng.random(2000) < 0.1).astype(int)
    x = rng.normal(size=2000)
    y = (np.where(group == 1, -x, x) + 0.3 * rng.normal(size=2000) > 0).astype(int)
    data = Dataset(x[:, None], y, group)
    worst = {}
    for name, objective in (("mean", Unconstrained()), ("worst", GroupDRO(0.1))):
        net = MLP(1, hidden=(8,))
        train(net, data, objective, epochs=10, batch_size=100, learning_rate=0.01)
        losses = functional.binary_cross_entropy_with_logits(
            net(torch.as_tensor(data.inputs["x"]))[:, 0].detach(), torch.as_tensor(y).float(), reduction="none"
        )
        worst[name] = max(float(losses[torch.as_tensor(group == k)].mean()) for k in (0, 1))
    assert worst["worst"] < 0.8 < 1.0 < worst["mean"]


# Weight 0


@pytest.mark.parametrize(
    "objective",
    [
        Penalized(demographic_parity(), 0.0),
        Penalized(equalized_odds(kind="absolute", memory=0.9), 0.0),
        Penalized(mmd(), 0.0),
        Adversarial(0.0),
        Adversarial(0.0, layer="backbone.1"),
        Reweighted(0.0),
        Massaged(0.0),
    ],
    ids=lambda objective: type(objective).__name__,
)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1, "schedule": "constant"}])
def test_no_weight_is_unconstrained_bit_for_bit(objective: Objective, settings: dict[str, object]) -> None:
    objective = copy.deepcopy(objective)
    runs = []
    for each in (Unconstrained(), objective):
        net = MLP(4, hidden=(16,))
        history = train(net, some_data(), each, epochs=2, batch_size=64, seed=3, **settings)
        runs.append((net, history.losses))
    (a, first), (b, second) = runs
    assert same_weights(a, b) and first == second


def test_no_weight_is_unconstrained_bit_for_bit_with_a_side_batch_too() -> None:
    nets = [MLP(4, hidden=(16,)) for _ in range(3)]
    train(nets[0], some_data(), Unconstrained(), epochs=2, batch_size=64)
    for net, weight in zip(nets[1:], (0.0, 1.0), strict=True):
        objective = Penalized(demographic_parity(), weight)
        train(net, some_data(), objective, epochs=2, batch_size=64, side_batch=20)
    assert same_weights(nets[0], nets[1]) and not same_weights(nets[0], nets[2])


# --- two heads ------------------------------------------------------------------------------------------------------


def outputs_and_rows(groups: int, classes: int = 1, n: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(groups)
    width = classes + (1 if groups == 2 else groups)
    y = torch.randint(0, max(classes, 2), (n,), generator=drawn)
    return torch.randn(n, width, generator=drawn).double(), y, torch.randint(0, groups, (n,), generator=drawn)


def by_hand(logits: Tensor, y: Tensor, group: Tensor, groups: int, weight: float) -> float:
    """The loss of two heads row by row; rows without a group count for the task alone."""
    m = 1 if groups == 2 else groups
    task, read = logits[:, :-m], logits[:, -m:]
    if task.shape[1] == 1:
        losses = [math.log1p(math.exp(-(2 * int(k) - 1) * float(z))) for z, k in zip(task[:, 0], y, strict=True)]
    else:
        losses = [-float(z.log_softmax(0)[k]) for z, k in zip(task, y, strict=True)]
    errors = []
    for z, g in zip(read, group.tolist(), strict=True):
        wanted = [float(g)] if groups == 2 else [float(g == k) for k in range(groups)]
        if g >= 0:
            errors.append(sum((float(a) - b) ** 2 for a, b in zip(z, wanted, strict=True)) / m)
    term = sum(errors) / len(errors) if errors else 0.0
    return (1 - weight) * sum(losses) / len(losses) + weight * term


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("groups", [2, 3, 7])
def test_two_heads_learn_any_number_of_groups_and_classes(groups: int, classes: int, weight: float) -> None:
    logits, y, group = outputs_and_rows(groups, classes)
    task = binary_cross_entropy if classes == 1 else cross_entropy
    objective = TwoHeaded(weight, groups=groups, task=task)
    assert float(objective(logits, y, group)) == pytest.approx(by_hand(logits, y, group, groups, weight), rel=1e-12)
    some = torch.where(torch.arange(40) % 3 == 0, -1, group)
    assert float(objective(logits, y, some)) == pytest.approx(by_hand(logits, y, some, groups, weight), rel=1e-12)


@pytest.mark.parametrize("groups", [2, 3])
def test_without_a_known_group_the_group_head_gets_no_gradient_and_the_task_its_own(groups: int) -> None:
    logits, y, _ = outputs_and_rows(groups)
    logits[:, 1:] = float("inf")
    logits.requires_grad_()
    loss = TwoHeaded()(logits, y, torch.full((40,), -1))
    loss.backward()
    assert math.isfinite(loss.item()) and logits.grad is not None
    assert logits.grad[:, 1:].abs().max() == 0 and logits.grad[:, 0].abs().min() > 0
    task = logits.detach()[:, 0].clone().requires_grad_()
    (0.5 * binary_cross_entropy(task, y).mean()).backward()
    torch.testing.assert_close(logits.grad[:, 0], task.grad)


def test_the_number_of_groups_is_read_from_the_width_where_it_can_be() -> None:
    logits, y, group = outputs_and_rows(5)
    assert float(TwoHeaded()(logits, y, group)) == float(TwoHeaded(groups=5)(logits, y, group))
    classes, y, group = outputs_and_rows(5, 3)
    with pytest.raises(ConfigError, match="the number of groups is not known yet: give `groups`"):
        TwoHeaded(task=cross_entropy)(classes, y, group)


def test_outputs_that_are_not_those_of_two_heads_are_refused() -> None:
    y, group = torch.zeros(4), torch.zeros(4, dtype=torch.long)
    for logits in (torch.zeros(4), torch.zeros(4, 1)):
        with pytest.raises(InputError, match=r"must be of shape \(n, 1 \+ 1\), the outputs of the task and those of 2"):
            TwoHeaded()(logits, y, group)
    for width in (3, 5):
        with pytest.raises(InputError, match=r"\(n, 1 \+ 3\).*is the network a TwoHeadNet"):
            TwoHeaded(groups=3)(torch.zeros(4, width), y, group)
    with pytest.raises(InputError, match=r"\(n, C \+ 3\)"):
        TwoHeaded(groups=3, task=cross_entropy)(torch.zeros(4, 3), y, group)
    with pytest.raises(InputError, match="must hold codes from 0 to 1"):
        TwoHeaded()(torch.zeros(4, 2), y, group + 2)


def test_settings_of_two_heads_that_make_no_sense_are_refused() -> None:
    for weight in (-0.1, 1.0, NAN):
        with pytest.raises(ConfigError, match=r"`weight` must lie in \[0, 1\)"):
            TwoHeaded(weight)
    with pytest.raises(ConfigError, match="`n_groups` must be at least 2, got 1"):
        TwoHeaded(groups=1)
    with pytest.raises(ConfigError, match=r"`groups` is 3, but the data have 2: \['0', '1'\]"):
        train(TwoHeadNet(MLP(4, hidden=(4,)), 3), some_data(), TwoHeaded(groups=3), epochs=1)
    with pytest.raises(InputError, match="`data` must have at least two groups to compare"):
        train(TwoHeadNet(MLP(4, hidden=(4,))), some_data(groups=1), TwoHeaded(), epochs=1)
    with pytest.raises(ConfigError, match="has 2 task outputs and `task` takes one"):
        train(TwoHeadNet(MLP(4, hidden=(4,), outputs=2)), some_data(), TwoHeaded(), epochs=1)
    with pytest.raises(ConfigError, match="TwoHeaded needs a network of 4 outputs"):
        train(MLP(4, hidden=(4,), outputs=3), some_data(groups=3), TwoHeaded(), epochs=1)


def test_records_of_two_heads_from_before_there_were_settings_are_read() -> None:
    old = objective_from_dict({"name": "two_headed"})
    assert isinstance(old, TwoHeaded) and old.weight == 0.5 and old.groups is None
    assert TwoHeaded().to_dict() == {"name": "two_headed"}
    started = TwoHeaded()
    started.start(TwoHeadNet(MLP(4, hidden=(4,)), 3), some_data(groups=3))
    assert started.groups == 3 and started.outputs == 4 and started.to_dict() == {"name": "two_headed"}
    with pytest.raises(ConfigError, match="settings it does not take"):
        objective_from_dict({"name": "two_headed", "share": 0.5})


@pytest.mark.parametrize(("groups", "separate"), [(2, True), (4, False)])
def test_both_heads_learn(groups: int, separate: bool) -> None:
    data = some_data(2000, groups)
    two = TwoHeadNet(MLP(4, hidden=(16,)), groups, separate=separate)
    train(two, data, TwoHeaded(), epochs=15, batch_size=64, learning_rate=3e-3)
    logits = two(torch.as_tensor(data.inputs["x"])).detach().numpy()
    assert ((logits[:, 0] > 0) == data.y).mean() > max(data.y.mean(), 1 - data.y.mean()) + 0.02
    read = (logits[:, 1] > 0.5) * 1 if groups == 2 else logits[:, 1:].argmax(1)
    assert (read == data.group).mean() > 1.3 / groups
    if groups > 2:
        assert np.abs(logits[:, 1:].sum(1) - 1).mean() < 0.2, "raw outputs stay near 0 and 1"
    nothing = TwoHeadNet(MLP(4, hidden=(16,)), groups, separate=separate)
    before = nothing.joined.weight[1:].detach().clone()
    train(nothing, data, TwoHeaded(0.0), epochs=1, batch_size=64)
    assert torch.equal(nothing.joined.weight[1:], before), "the control: without its term the group head stays"
