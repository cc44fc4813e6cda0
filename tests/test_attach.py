"""A group head fitted to a trained network is the ridge regression of the groups on its last features."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from fairheads.data import Batch, Dataset, Stream
from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.metrics import auc
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import TwoHeaded, Unconstrained, train
from fairheads.twoheads import (
    Coefficients,
    attach_group_head,
    fit_frontier,
    group_readout,
    heads_of,
    merge_net,
    two_head_scores,
    verify_merge,
)


def features_of(seed: int, n: int, d: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = np.concatenate([np.arange(groups), rng.integers(0, groups, n - groups)])
    scale, shift = rng.lognormal(0, 2, d), rng.normal(0, 10, d)
    return (rng.normal(size=(n, d)) + rng.normal(size=(groups, d))[group]) * scale + shift, group


def standard_ridge(h: np.ndarray, group: np.ndarray, groups: int, ridge: float) -> np.ndarray:
    """Outputs of scikit-learn's ridge regression on standardised features."""
    deviation = h.std(0)
    x = (h - h.mean(0)) / np.where(deviation > 0, deviation, 1)
    wanted = group[:, None] if groups == 2 else np.eye(groups)[group]
    return Ridge(alpha=ridge * len(h), solver="svd").fit(x, wanted).predict(x).reshape(len(h), -1)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(12, 80), st.integers(1, 6), st.integers(2, 5), st.sampled_from([1e-3, 1.0]))
def test_the_readout_is_the_ridge_regression_of_scikit_learn(seed, n, d, groups, ridge) -> None:
    h, group = features_of(seed, n, d, groups)
    layer = group_readout(h, group, ridge=ridge)
    assert layer.out_features == (1 if groups == 2 else groups) and layer.weight.dtype == torch.float64
    ours = layer(torch.as_tensor(h)).detach().numpy()
    np.testing.assert_allclose(ours, standard_ridge(h, group, groups, ridge), rtol=1e-6, atol=1e-8)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_the_readout_does_not_depend_on_units_of_measurement_order_or_copies_of_rows(seed: int, groups: int) -> None:
    h, group = features_of(seed, 40, 3, groups)
    rng = np.random.default_rng(seed)
    order, factor, shift = rng.permutation(40), rng.lognormal(0, 2, 3), rng.normal(size=3)
    ours = group_readout(h, group)(torch.as_tensor(h)).detach().numpy()
    scaled = h * factor + shift
    again = group_readout(np.tile(scaled[order], (2, 1)), np.tile(group[order], 2))
    np.testing.assert_allclose(again(torch.as_tensor(scaled)).detach().numpy(), ours, rtol=1e-6, atol=1e-7)
    more = group_readout(h, group, ridge=10.0)(torch.as_tensor(h)).detach().numpy()
    assert more.var() < ours.var(), "a larger ridge draws the outputs to the shares of the groups"
    np.testing.assert_allclose(more.mean(0), ours.mean(0), atol=1e-9)


