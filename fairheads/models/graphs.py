"""The graph of a ``.pt2`` file, copied field by field as torch's schema types it; what is not in the schema is left."""

from __future__ import annotations

import dataclasses
import enum
import json
import keyword
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any

from fairheads.errors import UnsafeModelError
from fairheads.models.expressions import LARGEST, SYMBOL, is_plain
from fairheads.models.operators import operator_kind

Vetted = dict[str, Any]
"""A copy in which every value has the type of the schema and every rule holds."""

DEPTH = 60
"""Deepest nesting of a graph's description."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_PATH = re.compile(r"(?:[A-Za-z0-9_@-]{1,100}(?:\.[A-Za-z0-9_@-]{1,100}){0,30})?")
_STACK = re.compile(r"[\w.@\[\]'-]*,[\w.@\[\]'-]*,[\w.<>-]*")
_SIZE = r"(?:\d{1,12}|L(?:\['\w{1,100}'\]|\[\d{1,3}\]){1,4}\.size\(\)\[\d{1,2}\])"
_GUARD = re.compile(rf"{_SIZE} (?:==|!=|<=|>=|<|>) {_SIZE}")
_PAYLOAD = re.compile(r"(?:weight|tensor)_\d{1,6}")

_OUTPUTS = re.compile(r"transformers\.modeling_outputs\.\w+")
_TREES = ("builtins.tuple", "builtins.list", "builtins.dict")
_DEVICES = ("cpu", "cuda", "mps", "xpu")


def vetted_graph(data: Any) -> Vetted:
    """The description of an exported program that torch may read; its guards, comparisons of sizes, are left out.

    Raises
    ------
    UnsafeModelError
        If it holds an operator, a name, an expression or a tree that is not one of those allowed.
    """
    from torch._export.serde import schema

    program: Vetted = copied(schema.ExportedProgram, data)
    for guard in program.get("guards_code", []):
        if not _GUARD.fullmatch(guard):
            raise UnsafeModelError(f"its guards are Python code ({guard[:60]!r}).")
    program["guards_code"] = []
    if not set(program.get("verifiers", [])) <= {"ATEN", "TRAINING", ""}:
        raise UnsafeModelError(f"its dialect {program['verifiers']!r} is unknown.")
    for symbol in program["range_constraints"]:
        if not SYMBOL.fullmatch(symbol):
            raise UnsafeModelError(f"its size {symbol[:40]!r} depends on the data, or is no size.")
    module = program["graph_module"]
    module["metadata"] = {}
    if module.pop("treespec_namedtuple_fields", None):
        raise UnsafeModelError("it returns or takes a named tuple; export a network that returns a tensor.")
    _as_positional(module)
    return program


def vetted_payload(data: Any) -> Vetted:
    """The list of weights or constants, all of them raw tensors.

    Raises
    ------
    UnsafeModelError
        If one is pickled, or lies outside its folder.
    """
    from torch._export.serde import schema

    entries: Vetted = copied(schema.PayloadConfig, data)["config"]
    for name, entry in entries.items():
        _path(name)
        if entry["use_pickle"]:
            raise UnsafeModelError(f"its weight {name!r} is pickled (`use_pickle`).")
        if not _PAYLOAD.fullmatch(entry["path_name"]) or entry["tensor_meta"] is None:
            raise UnsafeModelError(f"its weight {name!r} is no raw tensor ({entry['path_name'][:80]!r}).")
    return entries


def copied(kind: Any, data: Any, depth: int = 0) -> Any:
    """``data`` as the schema class ``kind`` describes it, with the rules of that class applied.

    Raises
    ------
    UnsafeModelError
        If a value is of another type, or breaks a rule.
    """
    if depth > DEPTH:
        raise UnsafeModelError("its description is nested too deeply.")
    origin, given = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return copied(given[0], data, depth)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [each for each in given if each is not type(None)]
        return None if data is None else copied(inner, data, depth)
    if origin is list and isinstance(data, list):
        return [copied(given[0], each, depth + 1) for each in data]
    if origin is dict and isinstance(data, dict):
        return {str(key): copied(given[1], each, depth + 1) for key, each in data.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(data, dict):
        return _copied_fields(kind, data, depth)
    return _copied_value(kind, data)


def _copied_fields(kind: type, data: Mapping[str, Any], depth: int) -> Vetted:
    hints = _hints(kind)
    union = hasattr(kind, "create")
    if union and (len(data) != 1 or next(iter(data)) not in hints):
        raise UnsafeModelError(f"its description has a {kind.__name__} of several or unknown kinds.")
    made: Vetted = {}
    for field in dataclasses.fields(kind):
        if field.name in data:
            made[field.name] = copied(hints[field.name], data[field.name], depth + 1)
        elif not union and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UnsafeModelError(f"its description has a {kind.__name__} without {field.name!r}.")
    rule = RULES.get(kind.__name__)
    if rule is not None:
        rule(made)
    return made


@cache
def _hints(kind: type) -> dict[str, Any]:
    from torch._export.serde import schema

    return typing.get_type_hints(kind, globalns=vars(schema), include_extras=True)


def _copied_value(kind: Any, data: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, enum.IntEnum):
        if type(data) is int and data in list(kind):
            return data
    elif kind is float:
        if type(data) in (int, float) or data in ("Infinity", "-Infinity", "NaN"):
            return data
    elif kind is int:
        if type(data) is int and abs(data) <= 2**63:
            return data
    elif kind in (str, bool) and type(data) is kind and len(str(data)) <= 100_000:
        return data
    raise UnsafeModelError(
        f"its description has {type(data).__name__} where {getattr(kind, '__name__', kind)} belongs."
    )


def _name(name: str) -> None:
    """Names end in the source of a module: they must be names."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("__"):
        raise UnsafeModelError(f"it has a name that is none ({name[:60]!r}).")


