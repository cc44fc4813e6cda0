"""Statements 2 and 3: merges that are there are found, those that are not are not claimed, and intervals cover."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from fairheads.constraints import demographic_parity
from fairheads.errors import ConfigError, InputError
from fairheads.metrics.paired import paired_interval, share_interval
from fairheads.nets import MLP, TwoHeadNet
from fairheads.results import Approximation, Recovery, schema_of
from fairheads.training import Objective, Penalized, TwoHeaded, Unconstrained, train
from fairheads.twoheads import approximates, attach_group_head, group_thresholds, recovers, two_head_scores
from fairheads.twoheads.rows import best_offset
from fairheads.twoheads.thresholds import membership

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def people(seed: int, n: int = 4000, groups: int = 2) -> tuple[Floats, Floats, Ints, Ints]:
    """Task logit, group output, labels and groups: merit differs by group, the group head errs a little."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    merit = rng.normal(size=n) + 0.8 * group
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * merit))).astype(int)
    truth = group.astype(float) if groups == 2 else np.eye(groups)[group]
    return 2 * merit, truth + 0.3 * rng.normal(size=truth.shape), y, group


def half(n: int) -> NDArray[np.bool_]:
    return np.arange(n) < n // 2


# --- the fit -------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.integers(0, 1000))
def test_the_best_offset_is_that_of_every_threshold(score: list[int], seed: int) -> None:
    s, wanted = np.array(score, float), np.random.default_rng(seed).random(len(score)) < 0.5
    every = [((s + c > 0) == wanted).sum() for c in [-s.max(), *(-s + 0.5), 4.0]]
    assert ((s + best_offset(s, wanted) > 0) == wanted).sum() == max(every)


def test_neighbouring_floats_have_a_threshold_between_them() -> None:
    s = np.array([1.0, 1.0 + 2**-52])
    assert (s + best_offset(s, np.array([False, True])) > 0).tolist() == [False, True]


@pytest.mark.parametrize("true_b", [-40.0, 0.0, 0.02, 7.0])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_b_of_any_size_and_scale_is_found_even_where_the_heads_nearly_say_the_same(true_b: float, scale: float):
    rng = np.random.default_rng(1)
    z_y = rng.normal(size=3000)
    z_g = 0.9 * z_y + 0.2 * rng.normal(size=3000)
    constrained = z_y + true_b * z_g + 0.3
    nobody = np.zeros(3000, int)
    found = approximates(constrained, z_y, z_g * scale, z_y > 0, nobody + (z_g > 0), fit=half(3000))
    assert found.agreement.value > 0.99
    if abs(true_b) < 10:  # beyond that rows can hardly tell
        assert found.b[0] * scale == pytest.approx(true_b, rel=0.2, abs=0.05)


def test_a_network_without_gap_in_its_scores_still_gets_its_group_head_back() -> None:
    """The gap of mean scores says nothing of the b that is needed: here it is 0, and b is not."""
    z_y, z_g, y, group = people(3)
    even = z_y - 1.6 * group
    even -= np.where(group == 1, even[group == 1].mean(), even[group == 0].mean())
    found = approximates(even + 2 * z_g - 0.5, even, z_g, y, group, fit=half(4000))
    assert found.b[0] == pytest.approx(2, abs=0.15) and found.t == pytest.approx(-0.5, abs=0.15)


def test_decisions_that_hardly_anybody_gets_are_still_found() -> None:
    """No merge is left out because it selects few: the labels of the fit are the decisions."""
    z_y, z_g, y, group = people(3)
    even = z_y - 1.6 * z_g
    for few in (0.02, 0.98):
        found = approximates(even - np.quantile(even, few), z_y, z_g, y, group, fit=half(4000))
        assert found.agreement.value > 0.99 and abs(found.constrained.selection_rate.value - 0.5) > 0.45


# --- statement 2 ---------------------------------------------------------------------------------------------------


def test_a_constrained_network_that_is_a_merge_is_found_to_be_one() -> None:
    z_y, z_g, y, group = people(0)
    rng = np.random.default_rng(9)
    constrained = z_y - 1.6 * z_g + 0.5 + 0.1 * rng.normal(size=4000)
    repeats = [z_y - 1.6 * z_g + 0.5 + 0.1 * rng.normal(size=4000) for _ in range(2)]
    found = approximates(constrained, z_y, z_g, y, group, fit=half(4000), repeats=repeats, name="made")
    assert found.b[0] == pytest.approx(-1.6, abs=0.1) and found.t == pytest.approx(0.5, abs=0.1)
    assert found.agreement.value > 0.97 and found.floor.value < 0.9 and found.over_floor.low > 0.1
    assert found.share.value == pytest.approx(1, abs=0.1) and found.to_ceiling.low < 0.01
    assert (found.fitted_on, found.n, found.repeats) == (2000, 2000, 2)