def test_rows_without_a_group_are_left_out() -> None:
    h, group = features_of(0, 60, 4, 3)
    known = np.arange(60) % 4 != 3
    some = np.where(known, group, -1)
    ours, wanted = group_readout(h, some), group_readout(h[known], group[known])
    torch.testing.assert_close(ours.weight, wanted.weight, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(ours.bias, wanted.bias, rtol=1e-8, atol=1e-10)
    assert not torch.allclose(ours.weight, group_readout(h, group).weight, rtol=1e-3)


def test_a_unit_that_does_not_vary_gets_no_weight_and_one_that_repeats_another_half_of_it() -> None:
    h, group = features_of(1, 200, 2, 2)
    constant = np.concatenate([h, np.full((200, 1), 1e6 / 3), np.zeros((200, 1)), h[:, :1]], axis=1)
    layer = group_readout(constant, group, ridge=0.0)
    weight = layer.weight.detach().numpy()[0]
    assert weight[2] == weight[3] == 0 and weight[0] == pytest.approx(weight[4], rel=1e-6)
    plain = group_readout(h, group, ridge=0.0).weight.detach().numpy()[0]
    assert weight[0] + weight[4] == pytest.approx(plain[0], rel=1e-6) and weight[1] == pytest.approx(plain[1], rel=1e-6)
    nothing = group_readout(np.zeros((200, 3)), group)
    assert nothing.weight.abs().max() == 0 and float(nothing.bias.detach()) == pytest.approx(group.mean())


def test_features_far_from_zero_lose_no_digits() -> None:
    h, group = features_of(2, 300, 3, 2)
    h = (h - h.mean(0)) / h.std(0)
    near = group_readout(h, group).weight
    torch.testing.assert_close(group_readout(h + 1e6, group).weight, near, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("h", "group", "settings", "error", "words"),
    [
        (np.zeros((4, 2)), [0, 1, 0], {}, InputError, r"`h` must be \(n, d\) and `group` \(n,\), got"),
        (np.zeros(4), [0, 1, 0, 1], {}, InputError, r"`h` must be \(n, d\)"),
        (np.zeros((2, 2)), [0.0, 1.5], {}, InputError, "whole numbers"),
        (np.full((2, 2), np.nan), [0, 1], {}, InputError, "must be finite"),
        (np.zeros((2, 2)), [0, 0], {}, InputError, r"without rows \['1'\]"),
        (np.zeros((2, 2)), [0, 2], {}, InputError, r"without rows \['1'\]"),
        (np.zeros((2, 2)), [0, 1], {"n_groups": 3}, InputError, r"without rows \['2'\]"),
        (np.zeros((2, 2)), [-1, -1], {}, InputError, r"without rows \['0', '1'\]"),
        (np.zeros((0, 2)), np.zeros(0, int), {}, InputError, r"without rows \['0', '1'\]"),
        (np.zeros((2, 2)), [0, 2], {"n_groups": 2}, InputError, "codes from 0 to 1"),
        (np.zeros((2, 2)), [0, -2], {}, InputError, r"codes from 0 \(-1: not recorded\), got -2"),
        (np.zeros((2, 2)), [0, 1], {"ridge": -1.0}, ConfigError, "`ridge` must be at least 0"),
        (np.zeros((2, 2)), [0, 1], {"n_groups": 1}, ConfigError, "`n_groups` must be at least 2"),
    ],
)
def test_what_no_readout_can_be_made_of_is_refused(h, group, settings, error, words) -> None:
    with pytest.raises(error, match=words):
        group_readout(h, np.asarray(group), **settings)


# --- on a network ----------------------------------------------------------------------------------------------------


def some_data(groups: int = 2, n: int = 1300, seed: int = 0, names: list[str] | None = None) -> Dataset:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    X = rng.normal(size=(n, 6))
    X[:, 1] += 1.5 * group  # the proxy, which the label follows
    y = (X[:, 0] + X[:, 1] + rng.normal(size=n) > 1) * 1
    return Dataset(X, y, group, group_names=names or [str(code) for code in range(groups)])


def hooks_of(net: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in net.modules())


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(("groups", "classes"), [(2, 1), (3, 1), (4, 3)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_the_group_head_reads_the_features_of_the_frozen_network(dtype, groups, classes, separate) -> None:
    net = MLP(6, hidden=(16, 8), outputs=classes, seed=1).to(dtype)
    before, data = copy.deepcopy(net.state_dict()), some_data(groups)
    two = attach_group_head(net, data, separate=separate, favourable=classes - 1)
    assert all(torch.equal(before[name], values) for name, values in net.state_dict().items())
    assert isinstance(two, TwoHeadNet) and two.separate is separate and two.n_groups == groups
    assert hooks_of(net) == hooks_of(two) == 0 and {p.dtype for p in two.parameters()} == {dtype}
    with torch.no_grad():
        h = net.backbone(torch.as_tensor(data.inputs["x"]).to(dtype)).double().numpy()
    wanted = standard_ridge(h, data.group, groups, 1e-3)
    outputs = two_head_scores(two, data)
    rough = max(1e-4, 50 * torch.finfo(dtype).eps)
    np.testing.assert_allclose(outputs[:, classes:], wanted, atol=rough)
    np.testing.assert_allclose(outputs[:, :classes], two_head_scores(net, data), atol=rough, rtol=rough)
    assert torch.equal(two.joined.weight[:classes], net.head.weight)


def test_an_attached_head_merges_and_tells_the_groups_apart_on_new_rows() -> None:
    net, data, fresh = MLP(6, hidden=(16,), seed=1), some_data(), some_data(seed=1)
    train(net, data, Unconstrained(), epochs=5, batch_size=64, learning_rate=0.01)
    two = attach_group_head(net, data)
    z_y, z_g = heads_of(two, fresh)
    assert auc(fresh.group, z_g) > 0.75 and abs(z_g.mean() - 0.5) < 0.05
    gap = [(z_y + b * z_g > 0)[fresh.group == 1].mean() - (z_y + b * z_g > 0)[fresh.group == 0].mean() for b in (0, -9)]
    assert gap[0] > 0.2 > gap[1], "adding the group output moves the gap"
    single = merge_net(two, Coefficients(-9.0, 2.0), fresh)
    assert verify_merge(two, single, Coefficients(-9.0, 2.0), fresh).same_decisions == len(fresh)


def test_rows_in_any_batches_and_from_a_stream_give_the_same_head() -> None:
    net, data = MLP(6, hidden=(16,), seed=1), some_data(3, names=["a", "b", "c"])
    pieces = [np.arange(start, min(start + 171, 1300)) for start in range(0, 1300, 171)]
    stream = Stream(lambda: [data.take(rows) for rows in pieces], group_names=["a", "b", "c"])
    for separate in (False, True):
        two = [attach_group_head(net, rows, separate=separate) for rows in (data, stream)]
        assert torch.equal(two[0].joined.weight, two[1].joined.weight), "every pass is cut into the same blocks"
        assert torch.equal(two[0].joined.bias, two[1].joined.bias)
    other = attach_group_head(net, data.take(np.arange(1299, -1, -1)))
    torch.testing.assert_close(other.joined.weight, two[0].joined.weight, rtol=1e-4, atol=1e-5)


class Unrecorded:
    """Rows in memory of which some groups are not recorded."""

    def __init__(self, data: Dataset, known: np.ndarray) -> None:
        self.group_names, self._data, self._known = data.group_names, data, known

    def __iter__(self):
        rows = self._data.rows()
        yield Batch(rows.inputs, rows.y, np.where(self._known, rows.group, -1), rows.row_id)


def test_rows_of_an_unknown_group_are_left_out() -> None:
    net, data = MLP(6, hidden=(16,), seed=1), some_data(3)
    known = np.random.default_rng(0).random(1300) < 0.6
    ours = attach_group_head(net, Unrecorded(data, known))
    wanted = attach_group_head(net, data.take(known))
    torch.testing.assert_close(ours.joined.weight, wanted.joined.weight, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(ours.joined.weight, attach_group_head(net, data).joined.weight, rtol=1e-3, atol=1e-4)


def test_the_network_runs_in_eval_mode_and_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.9), nn.Linear(8, 1)).train()
    data = some_data()
    state = torch.get_rng_state()
    two = [attach_group_head(net, data) for _ in range(2)]
    assert torch.equal(two[0].joined.weight, two[1].joined.weight), "without dropout there is nothing to draw"
    assert torch.equal(torch.get_rng_state(), state) and net.training and two[0].training and two[0].net[3].training
    assert int(two[0].net[1].num_batches_tracked) == 0


def test_training_goes_on_from_an_attached_head() -> None:
    net, data = MLP(6, hidden=(16,), seed=1), some_data(3)
    train(net, data, Unconstrained(), epochs=3, batch_size=64)
    two = attach_group_head(net, data)
    before = two_head_scores(two, data)[:, 1:]
    train(two, data, TwoHeaded(0.9), epochs=15, batch_size=64)
    after = two_head_scores(two, data)[:, 1:]
    wanted = np.eye(3)[data.group]
    assert ((after - wanted) ** 2).mean() < 0.98 * ((before - wanted) ** 2).mean()
    assert not torch.equal(two.backbone[0].weight, net.backbone[0].weight)


class Tokens(nn.Module):
    """A head on every position, of which the network returns one: where the last input says."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.stack([x, 2 * x, 3 * x], dim=1)
        return self.score(places)[torch.arange(len(x)), (x[:, 5] > 0) * 1 + (x[:, 5] > 1) * 1]


class Positions(nn.Module):
    """Features with two axes, which the head reads one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(x.reshape(-1, 3)[None])[0]


def test_features_are_those_of_the_position_that_the_network_looks_at() -> None:
    net, data = Tokens(), some_data(3)
    two = attach_group_head(net, data)
    x = data.inputs["x"].astype(float)
    h = x * (1 + (x[:, 5:] > 0) + (x[:, 5:] > 1))
    wanted = standard_ridge(h, data.group, 3, 1e-3)
    np.testing.assert_allclose(heads_of(two, data)[1], wanted, atol=1e-4)
    made = Coefficients((1.0, -2.0, 0.5), 0.1)
    assert verify_merge(two, merge_net(two, made, data), made, data).same_decisions == len(data)


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.score(x)
        raise ValueError("no")


def test_what_cannot_have_a_head_attached_is_refused_and_no_hook_is_left() -> None:
    data, kept = some_data(), []
    one = some_data(1)
    for net, rows, options, error, words in [
        (Positions(), data, {}, (ConfigError, InputError), "shape|logits"),
        (Fails(), data, {}, ValueError, "no"),
        (MLP(6), data, {"layer": "heads"}, LayerNotFoundError, "no layer 'heads'"),
        (MLP(6), data, {"ridge": float("nan")}, ConfigError, "`ridge`"),
        (nn.Sequential(nn.Linear(6, 1), nn.Sigmoid()), data, {"layer": "0"}, ConfigError, "is not that of its layer"),
        (MLP(6), one, {}, InputError, r"at least two groups and of every one, got groups \['0'\]"),
        (MLP(6), data.take(data.group == 1), {}, InputError, r"without rows \['0'\]"),
    ]:
        kept.append(net)
        with pytest.raises(error, match=words):
            attach_group_head(net, rows, **options)
    infinite = MLP(6, hidden=(4,))
    with torch.no_grad():
        infinite.backbone[0].weight.fill_(float("inf"))
    with pytest.raises(InputError, match="the features that enter the final layer must be finite"):
        attach_group_head(infinite, data)
    assert sum(hooks_of(net) for net in kept) == 0


def test_a_task_head_that_is_not_finite_is_told_of_as_such() -> None:
    net, data = MLP(6), some_data()
    with torch.no_grad():
        net.head.weight[0, 0] = float("nan")
    z_y, z_g = heads_of(attach_group_head(net, data), data)
    assert np.isfinite(z_g).all(), "the group head is fitted to sound features"
    with pytest.raises(InputError, match="1300 NaN or infinite values in `z_y`"):
        fit_frontier(z_y, z_g, data.y, data.group)
    faint = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 1)).to(torch.float16)
    with torch.no_grad():
        faint[0].weight.copy_(3e-6 * torch.eye(6))
    with pytest.raises(InputError, match="a weight of the group head is not finite in float16; use a wider type"):
        attach_group_head(faint, data)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_network_on_a_gpu_gets_its_head_there() -> None:
    two = attach_group_head(MLP(6, hidden=(8,)).to("cuda"), some_data(3))
    assert {p.device.type for p in two.parameters()} == {"cuda"}
