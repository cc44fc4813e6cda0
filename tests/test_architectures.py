"""Layers of any architecture as (rows, units): what is seen is the plain forward's, and edits move what they should."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fairheads.activations import Layer, Place, TorchNetwork, called
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.nets import MLP, TwoHeadNet
from fairheads.twoheads.outputs import outputs_on

Array = NDArray[np.float32]
ROWS = 12
SPECTRAL = "0.parametrizations.weight.0._u"
"""The buffer that every look at the weights moves, in training."""


class Block(nn.Module):
    """A residual block with batch normalisation and a depthwise convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.mix, self.norm, self.relu = (
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.norm(self.mix(self.relu(self.conv(x)))))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


class ConvNeXt(nn.Module):
    """Blocks that hold images with channels last inside and give them with channels first."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.mix = nn.Conv2d(8, 8, 3, padding=1), nn.LayerNorm(8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.mix(nn.functional.gelu(self.norm(self.conv(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stages = nn.Conv2d(3, 8, 3), nn.ModuleList([self.Block(), self.Block()])
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for stage in self.stages:
            h = stage(h)
        return self.fc(h.mean((2, 3)))


class Transformer(nn.Module):
    """Torch's encoder on the embeddings of tokens, pooled over those that count."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        kind = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(kind, 2, enable_nested_tensor=False)
        self.batch_first, self.head = batch_first, nn.Linear(8, 1)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        h = self.embed(ids)
        out = attention_mask == 0
        h = self.encoder(h if self.batch_first else h.transpose(0, 1), src_key_padding_mask=out)
        h = h if self.batch_first else h.transpose(0, 1)
        weight = attention_mask[:, :, None].to(h)
        return self.head((h * weight).sum(1) / weight.sum(1))


class Recurrent(nn.Module):
    """A recurrent net that reads its last hidden state, or its outputs."""

    def __init__(self, kind: type[nn.RNNBase], *, last: bool, batch_first: bool = True) -> None:
        super().__init__()
        self.rnn, self.last, self.head = kind(5, 6, batch_first=batch_first), last, nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        out, state = self.rnn(x if self.rnn.batch_first else x.transpose(0, 1))
        hidden = state[0] if isinstance(state, tuple) else state
        return self.head(hidden[-1] if self.last else out.mean(1 if self.rnn.batch_first else 0))


