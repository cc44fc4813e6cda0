"""What an audit looks at in a graph is what it looks at in the torch network that the graph was made of."""

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.activations import OnnxNetwork, Outcome, TorchNetwork
from fairheads.nets import ResNet, Transformer

pytest.importorskip("onnx", reason="needs the extra `integrations`")
pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")

from onnx_for_tests import FLOAT, exported, node, small

X = {"x": np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)}


class Encoder(nn.Module):
    def __init__(self, *, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=norm_first)
        self.layers, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).mean(1))


def same_layers(net: nn.Module, inputs: dict[str, torch.Tensor], opset: int) -> None:
    """Fails unless all default layers have the same values in both."""
    network, theirs = OnnxNetwork(exported(net, inputs, opset=opset)), TorchNetwork(net)
    given = {name: values.numpy() for name, values in inputs.items()}
    here, there = network.survey(given), theirs.survey(given)
    assert len(here) == len(there) > 0
    with network.tap([x.name for x in here]) as seen, theirs.tap([x.name for x in there]) as wanted:
        network.forward(given)
        theirs.forward(given)
    for ours, other in zip(here, there, strict=True):
        np.testing.assert_allclose(seen[ours.name], wanted[other.name], atol=1e-5)


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize(
    "active",
    [
        nn.ReLU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Tanh(), nn.Hardswish(), nn.ReLU6(), nn.ELU(),
        nn.PReLU(), nn.Softplus(), nn.LeakyReLU(), nn.SELU(),
    ],
    ids=lambda active: f"{type(active).__name__}{getattr(active, 'approximate', '')}",
)  # fmt: skip
def test_activation_functions(active: nn.Module, opset: int) -> None:
    net = nn.Sequential(nn.Linear(4, 6), active, nn.Linear(6, 5), active, nn.Linear(5, 1))
    once = nn.Sequential(nn.Linear(4, 6), active, nn.Linear(6, 1))
    same_layers(once, {"x": torch.as_tensor(X["x"])}, opset)
    assert len(OnnxNetwork(exported(net, {"x": torch.as_tensor(X["x"])}, opset=opset)).layers()) == 2


@pytest.mark.parametrize("opset", [16, 20])
def test_blocks(opset: int) -> None:
    tokens, mask = torch.randint(0, 20, (9, 6)), (torch.arange(6) < torch.randint(1, 7, (9, 1))).long()
    same_layers(ResNet(3, widths=(4, 8), depth=2), {"x": torch.randn(9, 3, 8, 8)}, opset)
    same_layers(Transformer(20, width=8, depth=2), {"tokens": tokens}, opset)
    same_layers(Transformer(20, width=8, depth=2), {"tokens": tokens, "attention_mask": mask}, opset)
    same_layers(Encoder(norm_first=True), {"x": torch.randn(9, 5, 8)}, opset)
    if opset >= 17:  # before, a norm is nine nodes
        same_layers(Encoder(norm_first=False), {"x": torch.randn(9, 5, 8)}, opset)


def test_layers_with_weights_where_nothing_else_is() -> None:
    sigmoids = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 1))
    same_layers(sigmoids, {"x": torch.as_tensor(X["x"])}, 20)
    assert OnnxNetwork(exported(nn.Linear(4, 1), {"x": torch.zeros(2, 4)})).layers() == ()


def test_gates_of_other_things_are_no_activation_functions() -> None:
    """Squeeze and excitation, and a gated linear unit, weigh a tensor by another."""

    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wave, self.relu, self.small, self.head = (
                nn.Conv2d(3, 4, 3),
                nn.ReLU(),
                nn.Linear(4, 4),
                nn.Linear(4, 1),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.relu(self.wave(x))
            return self.head((h * self.small(h.mean((2, 3))).sigmoid()[:, :, None, None]).mean((2, 3)))

    same_layers(Squeezed(), {"x": torch.randn(9, 3, 8, 8)}, 20)
    gated = small(node("Sigmoid", "h", "g"), node("Mul", "g r", "m"), node("MatMul", "m B", "y"))
    assert OnnxNetwork(gated.SerializeToString()).layers() == ("r",)
    silu = small(node("Sigmoid", "h", "g"), node("Mul", "g h", "m"), node("MatMul", "m B", "y"))
    assert OnnxNetwork(silu.SerializeToString()).layers() == ("m",)


def test_what_leads_nowhere_is_no_layer() -> None:
    model = small(node("Tanh", "h", "side"), node("Identity", "z", "y"))
    assert OnnxNetwork(model.SerializeToString()).layers() == ("r",)
    last = small(node("Relu", "z", "y"))
    assert OnnxNetwork(last.SerializeToString()).layers() == ("r",)


def test_the_score_is_no_layer_though_an_activation_function_gives_it() -> None:
    model = small(node("Softplus", "z", "y"), outputs={"y": (FLOAT, ["N", 1])})
    network = OnnxNetwork(model.SerializeToString(), outcome=Outcome("regression", None, 1.0))
    assert network.layers() == ("r",) and network.forward(X).min() > -1
