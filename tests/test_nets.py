"""Networks are made from a seed alone, and a two-headed one is the single one with a second output."""

import copy

import pytest
import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError
from fairheads.nets import MLP, TwoHeadNet


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.usefixtures("random_state_is_left_alone")
def test_the_seed_alone_makes_the_weights_and_the_global_random_state_stays() -> None:
    net = MLP(4, hidden=(8, 8), seed=3)
    two = TwoHeadNet(net, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        state = torch.get_rng_state()
        assert same_weights(net, MLP(4, hidden=(8, 8), seed=3)) and same_weights(two, TwoHeadNet(net, seed=1))
        assert torch.equal(torch.get_rng_state(), state)
        assert not same_weights(net, MLP(4, hidden=(8, 8), seed=4))
        assert not same_weights(two, TwoHeadNet(net, seed=2))


@pytest.mark.parametrize(("activation", "function"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_an_mlp_is_linear_layers_with_activations_and_a_linear_head(activation, function) -> None:
    net = MLP(3, hidden=(5, 4), activation=activation, outputs=2)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    first, second = net.backbone[0], net.backbone[2]
    by_hand = function(function(x @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    torch.testing.assert_close(net(x), by_hand @ net.head.weight.T + net.head.bias)
    assert net.config == {"in_features": 3, "hidden": [5, 4], "activation": activation, "outputs": 2}
    assert same_weights(net, MLP(**net.config)), "the config makes the same network again"


@pytest.mark.parametrize(
    "setting",
    [{"activation": "sine"}, {"hidden": ()}, {"hidden": (4, 0)}, {"outputs": 0}, {"in_features": 0}],
)
def test_an_mlp_refuses_settings_that_make_no_network(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        MLP(**({"in_features": 3, "hidden": (4,)} | setting))


class Custom(nn.Module):
    """A user's network: other parts beside backbone and head, and a head that may have no bias."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.backbone = nn.Sequential(self.norm, nn.Linear(3, 4), nn.ReLU())
        self.head = nn.Linear(4, 1, bias=bias)
        self.register_buffer("marker", torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


@pytest.mark.parametrize("net", [MLP(3, hidden=(8,)), Custom(), Custom(bias=False), MLP(3, hidden=(8,)).double()])
def test_before_training_the_task_output_is_the_single_networks(net: nn.Module) -> None:
    net = net.eval()
    dtype = next(net.parameters()).dtype
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    two = TwoHeadNet(net).eval()
    assert two(x).shape == (20, 2) and two(x).dtype == dtype
    torch.testing.assert_close(two(x)[:, :1], net(x), rtol=1e-6, atol=1e-6)
    assert (two(x)[:, 1] - two(x)[:, 0]).abs().max() > 1e-3, "the group head is another one"


def test_the_two_headed_network_owns_copies_and_has_no_weights_beside_backbone_and_head() -> None:
    net = Custom()
    before = copy.deepcopy(net.state_dict())
    two = TwoHeadNet(net)
    assert {name.split(".")[0] for name, _ in two.named_parameters()} == {"backbone", "head"}
    with torch.no_grad():
        for parameter in two.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_a_single_network_of_the_original_class_keeps_keys_and_shapes_and_the_trained_backbone() -> None:
    net = Custom().eval()
    two = TwoHeadNet(net).eval()
    with torch.no_grad():
        two.backbone[1].weight.mul_(2.0)
    head = nn.Linear(4, 1)
    single = two.single(head)
    assert type(single) is Custom
    assert {k: v.shape for k, v in single.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(single(x), head(two.backbone(x)))
    assert (single(x) - head(net.backbone(x))).abs().max() > 1e-3
    with torch.no_grad():
        single.head.weight.zero_(), single.backbone[1].weight.zero_()
    assert two.backbone[1].weight.abs().sum() > 0 and head.weight.abs().sum() > 0, "the single network owns its weights"


@pytest.mark.parametrize("net", [nn.Linear(3, 1), MLP(3, outputs=2), nn.Sequential(nn.Linear(3, 1))])
def test_a_network_without_backbone_and_single_head_gets_no_second(net: nn.Module) -> None:
    with pytest.raises(ConfigError, match="`net` must have a `backbone` and a `head`"):
        TwoHeadNet(net)
