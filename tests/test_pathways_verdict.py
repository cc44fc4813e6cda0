"""The rule of the verdict on measurements made by hand: every condition, alone, decides as it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fairheads.metrics import auc
from fairheads.pathways.case import Background, Case, _generalisation_error
from fairheads.pathways.conditions import Rule, twin_summary
from fairheads.pathways.measure import QUANTITIES, LayerMeasure, TwinMeasure
from fairheads.pathways.verdict import judge
from fairheads.reports.gates import NEEDED_TWINS
from fairheads.results import MeritCurve, Number, PathwayReport

SE = 0.01
"""Standard error of every effect in a fabricated layer."""


def replicates_of(values: list[float], se: float = SE, seed: int = 0) -> np.ndarray:
    """Twenty delete-block replicates around values, with a jackknife standard error of exactly ``se``."""
    noise = np.random.default_rng(seed).normal(size=(20, len(values)))
    noise -= noise.mean(0)
    noise *= se / np.sqrt(19 / 20 * (noise**2).sum(0))
    return np.array(values) + noise


def layer(name: str = "l1", swap: float = 0.0, erasure: float = 0.0, *, se: float = SE, **changes: Any) -> LayerMeasure:
    point = dict(zip(QUANTITIES, [swap, erasure, swap, 0.1, 0.8, 0.5, 0.85], strict=True))
    made = LayerMeasure(
        name=name,
        units=8,
        point=point,
        replicates=replicates_of(list(point.values()), se, seed=sum(map(ord, name))),
        flips=np.arange(100) < 10,
        covered=1.0,
        group_auc_before=0.8,
        group_auc_after=0.51,
        merit_auc_before=0.85,
        merit_auc_after=0.85,
        unchanged_by_identity=True,
        curve=MeritCurve(layer=name, merit=(), group=(), reference=()),
    )
    return replace(made, **changes)


def twin(swap: float, erasure: float, within: float = 0.85, layers: int = 1, gap: float = -0.16) -> TwinMeasure:
    effects = np.tile([swap, erasure], (layers, 1))
    return TwinMeasure(effects, np.tile(effects, (20, 1, 1)), gap, np.full(21, within))


def on_layers(twins: tuple[TwinMeasure, ...], layers: int) -> tuple[TwinMeasure, ...]:
    """The same twins with their one layer so many times over."""
    return tuple(
        replace(t, effects=np.tile(t.effects, (layers, 1)), replicates=np.tile(t.replicates, (1, layers, 1)))
        for t in twins
    )


TWINS = tuple(twin(s, e) for s, e in ((0.0, 0.0), (0.02, 0.005), (-0.02, -0.005), (0.03, 0.002), (0.01, -0.002)))


def case(*layers: LayerMeasure, twins: tuple[TwinMeasure, ...] = TWINS, within: float = 0.845, **changes: Any) -> Case:
    made = Case(
        group="Female",
        reference="Male",
        n=100,
        orientation=-1,
        base_rate_gap=Number(value=-0.2, n=100, low=-0.21, high=-0.19),
        gap=-0.01,
        layers=layers or (layer(),),
        auc_within=np.full(21, within) + replicates_of([0.0], 0.003)[[0, *range(20)], 0] * np.r_[0, np.ones(20)],
        inputs=None,
        twins=twins,
        row_id=np.arange(100),
        tap_is_inert=True,
        background=Background(rows_disjoint=True, twins_matched=True if twins else None),
        untestable=None,
        seed=0,
    )
    return replace(made, **changes)


TWO_LAYERS = on_layers(TWINS, 2)

HEAD = layer(swap=0.3, erasure=0.1)


def said(*args: Any, **kwargs: Any) -> str:
    return judge(case(*args, **kwargs)).verdict


def test_a_strong_effect_beyond_the_twins_with_the_ranking_kept_is_a_head() -> None:
    report = judge(case(HEAD))
    assert report.verdict == "compensating_head"
    assert report.effect is not None
    assert report.effect.low > report.effect.margin
    assert report.twins is not None
    assert report.twins.p < 0.05
    assert report.flips is not None
    assert (report.flips.n, report.flips.share, report.flips.row_ids) == (10, 0.1, tuple(range(10)))


@pytest.mark.parametrize(
    ("gap", "error", "verdict"),
    [(0.015, 0.0, "compensating_head"), (0.03, 0.0, "inconclusive"), (0.03, 0.015, "compensating_head"),
     (0.06, 0.015, "inconclusive"), (-0.06, 0.0, "compensating_head")],
)  # fmt: skip
def test_a_network_that_surely_overfits_unlike_its_twins_gets_no_verdict(
    gap: float, error: float, verdict: str
) -> None:
    known = Background(
        rows_disjoint=True, twins_matched=True, generalisation_gap=(gap + 0.01, 0.01), generalisation_error=error
    )
    report = judge(case(HEAD, background=known))
    assert report.verdict == verdict
    (line,) = (e for e in report.evidence if e.detector == "overfitting like the twins'")
    assert line.passed is {0.015: True, -0.06: True, 0.06: False}.get(gap, None if error else False)
    assert line.low is not None and line.high is not None and line.low <= line.value <= line.high


def test_the_error_of_a_difference_of_overfitting_holds_without_any() -> None:
    """Two rankings that overfit nothing, on training and held-out rows: the interval holds the difference, 0."""
    rng = np.random.default_rng(0)
    n, held, runs = 400, 0, 300
    block = np.arange(n) % 20
    for _ in range(runs):
        aucs = []
        for _ in range(2):  # training rows, then held-out rows
            y = rng.integers(0, 2, n)
            first = 0.8 * y + rng.normal(size=n)
            aucs.append([y, first, 0.5 * first + 0.3 * y + rng.normal(size=n)])
        (y0, *train), (y1, *test) = aucs
        own, theirs = (auc(y0, a) - auc(y1, b) for a, b in zip(train, test, strict=True))
        within, others = (
            np.array([auc(y1[block != k], score[block != k]) for k in (-1, *range(20))]) for score in test
        )
        twins = (replace(TWINS[0], auc_within=others),)
        error = _generalisation_error(within, twins, n, None)
        held += abs(own - theirs) <= 2.09 * error
    assert 0.92 < held / runs < 0.98


def test_the_same_effect_of_the_other_sign_is_aligned_use() -> None:
    assert said(layer(swap=-0.3, erasure=-0.1)) == "aligned_use"


def test_no_effect_is_neutral_and_a_vague_one_inconclusive() -> None:
    assert said(layer(se=0.004)) == "neutral"
    assert said(layer(se=0.2)) == "inconclusive"


def sharing(made: LayerMeasure, noise: np.ndarray) -> LayerMeasure:
    """The layer with noise of the rows, (20,), in its replicates of swap and erasure."""
    return replace(made, replicates=made.replicates + np.pad(noise[:, None], ((0, 0), (0, 6)))[:, : len(QUANTITIES)])


def test_what_the_twins_share_cancels_and_shows_an_ordinary_network_to_be_one() -> None:
    """Rows so few that no effect can be shown to be small; beside twins on the same rows it can."""
    shared = replicates_of([0.0], 0.05, seed=3)[:, 0]
    vague = sharing(layer(swap=-0.06, se=0.004), shared)
    ordinary = tuple(
        replace(
            t,
            effects=t.effects - [0.06, 0],
            replicates=t.replicates - [0.06, 0] + np.pad(shared[:, None, None], ((0, 0), (0, 0), (0, 1))),
        )
        for t in TWINS
    )
    report = judge(case(vague, twins=ordinary))
    assert report.verdict == "neutral"
    assert "twins' mean" in report.reason
    assert said(vague) == "inconclusive"  # twins without that noise: nothing cancels
    assert said(vague, twins=ordinary[:1]) == "inconclusive"
    unmatched = Background(rows_disjoint=True, twins_matched=False)
    assert said(vague, twins=ordinary, background=unmatched) == "inconclusive"  # other rows, other noise
    beyond = sharing(layer(swap=-0.3, se=0.004), shared)
    alike = tuple(replace(t, effects=t.effects - [0.24, 0], replicates=t.replicates - [0.24, 0]) for t in ordinary)
    assert said(beyond, twins=alike) == "inconclusive"  # an effect beyond its margin is never called none


def test_an_effect_within_its_margin_is_no_head_however_certain() -> None:
    assert said(layer(swap=0.09, erasure=0.01, se=0.0005)) == "neutral"


def test_margin_without_twins_beyond_is_inconclusive() -> None:
    """The twins show the same: it is how these data are learned, not what the constraint did."""
    alike = tuple(twin(s, e) for s, e in ((0.3, 0.1), (0.35, 0.12), (0.25, 0.08), (0.32, 0.09), (0.28, 0.11)))
    report = judge(case(HEAD, twins=alike))
    assert report.verdict == "inconclusive"
    assert "twins" in report.reason


def test_a_single_twin_or_identical_twins_test_nothing() -> None:
    assert said(HEAD, twins=TWINS[:1]) == "inconclusive"
    assert said(HEAD, twins=(TWINS[0],) * 5) == "inconclusive"
    assert "too few or too alike" in judge(case(HEAD, twins=TWINS[:1])).reason


def test_a_lost_ranking_is_never_an_acquittal() -> None:
    assert said(HEAD, within=0.80) == "head_or_suppression"


def test_suppression_needs_a_lost_ranking_a_smaller_gap_and_no_effect() -> None:
    quiet = layer(se=0.004)
    assert said(quiet, within=0.75) == "suppression"
    assert said(quiet, within=0.75, gap=-0.2) == "neutral"
    vague = judge(case(layer(swap=0.08, se=0.05), within=0.75))
    assert vague.verdict == "head_or_suppression" and "is open" in vague.reason
    assert not vague.rests_on_effect and judge(case(HEAD, within=0.80)).rests_on_effect
    assert said(layer(swap=-0.08, se=0.05), within=0.75) == "head_or_suppression"  # the bounds decide, not the sign
    assert said(layer(swap=0.08, se=0.05)) == "inconclusive"


def test_a_head_has_moved_the_gap_from_the_twins() -> None:
    """A swap in a layer that holds more of the group than is used has an effect of its own."""
    least = -0.16 + 0.5 * 0.05  # the twins' gap, and half of erasure's margin
    for gap, verdict in (
        (-0.17, "inconclusive"),
        (least - 0.001, "inconclusive"),
        (least + 0.001, "compensating_head"),
    ):
        report = judge(case(HEAD, gap=gap))
        assert report.verdict == verdict
        (line,) = (line for line in report.evidence if line.detector == "difference in selection rates")
        assert (line.value, line.null, line.passed) == (gap, pytest.approx(least), verdict == "compensating_head")
    assert "hardly moved" in judge(case(HEAD, gap=-0.17)).reason
    assert judge(case(HEAD, gap=-0.17), rule=Rule(moved_share=None)).verdict == "compensating_head"
    assert said(HEAD, gap=0.3) == "compensating_head"  # the gap was turned
    assert said(layer(swap=-0.3, erasure=-0.1), gap=-0.16) == "aligned_use"
    failed = (replace(TWINS[0], gap=0.0), *TWINS[1:])
    assert said(HEAD, gap=-0.1, twins=failed) == "compensating_head"  # one twin that learned nothing


def test_a_gap_that_favours_the_group_is_moved_the_other_way() -> None:
    favoured = tuple(replace(t, gap=0.16) for t in TWINS)
    for gap, verdict in ((0.17, "inconclusive"), (0.10, "compensating_head")):
        assert said(HEAD, gap=gap, orientation=1, twins=favoured) == verdict


def test_an_effect_along_the_gap_with_the_ranking_lost_is_no_suppression() -> None:
    report = judge(case(layer(swap=-0.3, erasure=-0.1), within=0.80))
    assert report.verdict == "inconclusive" and "ranking" in report.reason


def test_without_twins_or_with_others_rows_the_word_is_weaker() -> None:
    assert said(HEAD, twins=()) == "inconclusive"  # no twins and no inputs: retention cannot be had
    other_rows = Background(rows_disjoint=True, twins_matched=False)
    assert said(HEAD, background=other_rows) == "consistent_with_compensating_head"
    assert said(layer(swap=-0.3, erasure=-0.1), background=other_rows) == "consistent_with_aligned_use"


@pytest.mark.parametrize(
    "changes",
    [
        {"tap_is_inert": False},
        {"background": Background(rows_disjoint=False, twins_matched=True)},
        {"background": Background(True, True, generalisation_gap=(0.05, 0.0))},
    ],
)
def test_a_failed_check_forbids_a_verdict(changes: dict[str, Any]) -> None:
    report = judge(case(HEAD, **changes))
    assert report.verdict == "inconclusive"
    assert "check failed" in report.reason
    assert any(line.passed is False for line in report.evidence if line.tag == "check")


@pytest.mark.parametrize(
    "changes",
    [{"group_auc_after": 0.65}, {"merit_auc_after": 0.83}, {"unchanged_by_identity": False}],
)
def test_a_failed_check_of_the_layer_forbids_a_verdict(changes: dict[str, Any]) -> None:
    assert said(replace(HEAD, **changes)) == "inconclusive"


def test_a_gap_in_labels_that_may_be_zero_gives_no_direction() -> None:
    report = judge(case(HEAD, orientation=0))
    assert report.verdict == "inconclusive"
    assert "no gap" in report.reason


def test_the_other_effect_must_not_contradict() -> None:
    report = judge(case(layer(swap=0.3, erasure=-0.045, se=0.005)))  # the swap alone lies beyond its margin
    assert report.verdict == "inconclusive"
    assert "other effect at its layer surely has the other sign" in report.reason
    assert report.emerges_at is None
    assert said(layer(swap=0.3, erasure=-0.1)) == "inconclusive"
    assert said(layer(swap=0.3, erasure=0.0)) == "compensating_head"


def test_evidence_shows_each_effect_where_it_reaches_furthest_and_the_deciding_one_where_it_decides() -> None:
    early, late = layer("l1", swap=0.115, erasure=0.2, se=0.01), layer("l2", swap=0.2, erasure=0.1)
    report = judge(case(early, late, twins=TWO_LAYERS))
    assert report.effect is not None and (report.effect.kind, report.effect.layer) == ("erasure", "l1")
    shown = {line.detector: line.passed for line in report.evidence[:2]}
    assert shown == {"swap at l2": True, "erasure at l1": True}, "at l1 the swap alone does not pass its margin"


def test_heads_of_both_signs_in_different_layers_are_inconclusive() -> None:
    assert said(HEAD, layer("l2", swap=-0.3, erasure=-0.1), twins=TWO_LAYERS) == "inconclusive"


def test_the_margin_of_erasure_grows_with_the_gap_of_the_twins() -> None:
    wide = tuple(replace(t, gap=-0.5) for t in TWINS)
    small = layer(swap=0.0, erasure=0.09, se=0.005)
    assert said(small) == "compensating_head"
    assert said(small, twins=wide) != "compensating_head"


@pytest.mark.parametrize("changes", [{"group_auc_after": 0.79}, {"merit_auc_after": 0.5}, {"covered": 0.7}])
def test_absence_is_not_said_where_a_check_does_not_pass(changes: dict[str, Any]) -> None:
    """If the eraser did not erase, or the swap moved few rows, seeing no effect shows nothing."""
    quiet = layer(se=0.004)
    report = judge(case(quiet, replace(layer("l2", se=0.004), **changes), twins=TWO_LAYERS))
    assert said(quiet) == "neutral"
    assert report.verdict == "inconclusive"
    assert "did not pass" in report.reason
    lost = judge(case(replace(quiet, **changes), within=0.75))
    assert lost.verdict == "head_or_suppression" and "did not pass" in lost.reason


def test_the_bounds_hold_for_all_layers_at_once() -> None:
    """An effect that a bound for one place would pass, and one for six places does not."""
    between = 0.1 + 2.0 * 0.02  # critical value of one bound 1.73, of six about 2.5
    alone = layer(swap=between, se=0.02)
    layers = [alone, layer("l2", se=0.02), layer("l3", se=0.02)]
    report = judge(case(*layers, twins=on_layers(TWINS, 3)))
    assert report.effect is not None
    assert report.effect.low < 0.1
    assert report.verdict == "inconclusive"


def test_retention_must_be_shown_and_not_only_estimated() -> None:
    above = case(HEAD, within=0.816)  # .903 of the twins'
    report = judge(above)
    assert report.retention.low is not None
    assert report.retention.low < 0.9 < report.retention.value
    assert report.verdict == "head_or_suppression"
    wider = judge(above, alpha=0.005).retention
    assert wider.low is not None
    assert wider.low < report.retention.low


def test_untestable_cases_say_why() -> None:
    report = judge(case(untestable="the group cannot be read from any layer"))
    assert report.verdict == "not_testable"
    assert report.reason == "the group cannot be read from any layer"
    assert report.effect is None
    assert np.isnan(report.retention.value)


def test_a_network_that_does_not_show_the_group_is_untestable_unless_it_lost_its_ranking() -> None:
    quiet = layer(se=0.004)
    report = judge(case(quiet, unreadable=True))
    assert report.verdict == "not_testable"
    assert report.reason == "the group cannot be read from any layer"
    assert said(quiet, unreadable=True, within=0.75) == "suppression"
    assert said(quiet, unreadable=True, within=0.75, gap=-0.2) == "not_testable"


def test_every_report_survives_the_round_trip_through_json() -> None:
    for made in (case(HEAD), case(layer()), case(untestable="why"), case(HEAD, twins=())):
        report = judge(made)
        assert PathwayReport.from_dict(report.to_dict()).to_json() == report.to_json()


def test_the_twin_p_value_is_uniform_when_the_network_is_one_of_them() -> None:
    """4,000 draws of a network and five twins from one law, three layers: p at or below .05 in at most 5 %."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(4000):
        swaps = rng.normal(scale=0.03, size=(6, 3))
        twins = tuple(
            replace(t, effects=np.column_stack([s, [0.0, 0.001, 0.002]]))
            for t, s in zip(on_layers(TWINS, 3), swaps[1:], strict=True)
        )
        places = [layer(f"l{i}", swap=s) for i, s in enumerate(swaps[0])]
        largest = int(swaps[0].argmax())
        summary = twin_summary(case(*places[:1], twins=twins), largest, 0, 1, float(swaps[0, largest]))
        assert summary is not None
        p.append(summary.p)
    assert np.mean(np.array(p) <= 0.05) <= 0.035  # doubled for two kinds of effect: half of .05 for one kind
    assert np.mean(np.array(p) <= 0.10) == pytest.approx(0.05, abs=0.012)


