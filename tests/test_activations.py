"""Taps see what a manual forward computes, edits go on from what they return, and nothing is ever left behind."""

import copy
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info
from torch import Tensor, nn

from fairheads.activations import Network, TorchNetwork, as_network, edit_outputs, one_thread, tap_outputs
from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.nets import MLP, TwoHeadNet

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
INPUTS = {"x": X}


def net_of() -> MLP:
    return MLP(4, hidden=(6, 5), seed=1)


def verify_no_hooks(module: nn.Module) -> None:
    """No submodule has a hook of any kind."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    left = [(name, kind) for name, part in module.named_modules() for kind in kinds if getattr(part, kind)]
    assert not left, f"hooks are left: {left}"


def remember(module: nn.Module) -> Callable[[], None]:
    """A function that fails unless weights, flags, gradients, hooks and the random state are as they are now."""

    def state() -> tuple[list, list]:
        parameters = list(module.parameters())
        plain = [part.training for part in module.modules()] + [p.requires_grad for p in parameters]
        tensors = [torch.get_rng_state(), *module.state_dict().values(), *(p.grad for p in parameters)]
        return [torch.is_grad_enabled(), *plain], copy.deepcopy(tensors)

    flags, tensors = state()

    def verify() -> None:
        verify_no_hooks(module)
        flags_now, tensors_now = state()
        assert flags == flags_now
        for before, after in zip(tensors, tensors_now, strict=True):
            assert (before is None) == (after is None) and (before is None or torch.equal(before, after))

    return verify


def test_the_check_for_what_is_left_behind_finds_it() -> None:
    for leave in (
        lambda m: m.head.register_forward_hook(lambda *a: None),
        lambda m: m.backbone.eval(),
        lambda m: m.head.bias.data.add_(1),
        lambda m: m(torch.as_tensor(X)).sum().backward(),
        lambda m: m.head.requires_grad_(False),
        lambda m: torch.rand(1),
    ):
        net = net_of()
        with torch.random.fork_rng():
            verify = remember(net)
            leave(net)
            with pytest.raises(AssertionError):
                verify()


# --- taps --------------------------------------------------------------------------------------------------------


def test_a_tap_is_the_manual_forward_of_every_layer() -> None:
    net = net_of()
    network = TorchNetwork(net)
    with network.tap(["backbone.0", "backbone.1", "backbone.3", "head"]) as seen:
        assert seen == {}
        score = network.forward(INPUTS)
    with torch.no_grad():
        x = torch.as_tensor(X)
        before = x @ net.backbone[0].weight.T + net.backbone[0].bias
        first = before.clamp(min=0)
        second = (first @ net.backbone[2].weight.T + net.backbone[2].bias).clamp(min=0)
        logit = second @ net.head.weight.T + net.head.bias
    for name, wanted in (("backbone.0", before), ("backbone.1", first), ("backbone.3", second), ("head", logit)):
        np.testing.assert_allclose(seen[name], wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(score, logit[:, 0].double().numpy(), atol=1e-6)
    assert score.dtype == np.float64 and score.shape == (30,)
    verify_no_hooks(net)


def test_a_tap_changes_no_bit_and_is_over_when_it_is_closed() -> None:
    network = TorchNetwork(net_of())
    plain = network.forward(INPUTS)
    with network.tap(network.layers()) as seen:
        assert (network.forward(INPUTS) == plain).all()
    kept = {name: values.copy() for name, values in seen.items()}
    network.forward({"x": X + 1})
    assert all((seen[name] == kept[name]).all() for name in kept)


def test_each_forward_inside_a_tap_replaces_what_was_seen() -> None:
    network = TorchNetwork(net_of())
    with network.tap(["backbone.1"]) as seen:
        network.forward(INPUTS)
        first = seen["backbone.1"]
        network.forward({"x": X[:3]})
    assert first.shape == (30, 6)
    np.testing.assert_allclose(seen["backbone.1"], first[:3], atol=1e-6)


class InPlace(nn.Module):
    """Every activation overwrites the output of the layer before it."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.linear, self.relu, self.head = nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.linear(x)))


def test_an_activation_in_place_does_not_corrupt_what_was_captured_before_it() -> None:
    net = InPlace()
    network = TorchNetwork(net)
    raw: list[Tensor] = []
    handle = net.linear.register_forward_hook(lambda _module, _inputs, output: raw.append(output))
    with network.tap(["linear", "relu"]) as seen:
        network.forward(INPUTS)
    handle.remove()
    assert (raw[0] >= 0).all(), "the layer's own output was overwritten"
    wanted = X @ net.linear.weight.detach().numpy().T + net.linear.bias.detach().numpy()
    np.testing.assert_allclose(seen["linear"], wanted, atol=1e-6)
    assert (seen["linear"] < 0).any() and (seen["relu"] == np.maximum(seen["linear"], 0)).all()
    with network.edit("linear", lambda h: h):
        edited = network.forward(INPUTS)
    assert (edited == network.forward(INPUTS)).all()


