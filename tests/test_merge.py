"""A merged network decides like its two heads on every row, in every type of number, with any number of groups."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.nets import MLP, TwoHeadNet, join_heads
from fairheads.twoheads import (
    Coefficients,
    Verified,
    heads_of,
    merge_heads,
    merge_net,
    two_head_scores,
    unmerge_heads,
    verify_merge,
)

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def linear(features: int, outputs: int, seed: int = 0, *, bias: bool = True) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(features, outputs, bias=bias)


def part_of(layer: nn.Linear, rows: slice) -> nn.Linear:
    """A layer with some of the outputs of another."""
    weight = layer.weight.detach()[rows]
    part = nn.Linear(layer.in_features, len(weight), bias=layer.bias is not None).to(weight)
    with torch.no_grad():
        part.weight.copy_(weight)
        if layer.bias is not None:
            part.bias.copy_(layer.bias[rows])
    return part


def hooks_of(net: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in net.modules())


# --- the layer -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.floats(-20, 20), st.floats(-20, 20))
def test_the_merged_head_is_the_weighted_sum_of_the_two(seed: int, b: float, t: float) -> None:
    two = linear(6, 2, seed)
    merged = merge_heads(two, Coefficients(b, t))
    assert (merged.in_features, merged.out_features) == (6, 1) and merged.weight.dtype == torch.float32
    weight, bias = two.weight.detach().double(), two.bias.detach().double()
    torch.testing.assert_close(merged.weight.detach(), (weight[0] + b * weight[1])[None].float(), rtol=0, atol=0)
    torch.testing.assert_close(merged.bias.detach(), (bias[0] + b * bias[1] + t)[None].float(), rtol=0, atol=0)
    h = torch.randn(50, 6, generator=torch.Generator().manual_seed(seed))
    z_y, z_g = two(h).detach().double().T
    torch.testing.assert_close(merged(h).detach()[:, 0].double(), z_y + b * z_g + t, rtol=1e-5, atol=1e-4)


@given(
    st.integers(0, 1000),
    st.lists(st.floats(-20, 20), min_size=3, max_size=6),
    st.floats(-20, 20),
    st.integers(1, 4),
    st.booleans(),
)
def test_every_slope_goes_to_its_own_group_and_only_the_favourable_class_moves(
    seed: int, slopes: list[float], t: float, classes: int, bias: bool
) -> None:
    favourable = seed % classes
    two = linear(5, classes + len(slopes), seed, bias=bias).double()
    merged = merge_heads(two, Coefficients(tuple(slopes), t), task_outputs=classes, favourable=favourable)
    assert merged.out_features == classes and merged.bias is not None
    h = torch.randn(20, 5, generator=torch.Generator().manual_seed(seed)).double()
    before, after = two(h).detach(), merged(h).detach()
    wanted = before[:, :classes].clone()
    for k, b in enumerate(slopes):
        wanted[:, favourable] += b * before[:, classes + k]
    wanted[:, favourable] += t
    torch.testing.assert_close(after, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_merged_weight_is_rounded_once_from_float64(dtype: torch.dtype) -> None:
    two = linear(300, 2, seed=1).to(dtype)
    merged = merge_heads(two, Coefficients(-1.37, 0.1))
    exact = two.weight[0].double() - 1.37 * two.weight[1].double()
    assert merged.weight.dtype == merged.bias.dtype == dtype
    assert torch.equal(merged.weight[0], exact.to(dtype))
    if dtype != torch.float64:
        own = two.weight[0] + torch.tensor(-1.37, dtype=dtype) * two.weight[1]
        assert not torch.equal(merged.weight[0], own), "the control: in its own type it is rounded more than once"


@given(st.integers(0, 1000), st.floats(-20, 20), st.floats(-20, 20), st.integers(1, 5), st.integers(1, 3))
def test_unmerging_gives_the_two_heads_back(seed: int, b: float, t: float, groups: int, classes: int) -> None:
    two = linear(6, classes + groups, seed).double()
    slopes = tuple(b * (k + 1) / groups for k in range(groups))
    made = Coefficients(slopes if groups > 1 else slopes[0], t)
    merged = merge_heads(two, made, task_outputs=classes, favourable=classes - 1)
    group_head = part_of(two, slice(classes, None))
    again = unmerge_heads(merged, group_head, made, favourable=classes - 1)
    torch.testing.assert_close(again.weight, two.weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(again.bias, two.bias, rtol=0, atol=1e-12)
    other = Coefficients((slopes[0] + 1, *slopes[1:]) if groups > 1 else slopes[0] + 1, t)
    wrong = unmerge_heads(merged, group_head, other, favourable=classes - 1)
    assert (wrong.weight - two.weight).abs().max() > 1e-3


def test_heads_without_a_bias_merge_and_unmerge() -> None:
    two = linear(4, 2, bias=False)
    merged = merge_heads(two, Coefficients(2.0, 0.5))
    assert merged.bias.tolist() == [0.5]
    again = unmerge_heads(merged, part_of(two, slice(1, None)), Coefficients(2.0, 0.5))
    assert again.bias.tolist() == [0.0, 0.0]
    torch.testing.assert_close(again.weight, two.weight, atol=1e-6, rtol=0)


def test_two_layers_are_merged_once_joined() -> None:
    both = linear(4, 4, seed=2)
    task, group = part_of(both, slice(1)), part_of(both, slice(1, None))
    joined, made = join_heads(task, group), Coefficients((1.0, -2.0, 0.5), 0.1)
    assert torch.equal(joined.weight, both.weight) and torch.equal(joined.bias, both.bias)
    assert torch.equal(merge_heads(joined, made).weight, merge_heads(both, made).weight)
    with torch.no_grad():
        joined.weight.zero_()
    assert task.weight.abs().sum() > 0, "a joined layer owns its weights"
    assert join_heads(linear(4, 1, bias=False), group).bias.tolist() == [0.0, *group.bias.tolist()]
    assert join_heads(linear(4, 1, bias=False), linear(4, 1, bias=False)).bias is None
    for other in (linear(3, 1), linear(4, 1).double()):
        with pytest.raises(InputError, match="the same number of inputs, type and device"):
            join_heads(task, other)


def test_heads_of_the_wrong_width_are_refused() -> None:
    with pytest.raises(InputError, match=r"must have 2 outputs \(task 1, group 1\), got 1"):
        merge_heads(nn.Linear(4, 1), Coefficients(1, 0))
    with pytest.raises(InputError, match=r"must have 4 outputs \(task 1, group 3\), got 2"):
        merge_heads(nn.Linear(4, 2), Coefficients((1.0, 0.0, 2.0), 0))
    with pytest.raises(InputError, match=r"must have 2 outputs \(task 1, group 1\), got 4"):
        merge_heads(nn.Linear(4, 4), Coefficients(1, 0))
    for group_head in (nn.Linear(3, 1), nn.Linear(4, 2)):
        with pytest.raises(InputError, match="must have one output for each of the 1 slopes and the 4 inputs"):
            unmerge_heads(nn.Linear(4, 1), group_head, Coefficients(1, 0))


def test_what_cannot_be_merged_is_refused_in_words() -> None:
    probability = Coefficients(1.0, 0.0, space="probability")
    with pytest.raises(InputError, match="must be in logit space: a merge in probability space is no linear head"):
        merge_heads(nn.Linear(4, 2), probability)
    with pytest.raises(InputError, match="must be finite, got b = nan"):
        merge_heads(nn.Linear(4, 2), Coefficients(float("nan"), 0.0))
    with pytest.raises(InputError, match="is not a finite number in float16; use a wider type"):
        merge_heads(linear(4, 2).half(), Coefficients(1.0, 1e5))
    for favourable in (-1, 3):
        with pytest.raises(ConfigError, match="`favourable` must be a class from 0 to 2"):
            merge_heads(nn.Linear(4, 4), Coefficients(1.0, 0.0), task_outputs=3, favourable=favourable)


# --- the network ---------------------------------------------------------------------------------------------------


def rows(n: int = 1300, features: int = 5, groups: int = 2) -> Dataset:
    rng = np.random.default_rng(0)
    X = rng.normal(scale=3.0, size=(n, features))
    return Dataset(X, rng.integers(0, 2, n), rng.integers(0, groups, n))


def two_headed(scale: float = 1.0, groups: int = 2, *, classes: int = 1, favourable: int = 1, separate: bool = False):
    net = MLP(5, hidden=(16, 8), outputs=classes, seed=2)
    with torch.no_grad():
        net.head.weight.mul_(scale)
    return TwoHeadNet(net, groups, separate=separate, favourable=favourable, seed=3)


def slopes_for(groups: int) -> float | tuple[float, ...]:
    return -1.5 if groups == 2 else tuple(np.linspace(-2, 1.5, groups))


@pytest.mark.parametrize(("scale", "b", "t"), [(1.0, 0.7, -0.2), (200.0, -1.5, 3.0), (2000.0, 5.0, 40.0)])
def test_a_merged_net_gives_the_logit_of_the_two_heads_on_every_row_however_large(scale, b, t) -> None:
    net, data = two_headed(scale), rows()
    single = merge_net(net, Coefficients(b, t), data)
    heads, merged = two_head_scores(net, data), two_head_scores(single, data)
    assert heads.shape == (1300, 2) and merged.shape == (1300, 1)
    wanted = heads[:, 0] + b * heads[:, 1] + t
    if scale > 1:
        assert (np.abs(wanted) > 15).sum() > 200
    size = np.abs(heads[:, 0]) + np.abs(b * heads[:, 1]) + abs(t)
    assert (np.abs(merged[:, 0] - wanted) <= 1e-5 * np.maximum(1, size if scale > 1 else np.abs(wanted))).all()
    with torch.no_grad():
        np.testing.assert_allclose(two_head_scores(net, data), net(torch.as_tensor(data.inputs["x"])), rtol=1e-4)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("groups", [2, 3, 5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_row_is_decided_like_the_two_heads_in_every_type_of_number(dtype, groups, classes, separate) -> None:
    favourable = classes - 1
    net = two_headed(300.0, groups, classes=classes, favourable=favourable, separate=separate).to(dtype)
    data, made = rows(600, groups=groups), Coefficients(slopes_for(groups), 0.3)
    single = merge_net(net, made, data)
    seen = verify_merge(net, single, made, data)
    assert seen.rows == 600 and seen.dtype == str(dtype)[6:] and 0 < seen.largest <= seen.tolerance and seen.share <= 1
    assert {p.dtype for p in single.parameters()} == {dtype} and hooks_of(net) == hooks_of(single) == 0
    z_y, z_g = heads_of(net, data)
    assert z_y.shape == (600,) and z_g.shape == ((600,) if groups == 2 else (600, groups))
    assert (np.abs(z_y) > 15).sum() > 50
    score = z_y + z_g.reshape(600, -1) @ np.atleast_1d(made.b) + made.t
    outputs = two_head_scores(single, data)
    selected = outputs[:, 0] > 0 if classes == 1 else outputs.argmax(1) == favourable
    far = np.abs(score) > 2 * seen.tolerance
    assert (selected == (score > 0))[far].all() and far.mean() > (0.9 if torch.finfo(dtype).eps < 1e-6 else 0.3)
    assert seen.same_decisions == 600 or torch.finfo(dtype).eps > 1e-4
    assert 0 < selected.sum() < 600


def test_a_merged_net_is_of_the_single_class_with_its_keys_and_shapes() -> None:
    net, data = two_headed(), rows()
    single = merge_net(net, Coefficients(1.0, 0.0), data)
    plain = MLP(5, hidden=(16, 8))
    assert type(single) is MLP and not single.training
    assert {k: v.shape for k, v in single.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}


def test_what_verification_measures_is_the_largest_difference_on_the_rows_it_is_given() -> None:
    net, data, made = two_headed(50.0), rows(), Coefficients(-1.5, 3.0)
    single = merge_net(net, made, data)
    seen = verify_merge(net, single, made, data)
    heads, merged = copy.deepcopy(net).double(), two_head_scores(single, data)[:, 0]
    head = heads.head
    heads.net.backbone.float()  # the features are those of the float32 network, what follows is float64
    with torch.no_grad():
        h = heads.net.backbone(torch.as_tensor(data.inputs["x"])).double()
    z_y, z_g = head(h).detach().numpy().T
    wanted = z_y - 1.5 * z_g + 3
    assert seen.largest == pytest.approx(np.abs(merged - wanted).max(), rel=0.3)
    assert seen.same_decisions == ((merged > 0) == (wanted > 0)).sum()
    few = data.take(np.arange(10))
    assert verify_merge(net, single, made, few).rows == 10
    assert verify_merge(net, single, made, few).largest <= seen.largest
    stream = Stream(lambda: [data.take(np.arange(i, i + 130)) for i in range(0, 1300, 130)], group_names=["0", "1"])
    assert verify_merge(net, single, made, stream) == seen, "rows that come in batches are the same rows"
    assert isinstance(seen, Verified)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_merge_that_does_not_give_the_two_heads_logit_is_not_returned(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, data = two_headed().to(dtype), rows()
    right = net.single

    def slightly_wrong(head: nn.Linear, wrong: str) -> nn.Module:
        single = right(head)
        with torch.no_grad():
            step = 40 * torch.finfo(dtype).eps
            if wrong == "backbone":
                single.backbone[0].weight[0, 0] += step
            else:
                single.head.bias += step * float(head.weight.abs().sum() + 1)
        return single

    merge_net(net, Coefficients(1.0, 0.0), data)
    for wrong in ("backbone", "bias"):
        monkeypatch.setattr(net, "single", partial(slightly_wrong, wrong=wrong))
        with pytest.raises(InputError, match="a merged logit differs from the two heads by"):
            merge_net(net, Coefficients(1.0, 0.0), data)
    assert hooks_of(net) == 0


def test_a_merge_that_overflows_is_refused() -> None:
    net, data = two_headed().half(), rows()
    with torch.no_grad():
        net.net.backbone[2].weight.mul_(2000)
        net.head.weight.mul_(50)
    with pytest.raises(InputError, match="the network is not finite in float16 on some rows; use a wider type"):
        merge_net(net, Coefficients(1.0, 0.0), data)


def test_coefficients_for_other_groups_are_refused() -> None:
    for groups, slopes in ((2, (1.0, 2.0, 3.0)), (3, 1.0), (3, (1.0, 2.0))):
        with pytest.raises(InputError, match="must have"):
            merge_net(two_headed(groups=groups), Coefficients(slopes, 0.0), rows())
    net, single = two_headed(groups=3), two_headed(groups=3).single(nn.Linear(8, 1))
    with pytest.raises(InputError, match="must have 3 slopes, one a group output, got 1"):
        verify_merge(net, single, Coefficients(1.0, 0.0), rows())


def test_a_network_of_another_width_is_no_merge() -> None:
    net = two_headed()
    with pytest.raises(InputError, match=r"must return 1 logits a row, got shape \(1300, 2\)"):
        verify_merge(net, net, Coefficients(1.0, 0.0), rows())
    assert hooks_of(net) == 0, "no hook is left behind by an error"


def test_half_precision_around_the_call_changes_nothing() -> None:
    net, data, made = two_headed(50.0), rows(), Coefficients(-1.5, 3.0)
    single = merge_net(net, made, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert merge_net(net, made, data).head.weight.dtype == torch.float32
        inside = verify_merge(net, single, made, data)
        assert net(torch.zeros(2, 5)).dtype == torch.bfloat16, "the control: here it would have mattered"
    assert inside == verify_merge(net, single, made, data)


def test_outputs_are_those_of_every_row_in_order_whatever_holds_the_rows() -> None:
    net, data = two_headed(groups=3), rows(groups=3)
    stream = Stream(
        lambda: [data.take(np.arange(i, i + 130)) for i in range(0, 1300, 130)], group_names=["0", "1", "2"]
    )
    assert np.array_equal(two_head_scores(net, stream), two_head_scores(net, data))
    net.train()
    assert np.array_equal(two_head_scores(net, data), two_head_scores(net.eval(), data))
    one_row = data.take([7])
    np.testing.assert_allclose(two_head_scores(net, one_row), two_head_scores(net, data)[7:8], rtol=1e-5)
    three = two_headed(groups=2, classes=3, favourable=0)
    z_y, _ = heads_of(three, data)
    assert ((z_y > 0) == (two_head_scores(three, data)[:, :3].argmax(1) == 0)).all() and 0 < (z_y > 0).mean() < 1


class TiedWeights(nn.Module):
    """A head whose weight is also a layer of the backbone, and which is registered under a second name."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Linear(4, 4)
        self.out = nn.Linear(4, 4, bias=False)
        self.out.weight = self.square.weight
        self.also = self.out

    def forward(self, x: Tensor) -> Tensor:
        return self.also(torch.relu(self.square(x)))