def test_the_rank_p_counts_twins_at_least_as_large() -> None:
    report = judge(case(HEAD, twins=(*TWINS, twin(0.5, 0.2))))
    assert report.twins is not None
    assert report.twins.p_rank == pytest.approx(2 / 7)
    assert report.twins.p_min == pytest.approx(1 / 7)


def test_what_the_twins_show_on_average_is_no_head() -> None:
    """An effect beyond its margin and beyond every twin, most of which the twins have as well."""
    more = np.array([0.1, 0.0])
    shared = tuple(replace(t, effects=t.effects + more, replicates=t.replicates + more) for t in TWINS)
    report = judge(case(layer(swap=0.19, erasure=0.03), twins=shared))
    assert report.verdict == "inconclusive" and "not beyond the twins' mean" in report.reason
    assert judge(case(layer(swap=0.19, erasure=0.03), twins=shared), rule=Rule(beyond_mean=False)).rests_on_effect
    assert said(layer(swap=0.29, erasure=0.03), twins=shared) == "compensating_head"


def test_an_effect_that_does_not_reach_the_last_layer_is_no_head() -> None:
    """A mean shift of an early layer moves the score, and at the last layer nothing of it is seen."""
    last = layer("l2", swap=0.01, erasure=0.01)
    report = judge(case(HEAD, last, twins=TWO_LAYERS))
    assert report.verdict == "inconclusive" and "reach the last layer" in report.reason
    assert judge(case(HEAD, last, twins=TWO_LAYERS), rule=Rule(reaches_end=False)).verdict == "compensating_head"
    assert said(HEAD, layer("l2", swap=0.05, erasure=0.01), twins=TWO_LAYERS) == "compensating_head"
    assert said(last, HEAD, twins=TWO_LAYERS) == "compensating_head"


