"""Gradients of the score by a layer, in networks of every kind; exported graphs are looked into like modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fairheads.activations import TorchNetwork
from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.nets import MLP

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(30, 4)).astype(np.float32)
IMAGES = {"image": RNG.normal(size=(9, 2, 6, 5)).astype(np.float32)}
TOKENS = {
    "tokens": RNG.integers(0, 11, (9, 7)),
    "attention_mask": (np.arange(7) < RNG.integers(2, 8, (9, 1))).astype(int),
}
STEPS = {"x": RNG.normal(size=(9, 7, 3)).astype(np.float32)}


class Block(nn.Module):
    """A residual block, depthwise and pointwise, with batch norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise, self.norm = nn.Conv2d(width, width, 1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.pointwise(self.depthwise(x))))


class SmallResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(2, 4, 3, padding=1), nn.Sequential(Block(4), Block(4), Block(4))
        self.head = nn.Linear(4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))


class Encoder(nn.Module):
    """torch.nn.TransformerEncoder with padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 1)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        h = self.encoder(self.embed(tokens), src_key_padding_mask=attention_mask == 0)
        weight = attention_mask[..., None].to(h)
        return self.head((h * weight).sum(1) / weight.sum(1))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], batch_first: bool) -> None:
        super().__init__()
        self.cell, self.head, self.batch_first = kind(3, 5, batch_first=batch_first), nn.Linear(5, 1), batch_first

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.cell(x if self.batch_first else x.transpose(0, 1))
        return self.head((last[0] if isinstance(last, tuple) else last)[0])


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.act, self.head = nn.Linear(4, 6), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.second(self.act(self.first(x)))))


@dataclass
class Answer:
    hidden: Tensor
    count: int


class Named(NamedTuple):
    count: int
    hidden: Tensor


class Parts(nn.Module):
    """A body that wraps its activations in something else."""

    def __init__(self, wrap: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.wrap = wrap
        self.linear = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> object:
        return self.wrap(self.linear(x).relu())


class WithParts(nn.Module):
    def __init__(self, wrap: Callable[[Tensor], Any], unwrap: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.body, self.unwrap, self.head = Parts(wrap), unwrap, nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.unwrap(self.body(x)))


WRAPPED: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor], str]] = {
    "tuple": (lambda h: (len(h), h), lambda out: out[1], "body[1]"),
    "dict": (lambda h: {"ids": 3, "hidden": h}, lambda out: out["hidden"], "body[hidden]"),
    "dataclass": (lambda h: Answer(h, 2), lambda out: out.hidden, "body[hidden]"),
    "named tuple": (lambda h: Named(2, h), lambda out: out.hidden, "body[1]"),
    "nested": (lambda h: ({"deep": [h]},), lambda out: out[0]["deep"][0], "body[0][deep][0]"),
}

NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, np.ndarray], tuple[str, ...]]] = {
    "residual": (SmallResNet, IMAGES, ("blocks.0", "blocks.1", "blocks.2")),
    "encoder": (Encoder, TOKENS, ("encoder.layers.0", "encoder.layers.1")),
    "gru": (lambda: Recurrent(nn.GRU, True), STEPS, ("cell[1]",)),
    "lstm, time first": (lambda: Recurrent(nn.LSTM, False), STEPS, ("cell[1][0]",)),
    "shared activation": (Shared, {"x": ROWS}, ("act#1", "act#2")),
    **{
        kind: (lambda wrap=wrap, unwrap=unwrap: WithParts(wrap, unwrap), {"x": ROWS}, (name,))
        for kind, (wrap, unwrap, name) in WRAPPED.items()
    },
}


def built(kind: str) -> tuple[TorchNetwork, dict[str, np.ndarray], tuple[str, ...]]:
    make, inputs, names = NETWORKS[kind]
    given = names if kind in WRAPPED else None
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TorchNetwork(make().double(), layers=given), inputs, names


@pytest.mark.parametrize("kind", NETWORKS)
def test_gradients_are_those_of_small_edits(kind: str) -> None:
    network, inputs, names = built(kind)
    for name in names:
        with network.tap([name]) as seen:
            plain = network.forward(inputs)
        shift = 0.3 * np.random.default_rng(1).normal(size=seen[name].shape)
        score, gradient = network.gradient(inputs, name)
        np.testing.assert_array_equal(score, plain)
        moved, there = network.gradient(inputs, name, shift)
        with network.edit(name, lambda h, shift=shift: h + shift):
            np.testing.assert_allclose(moved, network.forward(inputs), atol=1e-12)
        for unit in range(shift.shape[1]):
            step = 1e-5 * (np.arange(shift.shape[1]) == unit)
            for at, slope in ((np.zeros_like(shift), gradient), (shift, there)):
                with network.edit(name, lambda h, by=at + step: h + by):
                    up = network.forward(inputs)
                with network.edit(name, lambda h, by=at - step: h + by):
                    down = network.forward(inputs)
                numeric = (up - down) / 2e-5
                close = np.isclose(slope[:, unit], numeric, atol=1e-4)
                assert close.mean() > 0.9  # a ReLU may have its kink within the step


def test_what_cannot_be_looked_into_is_refused_with_the_way_out() -> None:
    net = MLP(4, hidden=(6, 5))
    with pytest.raises(ConfigError, match="pass its `module`"):
        TorchNetwork(nn.DataParallel(net))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own
        compiled = torch.compile(net)
    with pytest.raises(ConfigError, match="pass the module that was compiled"):
        TorchNetwork(compiled)  # type: ignore[arg-type]
    with pytest.raises(LayerNotFoundError):
        TorchNetwork(net, unit_axes={"nowhere": 1})

    class Cut(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    with pytest.raises(ConfigError, match=r"no gradient of the score by layer 'backbone\.1'"):
        TorchNetwork(Cut(4, hidden=(6, 5))).gradient({"x": ROWS}, "backbone.1")
    with pytest.raises(InputError, match=r"must return \(30, 6\)"):
        TorchNetwork(net).gradient({"x": ROWS}, "backbone.1", np.zeros((30, 5), np.float32))


def test_a_gradient_leaves_nothing_behind() -> None:
    net = MLP(4, hidden=(6, 5)).train()
    network = TorchNetwork(net)
    with torch.no_grad():  # whatever the caller does
        network.gradient({"x": ROWS}, "backbone.1")
    assert all(p.grad is None for p in net.parameters()) and net.training and torch.is_grad_enabled()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


def test_a_class_of_several_is_scored_by_its_margin_over_the_others() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    network = TorchNetwork(net, favourable=1)
    with torch.no_grad():
        logits = net(torch.as_tensor(ROWS)).numpy()
    score = network.forward({"x": ROWS})
    np.testing.assert_allclose(score, logits[:, 1] - np.maximum(logits[:, 0], logits[:, 2]), atol=1e-6)
    assert ((score > 0) == (logits.argmax(1) == 1)).all()
    assert network.gradient({"x": ROWS}, "1")[1].shape == (30, 6)
    with pytest.raises(ConfigError, match="class from 0 to 2, got 3"):
        TorchNetwork(net, favourable=3).forward({"x": ROWS})


def exported(net: nn.Module, inputs: dict[str, np.ndarray], **dynamic: Any) -> torch.export.ExportedProgram:
    return torch.export.export(net.eval(), tuple(torch.as_tensor(v) for v in inputs.values()), **dynamic)


@pytest.mark.parametrize("make", [lambda: MLP(4, hidden=(6, 5)), SmallResNet])
def test_an_exported_graph_is_looked_into_like_the_module(make: Callable[[], nn.Module]) -> None:
    net = make()
    inputs = IMAGES if isinstance(net, SmallResNet) else {"x": ROWS}
    program = exported(net, inputs, dynamic_shapes=({0: torch.export.Dim("rows")},))
    module, graph = TorchNetwork(net), TorchNetwork(program)
    layers = module.survey(inputs)
    assert graph.survey(inputs) == layers and layers
    names = [layer.name for layer in layers]
    with module.tap(names) as wanted, graph.tap(names) as seen:
        np.testing.assert_allclose(graph.forward(inputs), module.forward(inputs), atol=1e-6)
    for name in names:
        np.testing.assert_allclose(seen[name], wanted[name], atol=1e-6)
        np.testing.assert_allclose(graph.gradient(inputs, name)[1], module.gradient(inputs, name)[1], atol=1e-6)


def test_an_export_that_cannot_be_used_says_why() -> None:
    net = MLP(4, hidden=(6, 5))
    fixed = exported(net, {"x": ROWS})
    with pytest.raises(ConfigError, match="pass the ExportedProgram itself"):
        TorchNetwork(fixed.module())


@pytest.mark.slow
def test_a_hugging_face_classifier_built_from_a_config_is_looked_into() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=11,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        num_labels=2,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    net = transformers.BertForSequenceClassification(config).double()
    inputs = {"input_ids": TOKENS["tokens"], "attention_mask": TOKENS["attention_mask"]}
    network = TorchNetwork(net, favourable=1)
    layers = network.survey(inputs)
    assert [layer.name for layer in layers] == ["bert.encoder.layer.0", "bert.encoder.layer.1"]
    assert {layer.units for layer in layers} == {16}
    name = layers[0].name
    plain = network.forward(inputs)
    with network.edit(name, lambda h: h):
        assert (network.forward(inputs) == plain).all()
    _, gradient = network.gradient(inputs, name)
    step = np.zeros(16)
    step[3] = 1e-5
    with network.edit(name, lambda h: h + step):
        numeric = (network.forward(inputs) - plain) / 1e-5
    np.testing.assert_allclose(gradient[:, 3], numeric, rtol=1e-3, atol=1e-7)