def test_every_number_is_that_of_the_decisions_on_the_rows_that_did_not_choose() -> None:
    z_y, z_g, y, group = people(1)
    fit = np.random.default_rng(0).random(4000) < 0.3
    constrained = z_y - z_g + np.random.default_rng(1).normal(size=4000)
    repeats = [constrained + np.random.default_rng(s).normal(size=4000) for s in (2, 3, 4)]
    found = approximates(constrained, z_y, z_g, y, group, fit=fit, repeats=repeats)
    rest = ~fit
    wanted, merged = (constrained > 0)[rest], (z_y + found.b[0] * z_g + found.t > 0)[rest]
    plain = (z_y + found.offset > 0)[rest]
    assert found.agreement.value == (merged == wanted).mean() and found.floor.value == (plain == wanted).mean()
    others = np.mean([((r > 0)[rest] == wanted).mean() for r in repeats])
    assert found.ceiling.value == pytest.approx(others)
    assert found.over_floor.value == pytest.approx(found.agreement.value - found.floor.value)
    assert found.to_ceiling.value == pytest.approx(found.agreement.value - others)
    assert found.share.value == pytest.approx(found.over_floor.value / (others - found.floor.value))
    for judged, decided in ((found.constrained, wanted), (found.merged, merged), (found.offset_only, plain)):
        assert judged.accuracy.value == (decided == y[rest]).mean()
        rates = [decided[group[rest] == g].mean() for g in (0, 1)]
        assert judged.gap.value == pytest.approx(abs(rates[1] - rates[0])) and judged.gap.low <= judged.gap.value
        assert judged.selection_rate.value == decided.mean()
    numbers = (found.agreement, found.floor, found.ceiling, found.over_floor, found.to_ceiling, found.share)
    assert all(number.low < number.value < number.high for number in numbers)


def test_rows_that_measure_do_not_choose() -> None:
    z_y, z_g, y, group = people(2)
    constrained = z_y - z_g
    other = np.where(half(4000), constrained, -constrained)
    one = approximates(constrained, z_y, z_g, y, group, fit=half(4000))
    two = approximates(other, z_y, z_g, y, group, fit=half(4000))
    assert (one.b, one.t, one.offset) == (two.b, two.t, two.offset)
    assert two.agreement.value == pytest.approx(1 - one.agreement.value)


def test_a_group_head_of_noise_is_not_said_to_come_closer_than_an_offset() -> None:
    surely, gained = 0, []
    for seed in range(6):
        z_y, z_g, y, group = people(seed, 3000)
        noise = np.random.default_rng(100 + seed).permutation(z_g)
        found = approximates(z_y - 1.6 * z_g, z_y, noise, y, group, fit=half(3000))
        surely += found.over_floor.low > 0
        gained.append(found.over_floor.value)
    assert surely <= 1 and abs(np.mean(gained)) < 0.006
    found = approximates(z_y - 1.6 * z_g, z_y, z_g, y, group, fit=half(3000))
    assert found.over_floor.low > 0.05, "and the group head itself does come closer"


@pytest.mark.parametrize("groups", [3, 4])
def test_several_groups_have_a_b_each(groups: int) -> None:
    z_y, z_g, y, group = people(4, 6000, groups)
    true_b = np.linspace(1.5, -1.5, groups)
    constrained = z_y + z_g @ true_b + 0.2
    found = approximates(constrained, z_y, z_g, y, group, fit=half(6000))
    assert len(found.b) == groups and found.agreement.value > 0.97 and found.over_floor.low > 0.05
    np.testing.assert_allclose(np.diff(found.b), np.diff(true_b), atol=0.35)  # a constant for all groups is an offset