# --- edits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["backbone.0", "backbone.1", "backbone.3", "head"])
def test_an_edit_that_changes_nothing_changes_no_bit(layer: str) -> None:
    network = TorchNetwork(net_of())
    plain = network.forward(INPUTS)
    with network.edit(layer, lambda h: h):
        assert (network.forward(INPUTS) == plain).all()
    with network.edit(layer, lambda h: h + np.float32(1)):
        assert not (network.forward(INPUTS) == plain).all()
    assert (network.forward(INPUTS) == plain).all()


def test_an_edit_goes_on_from_what_it_returns() -> None:
    net = net_of()
    network = TorchNetwork(net)
    shift = np.linspace(-2, 2, 6, dtype=np.float32)
    with network.tap(["backbone.1"]) as seen:
        network.forward(INPUTS)
    with network.edit("backbone.1", lambda h: h + shift):
        edited = network.forward(INPUTS)
    with torch.no_grad():
        by_hand = net.head(net.backbone[3](net.backbone[2](torch.as_tensor(seen["backbone.1"] + shift))))[:, 0]
    np.testing.assert_allclose(edited, by_hand.double().numpy(), atol=1e-6)
    with network.edit("head", lambda h: 0 * h + np.float32(2.5)):
        assert (network.forward(INPUTS) == 2.5).all()


def test_an_edit_may_write_into_its_copy() -> None:
    net = net_of()
    network = TorchNetwork(net)

    def silence(h: np.ndarray) -> np.ndarray:
        h[:, 2] = 0
        return h

    with network.tap(["backbone.1"]) as seen, network.edit("backbone.1", silence):
        network.forward(INPUTS)
    assert np.abs(seen["backbone.1"][:, 2]).sum() > 0, "a tap that was opened before sees the layer's own output"
    with network.edit("backbone.1", silence), network.tap(["backbone.1", "backbone.3"]) as after:
        network.forward(INPUTS)
    assert (after["backbone.1"][:, 2] == 0).all(), "a tap that was opened after the edit sees the edited output"


class Residual(nn.Module):
    """The branch returns its own input, which the sum uses as well."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.branch(x)).sum(1)


def test_an_edit_in_place_reaches_nothing_but_what_it_returns() -> None:
    network = TorchNetwork(Residual())
    with network.edit("branch", lambda h: h.__imul__(0)):
        np.testing.assert_allclose(network.forward(INPUTS), X.sum(1), atol=1e-6)
    np.testing.assert_allclose(network.forward(INPUTS), 2 * X.sum(1), atol=1e-6)


def test_a_network_that_writes_into_its_input_does_not_write_into_the_callers() -> None:
    rows = X.copy()
    network = TorchNetwork(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 1)))
    first = network.forward({"x": rows})
    assert (rows == X).all() and (rows < 0).any()
    rows.setflags(write=False)
    assert (network.forward({"x": rows}) == first).all()


def test_edits_and_taps_nest_over_layers() -> None:
    network = TorchNetwork(net_of())
    with network.edit("backbone.1", lambda h: h + np.float32(1)):
        with network.edit("backbone.3", lambda h: 2 * h), network.tap(["backbone.3"]) as inner:
            both = network.forward(INPUTS)
        with network.tap(["backbone.3"]) as outer:
            one = network.forward(INPUTS)
    np.testing.assert_allclose(inner["backbone.3"], 2 * outer["backbone.3"], rtol=1e-6)
    head = network.module.head
    with torch.no_grad():
        np.testing.assert_allclose(both, head(torch.as_tensor(inner["backbone.3"]))[:, 0], atol=1e-6)
    assert not np.allclose(one, both)
    with network.edit("backbone.1", lambda h: h + np.float32(1)), network.edit("backbone.1", lambda h: 2 * h):
        twice = network.forward(INPUTS)
    with network.edit("backbone.1", lambda h: 2 * (h + np.float32(1))):
        assert (network.forward(INPUTS) == twice).all()
    verify_no_hooks(network.module)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda h: h[:, :3], r"an edit of layer 'backbone.1' must return \(30, 6\) torch.float32, got \(30, 3\)"),
        (lambda h: h[:5], r"got \(5, 6\)"),
        (lambda h: h.astype(np.float64), r"got \(30, 6\) torch.float64"),
        (lambda h: h > 0, r"got \(30, 6\) torch.bool"),
        (lambda h: None, "got NoneType"),
        (lambda h: h.tolist(), "got list"),
    ],
)
def test_an_edit_that_changes_shape_or_type_is_refused_and_leaves_nothing(fn: Callable, message: str) -> None:
    network = TorchNetwork(net_of())
    plain, verify = network.forward(INPUTS), remember(network.module)
    with pytest.raises(InputError, match=message), network.edit("backbone.1", fn):
        network.forward(INPUTS)
    verify()
    assert (network.forward(INPUTS) == plain).all()


# --- what is left behind -----------------------------------------------------------------------------------------


class Noisy(nn.Module):
    """Draws random numbers in every forward pass, whatever the mode, and keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.norm, self.linear, self.act = nn.BatchNorm1d(4), nn.Linear(4, 6), nn.ReLU()
            self.dropout, self.head = nn.Dropout(0.5), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(self.act(self.linear(self.norm(x))))
        return self.head(h + 0.1 * torch.randn_like(h))