class Shared(nn.Module):
    """One activation module that is called after both layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu, self.head = nn.Linear(5, 6), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.two(self.relu(self.one(x)))))


@dataclass
class Output:
    hidden: Tensor
    count: int


class Parts(nn.Module):
    """A layer that returns a dataclass, a dict or a tuple."""

    class Layer(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.kind, self.linear = kind, nn.Linear(5, 6)

        def forward(self, x: Tensor) -> object:
            h = self.linear(x)
            return {"dataclass": Output(h, 3), "dict": {"ids": x.long(), "h": h}, "tuple": (x.long(), (h, 1))}[
                self.kind
            ]

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.head = self.Layer(kind), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        return self.head(out.hidden if isinstance(out, Output) else out["h"] if isinstance(out, dict) else out[1][0])


def pictures() -> dict[str, Array]:
    return {"x": np.random.default_rng(0).normal(size=(ROWS, 3, 8, 9)).astype(np.float32)}


def sequences() -> dict[str, Array]:
    return {"x": np.random.default_rng(0).normal(size=(ROWS, 7, 5)).astype(np.float32)}


def table() -> dict[str, Array]:
    return {"x": np.random.default_rng(0).normal(size=(ROWS, 5)).astype(np.float32)}


def tokens() -> dict[str, NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    length = rng.integers(2, 8, ROWS)
    return {"ids": rng.integers(0, 20, (ROWS, 7)), "attention_mask": (np.arange(7) < length[:, None]).astype(np.int64)}


def made(kind: str) -> tuple[nn.Module, dict[str, NDArray]]:
    """A network of random weights and rows for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inputs = pictures()
        if kind == "resnet":
            net: nn.Module = ResNet()
        elif kind == "convnext":
            net = ConvNeXt()
        elif kind == "conv1d":
            net = nn.Sequential(nn.Conv1d(7, 9, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(9, 1))
            inputs = sequences()
        elif kind.startswith("transformer"):
            net, inputs = Transformer(batch_first=kind.endswith("first")), tokens()
        elif kind == "shared":
            net, inputs = Shared(), table()
        elif kind in ("dataclass", "dict", "tuple"):
            net, inputs = Parts(kind), table()
        else:
            rnn = {"lstm": nn.LSTM, "gru": nn.GRU}[kind.split()[0]]
            net = Recurrent(rnn, last="last" in kind, batch_first="tokens" not in kind)
            inputs = sequences()
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    return net, inputs


EXPECTED = {
    "resnet": [("blocks.0", 8, 72), ("blocks.1", 8, 72)],
    "convnext": [("stages.0", 8, 42), ("stages.1", 8, 42)],
    "conv1d": [("1", 9, 3)],
    "transformer, batch first": [("encoder.layers.0", 8, 7), ("encoder.layers.1", 8, 7)],
    "transformer, tokens": [("encoder.layers.0", 8, 7), ("encoder.layers.1", 8, 7)],
    "lstm": [("rnn[0]", 6, 7)],
    "lstm tokens": [("rnn[0]", 6, 7)],
    "lstm last": [("rnn[1][0]", 6, 1)],
    "gru last": [("rnn[1]", 6, 1)],
    "shared": [("relu#1", 6, 1), ("relu#2", 7, 1)],
    "dataclass": [("layer.linear", 6, 1)],
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_layers_that_are_looked_at_and_their_units(kind: str) -> None:
    net, inputs = made(kind)
    found = TorchNetwork(net).survey(inputs)
    assert [(layer.name, layer.units, layer.positions) for layer in found] == EXPECTED[kind]


def raw(net: nn.Module, inputs: dict[str, NDArray], name: str) -> Tensor:
    """What a hook of our own sees at a place."""
    place, seen = Place.parse(name), []
    handle = net.get_submodule(place.module).register_forward_hook(lambda _m, _i, output: seen.append(output))
    with torch.no_grad():
        net.eval()(*[torch.tensor(values) for values in inputs.values()])
    handle.remove()
    output = seen[(place.call or 1) - 1]
    for key in place.path:
        output = output[key] if isinstance(key, int) or isinstance(output, dict) else getattr(output, key)
    return output.clone()


def by_hand(kind: str, output: Tensor, inputs: dict[str, NDArray]) -> NDArray:
    """The mean over positions, each architecture in its own words."""
    if kind in ("resnet", "convnext"):
        return output.mean((2, 3)).numpy()
    if kind == "conv1d":
        return output.mean(2).numpy()
    if kind.startswith("transformer"):
        h = output if kind.endswith("first") else output.transpose(0, 1)
        return np.stack([row[mask == 1].mean(0) for row, mask in zip(h.numpy(), inputs["attention_mask"], strict=True)])
    if "last" in kind:
        return output[0].numpy()
    if kind.startswith("lstm"):
        return output.mean(0 if "tokens" in kind else 1).numpy()
    return output.numpy()


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_tap_is_the_mean_over_positions_and_changes_no_score(kind: str) -> None:
    net, inputs = made(kind)
    network = TorchNetwork(net)
    plain = network.forward(inputs)
    names = [name for name, _, _ in EXPECTED[kind]]
    with network.tap(names) as seen:
        assert (network.forward(inputs) == plain).all()
    for name, units, _ in EXPECTED[kind]:
        assert seen[name].shape == (ROWS, units) and seen[name].dtype == np.float32
        np.testing.assert_allclose(seen[name], by_hand(kind, raw(net, inputs, name), inputs), atol=1e-5)


@pytest.mark.parametrize("kind", EXPECTED)
def test_an_edit_moves_the_mean_by_what_it_says_and_none_changes_no_bit(kind: str) -> None:
    net, inputs = made(kind)
    network = TorchNetwork(net)
    plain = network.forward(inputs)
    for name, units, _ in EXPECTED[kind]:
        with network.edit(name, lambda h: h):
            assert (network.forward(inputs) == plain).all()
        step = np.random.default_rng(1).normal(size=(ROWS, units)).astype(np.float32)
        with network.tap([name]) as before:
            network.forward(inputs)
        with network.edit(name, lambda h, step=step: h + step), network.tap([name]) as after:
            moved = network.forward(inputs)
        np.testing.assert_allclose(after[name], before[name] + step, atol=1e-5)
        assert (moved != plain).all(), "every row is moved"
    assert (network.forward(inputs) == plain).all()


def test_an_edit_of_the_last_block_is_that_of_the_pooled_features() -> None:
    net, inputs = made("resnet")
    network = TorchNetwork(net)
    step = np.arange(8, dtype=np.float32) / 8
    plain = network.forward(inputs)
    with network.edit("blocks.1", lambda h: h + step):
        moved = network.forward(inputs)
    np.testing.assert_allclose(moved - plain, float(net.fc.weight.detach()[0] @ torch.tensor(step)), atol=1e-5)


def test_tokens_that_do_not_count_are_neither_seen_nor_moved() -> None:
    net, inputs = made("transformer, batch first")
    network, name = TorchNetwork(net), "encoder.layers.0"
    other = inputs | {"ids": np.where(inputs["attention_mask"] == 1, inputs["ids"], 19)}
    with network.tap([name]) as seen:
        one = network.forward(inputs)
        first = seen[name]
        two = network.forward(other)
    np.testing.assert_allclose(seen[name], first, atol=1e-6)
    np.testing.assert_allclose(one, two, atol=1e-6)
    kept: list[Tensor] = []
    layer = net.get_submodule("encoder.layers.1")
    handle = layer.register_forward_pre_hook(lambda _module, given: kept.append(given[0].clone()))
    network.forward(inputs)
    with network.edit(name, lambda h: h + np.float32(1)):
        network.forward(inputs)
    handle.remove()
    moved = (kept[-1] - kept[-2]).abs().amax(-1).numpy()
    assert (np.round(moved, 5) == inputs["attention_mask"]).all()


class Padded(nn.Module):
    """Attention that leaves out what is padding; added to its scores as a number, a mask would say something else."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.relu, self.head = nn.MultiheadAttention(5, 1, batch_first=True), nn.ReLU(), nn.Linear(5, 1)

    def forward(self, x: Tensor, pad: Tensor) -> Tensor:
        h, _ = self.attention(x, x, x, key_padding_mask=pad)
        return self.head(self.relu(h)[:, 0])


def test_a_mask_of_truth_values_reaches_the_network_as_one() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Padded().eval()
    given = {"x": 5 * sequences()["x"], "pad": np.arange(7) > np.arange(ROWS)[:, None] % 5}
    data = Dataset(given, np.arange(ROWS) % 2, np.arange(ROWS) % 2)
    masks = given["pad"], np.float32(given["pad"])
    with torch.no_grad():
        wanted, as_numbers = (net(torch.tensor(given["x"]), torch.tensor(pad))[:, 0].numpy() for pad in masks)
    assert np.abs(as_numbers - wanted).max() > 0.1
    np.testing.assert_allclose(TorchNetwork(net).forward(data.inputs), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("dataclass", "layer[hidden]"), ("dict", "layer[h]"), ("tuple", "layer[1][0]"), ("tuple", "layer")],
)
def test_parts_of_an_output_are_seen_and_edited(kind: str, name: str) -> None:
    net, inputs = made(kind)
    network = TorchNetwork(net, layers=[name])
    assert [layer.units for layer in network.survey(inputs)] == [6]
    plain = network.forward(inputs)
    with network.edit(name, lambda h: 0 * h):
        silent = network.forward(inputs)
    assert np.ptp(silent) == 0 and np.ptp(plain) > 0
    with (
        pytest.raises(InputError, match=r"layer 'layer\[5\]' returns .*, with floats at \["),
        network.tap(["layer[5]"]),
    ):
        network.forward(inputs)


def test_calls_of_a_module_are_kept_apart() -> None:
    net, inputs = made("shared")
    network = TorchNetwork(net)
    with pytest.raises(InputError, match=r"called more than once a pass.*'relu#1'"), network.tap(["relu"]):
        network.forward(inputs)
    with (
        pytest.raises(InputError, match="'relu' is called 2 times in a pass; there is no 'relu#3'"),
        network.tap(["relu#3"]),
    ):
        network.forward(inputs)
    with network.edit("relu#1", lambda h: 0 * h), network.tap(["relu#1", "relu#2"]) as seen:
        network.forward(inputs)
    assert (seen["relu#1"] == 0).all()
    with torch.no_grad():
        np.testing.assert_allclose(seen["relu#2"], net.two.bias.clamp(min=0).numpy()[None].repeat(ROWS, 0), atol=1e-6)


class Idle(nn.Module):
    """An activation that nothing reads, one that is never called, and one that matters."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.aside, self.never, self.relu, self.head = (
            nn.Linear(5, 6), nn.Tanh(), nn.GELU(), nn.ReLU(), nn.Linear(6, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x)
        self.aside(h)
        return self.head(self.relu(h))


def test_layers_that_reach_no_output_are_left_out_by_default() -> None:
    network = TorchNetwork(Idle())
    assert network.layers() == ("aside", "never", "relu")
    assert [layer.name for layer in network.survey(table())] == ["relu"]
    assert [layer.name for layer in network.survey(table(), ["aside"])] == ["aside"]
    with pytest.raises(InputError, match="layer 'never' is called never in a pass"):
        network.survey(table(), ["never"])


class Functional(nn.Module):
    """Activations that are functions, and parts that were registered in another order than they are called in."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.out = nn.Linear(6, 1)
        if kind == "convolutions":
            self.second, self.first = nn.Conv1d(9, 8, 2), nn.Conv1d(7, 9, 3)
            self.between = nn.Linear(8, 6)
        elif kind == "cell":
            self.cell = nn.LSTMCell(5, 6)
        else:
            self.second, self.first = nn.Linear(7, 6), nn.Linear(5, 7)
            self.aside = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> object:
        if self.kind == "convolutions":
            h = functional.relu(self.second(functional.relu(self.first(x)))).mean(-1)
            return self.out(functional.relu(self.between(h)))
        if self.kind == "cell":
            state = None
            for step in x.unbind(1)[:2]:
                state = self.cell(step, state)
            return self.out(state[0])[:, 0]
        h = functional.relu(self.second(functional.relu(self.first(x))))
        logits = self.out(h)
        if self.kind == "aside":  # what is called after the head, and returned beside the logits
            return {"aside": self.aside(h), "logits": logits.squeeze(-1)}
        return torch.sigmoid(logits) if self.kind == "sigmoid" else logits


FUNCTIONAL = {
    "linear": ["first", "second"],
    "aside": ["first", "second"],
    "sigmoid": ["first", "second"],
    "convolutions": ["first", "second", "between"],
    "cell": ["cell#1[0]", "cell#2[0]"],
}


@pytest.mark.parametrize("kind", FUNCTIONAL)
def test_of_a_network_in_functional_style_all_but_the_head_is_looked_at_in_the_order_of_calls(kind: str) -> None:
    net, inputs = Functional(kind), sequences() if kind in ("convolutions", "cell") else table()
    assert [layer.name for layer in TorchNetwork(net).survey(inputs)] == FUNCTIONAL[kind]
    if kind == "linear":
        exported = torch.export.export(net, (torch.tensor(inputs["x"]),), dynamic_shapes=({0: torch.export.Dim("n")},))
        assert [layer.name for layer in TorchNetwork(exported).survey(inputs)] == FUNCTIONAL[kind]


class HeadFirst(nn.Module):
    """Two blocks, and a head that was registered before them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 1)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(5, 5), nn.ReLU()) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def test_the_last_block_is_looked_at_whatever_was_registered_after_the_head() -> None:
    assert [layer.name for layer in TorchNetwork(HeadFirst()).survey(table())] == ["blocks.0", "blocks.1"]


