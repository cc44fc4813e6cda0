"""``.pt2`` files of torch.export, vetted before any part of them reaches torch.

``torch.export.load`` trusts its file. Read in torch 2.13, these are the ways in which code of a file can run:

1. Sample inputs are unpickled without limits where ``weights_only`` fails.
2. So are ``data/weights/NAME.pt`` and ``data/constants/NAME.pt``, an older layout that is still looked for, and the
   whole file in the layout of torch 2.7 and before.
3. A weight or constant whose entry says ``use_pickle`` is unpickled without limits.
4. Constants named ``custom_obj_*`` and ``opaque_obj_*`` are unpickled, by C++ and by Python.
5. Symbolic sizes (``expr_str``) go to ``sympy.sympify``, which is ``eval``.
6. ``guards_code`` is executed by ``ExportedProgram.module()``.
7. The target of a node is any attribute below ``torch``, ``math`` or ``_operator`` (``torch.hub.load``,
   ``torch.ops.load_library``, ``_operator.methodcaller``), of an argument too (``as_operator``), and some operators
   of aten itself reach files (``aten.from_file``, ``aten.save``).
8. Names of nodes and inputs are written as they are into the source of a module that is then executed.
9. Tree specifications name modules that are imported (``collections.defaultdict``, ``__enum__``).
10. Metadata of nodes name attributes of torch, which are looked up.
11. Shared libraries under ``data/aotinductor`` are loaded.
12. Two programs can read two different archives in the same bytes (members of the same name, names with zeros).

So nothing is left to the loader. The archive is unpacked in memory by `fairheads.models.archives`, its members compared
with a list (`MEMBERS`), and its graph copied field by field as torch's schema types it (`fairheads.models.graphs`):
operators from a list, names that are names, sizes in a strict grammar, no guards, no metadata but the stack of modules.
Weights are made of raw bytes, as many as their shapes need; sample inputs are dropped after their opcodes were read.
What is built of that copy is run once with shapes alone, to see that no value grows beyond `VALUE_BYTES`.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from fairheads.errors import FairheadsError, UnsafeModelError, first_line
from fairheads.models.archives import unpacked, without_root
from fairheads.models.graphs import Vetted, vetted_graph, vetted_payload
from fairheads.models.pickles import scan

EXPORT = "export it again: torch.export.save(torch.export.export(net.eval(), (inputs,), dynamic_shapes=...), 'net.pt2')"

MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|models/\w+\.json"
    r"|data/sample_inputs/\w+\.pt|data/weights/(weight_\d+|\w+_weights_config\.json)"
    r"|data/constants/(tensor_\d+|\w+_constants_config\.json)|extra/[\w./-]+"
)
"""Members that an export of a network has; every other is refused."""

VALUE_BYTES = 2**30
"""Most bytes of a value between two operators, and of all that are held at a time, for the rows of one small batch."""

ROWS = 2
"""Rows of that batch, where the graph does not fix them."""

LONGEST = 4096
"""Largest size of another kind that the graph leaves open."""


def open_exported(archive: Mapping[str, bytes], *, what: str) -> ExportedProgram:
    """The exported graph in the members of a ``.pt2`` file; nothing of them is executed.

    Raises
    ------
    UnsafeModelError
        If it holds more than tensors and a graph of torch's own operators, or is damaged.
    """
    members = without_root(archive, what=what)
    name = _model_name(members, what)
    try:
        graph = vetted_graph(_json(members[f"models/{name}.json"]))
        weights = vetted_payload(_json(members[f"data/weights/{name}_weights_config.json"]))
        constants = vetted_payload(_json(members[f"data/constants/{name}_constants_config.json"]))
        _refuse_code_in_samples(members[f"data/sample_inputs/{name}.pt"])
        state = _tensors(weights, members, "data/weights/")
        state_constants = _tensors(constants, members, "data/constants/")
        program = _built(graph, state, state_constants)
        _refuse_growth(program)
        _refuse_no_modules(program)
    except FairheadsError as error:
        found = first_line(error)  # an interpreter of graphs adds lines of its own
        raise UnsafeModelError(f"{what}: {found} Nothing of it was run; {EXPORT}.") from error
    except KeyError as error:
        raise UnsafeModelError(f"{what} lacks {str(error.args[0])[:80]!r}, or is damaged; {EXPORT}.") from error
    except Exception as error:  # whatever torch raises on a graph that makes no sense
        line = next((text.strip() for text in reversed(str(error).splitlines()) if text.strip()), type(error).__name__)
        raise UnsafeModelError(f"{what} is damaged or no graph of a network ({line[:160]}); {EXPORT}.") from error
    return program


def _model_name(members: Mapping[str, bytes], what: str) -> str:
    """The name of the one model in the archive, whose members are all of those that an export has."""
    for name in members:
        if name.endswith((".so", ".cubin", ".cpp", ".o")) or name.startswith("data/aotinductor"):
            raise UnsafeModelError(f"{what} holds compiled code ({name[:80]!r}), which cannot be vetted; {EXPORT}.")
        if re.fullmatch(r"data/constants/(custom|opaque)_obj_.*", name):
            raise UnsafeModelError(f"{what} holds a pickled object ({name[:80]!r}); {EXPORT}.")
        if re.fullmatch(r"data/(weights|constants)/[^/]*\.pt", name):
            raise UnsafeModelError(f"{what} holds pickled weights ({name[:80]!r}); {EXPORT}.")
        if not MEMBERS.fullmatch(name):
            raise UnsafeModelError(f"{what} holds a member that no export has ({name[:80]!r}); {EXPORT}.")
    models = [name for name in members if name.startswith("models/")]
    if len(models) != 1:
        raise UnsafeModelError(f"{what} must hold one model, got {len(models)}; {EXPORT}.")
    if members.get("archive_format") != b"pt2" or members.get("byteorder", b"little") != b"little":
        raise UnsafeModelError(f"{what} is no archive of torch.export, or not of this kind of machine; {EXPORT}.")
    return models[0].removeprefix("models/").removesuffix(".json")


def _json(content: bytes) -> Any:
    return json.loads(content.decode("utf-8"))


def _refuse_code_in_samples(content: bytes) -> None:
    """Sample inputs are of no use here; that they hold more than tensors says what the file is."""
    if not content:
        return
    inner = without_root(unpacked(content, what="its sample inputs"), what="its sample inputs")
    found = scan(inner.get("data.pkl", b""))
    if found.suspects or not found.whole:
        raise UnsafeModelError(f"its sample inputs are {found.words()}, not tensors.")


def _tensors(entries: Mapping[str, Any], members: Mapping[str, bytes], folder: str) -> dict[str, Tensor]:
    """Weights as raw bytes; several may share a member."""
    from torch._export.serde.serialize import deserialize_scalar_type

    flat: dict[tuple[str, torch.dtype], Tensor] = {}
    made: dict[str, Tensor] = {}
    for name, entry in entries.items():
        meta = entry["tensor_meta"]
        dtype = deserialize_scalar_type(meta["dtype"])
        sizes, strides = ([_whole(size, name) for size in meta[key]] for key in ("sizes", "strides"))
        offset = _whole(meta["storage_offset"], name)
        content = members[folder + entry["path_name"]]
        reach = offset + 1 + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        if max(math.prod(sizes), reach if all(sizes) else 0) * dtype.itemsize > len(content):
            raise UnsafeModelError(
                f"weight {name!r} of shape {tuple(sizes)} needs more than its {len(content):,} bytes."
            )
        key = (entry["path_name"], dtype)
        if key not in flat:
            flat[key] = torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)
        tensor = flat[key].as_strided(sizes, strides, offset) if all(sizes) else torch.empty(sizes, dtype=dtype)
        made[name] = nn.Parameter(tensor, tensor.is_floating_point()) if entry["is_param"] else tensor
    return made


def _whole(size: Mapping[str, Any], name: str) -> int:
    number = size.get("as_int")
    if not isinstance(number, int) or number < 0:
        raise UnsafeModelError(f"weight {name!r} has a size that is no number from 0 on.")
    return number


def _built(graph: Vetted, state: dict[str, Tensor], constants: dict[str, Tensor]) -> ExportedProgram:
    """The program of a vetted graph; torch's reader gets tensors, no bytes."""
    from torch._export.serde.schema import ExportedProgram as Schema
    from torch._export.serde.serialize import ExportedProgramDeserializer, _dict_to_dataclass

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = ExportedProgramDeserializer().deserialize(_dict_to_dataclass(Schema, graph), state, constants, None)
    if not isinstance(program, ExportedProgram):
        raise UnsafeModelError("the file holds no graph.")
    return program