def with_history(net: nn.Module) -> nn.Module:
    """A net in the middle of a training: mixed flags, gradients, a frozen layer."""
    net(torch.as_tensor(X)).sum().backward()
    for i, part in enumerate(net.modules()):
        part.training = i % 2 == 0
    next(net.parameters()).requires_grad_(False)
    return net


def use(network: TorchNetwork) -> None:
    network.forward(INPUTS)
    with network.tap(network.layers()), network.edit(network.layers()[0], lambda h: h * np.float32(2)):
        network.forward(INPUTS)


@pytest.mark.parametrize("make", [net_of, InPlace, Noisy])
def test_flags_weights_gradients_and_random_state_are_as_before(make: Callable[[], nn.Module]) -> None:
    with torch.random.fork_rng():
        net = with_history(make())
        verify = remember(net)
        use(TorchNetwork(net))
        verify()
        torch.rand(1)
        with pytest.raises(AssertionError):
            verify()


def test_dropout_and_batch_norm_run_in_eval_mode_and_no_graph_is_kept() -> None:
    net = Noisy().train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TorchNetwork(net)
        first = network.forward(INPUTS)
        assert (network.forward(INPUTS) == first).all()
        net.eval()
        with torch.no_grad():
            wanted = net(torch.as_tensor(X))[:, 0].double().numpy()
    assert (first == wanted).all()


class Failing(MLP):
    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        raise ArithmeticError("the module broke")


def failing_body(network: TorchNetwork) -> None:
    with network.tap(["backbone.1"]), network.edit("backbone.3", lambda h: h):
        network.forward(INPUTS)
        raise KeyError("the caller broke")


def failing_edit(network: TorchNetwork) -> None:
    def broken(h: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("the edit broke")

    with network.tap(["backbone.1"]), network.edit("backbone.3", broken):
        network.forward(INPUTS)


def failing_module(network: TorchNetwork) -> None:
    with network.tap(["backbone.1"]), network.edit("backbone.3", lambda h: h):
        network.forward(INPUTS)


def unknown_layer(network: TorchNetwork) -> None:
    with network.tap(["backbone.1", "backbone.9"]):
        network.forward(INPUTS)


def unknown_edit(network: TorchNetwork) -> None:
    with network.tap(["backbone.1"]), network.edit("nowhere", lambda h: h):
        network.forward(INPUTS)


@pytest.mark.parametrize(
    ("fail", "module", "error"),
    [
        (failing_body, net_of(), KeyError),
        (failing_edit, net_of(), ZeroDivisionError),
        (failing_module, Failing(4, hidden=(6, 5)), ArithmeticError),
        (unknown_layer, net_of(), LayerNotFoundError),
        (unknown_edit, net_of(), LayerNotFoundError),
    ],
)
def test_no_failure_leaves_a_hook_a_flag_or_a_gradient(fail: Callable, module: nn.Module, error: type) -> None:
    for i, part in enumerate(module.modules()):
        part.training = i % 3 == 0
    verify = remember(module)
    with pytest.raises(error):
        fail(TorchNetwork(module))
    verify()


# --- layers ------------------------------------------------------------------------------------------------------


def test_an_unknown_layer_is_named_with_the_nearest_and_all_there_are() -> None:
    with pytest.raises(LayerNotFoundError) as refused:
        TorchNetwork(net_of(), layers=["backbone.1", "bakbone.3"])
    message = str(refused.value)
    assert "no layer 'bakbone.3'" in message and "Did you mean 'backbone.3'?" in message
    assert "backbone, backbone.0, backbone.1, backbone.2, backbone.3, head" in message
    assert isinstance(refused.value, LookupError)
    with pytest.raises(LayerNotFoundError):
        TorchNetwork(net_of(), layers=[""])


def test_default_layers_are_the_activations_else_the_linear_layers_but_the_last() -> None:
    assert TorchNetwork(net_of()).layers() == ("backbone.1", "backbone.3")
    assert TorchNetwork(net_of(), layers=["head"]).layers() == ("head",)
    assert TorchNetwork(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), nn.Linear(2, 1))).layers() == ("0", "1")
    assert TorchNetwork(nn.Linear(4, 1)).layers() == ()


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class WithPair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.head = Pair(), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pair(x)[0])


