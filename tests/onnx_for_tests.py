"""Graphs of ONNX for tests: written by hand, or exported from torch modules."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FLOAT, DOUBLE, HALF, WHOLE, TRUTH = 1, 11, 10, 7, 9


def exported(net: nn.Module, inputs: Mapping[str, Tensor], *, opset: int = 20, any_batch: bool = True) -> bytes:
    """A torch module as torch.onnx exports it, by tracing, which needs no other package."""
    axes = {name: {0: "N"} for name in inputs} if any_batch else None
    file = io.BytesIO()
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator that ONNX has not
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net.eval(),
                tuple(inputs.values()),
                file,
                dynamo=False,
                opset_version=opset,
                input_names=list(inputs),
                output_names=["score"],
                dynamic_axes=axes,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return file.getvalue()


def model_of(
    nodes: Sequence[Any],
    weights: Mapping[str, Any] | None = None,
    *,
    inputs: Mapping[str, tuple[int, Sequence[Any]]] | None = None,
    outputs: Mapping[str, tuple[int, Sequence[Any]]] | None = None,
    opset: int = 20,
) -> Any:
    """A model of these nodes, by default from ``x`` (N, 4) to ``y`` (N, 1)."""
    from onnx import helper, numpy_helper

    inputs = {"x": (FLOAT, ["N", 4])} if inputs is None else inputs
    outputs = {"y": (FLOAT, ["N", 1])} if outputs is None else outputs
    graph = helper.make_graph(
        list(nodes),
        "made",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in (weights or {}).items()],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])


def node(kind: str, reads: str, gives: str, **attributes: Any) -> Any:
    """A node; names stand apart by spaces, and ``-`` is an input that is left out."""
    from onnx import helper

    return helper.make_node(kind, ["" if name == "-" else name for name in reads.split()], gives.split(), **attributes)


def small(*last: Any, **more: Any) -> Any:
    """The model ``relu(x A) B`` of 4, 5 and 1 or more units, with further nodes behind ``z``."""
    rng = np.random.default_rng(0)
    columns = more.pop("columns", 1)
    weights = {
        "A": rng.normal(size=(4, 5)).astype(np.float32),
        "B": rng.normal(size=(5, columns)).astype(np.float32),
        **more.pop("weights", {}),
    }
    nodes = [node("MatMul", "x A", "h"), node("Relu", "h", "r"), node("MatMul", "r B", "z")]
    return model_of([*nodes, *(last or [node("Identity", "z", "y")])], weights, **more)