def test_a_head_with_tied_weights_and_two_names_is_merged_and_the_tie_is_cut() -> None:
    tied = TiedWeights()
    net = TwoHeadNet(tied, 3, favourable=2)
    data, made = rows(100, features=4, groups=3), Coefficients((1.0, -1.0, 0.5), 0.2)
    single = merge_net(net, made, data)
    assert verify_merge(net, single, made, data).same_decisions == 100
    assert torch.equal(single.square.weight, tied.square.weight) and not torch.equal(single.out.weight, tied.out.weight)
    assert single.out is single.also


class Convolutions(nn.Module):
    """A small network for images that ends in ``fc``, with normalisation and dropout, and one number a row."""

    def __init__(self, *, flat: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.drop, self.fc, self.flat = nn.Dropout(0.5), nn.Linear(8, 1), flat

    def forward(self, images: Tensor) -> Tensor:
        logits = self.fc(self.drop(self.features(images).flatten(1)))
        return logits.squeeze() if self.flat else logits


@pytest.mark.parametrize("flat", [False, True])
def test_a_convolutional_network_is_merged_in_eval_mode(flat: bool) -> None:
    rng = np.random.default_rng(1)
    data = Dataset(rng.normal(size=(60, 3, 8, 8)), rng.integers(0, 2, 60), rng.integers(0, 4, 60))
    net = TwoHeadNet(Convolutions(flat=flat), 4)
    net.train()
    net(torch.randn(50, 3, 8, 8))
    single = merge_net(net, Coefficients((3.0, -2.0, 1.0, 0.0), 0.1), data)
    assert net.training and net.net.drop.training, "verification leaves the network as it was"
    assert type(single) is Convolutions and single.fc.out_features == 1 and hooks_of(net) == hooks_of(single) == 0
    assert two_head_scores(single, data).shape == (60, 1)
    z_y, z_g = heads_of(net, data)
    np.testing.assert_allclose(
        two_head_scores(single, data)[:, 0], z_y + z_g @ [3.0, -2.0, 1.0, 0.0] + 0.1, rtol=1e-5, atol=1e-5
    )


def test_a_backbone_without_a_head_gets_both() -> None:
    backbone = nn.Sequential(nn.Linear(5, 6), nn.Tanh())
    net = TwoHeadNet(backbone, 3, features=6)
    data, made = rows(groups=3), Coefficients((1.0, 0.0, -1.0), 0.4)
    single = merge_net(net, made, data)
    assert single.head.out_features == 1 and set(dict(single.named_children())) == {"backbone", "head"}
    assert verify_merge(net, single, made, data).same_decisions == 1300


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_networks_on_a_gpu_are_merged_there(dtype: torch.dtype) -> None:
    net = two_headed(40.0, 3).to(dtype).to("cuda")
    single = merge_net(net, Coefficients((1.0, -1.0, 0.5), 0.2), rows(groups=3))
    assert {p.device.type for p in single.parameters()} == {"cuda"}