def test_a_layer_that_returns_no_tensor_of_rows_and_units_is_refused_by_name() -> None:
    network = TorchNetwork(WithPair())
    assert network.forward(INPUTS).shape == (30,)
    for context in (network.tap(["pair[2]"]), network.edit("pair[2]", lambda h: h)):
        with pytest.raises(InputError, match=r"layer 'pair\[2\]' returns tuple, with floats at \[0\], \[1\]"), context:
            network.forward(INPUTS)
    flat = TorchNetwork(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)))
    assert flat.forward(INPUTS).shape == (30,)
    for context in (flat.tap(["1"]), flat.edit("1", lambda h: h)):
        with pytest.raises(InputError, match=r"layer '1' must give \(rows, units\).*got \(3,\)"), context:
            flat.forward(INPUTS)
    verify_no_hooks(network.module)
    verify_no_hooks(flat.module)


# --- scores ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (TwoHeadNet(net_of()), "two logits a row; merge its heads first"),
        (nn.Linear(4, 3), r"returns 3 logits a row; say which class is favourable"),
        (Pair(), "must return logits, or an output with `logits`, got tuple"),
    ],
)
def test_a_network_that_gives_no_single_score_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TorchNetwork(module).forward(INPUTS)


def test_as_network_takes_modules_and_networks_and_nothing_else() -> None:
    network = as_network(net_of(), layers=["backbone.1"])
    assert isinstance(network, TorchNetwork) and isinstance(network, Network) and network.layers() == ("backbone.1",)
    assert as_network(network) is network and network.gradients
    with pytest.raises(ConfigError, match=r"must be an nn\.Module or a Network, got function"):
        as_network(lambda x: x)


def test_torchscript_is_refused_because_it_cannot_be_looked_into() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(net_of(), torch.as_tensor(X))
    with pytest.raises(ConfigError, match="TorchScript"):
        TorchNetwork(traced)


# --- the hooks themselves ----------------------------------------------------------------------------------------


def test_taps_and_edits_of_tensors_work_on_any_shape_and_keep_gradients_possible() -> None:
    net = nn.Sequential(nn.Conv1d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9, 1))
    x = torch.as_tensor(X)[:, None]
    seen: dict[str, Tensor] = {}
    with tap_outputs(net, ["0", "1"], lambda name, output: seen.update({name: output})):
        plain = net(x)
    assert seen["0"].shape == (30, 3, 3) and torch.equal(seen["1"], seen["0"].relu())
    assert not seen["0"].requires_grad and plain.requires_grad
    scale = torch.ones((), requires_grad=True)
    with edit_outputs(net, "1", lambda h: scale * h):
        out = net(x)
    assert torch.equal(out, plain)
    out.sum().backward()
    inside = (seen["1"].flatten(1) @ net[3].weight.detach().T).sum()
    torch.testing.assert_close(scale.grad, inside, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="got NoneType"), edit_outputs(net, "1", lambda h: None):
        net(x)
    verify_no_hooks(net)


def test_gradients_are_had_in_inference_mode_and_of_a_copy_of_what_was_made_in_it() -> None:
    inputs = {"x": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}
    network = TorchNetwork(net_of())
    wanted = network.gradient(inputs, "backbone.1")
    with torch.inference_mode():
        made = copy.deepcopy(network.module)
        found = network.gradient(inputs, "backbone.1")
        with one_thread():
            assert torch.ones(2, requires_grad=True).sum().requires_grad
        assert torch.is_inference_mode_enabled()
    assert all(map(np.array_equal, found, wanted))
    with pytest.raises(ConfigError, match=r"made under torch.inference_mode\(\).*pass copy.deepcopy\(net\)"):
        TorchNetwork(made)
    assert all(map(np.array_equal, TorchNetwork(copy.deepcopy(made)).gradient(inputs, "backbone.1"), wanted))


def test_one_thread_is_for_the_block_alone_even_when_it_fails() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            assert all(pool["num_threads"] == 1 for pool in threadpool_info())
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError("broke")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
