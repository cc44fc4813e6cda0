"""An ONNX file, looked at before onnxruntime sees any of it.

A file can name other files to read (external data), memory addresses, libraries of its own (operators of other
domains), settings of the session (metadata), tensors larger than any memory, and loops without end. None of it gets
past here; what is run is made anew of what was looked at.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fairheads.errors import ConfigError, InputError, UnsafeModelError, first_line

LARGEST_FILE = 2**31 - 1
"""Bytes of a file: what protobuf can hold."""

LARGEST_TENSOR = 2**28
"""Numbers that a tensor may have for one row, by the sizes that are written in the graph: a gigabyte of float32."""

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Sets of operators that are defined by the standard."""

_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")


def vetted(model: str | Path | bytes) -> tuple[Any, str]:
    """The model in a file or in bytes, an ``onnx.ModelProto`` that is safe to make a session of, and its SHA-256.

    Raises
    ------
    InputError
        If there is no such file, or the extra is not installed.
    UnsafeModelError
        If it is no ONNX model, is damaged, names other files, needs operators of its own, or asks for absurd amounts
        of memory.
    ConfigError
        If the graph draws random numbers or was exported for training: an audit must give the same bytes twice.
    """
    try:
        import onnx
    except ImportError as error:
        raise InputError("reading ONNX needs onnx and onnxruntime: pip install 'fairheads[integrations]'.") from error
    content = model if isinstance(model, bytes) else _read(Path(model))
    named = "the model" if isinstance(model, bytes) else f"{Path(model).name!r}"
    found = onnx.ModelProto()
    try:
        found.ParseFromString(content)
    except Exception as error:  # protobuf's own
        raise UnsafeModelError(f"{named} is no ONNX model, or is cut short: protobuf cannot read it.") from error
    if not found.graph.node or not found.graph.output:
        raise UnsafeModelError(f"{named} is no ONNX model, or is empty: it holds no graph.")
    found.DiscardUnknownFields()
    _refuse_other_operators(found, named)
    for graph in graphs_of(found.graph):
        for tensor in _tensors(graph):
            _refuse_tensor(tensor, named)
        _refuse_nodes(graph, named)
    _refuse_absurd_sizes(found, named)
    return found, hashlib.sha256(content).hexdigest()


def graphs_of(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes, such as the branches of an ``If``."""
    yield graph
    for node in graph.node:
        for inner in graphs_in(node):
            yield from graphs_of(inner)


def graphs_in(node: Any) -> Iterator[Any]:
    """The graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}.")
    with path.open("rb") as file:  # one byte more than may be, whatever the size was said to be
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise UnsafeModelError(f"{path.name!r} has more than 2 GB, which is more than an ONNX file can have.")
    return content


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor that a graph holds, the parts of sparse ones among them."""
    sparse = list(graph.sparse_initializer)
    yield from graph.initializer
    for attribute in (each for node in graph.node for each in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        sparse += (attribute.sparse_tensor, *attribute.sparse_tensors)
    for each in sparse:
        yield from (each.values, each.indices)


def _refuse_tensor(tensor: Any, named: str) -> None:
    from onnx import TensorProto

    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        where = next((each.value for each in tensor.external_data if each.key == "location"), "")
        raise UnsafeModelError(
            f"{named} keeps weights in another file, {where!r}; no other file is read. Save it as one:"
            " onnx.save_model(model, path, save_as_external_data=False)."
        )
    kinds = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
    held = 4 * len(tensor.raw_data) + 8 * sum(len(getattr(tensor, kind)) for kind in kinds)  # the narrowest have 2 bits
    if _is_absurd(tensor.dims) or (tensor.dims and math.prod(tensor.dims) > held):
        raise UnsafeModelError(
            f"tensor {tensor.name!r} of {named} is said to have shape {tuple(tensor.dims)}, but the file holds fewer"
            " numbers."
        )


def _is_absurd(dims: Sequence[int], largest: int = LARGEST_FILE) -> bool:
    return min(dims, default=1) < 0 or math.prod(dims) > largest


def _refuse_other_operators(model: Any, named: str) -> None:
    if model.functions:
        raise UnsafeModelError(
            f"{named} brings functions of its own; write them out with onnx.inliner.inline_local_functions(model)."
        )
    used = {node.domain for graph in graphs_of(model.graph) for node in graph.node}
    if strange := sorted(used - set(DOMAINS)):
        raise UnsafeModelError(
            f"{named} needs operators outside the standard, of {', '.join(strange)}; export it with those of ONNX."
        )


def _refuse_nodes(graph: Any, named: str) -> None:
    made = Counter(name for node in graph.node for name in node.output if name)
    made.update(each.name for each in graph.input)
    if twice := next((name for name, times in made.items() if times > 1), None):
        raise UnsafeModelError(f"{named} is damaged: tensor {twice!r} is made more than once.")
    for node in graph.node:
        if node.op_type == "Loop":
            raise UnsafeModelError(f"{named} has a loop (Loop), which may never end; export it without, or as a .pt2.")
        if node.op_type in _RANDOM or (node.op_type == "Dropout" and _is_on(graph, node.input[2:3])):
            raise ConfigError(
                f"{named} draws random numbers ({node.op_type}); an audit needs the same scores every time: export it"
                " in eval mode."
            )
        if node.op_type == "BatchNormalization" and any(a.name == "training_mode" and a.i for a in node.attribute):
            raise ConfigError(f"{named} was exported for training (BatchNormalization); export it in eval mode.")


def _is_on(graph: Any, names: Sequence[str]) -> bool:
    """Whether a switch is not known to be off."""
    from onnx import numpy_helper

    if not any(names):
        return False
    made = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.attribute}
    constant = ({each.name: each for each in graph.initializer} | made).get(names[0])
    return constant is None or bool(numpy_helper.to_array(constant).any())


def _refuse_absurd_sizes(model: Any, named: str) -> None:
    """Refuse tensors whose size is written in the graph and too large, before anything makes room for them."""
    from onnx import shape_inference

    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # the checker of onnx raises what it likes
        raise UnsafeModelError(f"{named} is damaged: {first_line(error)[:300]}") from error
    for graph in graphs_of(inferred.graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            known = [dim.dim_value for dim in value.type.tensor_type.shape.dim if dim.HasField("dim_value")]
            if _is_absurd(known, LARGEST_TENSOR):
                raise UnsafeModelError(
                    f"{named} makes a tensor {value.name!r} of {math.prod(known):,} numbers, more than any network"
                    " needs."
                )
