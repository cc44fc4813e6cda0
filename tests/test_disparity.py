"""The disparity report against fairlearn and scikit-learn, under changes that must not matter, and on bad input."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn
from tables_for_tests import COUNTED, SEEDS, TABLES, Table, assert_alike, table

from fairheads.errors import ConfigError, InputError
from fairheads.metrics import disparity_of, disparity_report
from fairheads.metrics.rates import RATE_OF, rate
from fairheads.results import DisparityReport, Metric
from fairheads.sums import NOT_RECORDED, Cells, Membership, Tally, sum_of

# --- fairlearn and scikit-learn -----------------------------------------------------------------------------------


def everybody(y: NDArray[Any], d: NDArray[Any]) -> NDArray[np.bool_]:
    return np.ones(len(y), bool)


THEIRS: dict[str, tuple[Callable[..., float], list[Callable[..., NDArray[np.bool_]]]]] = {
    "selection_rate": (fairlearn.selection_rate, [everybody]),
    "accuracy": (sklearn.accuracy_score, [everybody]),
    "balanced_accuracy": (sklearn.balanced_accuracy_score, [lambda y, d: y == 1, lambda y, d: y == 0]),
    "true_positive_rate": (fairlearn.true_positive_rate, [lambda y, d: y == 1]),
    "false_positive_rate": (fairlearn.false_positive_rate, [lambda y, d: y == 0]),
    "true_negative_rate": (fairlearn.true_negative_rate, [lambda y, d: y == 0]),
    "false_negative_rate": (fairlearn.false_negative_rate, [lambda y, d: y == 1]),
    "positive_predictive_value": (sklearn.precision_score, [lambda y, d: d == 1]),
    "base_rate": (lambda y, d, sample_weight=None: np.average(y, weights=sample_weight), [everybody]),
}
"""Their function, and the sets of rows without which it is undefined."""


@settings(max_examples=18)
@given(TABLES, st.booleans())
def test_rates_and_gaps_are_fairlearns_wherever_they_are_defined_and_undefined_elsewhere(
    rows: Table, weighted: bool
) -> None:
    report = rows.report(weighted=weighted, metrics=list(THEIRS))
    names = sorted(set(rows.group))
    assert list(report.groups) == names and report.n == len(rows)
    parameters = {"sample_weight": rows.weight} if weighted else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they warn of the rates that they call 0
        frame = fairlearn.MetricFrame(
            metrics={name: metric for name, (metric, _) in THEIRS.items()},
            y_true=rows.y,
            y_pred=rows.decision,
            sensitive_features=rows.group,
            sample_params=dict.fromkeys(THEIRS, parameters),
        )
        theirs = {
            how: (frame.difference(method=how), frame.ratio(method=how)) for how in ("between_groups", "to_overall")
        }
    for name, (_, needed) in THEIRS.items():
        metric = report.metrics[name]
        counts = {g: [int(of(rows.y, rows.decision)[rows.group == g].sum()) for of in needed] for g in names}
        for g, number in metric.groups.items():
            assert number.n == sum(counts[g])
            if min(counts[g]):
                assert number.value == pytest.approx(float(frame.by_group[name][g]), abs=1e-12)
                assert number.low - 1e-12 <= number.value <= number.high + 1e-12
            else:
                assert np.isnan(number.value) and number.reason
        if all(sum(c) for c in zip(*counts.values(), strict=True)):
            assert metric.overall.value == pytest.approx(float(frame.overall[name]), abs=1e-12)
        else:
            assert np.isnan(metric.overall.value) and metric.overall.reason
        lacking = [g for g in names if not min(counts[g])]
        if lacking or len(names) == 1:
            for number in (metric.gap.difference, metric.gap.ratio):
                assert np.isnan(number.value) and number.reason
                assert all(g in number.reason for g in lacking[:3])
            continue
        check_gaps(metric, frame.by_group[name], {how: (d[name], r[name]) for how, (d, r) in theirs.items()})


def check_gaps(metric: Metric, by_group: Any, theirs: dict[str, tuple[float, float]]) -> None:
    difference, ratio = theirs["between_groups"]
    gap = metric.gap
    assert gap.difference.value == pytest.approx(difference, abs=1e-12)
    assert gap.difference.low <= difference + 1e-12 and difference <= gap.difference.high + 1e-12
    assert bool(gap.highest) == bool(gap.lowest) == (gap.difference.value > 0), "nobody is highest where all are alike"
    if gap.highest:
        assert by_group[gap.highest] - by_group[gap.lowest] == pytest.approx(difference, abs=1e-12)
    overall = [contrast.difference.value for contrast in metric.to_overall.values()]
    assert max(map(abs, overall)) == pytest.approx(theirs["to_overall"][0], abs=1e-12)
    if by_group.max() > 0:
        assert gap.ratio.value == pytest.approx(ratio, abs=1e-12)
        ratios = [contrast.ratio.value for contrast in metric.to_overall.values()]
        least = min(min(r, 1 / r) if r > 0 else 0.0 for r in ratios)
        assert least == pytest.approx(theirs["to_overall"][1], abs=1e-12)
    else:
        assert np.isnan(gap.ratio.value) and gap.ratio.reason == "the rate is 0 in every group"


@settings(max_examples=8)
@given(TABLES, st.booleans())
def test_criteria_are_fairlearns(rows: Table, weighted: bool) -> None:
    names = set(rows.group)
    assume(len(names) > 1 and rows.decision.any())
    assume(all(0 < rows.y[rows.group == g].mean() < 1 for g in names))
    report = rows.report(weighted=weighted)
    given_rows = {"y_true": rows.y, "y_pred": rows.decision, "sensitive_features": rows.group}
    given_rows |= {"sample_weight": rows.weight} if weighted else {}
    for name in ("demographic_parity", "equalized_odds", "equal_opportunity"):
        ours = report.criteria[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            difference = getattr(fairlearn, f"{name}_difference")(**given_rows)
            ratio = getattr(fairlearn, f"{name}_ratio")(**given_rows)
        assert ours.difference.value == pytest.approx(difference, abs=1e-12)
        if ours.ratio.reason is None:
            assert ours.ratio.value == pytest.approx(ratio, abs=1e-12)
        else:
            assert "0 in every group" in ours.ratio.reason
    assert report.demographic_parity_difference == report.criteria["demographic_parity"].difference


@settings(max_examples=15)
@given(TABLES, st.booleans())
def test_selection_rates_within_strata_are_fairlearns_with_control_features(rows: Table, weighted: bool) -> None:
    report = rows.report(weighted=weighted, metrics=["selection_rate"], control_features={"control": rows.control})
    frame = fairlearn.MetricFrame(
        metrics=fairlearn.selection_rate,
        y_true=rows.y,
        y_pred=rows.decision,
        sensitive_features={"group": rows.group},
        control_features={"control": rows.control},
        sample_params={"sample_weight": rows.weight} if weighted else None,
    )
    assert report.conditional.columns == ("control",)
    assert set(report.conditional.strata) == {str(v) for v in set(rows.control.tolist())}
    for value, stratum in report.conditional.strata.items():
        here = rows.control == int(value)
        assert stratum.n == here.sum() and set(stratum.groups) == set(rows.group[here])
        for g, number in stratum.groups.items():
            assert number.value == pytest.approx(frame.by_group[int(value), g], abs=1e-12)
            assert number.n == (here & (rows.group == g)).sum()
        if len(stratum.groups) == len(set(rows.group)) > 1:
            assert stratum.gap.difference.value == pytest.approx(frame.difference()[int(value)], abs=1e-12)


def test_a_group_without_positives_has_no_true_positive_rate_where_fairlearn_says_zero() -> None:
    y, d, group = np.array([1, 1, 0, 0]), np.array([1, 1, 0, 1]), np.array(["a", "a", "b", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = fairlearn.MetricFrame(
            metrics=fairlearn.true_positive_rate, y_true=y, y_pred=d, sensitive_features=group
        )
    assert theirs.by_group["b"] == 0.0 and theirs.difference() == 1.0
    metric = disparity_report(y, d, sensitive_features=group, replicates=0).metrics["true_positive_rate"]
    number = metric.groups["b"]
    assert np.isnan(number.value) and number.n == 0 and number.reason == "no rows recorded as favourable"
    assert metric.gap.difference.reason == "no rows recorded as favourable in b"
    assert np.isnan(metric.to_reference["b"].difference.value) and metric.groups["a"].value == 1.0


# --- inequality ---------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(TABLES, st.booleans())
def test_inequality_is_that_of_the_benefits_row_by_row_and_splits_into_within_and_between(
    rows: Table, weighted: bool
) -> None:
    benefit = (rows.decision - rows.y + 1).astype(float)
    assume(all(benefit[rows.group == g].sum() > 0 for g in set(rows.group)) and benefit.std() > 0)
    weight = rows.weight if weighted else np.ones(len(rows))

    def entropy(b: NDArray[Any], w: NDArray[Any]) -> float:
        return float(np.average((b / np.average(b, weights=w)) ** 2 - 1, weights=w)) / 2

    def theil(b: NDArray[Any], w: NDArray[Any]) -> float:
        relative = b / np.average(b, weights=w)
        return float(np.average([r * np.log(r) if r > 0 else 0.0 for r in relative], weights=w))

    report = rows.report(weighted=weighted, metrics=["generalized_entropy", "theil"])
    whole = np.average(benefit, weights=weight)
    for name, index, power in (("generalized_entropy", entropy, 2), ("theil", theil, 1)):
        metric = report.metrics[name]
        total, within = index(benefit, weight), 0.0
        assert metric.overall.value == pytest.approx(total, abs=1e-12)
        for g, number in metric.groups.items():
            b, w = benefit[rows.group == g], weight[rows.group == g]
            assert number.value == pytest.approx(index(b, w), abs=1e-12)
            within += w.sum() / weight.sum() * (np.average(b, weights=w) / whole) ** power * number.value
        assert report.between_groups[name].value * total + within == pytest.approx(total, abs=1e-12)


# --- shards -------------------------------------------------------------------------------------------------------


@settings(max_examples=6)
@given(TABLES, SEEDS, st.booleans())
def test_the_report_of_a_sum_of_shards_is_the_report_of_the_whole_to_the_byte(
    rows: Table, seed: int, soft: bool
) -> None:
    def tally(part: Table) -> Tally:
        q = part.score // 0.25 / 4
        return Tally.of(
            part.y,
            part.decision,
            sensitive_features=Membership(("y", "x"), np.c_[q, (1 - q) / 2]) if soft else part.group,
            y_score=part.score,
            control_features=part.control,
        )

    parts = [p for p in np.array_split(np.random.default_rng(seed).permutation(len(rows)), 4) if len(p)]
    whole = disparity_of(tally(rows), replicates=50, seed=3)
    again = disparity_of(sum_of(tally(rows.take(p)) for p in parts[::-1]), replicates=50, seed=3)
    assert again.to_json() == whole.to_json()
    assert DisparityReport.from_dict(whole.to_dict()).to_json() == whole.to_json()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_seed_gives_the_same_bytes_and_another_changes_only_what_is_drawn(weighted: bool) -> None:
    rows = table(1, 200, 3)
    f1 = {"f1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn)}
    one, same, other = (
        rows.report(weighted=weighted, scored=True, replicates=100, seed=seed, custom=f1) for seed in (1, 1, 2)
    )
    assert one.to_json() == same.to_json() and one.to_json() != other.to_json()
    drawn = {"generalized_entropy", "theil", "f1"}
    a, b = one.to_dict(), other.to_dict()
    for name in a["metrics"]:
        left, right = (plain["metrics"][name] for plain in (a, b))
        nulls = [metric["gap"].pop("null", None) for metric in (left, right)]
        assert (left == right) == (name not in drawn), name
        for g in left["groups"]:
            assert left["groups"][g]["value"] == right["groups"][g]["value"]
        assert (nulls[0] != nulls[1]) or nulls[0] is None
        a["metrics"][name] = b["metrics"][name] = None
    assert a == b


# --- what must not matter -----------------------------------------------------------------------------------------


@settings(max_examples=5)
@given(TABLES, SEEDS, st.integers(2, 4))
def test_neither_row_order_nor_names_nor_repeats_change_a_disparity(rows: Table, seed: int, times: int) -> None:
    report = rows.report()
    mixed = rows.take(np.random.default_rng(seed).permutation(len(rows)))
    assert mixed.report().to_json() == report.to_json()
    renamed = rows.report(sensitive_features=np.char.replace(rows.group, "g", "zz"))
    for name, metric in report.metrics.items():
        again = renamed.metrics[name]
        assert list(again.groups.values()) == list(metric.groups.values()) and again.overall == metric.overall
        assert again.gap.highest == metric.gap.highest.replace("g", "zz")
        assert_alike(again.gap.difference.value, metric.gap.difference.value)
    repeated = rows.take(np.repeat(np.arange(len(rows)), times)).report()
    for name, metric in report.metrics.items():
        for g, number in metric.groups.items():
            more = repeated.metrics[name].groups[g]
            assert more.n == number.n * times
            np.testing.assert_allclose(more.value, number.value, atol=1e-12)
            if number.low is not None and number.high is not None:
                assert more.low > number.low - 1e-12 and more.high < number.high + 1e-12
        np.testing.assert_allclose(repeated.metrics[name].gap.difference.value, metric.gap.difference.value, atol=1e-12)


def test_many_more_rows_narrow_the_intervals() -> None:
    rows = table(0, 100, 2)
    wide = rows.report().demographic_parity_difference
    narrow = rows.take(np.repeat(np.arange(100), 25)).report().demographic_parity_difference
    assert narrow.value == pytest.approx(wide.value)
    assert narrow.high - narrow.low < 0.3 * (wide.high - wide.low)


MIRROR = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "true_positive_rate": "true_negative_rate",
    "false_positive_rate": "false_negative_rate",
    "positive_predictive_value": "negative_predictive_value",
}


@settings(max_examples=8)
@given(TABLES, st.booleans())
def test_calling_the_unfavourable_favourable_swaps_the_rates(rows: Table, weighted: bool) -> None:
    turned = Table(1 - rows.y, 1 - rows.decision, rows.group, rows.score, rows.weight, rows.control)
    one, other = rows.report(weighted=weighted).to_dict(), turned.report(weighted=weighted).to_dict()
    for name, partner in MIRROR.items():
        for a, b in ((name, partner), (partner, name)):
            for part in ("groups", "overall"):
                assert_alike(without_reasons(one["metrics"][a][part]), without_reasons(other["metrics"][b][part]))
    for g, number in one["metrics"]["selection_rate"]["groups"].items():
        mirrored = other["metrics"]["selection_rate"]["groups"][g]
        for mine, its in (("value", "value"), ("low", "high"), ("high", "low")):
            assert number[mine] == pytest.approx(1 - mirrored[its], abs=1e-9)


def without_reasons(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {k: without_reasons(v) for k, v in plain.items() if k != "reason"}
    return plain


@settings(max_examples=8)
@given(TABLES, st.booleans())
def test_another_reference_turns_the_signs_and_inverts_the_ratios(rows: Table, weighted: bool) -> None:
    names = sorted(set(rows.group))
    assume(len(names) > 1)
    one, other = (rows.report(weighted=weighted, reference=g) for g in names[:2])
    assert one.reference == names[0] and names[0] not in one.metrics["accuracy"].to_reference
    for name, metric in one.metrics.items():
        there, back = metric.to_reference[names[1]], other.metrics[name].to_reference[names[0]]
        if there.difference.reason is not None:
            assert back.difference.reason is not None
            continue
        assert there.difference.value == pytest.approx(-back.difference.value, abs=1e-12)
        if there.difference.low is not None and back.difference.high is not None:
            assert there.difference.low == pytest.approx(-back.difference.high, abs=1e-9)
        if there.ratio.reason is None and back.ratio.reason is None:
            assert there.ratio.value == pytest.approx(1 / back.ratio.value, rel=1e-9)
        if len(names) == 2:
            np.testing.assert_allclose(there.p.value, back.p.value, rtol=1e-9)


def assert_same_intervals(one: DisparityReport, other: DisparityReport) -> None:
    for name, metric in one.to_dict()["metrics"].items():
        again = other.to_dict()["metrics"][name]
        for part in ("overall", "groups", "gap"):
            assert_alike(metric[part], again[part], 1e-7, f"{name}.{part}")


@settings(max_examples=6)
@given(TABLES, st.sampled_from([0.001, 3.0, 1e6]))
def test_weights_matter_only_in_proportion_and_whole_ones_repeat_rows(rows: Table, times: float) -> None:
    one = rows.report(weighted=True, scored=True, metrics=[*COUNTED, "auc", "mean_score", "brier"])
    other = rows.report(
        scored=True, metrics=[*COUNTED, "auc", "mean_score", "brier"], sample_weight=rows.weight * times
    )
    assert_same_intervals(one, other)
    whole = np.ceil(rows.weight * 2).astype(int)
    weighted = rows.report(scored=True, sample_weight=whole, metrics=[*COUNTED, "auc", "mean_score", "brier"])
    repeated = rows.take(np.repeat(np.arange(len(rows)), whole)).report(
        scored=True, metrics=[*COUNTED, "auc", "mean_score", "brier"]
    )
    for name, metric in weighted.metrics.items():
        for g, number in metric.groups.items():
            assert number.n <= repeated.metrics[name].groups[g].n
            np.testing.assert_allclose(number.value, repeated.metrics[name].groups[g].value, atol=1e-12)
    ones = rows.report(scored=True, sample_weight=np.ones(len(rows)), metrics=["auc", "mean_score", "brier"])
    plain = rows.report(scored=True, metrics=["auc", "mean_score", "brier"])
    assert_same_intervals(ones, plain)


@settings(max_examples=20)
@given(TABLES)
def test_certain_memberships_give_the_rates_and_standard_errors_of_the_groups(rows: Table) -> None:
    names, codes = np.unique(rows.group, return_inverse=True)
    q = np.eye(len(names))[codes]
    soft = Cells.expect(y=rows.y, decision=rows.decision, membership=Membership(tuple(names), q))
    hard = Cells.count(y=rows.y, decision=rows.decision, group=codes, groups=names.tolist())
    for of in RATE_OF.values():
        one, other = rate(soft, of), rate(hard, of)
        np.testing.assert_allclose(one.groups.value, other.groups.value, atol=1e-12)
        np.testing.assert_allclose(one.groups.se, other.groups.se, atol=1e-12)
        np.testing.assert_allclose(one.everybody.value, other.everybody.value, atol=1e-12)
        assert np.allclose(one.groups.covariance, np.diag(np.diag(one.groups.covariance)), atol=1e-15)


def test_uncertain_memberships_lie_between_the_groups() -> None:
    rows = table(8, 4000, 2, 0.6)
    member = (rows.group == "g1").astype(float)
    blurred = 0.8 * member + 0.1
    hard = rows.report().metrics["selection_rate"].groups
    soft = rows.report(sensitive_features=Membership(("g0", "g1"), np.c_[1 - blurred, blurred]))
    found = soft.metrics["selection_rate"].groups
    assert hard["g0"].value < found["g0"].value < found["g1"].value < hard["g1"].value
    assert any("probabilities of membership" in note for note in soft.notes)


# --- what the report holds ----------------------------------------------------------------------------------------


def test_counts_of_the_report_are_the_confusion_matrix_and_add_up_to_everybody() -> None:
    rows = table(1, 400, 3)
    report = rows.report()
    for name, group in report.groups.items():
        y, d = rows.y[rows.group == name], rows.decision[rows.group == name]
        tn, fp, fn, tp = sklearn.confusion_matrix(y, d, labels=[0, 1]).ravel().tolist()
        assert group.counts == {
            "true_positives": tp,
            "false_positives": fp,
            "false_negatives": fn,
            "true_negatives": tn,
        }
        assert group.n == len(y) and group.share == len(y) / 400 and group.parts == {"group": name}
    assert sum(group.n for group in report.groups.values()) == report.n == 400
    assert report.reference == max(report.groups, key=lambda g: report.groups[g].n)


def test_rows_without_a_group_are_shown_by_themselves_and_compared_with_nobody() -> None:
    rows = table(2, 300, 3)
    group = rows.group.astype(object)
    group[:60] = None
    report, without = rows.report(sensitive_features=group), rows.take(slice(60, None)).report()
    assert list(report.groups) == ["g0", "g1", "g2", NOT_RECORDED] and not report.groups[NOT_RECORDED].recorded
    for name, metric in report.metrics.items():
        alone = without.metrics[name]
        assert metric.gap == alone.gap and metric.to_reference == alone.to_reference
        assert set(metric.to_overall) == {"g0", "g1", "g2"} and metric.groups[NOT_RECORDED].n >= 0
    assert any("60 of 300 rows have no recorded group" in note for note in report.notes)
    with pytest.raises(InputError, match="`reference` must be one of the groups"):
        rows.report(sensitive_features=group, reference=NOT_RECORDED)
    nobody = rows.report(sensitive_features=[None] * 300)
    assert nobody.reference == "" and nobody.metrics["accuracy"].to_reference == {} and nobody.distances == {}


def test_groups_without_rows_are_left_out_of_a_report_of_sums() -> None:
    cells = Cells.count(y=[1, 0, 1], decision=[1, 0, 0], group=[0, 0, 2], groups=["a", "nobody", "c"])
    assert list(disparity_of(Tally(n=3, columns=("group",), cells=cells), replicates=0).groups) == ["a", "c"]


def test_one_group_has_no_gap_and_nobody_selected_no_ratio() -> None:
    alone = disparity_report([1, 0], [1, 0], sensitive_features=["a", "a"])
    assert alone.demographic_parity_difference.reason == "one group only"
    none = disparity_report([1, 0], [0, 0], sensitive_features=["a", "b"]).gaps["selection_rate"]
    assert none.difference.value == 0.0 and none.ratio.reason == "the rate is 0 in every group"
    half = disparity_report([1, 0], [1, 0], sensitive_features=["a", "b"]).gaps["selection_rate"]
    assert half.ratio.value == 0.0 and half.ratio.high is not None


def test_simultaneous_intervals_hold_the_separate_ones() -> None:
    rows = table(3, 400, 4)
    one, all_of_them = rows.report(), rows.report(simultaneous=True)
    for name, metric in one.metrics.items():
        for g, number in metric.groups.items():
            wide = all_of_them.metrics[name].groups[g]
            assert wide.value == number.value and wide.low <= number.low and wide.high >= number.high
        assert all_of_them.metrics[name].gap == metric.gap, "gaps hold for all pairs anyway"


def test_a_custom_metric_that_is_a_rate_has_its_value_and_nearly_its_interval() -> None:
    rows = table(4, 2000, 2)
    report = rows.report(custom={"mine": lambda tp, fp, fn, tn: (tp + fp) / (tp + fp + fn + tn)}, replicates=4000)
    for g, number in report.metrics["mine"].groups.items():
        built_in = report.metrics["selection_rate"].groups[g]
        assert number.value == pytest.approx(built_in.value, abs=1e-12)
        assert (number.low, number.high) == pytest.approx((built_in.low, built_in.high), abs=0.004)


# --- bad input ----------------------------------------------------------------------------------------------------

FEW = table(5, 40, 2)


@pytest.mark.parametrize(
    ("settings_", "kind", "message"),
    [
        ({"confidence": 0.0}, ConfigError, "`confidence` must lie between 0 and 1"),
        ({"confidence": 1.0}, ConfigError, "`confidence` must lie between 0 and 1"),
        ({"confidence": np.nan}, ConfigError, "`confidence` must lie between 0 and 1"),
        ({"replicates": -1}, ConfigError, "`replicates` must be at least 0"),
        ({"metrics": ["selection_rat"]}, ConfigError, "`metrics` must be among .* got 'selection_rat'"),
        ({"metrics": ["auc"]}, ConfigError, "`metrics` must be among .* got 'auc'"),
        ({"reference": "g7"}, InputError, "`reference` must be one of the groups.*g0.*g1.*'g7'"),
        ({"custom": {"accuracy": lambda *cells: cells[0]}}, ConfigError, "must not take the name"),
        ({"custom": {"mine": lambda *cells: np.zeros(7)}}, InputError, "mine must be a function of tp, fp, fn, tn"),
        ({"custom": {"mine": lambda tp, fp, fn: tp}}, InputError, "mine must be a function of tp, fp, fn, tn"),
        ({"custom": {"mine": lambda *cells: "many"}}, InputError, "mine must be a function of tp, fp, fn, tn"),
        ({"custom": {"mine": lambda *cells: {}["nothing"]}}, KeyError, "nothing"),
        ({"favourable": "yes"}, InputError, "`favourable` must be a value of"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings_: dict[str, Any], kind: type[Exception], message: str) -> None:
    assert FEW.report().n == 40
    with pytest.raises(kind, match=message):
        FEW.report(**settings_)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_custom_metric_that_is_nowhere_defined_is_undefined(value: float) -> None:
    report = FEW.report(custom={"mine": lambda tp, fp, fn, tn: tp * value}, replicates=50)
    assert all(
        number.reason == "it is not defined on these counts" for number in report.metrics["mine"].groups.values()
    )
    assert report.metrics["mine"].gap.null is None


def test_a_custom_metric_that_is_undefined_in_some_draws_is_no_obstacle() -> None:
    odds = {"odds": lambda tp, fp, fn, tn: tp * tn / (fp * fn)}
    group = np.repeat(["a", "b"], 8)
    report = disparity_report([1, 1, 0, 0] * 4, [1, 0, 1, 0] * 4, sensitive_features=group, custom=odds, replicates=200)
    assert report.metrics["odds"].groups["a"].value == 1.0 and report.to_json()


@pytest.mark.parametrize("who", ["one", "all"])
def test_a_group_whose_rows_all_weigh_nothing_is_undefined(who: str) -> None:
    weight = np.where(FEW.group == "g0", 0.0, 1.0) if who == "one" else np.zeros(40)
    report = FEW.report(scored=True, sample_weight=weight, replicates=20, control_features=FEW.control)
    for metric in report.metrics.values():
        assert np.isnan(metric.groups["g0"].value) and metric.groups["g0"].reason
        assert np.isnan(metric.gap.difference.value) and metric.gap.difference.reason
        assert np.isnan(metric.groups["g1"].value) == (who == "all")
    assert report.groups["g0"].n == 0 and DisparityReport.from_dict(report.to_dict()).n == 40


@pytest.mark.parametrize("rows", [2**31, 2**40])
def test_counts_beyond_32_bits_make_a_whole_report(rows: int) -> None:
    counts = np.array(
        [[[rows, rows // 2], [rows // 3, rows // 5]], [[rows // 7, rows], [rows, rows]], [[9, 1], [0, 2]]]
    )
    tally = Tally(n=int(counts.sum()), columns=("group",), cells=Cells(("a", "b", "c"), counts))
    f1 = {"f1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn)}
    report = disparity_of(Tally.from_dict(tally.to_dict()), custom=f1, replicates=200)
    assert report.n == counts.sum() > rows and report.groups["b"].counts["true_positives"] == rows
    number = report.metrics["selection_rate"].groups["a"]
    exact = (rows // 2 + rows // 5) / int(counts[0].sum())
    assert number.value == pytest.approx(exact, abs=1e-12) and 0 < number.high - number.low < 1e-3
    gap = report.metrics["selection_rate"].gap
    assert gap.null.p <= 2 / 201 and gap.null.high < 0.6
    assert report.metrics["f1"].groups["b"].low < report.metrics["f1"].groups["b"].high
    assert disparity_of(tally, custom=f1, replicates=200).to_json() == report.to_json()


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "n" * 3_000, 'a, "b"\nc', "\u202e", "|`"]
)
def test_a_group_may_have_any_name(name: str) -> None:
    group = np.where(FEW.group == "g0", name, "other")
    plain = FEW.report(sensitive_features=group, control_features=group)
    assert set(plain.groups) == {name, "other"} and plain.groups[name].parts == {"group": name}
    several = FEW.report(sensitive_features={"a": group, "b": FEW.control}, metrics=["selection_rate", "accuracy"])
    assert {g.parts["a"] for g in several.groups.values()} == {name, "other"}
    for report in (plain, several):
        assert DisparityReport.from_dict(report.to_dict()).to_json() == report.to_json()
        assert "<script>" not in report.html() and report.summary()


def test_one_row_and_one_score_make_a_report() -> None:
    report = disparity_report([1], [1], sensitive_features=["a"], y_score=[0.5], replicates=20)
    assert report.metrics["selection_rate"].overall.value == 1.0 and report.metrics["mean_score"].overall.value == 0.5
    assert "one group only" in report.demographic_parity_difference.reason


def test_of_two_classes_the_favourable_one_is_the_one_that_is_named() -> None:
    tally = Tally.of(["no", "yes"], ["no", "no"], sensitive_features=["a", "b"], classes=("no", "yes"))
    assert disparity_of(tally, favourable="no").metrics["selection_rate"].overall.value == 1.0
