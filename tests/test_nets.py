"""Networks are made from a seed alone, and a two-headed one is the single one with a wider last layer."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.nets import MLP, TwoHeadNet, TwoHeads


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


def test_the_two_headed_network_owns_copies_and_has_no_weights_beside_the_networks() -> None:
    net = Custom()
    before = copy.deepcopy(net.state_dict())
    two = TwoHeadNet(net)
    assert [name for name, _ in two.named_parameters()] == [f"net.{name}" for name, _ in net.named_parameters()]
    assert two.layer == "head" and two.backbone is two.net.backbone and two.head is two.net.head is two.joined
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
    x = some_rows(5, 3)
    torch.testing.assert_close(single(x), head(two.backbone(x)))
    assert (single(x) - head(net.backbone(x))).abs().max() > 1e-3
    with torch.no_grad():
        single.head.weight.zero_(), single.backbone[1].weight.zero_()
    assert two.backbone[1].weight.abs().sum() > 0 and head.weight.abs().sum() > 0, "the single network owns its weights"


def some_rows(n: int, features: int) -> Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(("groups", "outputs"), [(2, 1), (3, 1), (5, 4)])
def test_any_number_of_groups_and_classes_leaves_the_task_as_it_was(dtype, separate, groups, outputs) -> None:
    net = MLP(3, hidden=(8,), outputs=outputs, seed=4).to(dtype)
    two = TwoHeadNet(net, groups, separate=separate, favourable=0, seed=2)
    x = some_rows(20, 3).to(dtype)
    m = 1 if groups == 2 else groups
    assert (two.task_outputs, two.group_outputs, two.favourable, two.separate) == (outputs, m, 0, separate)
    assert two(x).shape == (20, outputs + m) and two(x).dtype == dtype
    torch.testing.assert_close(two(x)[:, :outputs], net(x), rtol=0.02, atol=4 * torch.finfo(dtype).eps)
    assert torch.equal(two.joined.weight[:outputs], net.head.weight)
    other = TwoHeadNet(net, groups, separate=not separate, favourable=0, seed=2)
    assert torch.equal(two.joined.weight, other.joined.weight), "apart or together, the weights are the same"


def test_separate_heads_can_learn_apart() -> None:
    two = TwoHeadNet(MLP(3, hidden=(8,)), 3, separate=True)
    assert isinstance(two.head, TwoHeads)
    two(some_rows(5, 3))[:, 1:].sum().backward()
    assert not two.head.task.weight.grad.any() and two.head.group.weight.grad.any()
    assert [name for name, _ in two.named_parameters()][-4:] == [
        "net.head.task.weight",
        "net.head.task.bias",
        "net.head.group.weight",
        "net.head.group.bias",
    ]


@pytest.mark.parametrize("net", [nn.Linear(3, 1), nn.ReLU(), nn.Sequential(nn.Conv1d(3, 1, 1))])
def test_a_network_without_a_linear_layer_in_it_gets_no_second_head(net: nn.Module) -> None:
    with pytest.raises(ConfigError, match=f"`net` must end in a linear layer, but {type(net).__name__} has none"):
        TwoHeadNet(net)


class HeadFirst(nn.Module):
    """The head is registered before the backbone, so that the last linear layer is not it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_module(name, nn.Linear(4, 1))
        self.name, self.body = name, nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(torch.tanh(self.body(x)))


def test_a_wrong_guess_is_noticed_in_the_first_pass_and_another_layer_can_be_named() -> None:
    x = some_rows(6, 3)
    assert TwoHeadNet(HeadFirst("head"))(x).shape == (6, 2), "a layer called head is the head"
    guessed = TwoHeadNet(HeadFirst("out"))
    assert guessed.layer == "body"
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"not that of its layer 'body'\. Name .*: out \(4 -> 1\), body"):
            guessed(x)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        TwoHeadNet(HeadFirst("head"))(some_rows(6, 2))
    assert TwoHeadNet(HeadFirst("out"), layer="out")(x).shape == (6, 2)