class _Measured(fx.Interpreter):
    """Runs a graph with shapes alone, and stops where its values need too much memory."""

    limit = VALUE_BYTES

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        held = [*self.env.values(), value] if n.op == "call_function" else []
        if sum(_bytes_of(each) for each in held) > self.limit:
            raise UnsafeModelError(f"its operator {n.name!r} needs more than {VALUE_BYTES >> 20:,} MB for {ROWS} rows.")
        return value


def _bytes_of(value: object) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes_of, value)) if isinstance(value, tuple | list) else 0


def _refuse_growth(program: ExportedProgram) -> None:
    """Run the graph without numbers: on shapes that fit, within `VALUE_BYTES`, and without a change of its weights."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    user = set(program.graph_signature.user_inputs)
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    rows = {str(val.shape[0]) for n in inputs if n.name in user and (val := _shaped(n)) is not None and val.ndim}
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad():
        given = [_like(node.meta.get("val"), rows) for node in inputs]
        weights = [each for each, node in zip(given, inputs, strict=True) if node.name not in user]
        measured = _Measured(program.graph_module)
        measured.limit = sum(map(_bytes_of, weights)) + VALUE_BYTES
        measured.run(*given, enable_io_processing=False)
        if any(isinstance(weight, Tensor) and weight._version for weight in weights):
            raise UnsafeModelError("the graph changes its own weights as it runs; export it in eval mode.")


def _shaped(node: fx.Node) -> Tensor | None:
    value = node.meta.get("val")
    return value if isinstance(value, Tensor) else None


def _like(value: Any, rows: set[str]) -> Any:
    """A tensor without numbers, of `ROWS` rows where the graph leaves them open, else of the shape it was made with."""
    if not isinstance(value, Tensor):
        return value

    def known(size: Any) -> int:
        if isinstance(size, int):
            return size
        hint = None if str(size) in rows else getattr(size.node, "hint", None)
        return ROWS if hint is None else min(int(hint), LONGEST)

    return torch.empty([known(size) for size in value.shape], dtype=value.dtype)


def _refuse_no_modules(program: ExportedProgram) -> None:
    """Refuse a graph whose modules do not come apart: it could not be looked into."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.unflatten(program)