def test_groups_that_are_not_recorded_count_for_agreement_and_for_no_gap() -> None:
    z_y, z_g, y, group = people(5)
    known = np.where(np.arange(4000) % 3 == 0, -1, group)
    whole = approximates(z_y - z_g, z_y, z_g, y, group, fit=half(4000))
    some = approximates(z_y - z_g, z_y, z_g, y, known, fit=half(4000))
    assert some.agreement == whole.agreement and some.b == whole.b
    assert some.merged.gap.n < whole.merged.gap.n
    late = np.where(half(4000), group, -1)
    none = approximates(z_y - z_g, z_y, z_g, y, late, fit=half(4000))
    assert math.isnan(none.merged.gap.value) and "fewer than two groups" in (none.merged.gap.reason or "")
    with pytest.raises(InputError, match="group"):
        approximates(z_y - z_g, z_y, z_g, y, np.full(4000, -1), fit=half(4000))


def test_without_other_seeds_there_is_no_ceiling_and_the_reason_is_said() -> None:
    z_y, z_g, y, group = people(6)
    found = approximates(z_y - z_g, z_y, z_g, y, group, fit=half(4000))
    for number in (found.ceiling, found.to_ceiling, found.share):
        assert math.isnan(number.value) and "no other seeds" in (number.reason or "")
    far = [np.random.default_rng(s).normal(size=4000) for s in (0, 1)]
    worse = approximates(z_y - z_g, z_y, z_g, y, group, fit=half(4000), repeats=far)
    assert worse.ceiling.value < worse.floor.value
    assert math.isnan(worse.share.value) and "not surely closer" in (worse.share.reason or "")


@settings(max_examples=3)
@given(st.integers(0, 1000), st.floats(0.05, 20), st.floats(-3, 3))
def test_order_of_rows_and_scale_of_the_heads_change_nothing(seed: int, scale: float, shift: float) -> None:
    z_y, z_g, y, group = people(seed, 1000)
    constrained, fit = z_y - z_g, half(1000)
    one = approximates(constrained, z_y, z_g, y, group, fit=fit)
    order = np.random.default_rng(seed).permutation(1000)
    again = [values[order] for values in (constrained, z_y, z_g, y, group)]
    assert approximates(*again, fit=fit[order]).agreement == one.agreement
    scaled = approximates(constrained, z_y, scale * z_g + shift, y, group, fit=fit)
    assert scaled.agreement.value == pytest.approx(one.agreement.value, abs=0.011)


# --- statement 3 ---------------------------------------------------------------------------------------------------


def test_taking_the_group_head_out_brings_the_unconstrained_network_back() -> None:
    z_y, z_g, y, group = people(0, 8000)
    rng = np.random.default_rng(1)
    constrained = z_y - 1.6 * z_g + 0.5
    repeats = [z_y + 0.2 * rng.normal(size=8000) for _ in range(2)]
    found = recovers(constrained, z_g, z_y, y, group, fit=half(8000), repeats=repeats)
    assert found.b[0] == pytest.approx(-1.6, abs=0.5) and found.over_floor.low > 0.05
    assert found.agreement.value > 0.93 > 0.88 > found.floor.value
    assert (
        found.gained.low > 0
        and found.by_head.low > 0
        and found.cost.low > 0
        and found.accuracy_share.value == pytest.approx(1, abs=0.25)
    )
    assert found.recovered.gap.value > 0.2 > 0.05 > found.constrained.gap.value
    decided = (constrained - found.b[0] * z_g - found.t > 0)[~half(8000)]
    assert found.recovered.accuracy.value == (decided == y[4000:]).mean()
    plain = (constrained - found.offset > 0)[4000:]
    assert found.offset_only.accuracy.value == (plain == y[4000:]).mean()
    assert found.gained.value == pytest.approx(found.recovered.accuracy.value - found.constrained.accuracy.value)
    assert found.constrained_agreement.value == ((constrained > 0) == (z_y > 0))[4000:].mean()


def test_nothing_comes_back_where_nothing_was_taken() -> None:
    z_y, z_g, y, group = people(1, 8000)
    noise = np.random.default_rng(2).normal(size=8000)
    found = recovers(z_y - 1.6 * z_g, noise, z_y, y, group, fit=half(8000))
    assert found.over_floor.high < 0.02 and found.by_head.high < 0.01
    assert found.gained.low > 0, "what an offset alone brings back"
    same = recovers(z_y, z_g, z_y, y, group, fit=half(8000))
    assert math.isnan(same.accuracy_share.value) and "costs no accuracy" in (same.accuracy_share.reason or "")
    assert same.cost.value == 0 and same.cost.low < 0 < same.cost.high