def _path(path: str) -> None:
    if not _PATH.fullmatch(path) or any(part.startswith("__") or keyword.iskeyword(part) for part in path.split(".")):
        raise UnsafeModelError(f"it has a path of a module that is none ({path[:60]!r}).")


def _named(made: Vetted) -> None:
    _name(made["name"])


def _as_name(made: Vetted) -> None:
    if "as_name" in made:
        _name(made["as_name"])


def _expression(made: Vetted) -> None:
    if not is_plain(made["expr_str"]):
        raise UnsafeModelError(f"it has an expression that is no size ({made['expr_str'][:60]!r}).")
    hint = made.get("hint") or {}
    if "as_int" in hint and not 0 <= hint["as_int"] <= LARGEST:
        raise UnsafeModelError("it has a size out of bounds.")


def _size(made: Vetted) -> None:
    if not 0 <= made.get("as_int", 0) <= LARGEST:
        raise UnsafeModelError("it has a size out of bounds.")


def _tensor(made: Vetted) -> None:
    if made["layout"] != 7 or len(made["sizes"]) != len(made["strides"]) or len(made["sizes"]) > 16:
        raise UnsafeModelError("it has a tensor that is not dense.")
    if math.prod(size.get("as_int", 1) for size in made["sizes"]) > LARGEST:
        raise UnsafeModelError("it has a tensor of absurd shape.")
    made["requires_grad"] = False


def _device(made: Vetted) -> None:
    if made["type"] not in _DEVICES:
        raise UnsafeModelError(f"it was exported for the device {made['type'][:40]!r}.")
    made.update(type="cpu", index=None)


def _argument(made: Vetted) -> None:
    (kind,) = made
    if kind in ("as_graph", "as_custom_obj", "as_operator"):
        raise UnsafeModelError(f"an argument is a {kind.removeprefix('as_')}, not a value.")


def _node(made: Vetted) -> None:
    target = made["target"]
    kind = operator_kind(target)
    if kind is None:
        raise UnsafeModelError(f"it calls {target[:80]!r}, which is none of torch's operators for networks.")
    if made.get("name") is not None:
        _name(made["name"])
    for given in made["inputs"]:
        if given["name"]:
            _argument_name(given["name"])
        if kind == "size" and next(iter(given["arg"])) not in ("as_int", "as_bool", "as_float", *_SYMBOLIC):
            raise UnsafeModelError(f"it calls {target!r} on other things than sizes.")
    stack = made["metadata"].get("nn_module_stack", "").split(";")
    kept = [entry for entry in stack if _STACK.fullmatch(entry)]
    if len(kept) < len(stack) and stack != [""]:
        raise UnsafeModelError("it has a stack of modules that is none.")
    made["metadata"] = {"nn_module_stack": ";".join(kept)} if kept else {}