class After(nn.Module):
    """Goes on after the last linear layer."""

    def __init__(self, then) -> None:
        super().__init__()
        self.body, self.out, self.then = nn.Linear(3, 4), nn.Linear(4, 1), then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.out(torch.tanh(self.body(x))))


@pytest.mark.parametrize(
    "then",
    [torch.sigmoid, torch.sigmoid_, lambda z: 2 * z, lambda z: z[:, 0], lambda z: z[:1], lambda z: z.T.contiguous()],
)
def test_a_network_that_goes_on_after_its_last_linear_layer_is_refused(then) -> None:
    two = TwoHeadNet(After(then))
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"not that of its layer 'out'\. Name the final linear layer"):
            two(some_rows(6, 3))
    assert sum(len(part._forward_hooks) for part in two.modules()) == 0
    with pytest.raises(ConfigError, match=r"body \(3 -> 4\), out \(4 -> 2\)\. A network that goes on"):
        two(some_rows(6, 3))


@pytest.mark.parametrize("then", [lambda z: z, lambda z: z.squeeze(-1), torch.flatten, nn.Dropout(0.5).eval()])
def test_a_network_that_only_reshapes_its_logits_has_its_two_heads(then) -> None:
    two = TwoHeadNet(After(then))
    assert two(some_rows(6, 3)).shape == (6, 2) and two(some_rows(7, 3)).shape == (7, 2)
    assert two(some_rows(1, 3)).shape == (1, 2)


def test_a_sequential_that_ends_in_another_layer_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"after its last one, '0.0', comes Sigmoid\(\): leave it out"):
        TwoHeadNet(nn.Sequential(nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()), nn.Dropout()))
    ends = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 1), nn.Dropout(0.0)), nn.Identity())
    assert TwoHeadNet(ends).layer == "1.1"


