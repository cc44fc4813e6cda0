"""A graph in onnxruntime is looked into like the torch network that it was, and what changes nothing changes no bit."""

import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.activations import Network, OnnxNetwork, Outcome, TorchNetwork, as_network
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.nets import MLP, ResNet, Transformer
from fairheads.pathways import analyze_pathways
from fairheads.planted import synthetic
from fairheads.training import Unconstrained, train

onnx = pytest.importorskip("onnx", reason="needs the extra `integrations`")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")

from onnx_for_tests import DOUBLE, FLOAT, HALF, WHOLE, exported, model_of, node, small  # noqa: E402

RNG = np.random.default_rng(0)
X = {"x": RNG.normal(size=(30, 4)).astype(np.float32)}
LENGTHS = torch.as_tensor(RNG.integers(1, 7, 30))
CASES: dict[str, tuple[nn.Module, dict[str, torch.Tensor]]] = {
    "perceptron": (MLP(4, hidden=(6, 5), seed=1), {"x": torch.as_tensor(X["x"])}),
    "residual": (
        ResNet(3, widths=(4, 8, 8)),
        {"x": torch.as_tensor(RNG.normal(size=(30, 3, 8, 8)).astype(np.float32))},
    ),
    "transformer": (
        Transformer(20, width=8, depth=2),
        {
            "tokens": torch.as_tensor(RNG.integers(0, 20, (30, 6))),
            "attention_mask": (torch.arange(6) < LENGTHS[:, None]).long(),
        },
    ),
}
FILES = {name: exported(net, {k: v[:2] for k, v in given.items()}) for name, (net, given) in CASES.items()}


def both(name: str) -> tuple[OnnxNetwork, TorchNetwork, dict[str, np.ndarray]]:
    net, given = CASES[name]
    return OnnxNetwork(FILES[name]), TorchNetwork(net), {key: values.numpy() for key, values in given.items()}


def small_network(*last: Any, **more: Any) -> OnnxNetwork:
    settings = {key: more.pop(key) for key in ("layers", "outcome", "output", "unit_axes") if key in more}
    return OnnxNetwork(small(*last, **more).SerializeToString(), **settings)


# --- the same as in torch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_scores_taps_and_edits_are_those_of_the_torch_network(name: str) -> None:
    ours, theirs, inputs = both(name)
    assert isinstance(ours, Network) and as_network(ours) is ours and not ours.gradients
    plain = theirs.forward(inputs)
    np.testing.assert_allclose(ours.forward(inputs), plain, atol=1e-6)
    assert ours.forward(inputs).dtype == np.float64
    for here, there in zip(ours.survey(inputs), theirs.survey(inputs), strict=True):
        assert (here.units, here.shape, here.rows, here.axis) == (there.units, there.shape, there.rows, there.axis)
        with ours.tap([here.name]) as seen, theirs.tap([there.name]) as wanted:
            ours.forward(inputs)
            theirs.forward(inputs)
        np.testing.assert_allclose(seen[here.name], wanted[there.name], atol=2e-6)
        shift = RNG.normal(size=(30, here.units)).astype(np.float32)
        with ours.edit(here.name, lambda h, by=shift: h + by), theirs.edit(there.name, lambda h, by=shift: h + by):
            np.testing.assert_allclose(ours.forward(inputs), theirs.forward(inputs), atol=2e-6)
            assert np.abs(ours.forward(inputs) - plain).max() > 0.01


@pytest.mark.parametrize("name", CASES)
def test_what_changes_nothing_changes_no_bit(name: str) -> None:
    network, _, inputs = both(name)
    plain = network.forward(inputs)
    names = [layer.name for layer in network.survey(inputs)]
    with network.tap(names):
        assert np.array_equal(network.forward(inputs), plain)
    for layer in names:
        with network.edit(layer, lambda h: h):
            assert np.array_equal(network.forward(inputs), plain)
        with network.edit(layer, lambda h: np.nextafter(h, np.float32(9))), network.tap([layer]) as seen:
            network.forward(inputs)
        assert np.isfinite(seen[layer]).all()
    with network.edit(names[0], lambda h: h), network.edit(names[-1], lambda h: h):
        assert np.array_equal(network.forward(inputs), plain)
    again = OnnxNetwork(FILES[name])
    assert np.array_equal(again.forward(inputs), plain)