_SYMBOLIC = ("as_sym_int", "as_sym_float", "as_sym_bool")


def _argument_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UnsafeModelError(f"it has a name that is none ({name[:60]!r}).")


def _graph(made: Vetted) -> None:
    for values in ("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values"):
        for name in made.get(values, {}):
            _name(name)
    if made.get("custom_obj_values"):
        raise UnsafeModelError("it holds objects other than tensors.")


def _output(made: Vetted) -> None:
    (kind,) = made
    if kind != "user_output":
        raise UnsafeModelError(f"it has a {kind}: the graph would change itself as it runs; export it in eval mode.")


def _input(made: Vetted) -> None:
    (kind,) = made
    spec = made[kind]
    if kind in ("custom_obj", "token"):
        raise UnsafeModelError("it holds objects other than tensors.")
    for key in ("parameter_name", "buffer_name", "tensor_constant_name"):
        if key in spec:
            _path(spec[key])
    if kind == "constant_input":
        _name(spec["name"])


def _entry(made: Vetted) -> None:
    _path(made["fqn"])


def _signature(made: Vetted) -> None:
    for key in ("in_spec", "out_spec"):
        tree = json.loads(made[key])
        if not isinstance(tree, list) or len(tree) != 2 or tree[0] != 1:
            raise UnsafeModelError("it has a tree of arguments that is none.")
        made[key] = json.dumps([1, _tree(tree[1])])
    for name in made.get("forward_arg_names") or []:
        _argument_name(name)


def _tree(data: Any, depth: int = 0) -> Vetted:
    if not isinstance(data, dict) or depth > DEPTH or not isinstance(data.get("children_spec"), list):
        raise UnsafeModelError("it has a tree of arguments that is none.")
    kind, context = data.get("type"), data.get("context")
    children = [_tree(child, depth + 1) for child in data["children_spec"]]
    if kind is None and context is None and not children:
        return {"type": None, "context": None, "children_spec": []}
    if isinstance(kind, str) and _OUTPUTS.fullmatch(kind):
        kind = "builtins.dict"
    if kind not in _TREES:
        raise UnsafeModelError(f"it takes or returns a {str(kind)[:60]!r}; export a network that returns a tensor.")
    keys = json.loads(context) if isinstance(context, str) else None
    if kind == "builtins.dict":
        if not isinstance(keys, list) or len(keys) != len(children) or not all(type(key) is str for key in keys):
            raise UnsafeModelError("it has a tree of arguments that is none.")
    elif keys is not None:
        raise UnsafeModelError("it has a tree of arguments that is none.")
    return {"type": kind, "context": json.dumps(keys), "children_spec": children}


def _as_positional(module: Vetted) -> None:
    """The network takes its inputs in order, whether it was exported with names or without."""
    calls = module["module_call_graph"]
    if not calls or calls[0]["fqn"] or calls[0].get("signature") is None:
        raise UnsafeModelError("it does not say what the network takes.")
    inputs = sum("user_input" in spec for spec in module["signature"]["input_specs"])
    others = sum("constant_input" in spec for spec in module["signature"]["input_specs"])
    leaf: Vetted = {"type": None, "context": None, "children_spec": []}
    arguments = {"type": "builtins.tuple", "context": "null", "children_spec": [leaf] * (inputs + others)}
    named = {"type": "builtins.dict", "context": "[]", "children_spec": []}
    whole = {"type": "builtins.tuple", "context": "null", "children_spec": [arguments, named]}
    calls[0]["signature"]["in_spec"] = json.dumps([1, whole])
    for call in calls[1:]:
        call["signature"] = None


RULES: Mapping[str, Callable[[Vetted], None]] = {
    "Argument": _argument,
    "CustomObjArgument": _named,
    "Device": _device,
    "Graph": _graph,
    "InputSpec": _input,
    "ModuleCallEntry": _entry,
    "ModuleCallSignature": _signature,
    "Node": _node,
    "OutputSpec": _output,
    "SymBoolArgument": _as_name,
    "SymExpr": _expression,
    "SymFloatArgument": _as_name,
    "SymInt": _size,
    "SymIntArgument": _as_name,
    "TensorArgument": _named,
    "TensorMeta": _tensor,
    "TokenArgument": _named,
}
"""What must hold of a part of the schema, beside its types; some rules also rewrite it."""