def test_looking_into_a_network_does_not_move_what_its_weights_are_made_of() -> None:
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 6)), nn.ReLU(), nn.Linear(6, 1))
    before = copy.deepcopy(net.state_dict())
    TorchNetwork(net).survey(table())
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())
    assert net[0].weight is not None and not torch.equal(net.state_dict()[SPECTRAL], before[SPECTRAL])


class Named(nn.Module):
    """Two inputs of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu, self.head = nn.Linear(5, 6), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1)

    def forward(self, num: Tensor, cat: Tensor, scale: float = 1.0) -> Tensor:
        return self.head(self.relu(scale * self.one(num) + self.two(cat)))


class NamedOnly(Named):
    def forward(self, *, num: Tensor, cat: Tensor) -> Tensor:
        return super().forward(num, cat)


class OfBatch(Named):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return super().forward(**batch)


@pytest.mark.parametrize(
    "wrapped", [lambda net: net, TwoHeadNet, nn.DataParallel, partial(torch.compile, backend="eager")]
)
@pytest.mark.parametrize("kind", [Named, NamedOnly])
def test_inputs_go_to_the_parameters_that_are_named_like_them(kind: type[Named], wrapped: Callable) -> None:
    net, (num, cat) = kind().eval(), torch.randn(2, ROWS, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, swapped = net(num=num, cat=cat), net(num=cat, cat=num)
        assert not torch.allclose(wanted, swapped)
        for given in ({"num": num, "cat": cat}, {"cat": cat, "num": num}):
            assert torch.allclose(called(wrapped(net), given)[:, :1], wanted, atol=1e-6)
        if kind is Named:
            in_order = called(wrapped(net), {"cat": cat, "other": num})[:, :1]
            assert torch.allclose(in_order, swapped, atol=1e-6)


def test_the_score_does_not_hang_on_the_order_of_named_inputs() -> None:
    num, cat = table()["x"], table()["x"] ** 2
    network = TorchNetwork(Named())
    scores = [network.forward(given) for given in ({"num": num, "cat": cat}, {"cat": cat, "num": num})]
    assert np.array_equal(*scores) and np.ptp(scores[0]) > 0
    data = Dataset({"cat": cat, "num": num}, np.arange(ROWS) % 2, np.arange(ROWS) % 2)
    assert np.array_equal(outputs_on(network.module, data.rows())[:, 0], scores[0].astype(np.float32))


def test_inputs_that_a_network_does_not_take_are_named_beside_those_that_it_takes() -> None:
    given = dict.fromkeys(("num", "cat"), table()["x"])
    wrap = r"wrap the network in a module whose forward\(num, cat\) calls it"
    with pytest.raises(InputError, match=rf"forward takes \(batch\), but .* are \(num, cat\).*{wrap}"):
        TorchNetwork(OfBatch()).forward(given)
    with pytest.raises(InputError, match=r"forward takes \(num, cat\), but .* are \(num, dog\)"):
        TorchNetwork(NamedOnly()).forward({"num": given["num"], "dog": given["num"]})
    with pytest.raises(InputError, match=r"forward takes \(num, cat, scale\), but .* are \(num\)"):
        TorchNetwork(Named()).forward({"num": given["num"]})


def test_inputs_without_names_are_refused() -> None:
    network, x = TorchNetwork(MLP(5)), table()["x"]
    data = Dataset(x, np.arange(ROWS) % 2, np.arange(ROWS) % 2)
    for use in (network.forward, network.survey, lambda inputs: network.gradient(inputs, "backbone.1")):
        with pytest.raises(InputError, match=r"`inputs` must be a mapping .*, got ndarray; write \{'x': X\}"):
            use(x)
        with pytest.raises(InputError, match="got Dataset; pass its `inputs`"):
            use(data)
        use(data.inputs)


def test_of_several_classes_the_favourable_one_is_scored_against_the_largest_other() -> None:
    net = MLP(5, hidden=(6,), outputs=3)
    with torch.no_grad():
        logits = net(torch.tensor(table()["x"])).double().numpy()
    for favourable in range(3):
        score = TorchNetwork(net, favourable=favourable).forward(table())
        np.testing.assert_allclose(score, logits[:, favourable] - np.delete(logits, favourable, 1).max(1), atol=1e-6)
        assert ((score > 0) == (logits.argmax(1) == favourable)).all()
    with pytest.raises(
        InputError, match=r"returns 3 logits a row; say which class is favourable \(`favourable`, 0 to 2"
    ):
        TorchNetwork(net).forward(table())
    with pytest.raises(ConfigError, match="`favourable` must be a class from 0 to 2, got 3"):
        TorchNetwork(net, favourable=3).forward(table())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_weights_of_other_types_are_seen_and_edited(dtype: torch.dtype) -> None:
    net = MLP(5, hidden=(6,)).to(dtype)
    network = TorchNetwork(net)
    plain = network.forward(table())
    with network.tap(["backbone.1"]) as seen, network.edit("backbone.1", lambda h: h):
        assert (network.forward(table()) == plain).all()
    assert seen["backbone.1"].dtype == (np.float64 if dtype == torch.float64 else np.float32)
    with network.edit("backbone.1", lambda h: 0 * h):
        np.testing.assert_allclose(network.forward(table()), float(net.head.bias.detach()), rtol=1e-2)


def test_the_axis_of_the_units_can_be_said() -> None:
    net, inputs = made("conv1d")
    assert TorchNetwork(net, unit_axes={"1": 2}).survey(inputs) == (Layer("1", 3, (9, 3), 0, 2),)
    with pytest.raises(ConfigError, match="axis 0 of layer '1' is that of the rows"):
        TorchNetwork(net, unit_axes={"1": 0}).survey(inputs, ["1"])


class Folded(nn.Module):
    """Rows and positions in one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.head = nn.Linear(5, 6), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.linear(x.reshape(-1, 5)).reshape(len(x), -1, 6).mean(1))


