"""The report of one audit, and the comparison of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fairheads.results.disparity import DisparityReport
from fairheads.results.number import Number
from fairheads.results.pathway import PathwayReport
from fairheads.results.shown import Shown


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What was audited. ``digest`` is that of the weights; ``training`` the record saved with them, if any."""

    name: str
    digest: str
    architecture: str
    parameters: int
    layers: tuple[str, ...]
    training: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class GroupShare:
    """Rows of a group and its share of favourable labels, in the audited data and in the training record."""

    n: int
    base_rate: Number
    training_n: int | None
    training_base_rate: float | None


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """What it was audited on.

    ``overlap`` is the share of rows equal to a training row, with the share that chance duplicates explain as
    ``expected_overlap``; both are without value where the model has no record of its rows.
    """

    name: str
    n: int
    sampled: int
    digest: str
    groups: dict[str, GroupShare]
    overlap: Number
    expected_overlap: Number
    unseen_categories: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class AuditReport(Shown):
    """Disparity and pathway verdict of one network on one data set; ``pathways`` by group."""

    SCHEMA: ClassVar[str] = "fairheads/audit/1"

    schema: Literal["fairheads/audit/1"] = "fairheads/audit/1"
    model: ModelInfo
    data: DataInfo
    seed: int
    versions: dict[str, str]
    disparity: DisparityReport
    pathways: dict[str, PathwayReport]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison(Shown):
    """Several audits side by side, by name."""

    schema: Literal["fairheads/comparison/1"] = "fairheads/comparison/1"
    reports: dict[str, AuditReport]
