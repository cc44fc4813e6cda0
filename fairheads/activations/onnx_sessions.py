"""Sessions of onnxruntime for variants of one graph, made when they are needed, and passes over any number of rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.activations.onnx_graph import Graph
from fairheads.errors import InputError, UnsafeModelError, first_line

Array = NDArray[Any]
Shapes = dict[str, tuple[int, ...] | None]

HELD = 8
"""Sessions that are kept: each holds the weights of its part of the graph."""


class Sessions:
    """Runs variants of a graph: one thread, nothing fused, on the CPU, so that every variant gives the same bits.

    Parameters
    ----------
    graph : Graph
        Of a vetted model.

    Raises
    ------
    InputError
        If onnxruntime is not installed.
    """

    def __init__(self, graph: Graph) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError("running ONNX needs onnxruntime: pip install 'fairheads[integrations]'.") from error
        self._runtime, self._graph = onnxruntime, graph
        onnxruntime.disable_telemetry_events()
        self._made: OrderedDict[tuple[tuple[str, ...], tuple[str, ...]], Any] = OrderedDict()
        self._fed: dict[str, Any] = {}
        sizes = {_sizes(each)[0] for each in graph.inputs if _sizes(each)}
        fixed = sorted(size for size in sizes if size is not None)
        if len(fixed) > 1:
            raise InputError(f"the graph's inputs have batches of different sizes, {fixed}; they must have one.")
        self.batch = fixed[0] if fixed else None
        """Rows that the graph takes at a time; None where it takes any number."""

    def check(self, output: str) -> None:
        """Make the session of the whole graph.

        Raises
        ------
        UnsafeModelError
            If onnxruntime does not take it.
        """
        self._session((output,), ())

    def inputs(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The inputs by their names in the graph and of its types: those of the same names, else all in order.

        Raises
        ------
        InputError
            If there are others than the graph takes, or they have another shape or kind.
        """
        wanted = [each.name for each in self._graph.inputs]
        if set(wanted) <= set(given):
            named = {name: np.asarray(given[name]) for name in wanted}
        elif len(given) == len(wanted):
            named = {name: np.asarray(values) for name, values in zip(wanted, given.values(), strict=True)}
        else:
            raise InputError(f"the graph takes the inputs {', '.join(wanted)}, got {', '.join(given)}.")
        return {each.name: _fitting(each, named[each.name]) for each in self._graph.inputs}

    def run(
        self, outputs: Sequence[str], given: Mapping[str, Array], fed: Mapping[str, Array], rows: Mapping[str, int]
    ) -> dict[str, Array]:
        """The outputs of all rows, where the tensors in ``fed`` are given.

        Parameters
        ----------
        outputs : sequence of str
        given : mapping of name to array (n, ...)
            Of `inputs`.
        fed : mapping of name to array
        rows : mapping of name to int
            The axis of the rows in outputs and fed tensors, where it is not 0.
        """
        if not outputs:
            return {}
        session = self._session(tuple(outputs), tuple(sorted(fed)))
        needed = {each.name for each in session.get_inputs()}
        feeds = {name: values for name, values in {**given, **fed}.items() if name in needed}
        n = len(next(iter(given.values())))
        if self.batch is None:
            return dict(zip(outputs, self._passed(session, outputs, feeds), strict=True))
        parts: list[list[Array]] = []
        for start in range(0, n, self.batch):
            index = np.minimum(np.arange(start, start + self.batch), n - 1)
            part = {name: np.take(values, index, axis=rows.get(name, 0)) for name, values in feeds.items()}
            kept = np.arange(min(self.batch, n - start))
            made = zip(outputs, self._passed(session, outputs, part), strict=True)
            parts.append([np.take(values, kept, axis=rows.get(name, 0)) for name, values in made])
        return {
            name: np.concatenate([part[i] for part in parts], axis=rows.get(name, 0)) for i, name in enumerate(outputs)
        }

    def shapes(self, names: Sequence[str], given: Mapping[str, Array], n: int) -> Shapes:
        """The shapes of tensors for n rows, as these inputs show them; None of those that are not in floating point.

        A graph of one batch size shows what its batch has in the place of the rows.
        """
        some = {name: values[np.resize(np.arange(len(values)), self.batch or n)] for name, values in given.items()}
        session = self._session(tuple(names), (), keep=False)
        made = dict(zip(names, self._passed(session, names, self.inputs(some)), strict=True))
        shapes: Shapes = {}
        for name, values in made.items():
            is_float = isinstance(values, np.ndarray) and values.dtype.kind == "f"
            shape = values.shape if is_float else None
            if shape is not None and self.batch is not None and shape[:1] == (self.batch,):
                shape = (n, *shape[1:])
            shapes[name] = shape
        return shapes

    def _session(self, outputs: tuple[str, ...], fed: tuple[str, ...], *, keep: bool = True) -> Any:
        key = outputs, fed
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        variant = self._graph.variant(outputs, {name: self._fed[name] for name in fed})
        try:
            session = self._runtime.InferenceSession(
                variant, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime's exceptions have no class in common
            raise UnsafeModelError(f"onnxruntime does not take the graph: {first_line(error)[:300]}") from error
        for value in session.get_outputs():
            self._fed.setdefault(value.name, _as_input(value))
        if keep:
            self._made[key] = session
            while len(self._made) > HELD:
                self._made.popitem(last=False)
        return session

    def _passed(self, session: Any, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        try:
            return list(session.run(list(outputs), dict(feeds)))
        except Exception as error:
            raise InputError(f"onnxruntime cannot run the graph on these inputs: {first_line(error)[:300]}") from error


def _sizes(value: Any) -> list[int | None]:
    """The shape of an input as the graph states it: None where any size will do."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]


def _fitting(value: Any, values: Array) -> Array:
    from onnx import helper

    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    stated = _sizes(value)
    if value.type.tensor_type.HasField("shape"):
        fits = len(stated) == values.ndim and all(
            size is None or size == got for size, got in zip(stated[1:], values.shape[1:], strict=True)
        )
        if not fits:
            shape = ", ".join(["n", *("any" if size is None else str(size) for size in stated[1:])])
            raise InputError(f"input {value.name!r} of the graph must be of shape ({shape}), got {values.shape}.")
    if not np.can_cast(values.dtype, wanted, "same_kind") and not (wanted.kind in "iu" and values.dtype.kind in "iu"):
        raise InputError(f"input {value.name!r} of the graph takes {wanted}, got {values.dtype}.")
    return np.ascontiguousarray(values, wanted)


def _as_input(value: Any) -> Any:
    """What onnxruntime says of an output, as an input."""
    from onnx import helper

    kinds = {"tensor(float)": 1, "tensor(float16)": 10, "tensor(double)": 11}
    return helper.make_tensor_value_info(value.name, kinds.get(value.type, 1), [None] * len(value.shape))