def test_rows_that_cannot_be_told_are_refused() -> None:
    network = TorchNetwork(Folded())
    with pytest.raises(InputError, match=r"layer 'linear' must give \(rows, units\).*got \(21, 6\) for 3 rows"):
        network.survey(sequences(), ["linear"])
    with pytest.raises(InputError, match="layer 'linear' must give"), network.edit("linear", lambda h: h):
        network.forward(sequences())


@pytest.mark.parametrize(
    ("close", "message"),
    [
        (torch.compile, "a compiled module does not show its layers"),
        (nn.DataParallel, "a DataParallel runs copies of the network"),
        (lambda net: torch.jit.trace(net, torch.zeros(2, 5)), "a TorchScript module cannot be looked into"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_modules_that_cannot_be_looked_into_are_refused(close, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TorchNetwork(close(MLP(5, hidden=(6,))))


@pytest.mark.parametrize("name", ["relu#0", "relu##1", "layer[", "layer[]", "layer]0["])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a layer must be named like"):
        Place.parse(name)
    with pytest.raises(ConfigError):
        TorchNetwork(Shared(), layers=[name])


def test_names_come_back() -> None:
    for name in ("a.b", "a#2", "a[0]", "a.0#3[1][hidden]"):
        assert str(Place.parse(name)) == name
    with pytest.raises(LayerNotFoundError, match="no layer 'lstm'"):
        TorchNetwork(Shared(), layers=["lstm#2[0]"])
