"""What functions return: frozen dataclasses of plain numbers that say, draw and save themselves."""

from fairheads.results.audit import AuditReport, DataInfo, GroupShare, ModelInfo
from fairheads.results.comparison import Comparison
from fairheads.results.disparity import RATES, DisparityReport, Gap, GroupRates
from fairheads.results.number import Number, undefined
from fairheads.results.pathway import (
    MEANING,
    Effect,
    Evidence,
    Flips,
    LabelBias,
    LayerReport,
    MeritCurve,
    PathwayReport,
    TwinSummary,
    Verdict,
)
from fairheads.results.record import json_schema, json_text
from fairheads.results.schema import audit_schema

__all__ = [
    "MEANING",
    "RATES",
    "AuditReport",
    "Comparison",
    "DataInfo",
    "DisparityReport",
    "Effect",
    "Evidence",
    "Flips",
    "Gap",
    "GroupRates",
    "GroupShare",
    "LabelBias",
    "LayerReport",
    "MeritCurve",
    "ModelInfo",
    "Number",
    "PathwayReport",
    "TwinSummary",
    "Verdict",
    "audit_schema",
    "json_schema",
    "json_text",
    "undefined",
]
