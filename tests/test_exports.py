"""An export for batches of one size is audited like one for any: rows come to it in pieces, edits see all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fairheads.activations import Network, TorchNetwork
from fairheads.activations.pieces import Pieces
from fairheads.errors import ConfigError, InputError
from fairheads.models import open_model
from fairheads.nets import MLP, ResNet, Transformer
from fairheads.pathways.attributions import occlusion, token_embedding

RNG = np.random.default_rng(0)
N = 30
LENGTHS = RNG.integers(1, 7, N)
CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, np.ndarray]]] = {
    "perceptron": (lambda: MLP(4, hidden=(6, 5), seed=1), {"x": RNG.normal(size=(N, 4)).astype(np.float32)}),
    "residual": (lambda: ResNet(3, widths=(4, 8)), {"x": RNG.normal(size=(N, 3, 8, 8)).astype(np.float32)}),
    "transformer": (
        lambda: Transformer(20, width=8, depth=2),
        {
            "tokens": RNG.integers(0, 20, (N, 6)),
            "attention_mask": (np.arange(6) < LENGTHS[:, None]).astype(np.int64),
        },
    ),
}


def exported(net: nn.Module, inputs: Mapping[str, np.ndarray], rows: int) -> torch.export.ExportedProgram:
    """The graph of a network for so many rows at a time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(net.eval(), tuple(torch.as_tensor(v[:rows]) for v in inputs.values()))


def both(name: str, rows: int) -> tuple[TorchNetwork, TorchNetwork, dict[str, np.ndarray]]:
    make, inputs = CASES[name]
    net = make()
    return TorchNetwork(exported(net, inputs, rows)), TorchNetwork(net), inputs


@pytest.mark.parametrize(("name", "rows"), [("perceptron", 1), ("perceptron", 4), ("residual", 7), ("transformer", 4)])
def test_scores_taps_edits_and_gradients_are_those_of_the_network(name: str, rows: int) -> None:
    fixed, own, inputs = both(name, rows)
    assert isinstance(fixed, Network) and fixed.pieces.size == rows and own.pieces.size is None
    plain = fixed.forward(inputs)
    np.testing.assert_allclose(plain, own.forward(inputs), atol=1e-5)
    assert plain.shape == (N,)
    layers = fixed.survey(inputs)
    assert layers and [layer.units for layer in layers] == [layer.units for layer in own.survey(inputs)]
    for layer in layers:
        with fixed.tap([layer.name]) as seen, own.tap([layer.name]) as wanted:
            fixed.forward(inputs)
            own.forward(inputs)
        np.testing.assert_allclose(seen[layer.name], wanted[layer.name], atol=1e-5)
        shift = RNG.normal(size=(N, layer.units)).astype(np.float32)

        def by_rank(h: np.ndarray, shift: np.ndarray = shift) -> np.ndarray:
            assert len(h) == N  # once for all rows, whatever the graph takes at a time
            return h + shift

        with fixed.edit(layer.name, by_rank), own.edit(layer.name, by_rank):
            moved = fixed.forward(inputs)
            np.testing.assert_allclose(moved, own.forward(inputs), atol=1e-5)
        assert np.abs(moved - plain).max() > 1e-3
        with fixed.edit(layer.name, lambda h: h):
            assert np.array_equal(fixed.forward(inputs), plain)
        for ours, theirs in zip(
            fixed.gradient(inputs, layer.name, shift), own.gradient(inputs, layer.name, shift), strict=True
        ):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.array_equal(fixed.forward(inputs), plain)


def test_taps_and_edits_open_at_once_follow_their_order() -> None:
    fixed, own, inputs = both("perceptron", 4)
    first, second = own.layers()
    seen = []
    for network in (fixed, own):
        with (
            network.tap([first, second]) as before,
            network.edit(first, lambda h: h - h.mean(0)),
            network.tap([first]) as between,
            network.edit(second, lambda h: 2 * h.max(0) - h),
            network.edit(first, lambda h: h * h),
            network.tap([second, first]) as after,
        ):
            score = network.forward(inputs)
        seen.append([score, before[first], before[second], between[first], after[first], after[second]])
    for here, there in zip(*seen, strict=True):
        np.testing.assert_allclose(here, there, atol=1e-5)
    np.testing.assert_allclose(seen[0][3].mean(0), 0, atol=1e-6)
    assert np.abs(seen[0][4] - seen[0][3]).max() > 0.01


def test_what_fails_leaves_nothing_behind_and_what_an_edit_returns_is_checked() -> None:
    fixed, _, inputs = both("perceptron", 4)
    plain, (first, _) = fixed.forward(inputs), fixed.layers()

    def fails(_: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), fixed.edit(first, fails), fixed.tap([first]):
        fixed.forward(inputs)
    for fn, got in (
        (lambda h: h[:, 1:], r"\(30, 5\)"),
        (lambda h: h.astype(float), "float64"),
        (lambda h: None, "NoneType"),
    ):
        with pytest.raises(InputError, match=rf"must return \(30, 6\).*{got}"), fixed.edit(first, fn):
            fixed.forward(inputs)
    assert np.array_equal(fixed.forward(inputs), plain)