def test_recovery_from_a_head_of_several_groups() -> None:
    z_y, z_g, y, group = people(2, 8000, 3)
    taken = np.array([1.0, 0.0, -1.2])
    found = recovers(z_y + z_g @ taken, z_g, z_y, y, group, fit=half(8000))
    assert len(found.b) == 3 and found.over_floor.low > 0.03 and found.gained.low > 0
    assert found.b[0] - found.b[2] == pytest.approx(2.2, abs=0.8)


@pytest.mark.slow
def test_constrained_networks_on_adult_are_near_a_merge_and_their_group_head_can_be_taken_out(adult_split) -> None:
    rows, held_out = adult_split
    trained: dict[tuple[str, int], Floats] = {}
    objectives: dict[str, Callable[[], Objective]] = {
        "free": Unconstrained,
        "bound": lambda: Penalized(demographic_parity(), 10.0),
        "two": TwoHeaded,
    }
    for (kind, make), seed in itertools.product(objectives.items(), (0, 1)):
        net: nn.Module = MLP(rows.inputs["x"].shape[1], seed=seed)
        net = TwoHeadNet(net, seed=seed) if kind == "two" else net
        train(net, rows, make(), epochs=5, seed=seed)
        trained[kind, seed] = two_head_scores(net if kind == "two" else attach_group_head(net, rows), held_out)
    y, group = held_out.y, held_out.group
    fit = np.random.default_rng(0).random(len(y)) < 0.4
    task, head = trained["two", 0].T
    bound, ghat = trained["bound", 0].T
    second = approximates(bound, task, head, y, group, fit=fit, repeats=[trained["bound", 1][:, 0]])
    assert second.over_floor.low > 0.02 and second.agreement.value > 0.98 and second.share.low > 0.8
    assert second.merged.gap.value < 0.03 < 0.06 < second.offset_only.gap.value
    third = recovers(bound, ghat, trained["free", 0][:, 0], y, group, fit=fit, repeats=[trained["free", 1][:, 0]])
    assert third.over_floor.low > 0.01 and third.by_head.low > 0.005 and third.accuracy_share.value > 0.4
    assert second.b[0] < 0 and third.b[0] < 0, "the constraint lowers men, group 1"


# --- what is refused -----------------------------------------------------------------------------------------------