def reading(difference: float, made: LayerMeasure) -> LayerMeasure:
    """The layer, where the score differs by so much at the merit that it reads."""
    column = QUANTITIES.index("equal_merit")
    replicates = made.replicates.copy()
    replicates[:, column] += difference - made.point["equal_merit"]
    return replace(made, point={**made.point, "equal_merit": difference}, replicates=replicates)


def test_absence_may_be_shown_at_the_last_layer_if_the_score_does_not_differ_at_equal_merit() -> None:
    """A shift of an early layer that the network does not see is none; a last layer that no longer sees one shows
    nothing."""
    early, last = reading(0.02, layer(swap=0.15, erasure=0.03)), layer("l2", swap=0.01, erasure=0.01)
    report = judge(case(early, last, twins=TWO_LAYERS))
    assert report.verdict == "neutral" and "at the last layer" in report.reason
    assert report.effect is not None and report.effect.layer == "l2"
    assert judge(case(early, last, twins=()), rule=Rule()).verdict == "neutral"
    assert judge(case(early, last, twins=TWO_LAYERS), rule=Rule(absent_at_end=False)).verdict == "inconclusive"
    assert said(reading(0.09, early), last, twins=TWO_LAYERS) == "inconclusive"
    assert said(early, reading(0.09, last), twins=TWO_LAYERS) == "inconclusive"
    assert said(early, reading(0.02, layer("l2", swap=-0.09, erasure=0.0)), twins=TWO_LAYERS) == "inconclusive"
    unread = replace(last, group_auc_after=0.75)
    assert said(early, unread, twins=TWO_LAYERS) == "inconclusive"
    assert said(replace(early, group_auc_after=0.75), last, twins=TWO_LAYERS) == "neutral"
    assert said(early, last, twins=TWO_LAYERS, within=0.78, gap=-0.05) == "inconclusive"  # merit went, too