def test_tokens_of_a_fixed_export_are_attributed_at_their_embedding() -> None:
    fixed, own, inputs = both("transformer", 4)
    assert token_embedding(fixed, inputs, "tokens") == token_embedding(own, inputs, "tokens") is not None
    (layer, *_) = own.survey(inputs)
    (same, *_) = fixed.survey(inputs)
    weights = RNG.normal(size=(layer.units, 2))
    taken = [
        occlusion(network, at, inputs, "tokens", inputs["tokens"][:1], weights, np.arange(6))
        for network, at in ((fixed, same), (own, layer))
    ]
    np.testing.assert_allclose(taken[0].parts, taken[1].parts, atol=1e-5)


def test_inputs_of_another_shape_are_told_from_another_number_of_rows() -> None:
    for rows, shapes in ((4, None), (4, ({0: torch.export.Dim("rows")},))):
        program = torch.export.export(MLP(8, hidden=(6,)).eval(), (torch.zeros(rows, 8),), dynamic_shapes=shapes)
        network = TorchNetwork(program)
        assert network.forward({"x": np.zeros((5, 8), np.float32)}).shape == (5,)
        with pytest.raises(RuntimeError, match=r"shape\[1\] to be equal to 8, but got 7"):
            network.forward({"x": np.zeros((5, 7), np.float32)})
    most = torch.export.export(
        MLP(8, hidden=(6,)).eval(), (torch.zeros(4, 8),), dynamic_shapes=({0: torch.export.Dim("rows", max=64)},)
    )
    with pytest.raises(ConfigError, match="batches of another size"):
        TorchNetwork(most).forward({"x": np.zeros((65, 8), np.float32)})


class Sides(nn.Module):
    """Two inputs of one shape, so that nothing but their names tells them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        score: Tensor = self.out(torch.relu(self.left(left) - self.right(right)))
        return score


def exported_sides(net: Sides, places: int, names: tuple[str, ...]) -> torch.export.ExportedProgram:
    """The graph of the network, its first inputs given by place and the others by these names."""
    shape = {0: torch.export.Dim("rows")}
    by_place, by_name = tuple(torch.zeros(4, 3) for _ in range(places)), {name: torch.zeros(4, 3) for name in names}
    return torch.export.export(net.eval(), by_place, by_name, dynamic_shapes={"left": shape, "right": shape})


@pytest.mark.parametrize(("places", "names"), [(2, ()), (1, ("right",)), (0, ("right", "left"))])
@pytest.mark.parametrize("saved", [False, True], ids=["in memory", "saved"])
def test_inputs_go_to_an_exported_graph_by_name_in_any_order(
    places: int, names: tuple[str, ...], saved: bool, tmp_path: Path
) -> None:
    net = Sides()
    graph: Any = exported_sides(net, places, names)
    if saved:
        torch.export.save(graph, tmp_path / "net.pt2")
        graph = open_model(tmp_path / "net.pt2")
    left, right = RNG.normal(size=(2, N, 3)).astype(np.float32)
    network, wanted = TorchNetwork(graph), TorchNetwork(net).forward({"left": left, "right": right})
    for inputs in ({"left": left, "right": right}, {"right": right, "left": left}):
        np.testing.assert_allclose(network.forward(inputs), wanted, atol=1e-6)
    in_order = ("right", "left") if places == 0 else ("left", "right")
    sides = {"left": left, "right": right}
    others = dict(zip("ab", (sides[name] for name in in_order), strict=True))
    np.testing.assert_allclose(network.forward(others), wanted, atol=1e-6)
    assert not np.allclose(network.forward(dict(reversed(others.items()))), wanted), "their order counts then"
    with pytest.raises(InputError, match=rf"takes \({', '.join(in_order)}\), but the inputs of the data are \(left\)"):
        network.forward({"left": left})


def test_inputs_of_different_batches_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, weights: Tensor) -> Tensor:
            return x @ weights

    program = torch.export.export(Two(), (torch.zeros(4, 8), torch.zeros(8, 1)))
    with pytest.raises(ConfigError, match=r"batches of different sizes, \[4, 8\]"):
        TorchNetwork(program)


def test_pieces_take_every_row_once() -> None:
    for n in (1, 3, 4, 5, 9):
        index = [rows[:kept] for rows, kept in Pieces(4).of(n)]
        assert np.array_equal(np.concatenate(index), np.arange(n))
        assert all(len(rows) == 4 for rows, _ in Pieces(4).of(n))
