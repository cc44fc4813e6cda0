"""The JSON Schema of report files, as the package ships it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

SCHEMA_FILE = "audit-1.schema.json"


def audit_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every ``report.json`` of schema ``fairheads/audit/1`` keeps to.

    Examples
    --------
    >>> audit_schema()["$ref"]
    '#/$defs/AuditReport'
    """
    text = resources.files("fairheads.results").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
