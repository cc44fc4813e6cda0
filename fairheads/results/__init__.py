"""What functions return: frozen dataclasses of plain numbers that say, draw and save themselves."""

from fairheads.results.audit import AuditReport, DataInfo, GroupShare, ModelInfo
from fairheads.results.compared import ComparedModel, ComparedPair, ComparedVerdict, ComparisonReport
from fairheads.results.comparison import Comparison
from fairheads.results.disparity import DisparityReport
from fairheads.results.front import Front
from fairheads.results.front_points import FrontPoint, FrontSetting, dominated
from fairheads.results.front_reports import TrainedReport, front_of
from fairheads.results.functional import CounterfactualEffect, ThroughLayer, TwoHeadFit
from fairheads.results.impact import ImpactReport, ImpactRow, ImpactTable
from fairheads.results.merge import (
    GroupChange,
    MergeCheck,
    MergeDifference,
    MergeOutcome,
    MergePoint,
    MergeReport,
    MergeRule,
)
from fairheads.results.metric import (
    CRITERIA,
    GAPS,
    RATES,
    SCORES,
    CalibrationBin,
    Conditional,
    Contrast,
    Criterion,
    Curves,
    Distances,
    Gap,
    GapNull,
    Group,
    Metric,
    Stratum,
    gap_named,
)
from fairheads.results.number import Number, undefined
from fairheads.results.paper import PaperClaim, PaperPoint, PaperReport, PaperRun
from fairheads.results.pathway import (
    MEANING,
    Effect,
    Evidence,
    Flips,
    LabelBias,
    LayerReport,
    MeritCurve,
    PathwayReport,
    Verdict,
)
from fairheads.results.reads import HeadReading
from fairheads.results.record import json_schema, json_text
from fairheads.results.routing import LayerRoutes, RoutingReport
from fairheads.results.schema import schema_of
from fairheads.results.selftest import SelftestClass, SelftestReport
from fairheads.results.statements import Approximation, Judged, Recovery
from fairheads.results.twins import TwinSummary
from fairheads.results.units import LayerUnits, Neutralisation, UnitEffect, UnitReport

__all__ = [
    "CRITERIA",
    "GAPS",
    "MEANING",
    "RATES",
    "SCORES",
    "Approximation",
    "AuditReport",
    "CalibrationBin",
    "ComparedModel",
    "ComparedPair",
    "ComparedVerdict",
    "Comparison",
    "ComparisonReport",
    "Conditional",
    "Contrast",
    "CounterfactualEffect",
    "Criterion",
    "Curves",
    "DataInfo",
    "DisparityReport",
    "Distances",
    "Effect",
    "Evidence",
    "Flips",
    "Front",
    "FrontPoint",
    "FrontSetting",
    "Gap",
    "GapNull",
    "Group",
    "GroupChange",
    "GroupShare",
    "HeadReading",
    "ImpactReport",
    "ImpactRow",
    "ImpactTable",
    "Judged",
    "LabelBias",
    "LayerReport",
    "LayerRoutes",
    "LayerUnits",
    "MergeCheck",
    "MergeDifference",
    "MergeOutcome",
    "MergePoint",
    "MergeReport",
    "MergeRule",
    "MeritCurve",
    "Metric",
    "ModelInfo",
    "Neutralisation",
    "Number",
    "PaperClaim",
    "PaperPoint",
    "PaperReport",
    "PaperRun",
    "PathwayReport",
    "Recovery",
    "RoutingReport",
    "SelftestClass",
    "SelftestReport",
    "Stratum",
    "ThroughLayer",
    "TrainedReport",
    "TwinSummary",
    "TwoHeadFit",
    "UnitEffect",
    "UnitReport",
    "Verdict",
    "dominated",
    "front_of",
    "gap_named",
    "json_schema",
    "json_text",
    "schema_of",
    "undefined",
]
