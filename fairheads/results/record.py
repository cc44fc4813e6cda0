"""Frozen dataclasses to plain JSON and back, by their type annotations."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fairheads.errors import InputError

T = TypeVar("T")

HIDDEN: dict[str, Any] = {"json": False}
"""Field metadata: the field stays in Python and is left out of JSON."""

LARGEST, LONGEST = 1e300, 200
"""Numbers of results lie below the first: sums of larger ones overflow. And the most letters of a name in an error."""


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and dicts as JSON types; NaN and infinities as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.metadata.get("json", True)]
        plain = {f.name: to_plain(getattr(value, f.name)) for f in fields}
        optional = {f.name: f.default for f in fields if f.metadata.get("omit", False)}
        return {k: v for k, v in plain.items() if k not in optional or v != optional[k]}
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of type ``kind`` that ``plain`` (made by `to_plain`) describes; null becomes NaN in a float.

    Raises
    ------
    InputError
        If a field is missing, unknown or of another type.
    """
    return typing.cast(T, _read(kind, plain, kind.__name__))


def _read(kind: Any, plain: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return plain
    if origin in (typing.Union, types.UnionType):
        if plain is None and type(None) in get_args(kind):
            return None
        if type(plain) in get_args(kind):
            return _read(type(plain), plain, where)
        return _read(next(a for a in get_args(kind) if a is not type(None)), plain, where)
    if origin is typing.Literal:
        if plain in get_args(kind):
            return plain
        raise InputError(f"{_short(where)} must be one of {list(get_args(kind))}, got {_short(repr(plain))}.")
    if origin is tuple and isinstance(plain, list):
        return tuple(_read(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(plain))
    if origin is dict and isinstance(plain, dict):
        return {str(k): _read(get_args(kind)[1], v, f"{where}.{k}") for k, v in plain.items()}
    if dataclasses.is_dataclass(kind) and isinstance(plain, dict):
        return _read_fields(kind, plain, where)
    if kind is float and (plain is None or (isinstance(plain, int | float) and not isinstance(plain, bool))):
        return math.nan if plain is None else float(_below(LARGEST, plain, where))
    if kind in (int, str, bool) and type(plain) is kind:
        return _below(2**63, plain, where) if kind is int else plain
    shown = getattr(kind, "__name__", str(kind))
    raise InputError(f"{_short(where)} must be a {shown}, got {type(plain).__name__}.")


def _below(most: float, plain: float, where: str) -> float:
    if not abs(plain) < most:
        raise InputError(f"{_short(where)} must be a number below {most:.4g}, got {_short(str(plain))}.")
    return plain


def _short(text: str) -> str:
    """Names in a file may be as long as the file."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _read_fields(kind: Any, plain: dict[str, Any], where: str) -> Any:
    hints = _hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.metadata.get("json", True)}
    unknown = sorted(set(plain) - set(fields))
    missing = sorted(
        name
        for name, f in fields.items()
        if name not in plain and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    if unknown or missing:
        keys = f"unknown keys {_short(str(unknown))}, missing keys {missing}"
        raise InputError(f"{_short(where)} is not a fairheads result: {keys}.")
    values = {name: _read(hints[name], value, f"{where}.{name}") for name, value in plain.items()}
    try:
        return kind(**values)
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise InputError(f"{_short(where)} is not a fairheads result: {_short(str(error))}.") from error


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def json_text(plain: Any) -> str:
    """Plain data as the JSON text that fairheads writes: UTF-8, two blanks, a line break at the end.

    A lone surrogate in a name cannot be UTF-8; escaped it is still the same JSON string.
    """
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def json_schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `to_plain` makes of a value of type ``kind``."""
    definitions: dict[str, Any] = {}
    schema = _schema(kind, definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(a, definitions) for a in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(args[1], definitions)}
    if dataclasses.is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        if name not in definitions:
            definitions[name] = {}
            hints = get_type_hints(kind)
            fields = [f for f in dataclasses.fields(kind) if f.metadata.get("json", True)]
            definitions[name] = {
                "type": "object",
                "properties": {f.name: _schema(hints[f.name], definitions) for f in fields},
                "required": [f.name for f in fields if not f.metadata.get("omit", False)],
                "additionalProperties": False,
                **getattr(kind, "_schema_rule", {}),
            }
        return {"$ref": f"#/$defs/{name}"}
    plain: dict[Any, Any] = {
        float: ["number", "null"],
        int: "integer",
        str: "string",
        bool: "boolean",
        type(None): "null",
    }
    return {"type": plain[kind]}
