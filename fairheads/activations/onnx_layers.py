"""The layers of an ONNX graph that an audit looks at by default: blocks, activation functions, or what has weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairheads.activations.onnx_graph import WEIGHTED, Graph

_ACTIVE = (
    *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Swish", "Tanh", "HardSwish", "Softplus", "Softsign"),
    *("PRelu", "Mish", "ThresholdedRelu", "Clip", "LSTM", "GRU", "RNN"),
)
_NORMS = ("LayerNormalization", "BatchNormalization", "InstanceNormalization", "GroupNormalization")
_GATES = ("Sigmoid", "Erf", "Tanh", "HardSigmoid", "Softplus")


def default_tensors(graph: Graph, output: str) -> tuple[str, ...]:
    """The tensors that an audit looks at by default, in the order of a pass.

    Of a network with two residual blocks or more what each gives; else the outputs of activation functions and
    recurrent layers; else those of layers with weights but the last.
    """
    names = [name for name in graph.named(graph.sources(output)) if name in graph.order]
    found = _blocks(graph, names)
    if len(found) < 2:
        found = [active for name in names if (active := _activation(graph, name)) is not None]
    if not found:
        weighted = [name for name in names if graph.maker(name).op_type in WEIGHTED]
        found = [_with_bias(graph, name) for name in weighted[:-1]]
    return tuple(name for name in dict.fromkeys(found) if name != output)


def _blocks(graph: Graph, names: Sequence[str]) -> list[str]:
    """What residual blocks give: the sum, or the activation behind it (the norm, where the first sum has one).

    Attention and the feed-forward part behind it, each with a sum of its own, make one block.
    """
    weighted, attention = graph.made_by(WEIGHTED), graph.made_by(["Softmax"])
    sums = [name for name in names if _is_residual(graph, name, weighted)]
    before, attends = 0, []
    for name in sums:
        attends.append(bool(graph.sources(name) & ~before & attention))
        before |= graph.sources(name)
    followed = [*attends[1:], True][: len(sums)]
    whole = [name for name, first, second in zip(sums, attends, followed, strict=True) if second or not first]
    behind = [graph.follower(name) for name in whole]
    normed = bool(whole) and behind[0] is not None and behind[0].op_type in _NORMS
    kinds = (*_ACTIVE, *_NORMS) if normed else _ACTIVE
    return [
        node.output[0] if node is not None and node.op_type in kinds else name
        for name, node in zip(whole, behind, strict=True)
    ]


def _is_residual(graph: Graph, name: str, weighted: int) -> bool:
    """Whether a tensor is the sum of two ways from one tensor inside the network, with weights on one of them."""
    node = graph.maker(name)
    ways = [graph.sources(each) for each in node.input]
    if node.op_type not in ("Add", "Sum") or len(ways) != 2 or _is_masked(graph, name):
        return False
    common = [each for each in graph.named(ways[0] & ways[1]) if each in graph.order]
    if not common:
        return False
    fork = graph.sources(common[-1])
    return any(graph.sources(each) & fork == fork for each in graph.named((ways[0] ^ ways[1]) & weighted))


def _is_masked(graph: Graph, name: str) -> bool:
    """Whether a sum is that of the scores of attention and a mask or bias."""
    while (node := graph.follower(name)) is not None and node.op_type in ("Add", "Reshape", "Cast", "Mul", "Div"):
        name = node.output[0]
    return node is not None and node.op_type == "Softmax"


def _activation(graph: Graph, name: str) -> str | None:
    """The output of the activation function that makes a tensor, or whose gate it is; None where there is none."""
    node = graph.maker(name)
    gated = _gated(graph, name) if node.op_type in _GATES else None
    if gated is not None:
        return gated
    return name if node.op_type in _ACTIVE and node.output[0] == name else None


def _gated(graph: Graph, gate: str) -> str | None:
    """``x * gate(x)`` written as several nodes: SiLU, Mish, or GELU with its half before or behind."""
    name, half = gate, graph.maker(gate).op_type in ("Erf", "Tanh")
    while (node := graph.follower(name)) is not None:
        others = [each for each in graph.carrying(node) if each != name]
        if node.op_type == "Mul" and len(others) == 1 and (scaled := _is_input_of(graph, others[0], gate)):
            behind: Any = graph.follower(node.output[0]) if half and scaled == "plain" else None
            halved = behind is not None and behind.op_type == "Mul" and len(graph.carrying(behind)) == 1
            return str(behind.output[0] if halved else node.output[0])
        if others or node.op_type not in ("Add", "Mul", "Div", "Tanh"):
            return None
        name = node.output[0]
    return None


def _is_input_of(graph: Graph, name: str, gate: str) -> str:
    """``plain`` where a tensor is what a gate is made of by no weights, ``scaled`` where it is a multiple of that."""
    node, said = graph.maker(name), "plain"
    if graph.sources(name) & ~graph.sources(gate):
        multiple = node is not None and node.op_type in ("Mul", "Div") and len(graph.carrying(node)) == 1
        if not multiple:
            return ""
        name, said = graph.carrying(node)[0], "scaled"
    between = graph.sources(gate) & ~graph.sources(name)
    apart = graph.sources(name) & ~graph.sources(gate)
    return "" if apart or between & graph.made_by((*WEIGHTED, "GlobalAveragePool", "ReduceMean")) else said


def _with_bias(graph: Graph, name: str) -> str:
    """A layer with the constant that is added to it."""
    node: Any = graph.follower(name)
    added = node is not None and node.op_type == "Add" and len(graph.carrying(node)) == 1
    return str(node.output[0]) if added else name