def made(**other: Any) -> dict[str, Any]:
    z_y, z_g, y, group = people(0, 60)
    return {"constrained": z_y - z_g, "z_y": z_y, "z_g": z_g, "y": y, "group": group, "fit": half(60)} | other


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"constrained": np.zeros(59)}, r"`constrained` must have one entry per row of `y` \(60\), got shape \(59,\)"),
        ({"z_y": np.full(60, np.nan)}, "`z_y` must be finite in every row"),
        ({"z_g": np.zeros((59, 2))}, r"`z_g` must have shape \(n,\) or \(n, m\) with one row per row of `y` \(60\)"),
        ({"z_g": np.zeros((60, 0))}, "`z_g` must have shape"),
        ({"z_g": np.full((60, 2), np.inf)}, "`z_g` must be finite in every row"),
        ({"y": np.full(60, 2)}, "`y` must be 0 or 1 in every row"),
        ({"group": np.full(60, 0.5)}, "`group` must hold whole numbers from 0"),
        ({"group": np.zeros(59, int)}, r"`group` must have one entry per row of `y` \(60\)"),
        ({"group": np.full(60, -2)}, "`group` must hold codes from 0"),
        ({"fit": np.ones(60)}, "`fit` must be a boolean mask"),
        ({"fit": np.ones(60, bool)}, "`fit` must be a boolean mask that is True in some rows and False in others"),
        ({"fit": np.zeros(60, bool)}, "`fit` must be a boolean mask that is True in some rows and False in others"),
        ({"repeats": [np.zeros(60), np.zeros(3)]}, r"`repeats\[1\]` must have one entry per row"),
        ({"constrained": np.ones(60)}, "`constrained` must select some and refuse some of the rows of `fit`"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(other: dict[str, Any], words: str) -> None:
    approximates(**made())
    with pytest.raises(InputError, match=words):
        approximates(**made(**other))


def test_recovery_needs_both_labels_and_a_confidence_between_0_and_1() -> None:
    z_y, z_g, y, group = people(0, 60)
    with pytest.raises(InputError, match="`y` must hold both labels"):
        recovers(z_y, z_g, z_y, np.where(half(60), 1, y), group, fit=half(60))
    with pytest.raises(InputError, match="`ghat` must have shape"):
        recovers(z_y, z_g[:5], z_y, y, group, fit=half(60))
    for confidence in (0.0, 1.0):
        with pytest.raises(ConfigError, match="`confidence` must lie between 0 and 1"):
            recovers(z_y, z_g, z_y, y, group, fit=half(60), confidence=confidence)


# --- the results ---------------------------------------------------------------------------------------------------


def results() -> list[Approximation | Recovery]:
    z_y, z_g, y, group = people(0, 900)
    again = [z_y + np.random.default_rng(0).normal(size=900)]
    fit, name = half(900), "<b>rows</b>"
    return [
        approximates(z_y - z_g, z_y, z_g, y, group, fit=fit, repeats=again, name=name),
        approximates(z_y - z_g, z_y, z_g, y, group, fit=fit),
        recovers(z_y - z_g, z_g, z_y, y, group, fit=fit, repeats=again, name=name),
        recovers(z_y, z_g, z_y, y, group, fit=fit),
    ]


def test_results_say_save_and_draw_themselves(tmp_path) -> None:
    for result in results():
        text = result.summary()
        assert all(len(line) <= 100 for line in text.splitlines()) and str(result) == text
        assert text.splitlines()[-1].startswith("This does not say")
        assert f"{result.agreement.value:.3f}" in text and f"{result.floor.value:.3f}" in text
        for number in (result.ceiling, result.share):
            assert number.reason is None or number.reason in " ".join(text.split())
        file = tmp_path / "result.json"
        file.write_text(result.to_json())
        assert type(result).load(file).to_json() == result.to_json()
        jsonschema.validate(json.loads(result.to_json()), schema_of(type(result)))
        assert set(json.loads(result.to_json())) >= {"schema", "agreement", "floor", "ceiling", "share", "b", "t"}
        html = result.html()
        assert "<b>rows" not in html and "<svg" in html and f"{result.agreement.value:.3f}" in html
        assert result._repr_html_()
        frame = result.to_frame()
        assert frame.value.notna().sum() >= 10 and (frame.value.isna() == frame.reason.notna()).all()
        drawn = result.plot()
        shown = [line.get_xdata()[0] for line in drawn.lines if len(line.get_xdata()) == 1]
        known = [n for _, n, _ in result.lines() if n.low is not None]
        assert shown == [number.value for number in known]
    other = results()[0]
    (tmp_path / "other.json").write_text(other.to_json())
    with pytest.raises(InputError, match="not of the schema fairheads/recovery/1"):
        Recovery.load(tmp_path / "other.json")


def test_the_study_shows_both_statements_on_adult_and_the_merge_keeps_its_gap_there() -> None:
    study = json.loads((Path(__file__).parent / "studies" / "two_heads.json").read_text())
    second, third = ([row for row in study[of] if row["data"] == "adult"] for of in ("approximates", "recovers"))
    assert [row["weight"] for row in second] == [row["weight"] for row in third] == [3, 10, 30]
    for row in second:
        assert row["agreement"]["low"] > 0.98 and row["over_floor"]["low"] > 0.02 and row["share"]["low"] > 0.9
        assert abs(row["noise_over_floor"]["mean"]) < 0.002, "a group head of noise brings nothing"
    for row in third:
        assert row["over_floor"]["low"] > 0.02 and row["by_head"]["low"] > 0.01
        assert row["to_ceiling"]["high"] < 0, "and not all comes back"
    mild, _ = (row for row in study["approximates"] if row["data"] == "adult, race")
    assert abs(mild["over_floor"]["mean"]) < 0.002, "of five races the offset explains a mild constraint"
    assert all(abs(row["by_head"]["mean"]) < 0.002 for row in study["recovers"] if row["data"] == "adult, race")
    asked = [row for row in study["beside_published"]["ours"] if row["method"] == "merge" and row["confidence"]]
    (sure,) = asked
    assert sure["gap"]["high"] <= 0.047 and sure["accuracy"]["low"] >= 0.838 and sure["gap"]["seeds"] == 5


# --- intervals -----------------------------------------------------------------------------------------------------


def test_the_paired_interval_is_bonett_and_prices() -> None:
    n10, n01, n = 12, 5, 80
    rows = np.r_[np.ones(n10), -np.ones(n01), np.zeros(n - n10 - n01)]
    p10, p01 = (n10 + 1) / (n + 2), (n01 + 1) / (n + 2)
    width = 1.959963984540054 * math.sqrt((p10 + p01 - (p10 - p01) ** 2) / (n + 2))
    assert paired_interval(rows) == pytest.approx((p10 - p01 - width, p10 - p01 + width))
    low, high = paired_interval(np.zeros(50))
    assert low == -high < -0.01, "two networks that never differ on 50 rows may differ on others"
    assert paired_interval(np.ones(5))[1] == 1 and paired_interval(rows, confidence=0.5)[0] > paired_interval(rows)[0]


def covered(draw: Callable[[np.random.Generator], tuple[Floats, float]], draws: int) -> float:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(draws):
        rows, truth = draw(rng)
        low, high = paired_interval(rows)
        inside += low <= truth <= high
    return inside / draws


def differences(n: int, p10: float, p01: float, repeats: int) -> Callable[[np.random.Generator], tuple[Floats, float]]:
    """Rows of a network that is right where means of ``repeats`` others are wrong, and the other way round."""

    def draw(rng: np.random.Generator) -> tuple[Floats, float]:
        which = rng.choice(3, n, p=[1 - p10 - p01, p10, p01])
        if repeats == 1:
            return np.array([0.0, 1.0, -1.0])[which], p10 - p01
        part = rng.integers(1, repeats + 1, n) / repeats
        mean = (repeats + 1) / (2 * repeats)
        return np.where(which == 0, 0.0, np.where(which == 1, part, -part)), (p10 - p01) * mean

    return draw


def test_the_paired_interval_covers() -> None:
    for n, p10, p01, repeats in ((200, 0.05, 0.02, 1), (1000, 0.1, 0.1, 4), (500, 0.002, 0.001, 1)):
        assert 0.94 <= covered(differences(n, p10, p01, repeats), 800) <= 1.0


@pytest.mark.slow
def test_the_paired_interval_covers_from_rare_to_frequent_differences() -> None:
    found = {
        (n, p10, p01, repeats): covered(differences(n, p10, p01, repeats), 4000)
        for n in (30, 200, 2000)
        for p10, p01 in ((0.0001, 0.0), (0.01, 0.01), (0.05, 0.01), (0.2, 0.05), (0.02, 0.1))
        for repeats in (1, 4)
    }
    assert min(found.values()) >= 0.94, found
    assert max(v for (n, p10, *_), v in found.items() if n >= 2000 and p10 >= 0.02) <= 0.965


def shares_cover(n: int, floor: float, best: float, ceiling: float, draws: int, repeats: int = 3) -> tuple[float, int]:
    """How often the share's interval holds the truth, and how often there is none."""
    rng = np.random.default_rng(1)
    truth, inside, none = (best - floor) / (ceiling - floor), 0, 0
    for _ in range(draws):
        hard = rng.random(n)[:, None]
        luck = 0.6 * hard + 0.4 * rng.random((n, 2 + repeats))
        # Uniform marginals of the mixture are not needed: shares are of the frequencies below these quantiles.
        at = [QUANTILE(p) for p in (floor, best, ceiling)]
        f, a, c = luck[:, 0] < at[0], luck[:, 1] < at[1], luck[:, 2:] < at[2]
        low_high = share_interval(a * 1.0 - f, c.mean(1) - f)
        none += low_high is None
        inside += low_high is not None and low_high[0] <= truth <= low_high[1]
    return inside / max(draws - none, 1), none


def QUANTILE(p: float) -> float:  # noqa: N802
    """Below which a .6 and .4 mixture of two uniform numbers falls with probability p (a trapezoid's quantile)."""
    a, b = 0.4, 0.6
    edge = a / (2 * b)
    if p < edge:
        return math.sqrt(2 * a * b * p)
    if p <= 1 - edge:
        return p * b + a / 2
    return 1 - math.sqrt(2 * a * b * (1 - p))


def test_the_interval_of_the_share_covers() -> None:
    rate, none = shares_cover(1500, 0.85, 0.91, 0.93, 400)
    assert 0.925 <= rate <= 0.98 and none == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "floor", "best", "ceiling"), [(500, 0.8, 0.9, 0.92), (5000, 0.9, 0.94, 0.95), (2000, 0.9, 0.9, 0.94)]
)
def test_the_interval_of_the_share_covers_in_several_settings(n, floor, best, ceiling) -> None:
    rate, none = shares_cover(n, floor, best, ceiling, 3000)
    assert 0.94 <= rate <= 0.965 and none < 30


