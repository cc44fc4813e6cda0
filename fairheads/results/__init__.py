"""What functions return: frozen dataclasses of plain numbers that say, draw and save themselves."""

from fairheads.results.audit import AuditReport, Comparison, DataInfo, GroupShare, ModelInfo
from fairheads.results.disparity import RATES, DisparityReport, Gap, GroupRates
from fairheads.results.number import Number, undefined
from fairheads.results.pathway import (
    MEANING,
    Effect,
    Evidence,
    Flips,
    LayerReport,
    MeritCurve,
    PathwayReport,
    TwinSummary,
    Verdict,
)
from fairheads.results.record import json_schema, json_text

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
    "LayerReport",
    "MeritCurve",
    "ModelInfo",
    "Number",
    "PathwayReport",
    "TwinSummary",
    "Verdict",
    "json_schema",
    "json_text",
    "undefined",
]