def test_an_edit_leaves_the_branch_around_it_as_it_was() -> None:
    """A residual block goes on from its own input: cutting the graph in two would lose it."""
    model = small(
        node("MatMul", "r C", "u"), node("Tanh", "u", "t"), node("Add", "r t", "s"), node("MatMul", "s B", "y"),
        weights={"C": RNG.normal(size=(5, 5)).astype(np.float32)},
    )  # fmt: skip
    network = OnnxNetwork(model.SerializeToString())
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    with network.edit("t", lambda h: np.zeros_like(h)):
        wanted = np.maximum(X["x"] @ weights["A"], 0) @ weights["B"]
        np.testing.assert_allclose(network.forward(X), wanted[:, 0], atol=1e-6)
    with network.edit("r", lambda h: np.zeros_like(h)):
        np.testing.assert_array_equal(network.forward(X), np.zeros(30))


def test_taps_and_edits_open_at_once_follow_their_order_as_in_torch() -> None:
    ours, theirs, inputs = both("perceptron")
    (a, b), (c, d) = ours.layers(), theirs.layers()
    seen = []
    for network, first, second in ((ours, a, b), (theirs, c, d)):
        with (
            network.tap([first, second]) as before,
            network.edit(first, lambda h: h + 1),
            network.tap([first]) as between,
            network.edit(second, lambda h: 2 * h),
            network.edit(first, lambda h: h * h),
            network.tap([second, first]) as after,
        ):
            score = network.forward(inputs)
        taps = (before[first], before[second], between[first], after[first], after[second])
        seen.append([score, *taps])
    for here, there in zip(*seen, strict=True):
        np.testing.assert_allclose(here, there, atol=1e-5)
    plain, between, after = seen[0][1], seen[0][3], seen[0][4]
    np.testing.assert_allclose(between, plain + 1, atol=1e-6)
    np.testing.assert_allclose(after, (plain + 1) ** 2, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_of_one_batch_size_gives_the_same(name: str, batch: int) -> None:
    net, given = CASES[name]
    network, _, inputs = both(name)
    fixed = OnnxNetwork(exported(net, {key: values[:batch] for key, values in given.items()}, any_batch=False))
    np.testing.assert_allclose(fixed.forward(inputs), network.forward(inputs), atol=1e-6)
    assert fixed.survey(inputs) == network.survey(inputs)
    shift = RNG.normal(size=(30, 200)).astype(np.float32)
    for layer in network.survey(inputs):

        def moved(h: np.ndarray) -> np.ndarray:
            assert len(h) == 30  # once for all rows, whatever the graph takes at a time
            return h + shift[:, : h.shape[1]]

        with network.edit(layer.name, moved), fixed.edit(layer.name, moved), fixed.tap([layer.name]) as seen:
            np.testing.assert_allclose(fixed.forward(inputs), network.forward(inputs), atol=2e-6)
        assert seen[layer.name].shape == (30, layer.units)
        plain = fixed.forward(inputs)
        with fixed.edit(layer.name, lambda h: h):
            assert np.array_equal(fixed.forward(inputs), plain)


def numbers(report: Any, path: str = "") -> dict[str, Any]:
    """All leaves of a report by their path."""
    if isinstance(report, dict):
        return {k: v for key, value in report.items() for k, v in numbers(value, f"{path}/{key}").items()}
    if isinstance(report, list | tuple):
        return {k: v for i, value in enumerate(report) for k, v in numbers(value, f"{path}/{i}").items()}
    return {path: report}


def test_pathways_are_those_of_the_torch_network() -> None:
    """Of small numbers of few digits activations are exact in both: where a row lies on the edge of a merit bin, the
    last bit would else move it to the next, and the report with it."""
    made = synthetic(400, seed=3)
    data = Dataset(np.round(made.inputs["x"] * 8) / 8, made.y, made.group, group_names=made.group_names)
    nets = [MLP(8, hidden=(6, 5), seed=seed) for seed in (1, 2, 3)]
    for net in nets:
        train(net, synthetic(1000, seed=5), Unconstrained(), epochs=2, seed=0)
        with torch.no_grad():
            for weights in net.parameters():
                weights.copy_((weights * 16).round() / 16)
    ours = [OnnxNetwork(exported(net, {"x": torch.zeros(2, 8)})) for net in nets]
    theirs = [TorchNetwork(net) for net in nets]
    renamed = dict(zip(ours[0].layers(), theirs[0].layers(), strict=True))

    def reported(networks: list[Any]) -> dict[str, Any]:
        report = analyze_pathways(networks[0], data, twins=networks[1:])["B"]
        text = json.dumps(report.to_dict())
        for name, other in renamed.items():
            text = text.replace(name, other)
        return numbers(json.loads(text))

    with_gradients = analyze_pathways(theirs[0], data, twins=theirs[1:], details=False)["B"]
    for network in theirs:
        network.gradients = False  # both are run on
    here, there = reported(ours), reported(theirs)
    assert here.keys() == there.keys() and len(here) > 400
    assert here["/evidence/0/passed"] is not None
    for path, value in here.items():
        if isinstance(value, float):
            bound = path.endswith(("low", "high", "se"))  # refits run short steps, which scale up what scores round
            near = 1e-4 * max(1, abs(value)) if bound else 1e-5
            assert value == pytest.approx(there[path], abs=near, nan_ok=True), path
        elif isinstance(value, str):  # what is written of bounds may round otherwise
            assert re.sub(r"\d+\.\d+", "#", value) == re.sub(r"\d+\.\d+", "#", there[path]), path
        else:
            assert value == there[path], path
    assert here["/verdict"] == with_gradients.verdict
    assert here["/effect/value"] == pytest.approx(with_gradients.effect.value, abs=1e-5)
    assert here["/effect/low"] == pytest.approx(with_gradients.effect.low, abs=1e-4)
    other = numbers(analyze_pathways(theirs[1], data, details=False)["B"].to_dict())
    assert abs(other["/effect/value"] - here["/effect/value"]) > 1e-3  # another network has another report


# --- graphs of other kinds ---------------------------------------------------------------------------------------


def test_a_tensor_that_is_one_of_several_outputs_is_edited_alone() -> None:
    network = small_network(
        node("Split", "r", "left right", axis=1, num_outputs=2), node("ReduceMax", "left", "a", keepdims=1),
        node("ReduceSum", "right axis", "b", keepdims=1), node("Add", "a b", "y"),
        weights={"axis": np.array([1])}, outputs={"y": (FLOAT, ["N", 1])},
    )  # fmt: skip
    plain = network.forward(X)
    with network.edit("right", lambda h: h):
        assert np.array_equal(network.forward(X), plain)
    with network.edit("right", lambda h: h + 1), network.tap(["left", "right"]) as seen:
        np.testing.assert_allclose(network.forward(X), plain + seen["right"].shape[1], atol=1e-5)
    assert seen["left"].shape == (30, 3)


def test_a_tensor_that_a_branch_reads_from_around_it_is_edited() -> None:
    def branch(name: str, by: float) -> Any:
        made = onnx.helper.make_tensor(f"{name}_by", FLOAT, [1], [by])
        out = onnx.helper.make_tensor_value_info(name, FLOAT, None)
        return onnx.helper.make_graph([node("Mul", f"z {name}_by", name)], name, [], [out], [made])

    model = small(
        node("ReduceSum", "x", "all", keepdims=0), node("Less", "all bound", "is"),
        node("If", "is", "y", then_branch=branch("yes", 2.0), else_branch=branch("no", 3.0)),
        weights={"bound": np.float32(1e9)},
    )  # fmt: skip
    network = OnnxNetwork(model.SerializeToString())
    assert network.layers() == ("r",)
    for layer in ("r", "z"):
        with network.edit(layer, lambda h: h):
            assert np.array_equal(network.forward(X), network.forward(X))
        with network.edit(layer, lambda h: 2 * h), network.tap(["z"]) as seen:
            doubled = network.forward(X)
        np.testing.assert_allclose(doubled, 2 * network.forward(X), rtol=1e-6)
        np.testing.assert_allclose(doubled, 2 * seen["z"][:, 0], rtol=1e-6)


@pytest.mark.parametrize(("kind", "number"), [(HALF, np.float16), (DOUBLE, np.float64)])
def test_other_types_of_numbers(kind: int, number: type) -> None:
    weights = {"A": RNG.normal(size=(4, 5)).astype(number), "B": RNG.normal(size=(5, 1)).astype(number)}
    nodes = [node("MatMul", "x A", "h"), node("Relu", "h", "r"), node("MatMul", "r B", "y")]
    ends = {"inputs": {"x": (kind, ["N", 4])}, "outputs": {"y": (kind, ["N", 1])}}
    network = OnnxNetwork(model_of(nodes, weights, **ends).SerializeToString())
    plain = network.forward(X)
    wanted = np.maximum(X["x"].astype(number) @ weights["A"], 0) @ weights["B"]
    np.testing.assert_allclose(plain, wanted[:, 0].astype(float), atol=2e-2 if kind == HALF else 1e-12)
    with network.tap(["r"]) as seen, network.edit("r", lambda h: h):
        near = {"atol": 2e-2} if kind == HALF else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(network.forward(X), plain, **near)
    assert seen["r"].dtype == (np.float32 if kind == HALF else np.float64)
    with network.edit("r", lambda h: 0 * h):
        np.testing.assert_array_equal(network.forward(X), np.zeros(30))


def test_units_are_channels_of_images_and_features_else() -> None:
    class Signal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wave, self.relu, self.head = nn.Conv1d(2, 5, 3), nn.ReLU(), nn.Linear(5, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.relu(self.wave(x)).mean(2))

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTM(2, 5, batch_first=True), nn.Linear(5, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cell(x)[0].mean(1))

    for net, x in ((Signal(), torch.randn(9, 2, 7)), (Recurrent(), torch.randn(9, 7, 2))):
        given = {"x": x.numpy()}
        network, theirs = OnnxNetwork(exported(net, {"x": x[:2]})), TorchNetwork(net)
        (here,), (there,) = network.survey(given), theirs.survey(given)
        assert here.units == there.units == 5 and here.positions == there.positions
        with network.tap([here.name]) as seen, theirs.tap([there.name]) as wanted:
            np.testing.assert_allclose(network.forward(given), theirs.forward(given), atol=1e-6)
        np.testing.assert_allclose(seen[here.name], wanted[there.name], atol=1e-6)
    signal = exported(Signal(), {"x": torch.randn(2, 2, 7)})
    (name,) = OnnxNetwork(signal).layers()
    turned = OnnxNetwork(signal, unit_axes={name: 2})
    assert turned.survey({"x": np.zeros((4, 2, 7), np.float32)})[0].axis == 2


def test_the_output_itself_can_be_edited() -> None:
    network = small_network(columns=2, outputs={"y": (FLOAT, ["N", 2])}, outcome=Outcome("logit", 1))
    plain = network.forward(X)
    with network.edit("y", lambda h: h[:, ::-1].copy()), network.tap(["y"]) as seen:
        np.testing.assert_array_equal(network.forward(X), -plain)
    np.testing.assert_allclose(seen["y"][:, 0] - seen["y"][:, 1], plain, atol=1e-6)


# --- outcomes ----------------------------------------------------------------------------------------------------


def test_probabilities_have_the_score_of_their_logits() -> None:
    ends = {"columns": 2, "outputs": {"y": (FLOAT, ["N", 2])}}
    plain = small_network(**ends, outcome=Outcome("logit", 0)).forward(X)
    with pytest.raises(ConfigError, match=r"ends in Softmax.*Outcome.parse\('softmax:1'\)"):
        small_network(node("Softmax", "z", "y", axis=-1), **ends)
    network = small_network(node("Softmax", "z", "y", axis=-1), **ends, outcome=Outcome("softmax", 0))
    np.testing.assert_allclose(network.forward(X), plain, atol=1e-5)
    assert network.clipped == 0
    with pytest.raises(ConfigError, match=r"ends in Sigmoid.*Outcome.parse\('sigmoid'\)"):
        small_network(node("Sigmoid", "z", "y"))
    scaled = small_network(
        node("Mul", "z k", "w"), node("Sigmoid", "w", "y"), weights={"k": np.float32(50)}, outcome=Outcome("sigmoid")
    )
    score, unscaled = scaled.forward(X), 50 * small_network().forward(X)
    assert scaled.clipped == (np.abs(unscaled) > 15.95).sum() > 3
    inside = np.abs(unscaled) < 8
    np.testing.assert_allclose(score[inside], unscaled[inside], atol=1e-2)
    with pytest.raises(InputError, match="2 logits a row; say which class is favourable"):
        small_network(**ends).forward(X)


def test_the_output_is_the_logits_or_the_first_in_floating_point() -> None:
    more = [node("Identity", "z", "y"), node("Neg", "z", "logits"), node("ArgMax", "z", "label", axis=1)]
    outputs = {"label": (WHOLE, ["N", 1]), "y": (FLOAT, ["N", 1]), "logits": (FLOAT, ["N", 1])}
    plain = small_network().forward(X)
    np.testing.assert_array_equal(small_network(*more, outputs=outputs).forward(X), -plain)
    np.testing.assert_array_equal(small_network(*more, outputs=outputs, output="y").forward(X), plain)
    del outputs["logits"]
    np.testing.assert_array_equal(small_network(*more, outputs=outputs).forward(X), plain)
    with pytest.raises(ConfigError, match=r"one of the graph's outputs in floating point, \['y'\], got 'label'"):
        small_network(*more, outputs=outputs, output="label")
    del outputs["y"]
    with pytest.raises(InputError, match="no tensor of floats among its outputs"):
        small_network(*more, outputs=outputs)
    with pytest.raises(InputError, match="does not depend on its inputs"):
        OnnxNetwork(model_of([node("Identity", "k", "y")], {"k": np.float32([[1]])}).SerializeToString())


# --- what is refused ---------------------------------------------------------------------------------------------


def test_inputs_go_by_name_or_in_order_and_others_are_refused() -> None:
    ends = {"inputs": {"a": (FLOAT, ["N", 4]), "b": (FLOAT, ["N", 1])}}
    network = OnnxNetwork(
        model_of([node("ReduceMax", "a k", "m"), node("Relu", "m", "r"), node("Sub", "r b", "y")], {"k": [1]}, **ends)
        .SerializeToString()
    )  # fmt: skip
    a, b = X["x"], X["x"][:, :1]
    plain = network.forward({"a": a, "b": b})
    np.testing.assert_array_equal(network.forward({"b": b, "a": a, "more": b}), plain)
    np.testing.assert_array_equal(network.forward({"first": a, "second": b.astype(np.float64)}), plain)
    whole = network.forward({"a": a.astype(int), "b": b > 0})
    np.testing.assert_array_equal(whole, network.forward({"a": np.trunc(a), "b": np.float32(b > 0)}))
    for given, message in (
        ({"a": a}, "takes the inputs a, b, got a"),
        ({"a": a, "b": a}, r"input 'b' of the graph must be of shape \(n, 1\), got \(30, 4\)"),
        ({"a": a[0], "b": b}, r"input 'a' of the graph must be of shape \(n, 4\), got \(4,\)"),
        ({"a": a.astype(complex), "b": b}, "takes float32, got complex128"),
        ({"a": a, "b": b[:7]}, "onnxruntime cannot run the graph on these inputs"),
    ):
        with pytest.raises(InputError, match=message):
            network.forward(given)
    with pytest.raises(InputError, match="`inputs` must be a mapping of names to arrays, got ndarray"):
        network.forward(a)


def test_layers_that_are_not_there_are_named_beside_those_that_are() -> None:
    ours, _, inputs = both("perceptron")
    first = ours.layers()[0]
    for call in (
        lambda: OnnxNetwork(FILES["perceptron"], layers=[first[:-1]]),
        lambda: ours.tap([first[:-1]]).__enter__(),
        lambda: ours.edit(first[:-1], lambda h: h).__enter__(),
        lambda: ours.survey(inputs, [first[:-1]]),
    ):
        with pytest.raises(LayerNotFoundError, match=f"Did you mean '{first}'"):
            call()
    for weights_or_input in ("x", "head.weight"):
        with pytest.raises(LayerNotFoundError, match="between inputs and output"):
            ours.survey(inputs, [weights_or_input])
    with pytest.raises(ConfigError, match="no gradients"):
        ours.gradient(inputs, first)
    chosen = OnnxNetwork(FILES["perceptron"], layers=[ours.layers()[1]])
    assert chosen.layers() == (ours.layers()[1],) and [x.name for x in chosen.survey(inputs)] == [ours.layers()[1]]


def test_tensors_without_rows_or_numbers_are_no_layers() -> None:
    network = small_network(
        node("Greater", "z zero", "b"), node("Cast", "b", "c", to=FLOAT), node("ReduceMax", "r", "top", keepdims=0),
        node("Mul", "c top", "y"), weights={"zero": np.float32(0)},
    )  # fmt: skip
    for layer, message in (("b", "no tensor of floats"), ("top", "no tensor of floats that has rows|must give")):
        with pytest.raises(InputError, match=message):
            network.survey(X, [layer])
    assert [layer.name for layer in network.survey(X)] == ["r"]


def test_an_edit_must_return_what_it_got() -> None:
    network = small_network()
    for fn, got in (
        (lambda h: h[:, 1:], r"\(30, 4\)"),
        (lambda h: h.astype(float), "float64"),
        (lambda h: None, "None"),
    ):
        with pytest.raises(InputError, match=rf"edit of layer 'r' must return \(30, 5\).*{got}"), network.edit("r", fn):
            network.forward(X)


def test_nothing_is_left_behind_by_what_fails() -> None:
    network, plain = small_network(), small_network().forward(X)

    def fails(_: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), network.edit("r", fails), network.tap(["r"]):
        network.forward(X)
    with network.tap(["r"]) as seen:
        network.forward(X)
    kept = seen["r"].copy()
    given = {"x": X["x"].copy()}
    with network.edit("r", lambda h: h.__imul__(2)):
        network.forward(given)
    assert np.array_equal(network.forward(X), plain) and np.array_equal(given["x"], X["x"])
    assert np.array_equal(seen["r"], kept)


def test_rows_that_are_edited_again_are_those_of_the_inputs_as_they_are_now() -> None:
    """A layer's values are remembered between passes: not where the inputs have changed in place."""
    network, given = small_network(), {"x": X["x"].copy()}
    with network.tap(["r"]) as seen, network.edit("r", lambda h: 2 * h):
        first = network.forward(given)
        seen["r"][:] = 7
        assert np.array_equal(network.forward(given), first)
        given["x"] += 1
        assert not np.array_equal(network.forward(given), first)
        np.testing.assert_allclose(network.forward({"x": X["x"][:3]}), first[:3], atol=1e-6)
    with network.edit("h", lambda h: 2 * h):
        np.testing.assert_allclose(network.forward(X), first, atol=1e-5)


def test_few_sessions_are_held_whatever_is_looked_at() -> None:
    from fairheads.activations.onnx_sessions import HELD

    nodes = [node("Relu", "x", "r0"), *(node("Tanh", f"r{i}", f"r{i + 1}") for i in range(20))]
    network = OnnxNetwork(model_of([*nodes, node("ReduceMean", "r20 k", "y")], {"k": [1]}).SerializeToString())
    plain = network.forward(X)
    for _ in range(2):
        for layer in network.layers():
            with network.edit(layer, lambda h: h):
                assert np.array_equal(network.forward(X), plain)
    assert len(network.layers()) == 21 and len(network._sessions._made) <= HELD


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'fairheads\[integrations\]'"):
        OnnxNetwork(FILES["perceptron"])


def test_files_paths_and_bytes_are_the_same(tmp_path: Path) -> None:
    content = FILES["perceptron"]
    (tmp_path / "net.onnx").write_bytes(content)
    inputs = {"x": X["x"]}
    plain = OnnxNetwork(content)
    for given in (tmp_path / "net.onnx", str(tmp_path / "net.onnx")):
        network = OnnxNetwork(given)
        assert np.array_equal(network.forward(inputs), plain.forward(inputs))
        assert network.digest == hashlib.sha256(content).hexdigest()
    assert plain.parameters == sum(p.numel() for p in CASES["perceptron"][0].parameters())
    with pytest.raises(InputError, match="no file"):
        OnnxNetwork(tmp_path / "other.onnx")


# --- a network that others trained -------------------------------------------------------------------------------


def faces(folder: Path, names: list[str]) -> np.ndarray:
    """Images (n, 3, 32, 32) as gender-v1 takes them."""
    from PIL import Image

    mean = np.array([122.782, 117.001, 104.298], np.float32)[:, None, None]
    images = np.empty((len(names), 3, 32, 32), np.float32)
    with zipfile.ZipFile(folder / "val_64.zip") as archive:
        members = {Path(member).name: member for member in archive.namelist()}
        for i, name in enumerate(names):
            image = Image.open(io.BytesIO(archive.read(members[Path(name).name]))).convert("RGB")
            images[i] = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32).transpose(2, 0, 1)
    return (images - mean) / 256