def test_a_share_of_nothing_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert share_interval(rng.normal(size=100), rng.normal(size=100)) is None
    assert share_interval([0.0, 1.0] * 50, [-0.9, -1.1] * 50) is None
    assert share_interval([1.0], [1.0]) is None
    low, high = share_interval([0.0, 1.0] * 50, [0.9, 1.1] * 50) or (math.nan, math.nan)
    assert low < 0.5 < high


@pytest.mark.slow
def test_agreement_and_its_distance_from_the_floor_cover_the_truth_of_the_fitted_merge() -> None:
    """The truth is that of the coefficients that were fitted, on a large population."""
    z_y, z_g, y, group = people(10**6, 200_000)
    noise = np.random.default_rng(5).normal(size=200_000)
    constrained = z_y - 1.6 * z_g + noise
    repeats = [z_y - 1.6 * z_g + np.random.default_rng(s).normal(size=200_000) for s in (6, 7, 8)]
    whole = constrained > 0
    rng, inside = np.random.default_rng(0), np.zeros(4)
    for _ in range(200):
        rows = rng.choice(200_000, 1200, replace=False)
        found = approximates(
            *(values[rows] for values in (constrained, z_y, z_g, y, group)),
            fit=half(1200),
            repeats=[repeat[rows] for repeat in repeats],
        )
        merged = ((z_y + found.b[0] * z_g + found.t > 0) == whole).mean()
        floor = ((z_y + found.offset > 0) == whole).mean()
        ceiling = np.mean([((repeat > 0) == whole).mean() for repeat in repeats])
        for i, (number, truth) in enumerate(
            (
                (found.agreement, merged),
                (found.over_floor, merged - floor),
                (found.to_ceiling, merged - ceiling),
                (found.ceiling, ceiling),
            )
        ):
            inside[i] += number.low <= truth <= number.high
    assert (inside / 200 >= 0.915).all(), inside