def test_a_difference_at_equal_merit_that_no_layer_explains_is_not_nothing() -> None:
    report = judge(case(reading(0.15, layer())))
    assert report.verdict == "inconclusive" and "the score differs at equal merit" in report.reason
    assert said(reading(0.11, layer())) == "neutral"  # not surely beyond the margin
    assert said(reading(-0.15, layer())) == "inconclusive"
    poor = replace(reading(0.15, layer()), point={**reading(0.15, layer()).point, "merit_auc": 0.7})
    assert said(poor, layer("l2"), twins=TWO_LAYERS) == "neutral"  # of the layer that reads merit best


def test_a_gate_knows_how_many_twins_each_verdict_needs() -> None:
    """Over effects of either sign, with the ranking kept or lost and the gap closed or not."""
    found: dict[int, set[str]] = {}
    for twins in (0, 1, 2, 5):
        cases = [
            case(layer(swap=swap, erasure=swap / 3, se=se), twins=TWINS[:twins], within=within, gap=gap)
            for swap in (-0.3, 0.0, 0.3)
            for se in (SE, 0.05)
            for within in (0.75, 0.845)
            for gap in (-0.16, -0.01)
        ]
        found[twins] = {judge(each).verdict for each in cases}
    assert found[5] >= NEEDED_TWINS.keys()
    for twins, verdicts in found.items():
        assert all(NEEDED_TWINS.get(verdict, 0) <= twins for verdict in verdicts), (twins, verdicts)
    assert "suppression" in found[1] and "compensating_head" in found[5]
