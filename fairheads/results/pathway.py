"""What the pathway analysis of one group returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fairheads.results.number import Number
from fairheads.results.record import HIDDEN
from fairheads.results.shown import Shown

Verdict = Literal[
    "compensating_head",
    "consistent_with_compensating_head",
    "head_or_suppression",
    "suppression",
    "aligned_use",
    "consistent_with_aligned_use",
    "neutral",
    "inconclusive",
    "not_testable",
]

MEANING: dict[str, str] = {
    "compensating_head": (
        "the network raises one group at equal merit because of its own internal estimate of the group: a second head"
    ),
    "consistent_with_compensating_head": (
        "the interventions look like a second head, but without matched twins this cannot be told from an ordinary network"
    ),
    "head_or_suppression": (
        "a group-dependent push is there, and part of the ranking within groups is lost: a head or levelling down"
    ),
    "suppression": "merit that goes with the group was dropped for everybody (levelling down); no second head was found",
    "aligned_use": "the internal group estimate pushes decisions further along the gap in the labels",
    "consistent_with_aligned_use": (
        "the interventions look like aligned use of the group, but without matched twins this is not established"
    ),
    "neutral": "every effect of the internal group estimate lies within the stated margins",
    "inconclusive": "the evidence decides neither way",
    "not_testable": "the question cannot be put to this network on these data",
}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A causal effect of the internal group estimate, turned so that above 0 is compensating.

    ``swap``: change of the logit, in standard deviations of the logit, when a row's activation is moved to the
    other group's at equal merit. ``erasure``: change of the gap in decisions (0 to 1) when the group given merit
    is erased from the layer. ``low`` and ``high`` hold simultaneously over layers and kinds.
    """

    kind: Literal["swap", "erasure"]
    layer: str
    value: float
    low: float
    high: float
    margin: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One layer: both effects, difference at equal merit, what the layer encodes, and the checks on the eraser.

    ``probe_auc`` reads the group from the layer, ``control_auc`` a shuffled label: descriptions, never evidence.
    ``group_auc_before`` and ``group_auc_after`` read the group within merit bins before and after erasure.
    """

    name: str
    units: int
    swap: Number
    erasure: Number
    equal_merit: Number
    flips: Number
    probe_auc: Number
    control_auc: Number
    merit_auc: Number
    merit_auc_after: Number
    group_auc_before: Number
    group_auc_after: Number
    twin_swaps: tuple[float, ...] = ()
    twin_erasures: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TwinSummary:
    """The same effect in the twins (their largest over layers), and how surprising the network's is beside them.

    ``p`` comes from the predictive t with K - 1 degrees of freedom, ``p_rank`` from the rank, ``p_min`` is the
    smallest value that the rank can give with this many twins.
    """

    n: int
    mean: float
    sd: float
    p: float
    p_rank: float
    p_min: float


@dataclass(frozen=True, kw_only=True)
class Flips:
    """People whose decision depends on which group the network believes them to be in (swap at ``layer``)."""

    n: int
    share: float
    layer: str
    row_ids: tuple[int, ...] = field(default=(), metadata=HIDDEN)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One line of the case: a detector, what kind of evidence it is, its value and whether it passed its test."""

    detector: str
    tag: Literal["causal", "functional", "descriptive", "check"]
    value: float
    low: float | None
    high: float | None
    null: float | None
    passed: bool | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class MeritCurve:
    """Mean score (logit) of each group in bins of equal count of the layer's own merit readout."""

    layer: str
    merit: tuple[float, ...]
    group: tuple[float, ...]
    reference: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PathwayReport(Shown):
    """The verdict on one group against the reference group, with everything it rests on.

    ``orientation`` is the sign of the gap in recorded labels (group minus reference), 0 where its interval holds 0.
    ``effect`` is the effect that decided, or the strongest one where none did.
    """

    group: str
    reference: str
    verdict: Verdict
    reason: str
    orientation: int
    base_rate_gap: Number
    effect: Effect | None
    layers: tuple[LayerReport, ...]
    twins: TwinSummary | None
    retention: Number
    flips: Flips | None
    equal_merit_outside: Number
    input_auc: Number
    curve: MeritCurve | None
    evidence: tuple[Evidence, ...]
    n: int
    alpha: float

    @property
    def meaning(self) -> str:
        """The verdict in a sentence."""
        return MEANING[self.verdict]
