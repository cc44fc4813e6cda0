"""What the pathway analysis of one group returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from fairheads.results import _pathway_details, _pathway_figures, _pathway_html, _pathway_text
from fairheads.results.functional import CounterfactualEffect, TwoHeadFit
from fairheads.results.number import Number
from fairheads.results.reads import HeadReading
from fairheads.results.record import HIDDEN
from fairheads.results.routing import RoutingReport
from fairheads.results.shown import Shown
from fairheads.results.statements import Recovery
from fairheads.results.twins import TwinSummary
from fairheads.results.units import UnitReport

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

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

_HEADS = (
    "compensating_head",
    "consistent_with_compensating_head",
    "head_or_suppression",
    "aligned_use",
    "consistent_with_aligned_use",
)

MEANING: dict[str, str] = {
    "compensating_head": (
        "at equal merit the network raises the group with fewer favourable labels by what tells the groups apart inside"
        " it, its internal estimate of the group: a second head"
    ),
    "consistent_with_compensating_head": (
        "the interventions look like a second head, but without matched twins this cannot be told from an ordinary "
        "network"
    ),
    "head_or_suppression": (
        "the network evens out the gap, and the ranking within groups is lost or not shown to be kept: a head,"
        " levelling down, or both"
    ),
    "suppression": (
        "merit that goes with the group was dropped for everybody (levelling down); no second head was found"
    ),
    "aligned_use": "the internal group estimate pushes decisions further along the gap in the labels",
    "consistent_with_aligned_use": (
        "the interventions look like aligned use of the group, but without matched twins this is not established"
    ),
    "neutral": (
        "the effects of the internal group estimate lie within their margins, of none or of what the unconstrained"
        " twins show"
    ),
    "inconclusive": "the evidence decides neither way",
    "not_testable": "the question cannot be put to this network on these data",
}


DISCLAIMER = "This does not say what is lawful, nor whether the recorded labels (the merit here) are right."


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A causal effect of the internal group estimate, turned so that above 0 is compensating.

    ``swap``: change of the logit, in standard deviations of the logit, when a row's activation is moved to the
    other group's at equal merit. ``erasure``: change of the gap in decisions (0 to 1) when the group given merit
    is erased from the layer. ``low`` and ``high`` are bounds at the level of the test each (95 % by default: 90 % lie
    between them), simultaneous over layers and kinds.
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

    ``low`` and ``high`` of ``swap`` and ``erasure`` are bounds at the level of the test each, over layers and both
    effects together. ``probe_auc`` reads the group from the layer, ``control_auc`` a shuffled label: no evidence.
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
    """Mean score (logit) of each group in bins of equal count of the layer's merit readout (log-odds of the label)."""

    layer: str
    merit: tuple[float, ...]
    group: tuple[float, ...]
    reference: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LabelBias:
    """How much bias in the recorded labels would overturn the finding, were it there.

    ``share`` is the smallest share of the favourable labels of ``group``, relabelled unfavourable at random, that takes
    the deciding effect (its point value) back to its margin, or, where no head was found, beyond it
    (``creates``). Without value where no share up to .9 does.
    """

    group: str
    share: Number
    creates: bool


