"""The JSON Schemas of report files, as the package ships them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

SCHEMA_FILE = "audit-1.schema.json"
DISPARITY_SCHEMA_FILE = "disparity-1.schema.json"
FRONT_SCHEMA_FILE = "front-1.schema.json"
MERGE_SCHEMA_FILE = "merge-1.schema.json"
COMPARE_SCHEMA_FILE = "compare-1.schema.json"


def audit_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every ``report.json`` of schema ``fairheads/audit/1`` keeps to.

    Examples
    --------
    >>> audit_schema()["$ref"]
    '#/$defs/AuditReport'
    """
    return _schema(SCHEMA_FILE)


def disparity_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every ``report.json`` of schema ``fairheads/disparity/1`` keeps to.

    Examples
    --------
    >>> disparity_schema()["$ref"]
    '#/$defs/DisparityReport'
    """
    return _schema(DISPARITY_SCHEMA_FILE)


def front_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every ``front.json`` of schema ``fairheads/front/1`` keeps to.

    Examples
    --------
    >>> front_schema()["$ref"]
    '#/$defs/Front'
    """
    return _schema(FRONT_SCHEMA_FILE)


def merge_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every ``merge.json`` of schema ``fairheads/merge/1`` keeps to.

    Examples
    --------
    >>> merge_schema()["$ref"]
    '#/$defs/MergeReport'
    """
    return _schema(MERGE_SCHEMA_FILE)


def compare_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every ``compare.json`` of schema ``fairheads/compare/1`` keeps to.

    Examples
    --------
    >>> compare_schema()["$ref"]
    '#/$defs/ComparisonReport'
    """
    return _schema(COMPARE_SCHEMA_FILE)


def _schema(file: str) -> dict[str, Any]:
    text = resources.files("fairheads.results").joinpath(file).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
