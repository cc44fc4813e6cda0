"""The JSON Schemas of records, as the package ships them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from fairheads.errors import ConfigError
from fairheads.results.shown import Shown


def schema_file(kind: type[Shown]) -> str:
    """The file that the package ships the schema of a kind of record in: ``audit-1.schema.json``.

    Raises
    ------
    ConfigError
        If the kind has no schema.
    """
    name = getattr(kind, "SCHEMA", None)
    if name is None:
        raise ConfigError(f"`kind` must be a record with a `SCHEMA`, got {kind.__name__}.")
    return f"{name.removeprefix('fairheads/').replace('/', '-')}.schema.json"


def schema_of(kind: type[Shown]) -> dict[str, Any]:
    """The JSON Schema (2020-12) that the JSON of every record of this kind keeps to.

    Parameters
    ----------
    kind : type of report, or Approximation or Recovery
        Its ``SCHEMA``, such as ``fairheads/audit/1``, stands in each record as ``schema``.

    Raises
    ------
    ConfigError
        If the kind has no schema.

    Examples
    --------
    >>> from fairheads.results import DisparityReport
    >>> schema_of(DisparityReport)["$ref"]
    '#/$defs/DisparityReport'
    """
    text = resources.files("fairheads.results").joinpath(schema_file(kind)).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