# --- thresholds by the true group ----------------------------------------------------------------------------------


def test_membership_has_a_column_for_two_groups_and_one_each_for_more() -> None:
    assert membership([0, 1, -1, 1]).tolist() == [0, 1, 0, 1]
    assert membership([0, 2, 1, -1]).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    for wrong in ([0, 0], [0.5, 1.0], [[0], [1]], [], [-2, 1], [-1, -1]):
        with pytest.raises(InputError, match="`group` must hold"):
            membership(wrong)


def lipton(z_y: Floats, y: Ints, group: Ints, max_gap: float) -> float:
    """Accuracy of the best pair of thresholds, by trying all."""
    curves = []
    for g in (0, 1):
        s, label = z_y[group == g], y[group == g]
        order = np.argsort(-s)
        correct = np.r_[0, np.cumsum(np.where(label[order] == 1, 1, -1))] + (label == 0).sum()
        curves.append((np.arange(len(s) + 1) / len(s), correct))
    (r0, c0), (r1, c1) = curves
    allowed = np.abs(r1[None] - r0[:, None]) <= max_gap + 1e-12
    return float(np.where(allowed, c0[:, None] + c1[None], -1).max()) / len(y)


@pytest.mark.parametrize("max_gap", [0.02, 0.1, 0.3])
def test_thresholds_by_the_true_group_are_the_best_pair_there_is(max_gap: float) -> None:
    z_y, _, y, group = people(7, 1200)
    found = group_thresholds(z_y, y, group).at(max_gap=max_gap, confidence=None)
    best = lipton(z_y, y, group, max_gap)
    assert best - 0.001 <= found.accuracy <= best + 1e-12
    decided = z_y + float(np.squeeze(found.b)) * (group == 1) + found.t > 0
    assert (decided == y).mean() == pytest.approx(found.accuracy)


def test_thresholds_of_three_groups_reach_parity() -> None:
    z_y, _, y, group = people(8, 3000, 3)
    found = group_thresholds(z_y, y, group).at(max_gap=0.03, confidence=None)
    decided = z_y + membership(group) @ np.array(found.b) + found.t > 0
    rates = [decided[group == g].mean() for g in range(3)]
    assert max(rates) - min(rates) <= 0.03 + 1e-12 and (decided == y).mean() == pytest.approx(found.accuracy)
    equal = z_y - 1.6 * group
    t = best_offset(equal, y == 1)
    assert found.accuracy >= ((equal + t > 0) == y).mean() - 0.02