@pytest.mark.slow
@pytest.mark.shared_data
def test_gender_v1_is_what_is_known_of_it(shared_data: Path) -> None:
    import pandas as pd

    path = shared_data / "models" / "gender-v1.onnx"
    labels = pd.read_csv(shared_data / "fairface" / "labels_val.csv")
    X = faces(shared_data / "fairface", labels["file"].tolist())
    network = OnnxNetwork(path, outcome=Outcome.parse("softmax:Male", ["Female", "Male"]))
    assert network.parameters == 131_540 and network.layers() == tuple(
        f"layer_{number}_relu" for number in (17, 14, 10, 7, 3)
    )  # as the docstring says
    few = {"x": X[:300]}
    plain = network.forward(few)
    for layer in network.survey(few):
        with network.edit(layer.name, lambda h: h), network.tap([layer.name]):
            assert np.array_equal(network.forward(few), plain)
    logits = OnnxNetwork(path, outcome=Outcome("softmax", 1))
    with logits.tap(["logits"]) as seen:
        np.testing.assert_allclose(logits.forward(few), np.diff(seen["logits"], axis=1)[:, 0], atol=1e-4)
    score = np.concatenate([network.forward({"x": X[i : i + 512]}) for i in range(0, len(X), 512)])
    deployed = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    said = np.concatenate([deployed.run(None, {"images": X[i : i + 512]})[0] for i in range(0, len(X), 512)])
    sure = np.abs(score) > 1e-4
    assert np.array_equal((score > 0)[sure], said[sure].argmax(1) == 1) and sure.mean() > 0.999
    # Known: .848, Black women .760. The way of resizing is not: by those that were tried .842 to .855, .70 to .76.
    right, women = (score > 0) == (labels["gender"] == "Male"), labels["gender"] == "Female"
    assert abs(right.mean() - 0.848) < 0.01
    by_race = right[women].groupby(labels["race"][women]).mean()
    assert by_race.idxmin() == "Black" and abs(by_race["Black"] - 0.760) < 0.02 and by_race["East Asian"] > 0.9
    some = labels["race"].isin(["Black", "White"]).to_numpy() & (np.arange(len(X)) < 1500)
    data = Dataset(X[some], (labels["gender"] == "Male").astype(int)[some], labels["race"][some].to_numpy())
    (report,) = analyze_pathways(network, data, layers=["layer_3_relu"], details=False).values()
    assert report.layers[0].units == 16 and np.isfinite(report.effect.value)