@dataclass(frozen=True, kw_only=True, repr=False)
class PathwayReport(Shown):
    """The verdict on one group against the reference group, with everything it rests on.

    ``orientation`` is the sign of the gap in recorded labels (group minus reference), 0 where its interval holds 0.
    ``effect`` is the effect that decided, or the strongest one where none did; ``margins`` are those of both kinds.

    What follows ``alpha`` describes and decides nothing, each None where it was not or could not be looked at: units
    and routes of all layers, and of the layer of ``effect`` two heads fitted to the score, the decisions of the twins
    recovered, what the internal group estimate reads in the inputs, and what flipping the group in the inputs does.
    ``missing`` says why one that was looked for is not there, by the name of its attribute. ``groups`` are all
    those of the audit, each of which has its colour in every figure; they are not written into files.
    """

    group: str
    reference: str
    verdict: Verdict
    reason: str
    orientation: int
    base_rate_gap: Number
    effect: Effect | None
    margins: dict[str, float]
    layers: tuple[LayerReport, ...]
    twins: TwinSummary | None
    retention: Number
    flips: Flips | None
    equal_merit_outside: Number
    input_auc: Number
    curve: MeritCurve | None
    label_bias: LabelBias | None
    evidence: tuple[Evidence, ...]
    n: int
    alpha: float
    units: UnitReport | None = None
    routing: RoutingReport | None = None
    two_heads: TwoHeadFit | None = None
    recovery: Recovery | None = None
    reading: HeadReading | None = None
    counterfactual: CounterfactualEffect | None = None
    missing: dict[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = field(default=(), compare=False, metadata=HIDDEN)

    @property
    def rests_on_effect(self) -> bool:
        """Whether the verdict says that an effect lies beyond its margin; ``head_or_suppression`` need not."""
        effect = self.effect
        return effect is not None and max(effect.low, -effect.high) > effect.margin and self.verdict in _HEADS

    @property
    def emerges_at(self) -> str | None:
        """First layer, from the input on, whose swap or erasure lies beyond its margin in the direction of ``effect``.

        Bounds hold over all layers together. None where no layer's does; one whose other effect surely has the other
        sign does not count.
        """
        if self.effect is None:
            return None
        side = 1 if self.effect.value >= 0 else -1
        for layer in self.layers:
            for kind, number, other in (
                ("swap", layer.swap, layer.erasure),
                ("erasure", layer.erasure, layer.swap),
            ):
                near, far = (number.low, other.high) if side > 0 else (number.high, other.low)
                contradicted = far is not None and side * far < 0
                if near is not None and side * near > self.margins[kind] and not contradicted:
                    return layer.name
        return None

    @property
    def meaning(self) -> str:
        """The verdict in a sentence."""
        return MEANING[self.verdict]

    def among(self, groups: Sequence[str]) -> PathwayReport:
        """The same report as one of several, in whose figures each of ``groups`` keeps its colour."""
        known = tuple(groups)
        routing = None if self.routing is None else replace(self.routing, groups=known)
        return replace(self, groups=known, routing=routing)

    def summary(self) -> str:
        """Verdict, layers, evidence and what it is made of as text of at most 100 columns.

        The last line says what they do not say. Units, routes and the other details have summaries of their own.
        """
        parts = [
            _pathway_text.head_lines(self),
            _pathway_text.layer_lines(self),
            _pathway_text.evidence_lines(self),
            _pathway_text.made_lines(self),
            [DISCLAIMER],
        ]
        return "\n\n".join("\n".join(lines) for lines in parts if lines)

    def html(self) -> str:
        """Verdict, figures and tables as an HTML fragment; everything that came from data is escaped."""
        parts = [
            _pathway_html.card((self,), level=3),
            _pathway_html.figures(self),
            _pathway_html.layers((self,)),
            _pathway_html.evidence_table((self,)),
            *_pathway_details.fragments(self, level=4),
            f"<p>{DISCLAIMER}</p>",
        ]
        return "\n".join(parts)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Effect of the internal group estimate at every layer, beside its margin and the twins.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw the deciding kind of effect into; by default a figure of its own with swap and erasure side
            by side, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn into; those of the swap where there are two.
        """
        return _pathway_figures.plot_layers(self, ax)

    def plot_curve(self, ax: Axes | None = None, *, groups: Sequence[str] | None = None) -> Axes:
        """Mean score of both groups against merit; the gap between the lines is what a second head adds.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own.
        groups : sequence of str, optional
            All groups, so that each has the same colour in every figure; by default those of the audit.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _pathway_figures.plot_curve(self, ax, groups)

    def to_frame(self) -> pd.DataFrame:
        """A row a layer and quantity, with n and interval."""
        import pandas as pd

        rows = [
            {"layer": layer.name, "quantity": name, "value": n.value, "low": n.low, "high": n.high, "n": n.n}
            for layer in self.layers
            for name, n in vars(layer).items()
            if isinstance(n, Number)
        ]
        return pd.DataFrame(rows, columns=["layer", "quantity", "value", "low", "high", "n"])