class Twice(nn.Module):
    """Calls its head once more than once, or never."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.out, self.times = nn.Linear(3, 1), times

    def forward(self, x: Tensor) -> Tensor:
        if self.times == 0:
            return nn.functional.linear(x, self.out.weight)
        return sum(self.out(x) for _ in range(self.times))


@pytest.mark.parametrize(("times", "words"), [(0, "never"), (2, "2 times"), (3, "3 times")])
def test_a_head_that_is_not_called_once_is_refused(times: int, words: str) -> None:
    with pytest.raises(ConfigError, match=f"the layer 'out' is called {words} in a forward pass"):
        TwoHeadNet(Twice(times))(some_rows(4, 3))


class PerToken(nn.Module):
    """A head on every position, of which the network returns what ``then`` makes of them."""

    def __init__(self, then) -> None:
        super().__init__()
        self.score, self.then = nn.Linear(3, 1), then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.score(x))


def test_a_head_on_every_position_of_which_one_is_returned_is_the_head() -> None:
    x = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    at = torch.tensor([0, 4, 2, 2])
    assert TwoHeadNet(PerToken(lambda z: z[torch.arange(4), at]), 3)(x).shape == (4, 4)
    with pytest.raises(ConfigError, match=r"the network must return logits \(n, outputs\), got shape \(4, 5, 2\)"):
        TwoHeadNet(PerToken(lambda z: z))(x)
    for then in (lambda z: z.mean(1), lambda z: z.max(1).values):
        with pytest.raises(ConfigError, match="is not that of its layer 'score'"):
            TwoHeadNet(PerToken(then))(x)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"n_groups": 1}, ConfigError, "`n_groups` must be at least 2, got 1"),
        (
            {"layer": "haed"},
            LayerNotFoundError,
            r"no layer 'haed'. Did you mean 'head'\? Its linear layers are: b",
        ),
        ({"layer": ""}, LayerNotFoundError, "no layer ''"),
        ({"layer": "backbone"}, ConfigError, r"\(torch.nn.Linear\), but 'backbone' is a Sequential"),
        ({"features": 0}, ConfigError, "`features` must be at least 1"),
        ({"features": 4, "layer": "head"}, ConfigError, "and without `layer`"),
    ],
)
def test_settings_that_make_no_second_head_are_refused(settings, error, words) -> None:
    with pytest.raises(error, match=words):
        TwoHeadNet(MLP(3, hidden=(4,)), **settings)


def test_a_class_that_is_not_there_is_no_favourable_one() -> None:
    for favourable in (-1, 3):
        with pytest.raises(ConfigError, match="`favourable` must be a class from 0 to 2"):
            TwoHeadNet(MLP(3, hidden=(4,), outputs=3), favourable=favourable)


def test_a_lazy_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="must have weights in floating point; quantised or lazy ones do not do"):
        TwoHeadNet(nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(1)))


class Features(nn.Module):
    """A backbone of two inputs that returns features."""

    def __init__(self, *, positions: bool = False) -> None:
        super().__init__()
        self.body, self.positions = nn.Linear(3, 6), positions

    def forward(self, a: Tensor, *, b: Tensor) -> Tensor:
        h = torch.tanh(self.body(a + b))
        return h[:, None] if self.positions else h


def test_a_backbone_without_a_head_gets_both_and_takes_what_it_took() -> None:
    backbone = Features().double()
    two = TwoHeadNet(backbone, 3, features=6, seed=1)
    a, b = some_rows(5, 3).double(), torch.ones(5, 3).double()
    assert two(a, b=b).shape == (5, 4) and two(a, b=b).dtype == torch.float64
    torch.testing.assert_close(two(a, b=b), two.head(backbone(a, b=b)))
    assert same_weights(two, TwoHeadNet(backbone, 3, features=6, seed=1))
    assert not torch.equal(two.head.weight[0], TwoHeadNet(backbone, 3, features=6, seed=2).head.weight[0])
    assert not torch.equal(two.head.weight[0], two.head.weight[1])
    single = two.single(nn.Linear(6, 1).double())
    assert single(a, b=b).shape == (5, 1) and [name for name, _ in single.named_children()] == ["backbone", "head"]
    with pytest.raises(InputError, match=r"the backbone must return features \(n, d\), got \(5, 1, 6\)"):
        TwoHeadNet(Features(positions=True), features=6)(a.float(), b=b.float())


class Output:
    """What a transformer returns."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize("wrapped", [Output, lambda z: {"logits": z}])
def test_logits_are_found_in_what_transformers_return(wrapped) -> None:
    assert TwoHeadNet(After(wrapped), 3)(some_rows(4, 3)).shape == (4, 4)


@pytest.mark.parametrize("wrapped", [lambda z: (z,), lambda z: {"scores": z}, lambda z: None, lambda z: z.long()])
def test_an_output_without_logits_is_refused(wrapped) -> None:
    with pytest.raises(InputError, match="the network must return logits"):
        TwoHeadNet(After(wrapped))(some_rows(4, 3))


def test_weights_saved_under_the_older_names_are_loaded() -> None:
    two, other = TwoHeadNet(MLP(3, hidden=(4,), seed=1), seed=1), TwoHeadNet(MLP(3, hidden=(4,), seed=2), seed=2)
    older = {name.removeprefix("net."): values for name, values in two.state_dict().items()}
    assert set(older) == {"backbone.0.weight", "backbone.0.bias", "head.weight", "head.bias"}
    for net in (other, copy.deepcopy(other), nn.Sequential(copy.deepcopy(other))):
        inside = isinstance(net, nn.Sequential)
        net.load_state_dict({f"0.{k}" if inside else k: v for k, v in older.items()})
        assert same_weights(net[0] if inside else net, two)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({"head.weight": older["head.weight"]})


def test_a_two_headed_network_is_copied_and_pickled_with_what_it_is() -> None:
    two = TwoHeadNet(MLP(3, hidden=(4,), outputs=3), 4, favourable=2, separate=True)
    x = some_rows(3, 3)
    for again in (copy.deepcopy(two), pickle.loads(pickle.dumps(two))):
        assert torch.equal(again(x), two(x)) and (again.n_groups, again.favourable, again.layer) == (4, 2, "head")
