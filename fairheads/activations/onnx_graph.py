"""A graph of ONNX as tensors that nodes make and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairheads.activations.onnx_vetted import graphs_in

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that mix units by weights."""

_SIZES = ("Shape", "Size")


class Graph:
    """The nodes of a vetted model and what flows between them.

    Parameters
    ----------
    model : onnx.ModelProto

    Attributes
    ----------
    inputs, outputs : tuple of onnx.ValueInfoProto
        Of the graph; inputs that have values of their own are left out.
    order : dict of str to int
        Place of the node that makes each tensor, in the order of a pass.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._nodes = list(model.graph.node)
        self._weights = {each.name: each for each in model.graph.initializer}
        self._sparse = {each.values.name: each for each in model.graph.sparse_initializer}
        own = self._weights.keys() | self._sparse.keys()
        self.inputs = tuple(each for each in model.graph.input if each.name not in own)
        self.outputs = tuple(model.graph.output)
        self.order = {name: at for at, node in enumerate(self._nodes) for name in node.output if name}
        self._readers: dict[str, list[int]] = {}
        self._tensors = [each.name for each in self.inputs]
        self._sources = {name: 1 << i for i, name in enumerate(self._tensors)}
        for at, node in enumerate(self._nodes):
            reads = list(dict.fromkeys(_reads(node)))
            for name in reads:
                self._readers.setdefault(name, []).append(at)
            self._trace(node, reads)

    def _trace(self, node: Any, reads: Sequence[str]) -> None:
        before = 0
        for name in reads if node.op_type not in _SIZES else ():
            before |= self._sources.get(name, 0)
        for name in node.output if before else ():
            self._sources[name] = before | 1 << len(self._tensors)
            self._tensors.append(name)

    def maker(self, name: str) -> Any:
        """The node that makes a tensor; None of an input or a constant."""
        return self._nodes[self.order[name]] if name in self.order else None

    def made_by(self, kinds: Sequence[str]) -> int:
        """The tensors that nodes of these kinds make, as a set like `sources`."""
        bits = 0
        for i, name in enumerate(self._tensors):
            if (node := self.maker(name)) is not None and node.op_type in kinds:
                bits |= 1 << i
        return bits

    def sources(self, name: str) -> int:
        """The tensors whose values, not only their sizes, a tensor is made from, itself and the inputs among them.

        A set as the bits of a number, in the order of a pass: 0 where the tensor is a constant.
        """
        return self._sources.get(name, 0)

    def named(self, bits: int) -> list[str]:
        """The names in a set of tensors."""
        return [name for i, name in enumerate(self._tensors) if bits >> i & 1]

    def carrying(self, node: Any) -> list[str]:
        """What a node reads that is no constant."""
        return [name for name in node.input if self.sources(name)]

    def follower(self, name: str) -> Any:
        """The node that reads a tensor; None unless it is the only one, and the tensor is no output."""
        readers = self._readers.get(name, [])
        alone = len(readers) == 1 and all(each.name != name for each in self.outputs)
        return self._nodes[readers[0]] if alone else None

    def hint(self, name: str) -> tuple[int, bool] | None:
        """Units of what last gave numbers before a tensor, and whether they come before the positions."""
        while (node := self.maker(name)) is not None:
            said = {each.name: each.i for each in node.attribute}
            if node.op_type in ("LSTM", "GRU", "RNN"):
                return said["hidden_size"], False
            weight = self._weights.get(node.input[1]) if len(node.input) > 1 else None
            dims = () if weight is None else tuple(weight.dims)
            if len(dims) > 0:
                match node.op_type:
                    case "Conv" | "BatchNormalization" | "InstanceNormalization":
                        return dims[0], True
                    case "ConvTranspose":
                        return dims[1] * said.get("group", 1), True
                    case "Gemm" | "MatMul":
                        return dims[0 if said.get("transB") else -1], False
                    case "LayerNormalization":
                        return dims[-1], False
            name = next(iter(self.carrying(node)), "")
        return None

    def variant(self, outputs: Sequence[str], fed: Mapping[str, Any]) -> bytes:
        """A model that gives these tensors, where those that are fed (``ValueInfoProto`` by name) are inputs.

        Whatever reads a fed tensor reads the input instead. Nodes and inputs that nothing needs any more are left out.
        """
        from onnx import ModelProto, ValueInfoProto

        needed, read, left = set[int](), set(outputs), list(outputs)
        while left:
            at = None if (name := left.pop()) in fed else self.order.get(name)
            if at is not None and at not in needed:
                needed.add(at)
                left += _reads(self._nodes[at])
                read |= set(left)
        made = ModelProto(ir_version=self._model.ir_version, opset_import=self._model.opset_import)
        graph = made.graph
        graph.name = "audited"
        for at in sorted(needed):
            node = graph.node.add()
            node.CopyFrom(self._nodes[at])
            node.ClearField("metadata_props")
            for i, name in enumerate(node.output):
                if name in fed:  # another output of the node is needed
                    node.output[i] = f"{name}/as made"
        graph.input.extend(each for each in self.inputs if each.name in read)
        graph.input.extend(value for name, value in fed.items() if name in read)
        graph.initializer.extend(each for name, each in self._weights.items() if name in read)
        graph.sparse_initializer.extend(each for name, each in self._sparse.items() if name in read)
        graph.output.extend(ValueInfoProto(name=name) for name in outputs)
        return bytes(made.SerializeToString())


def _reads(node: Any) -> list[str]:
    """Names of what a node reads, what the graphs inside it take from around them included."""
    return [name for name in node.input if name] + [name for inner in graphs_in(node) for name in _captured(inner)]


def _captured(graph: Any) -> Iterator[str]:
    own = {name for node in graph.node for name in node.output}
    own |= {each.name for each in graph.input} | {each.name for each in graph.initializer}
    for node in graph.node:
        yield from (name for name in _reads(node) if name not in own)
