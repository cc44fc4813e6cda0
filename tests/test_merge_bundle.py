"""Merging a bundle: the report's numbers are those of the decisions that the merged network makes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import disparity_report
from fairheads.models import Bundle, load_bundle, save_bundle
from fairheads.models.bundle import weights_digest
from fairheads.nets import MLP, TwoHeadNet
from fairheads.results import MergeReport, schema_of
from fairheads.twoheads import merge_bundle, rules, two_head_scores
from fairheads.twoheads.bundle import Merge
from fairheads.twoheads.criteria import Utility
from fairheads.twoheads.frontier import fit_frontier
from fairheads.twoheads.outcomes import HeadRows, share

NAMES = ("a", "b", "c", "d")


def readout(groups: int) -> TwoHeadNet:
    """A network whose outputs are its inputs: the task logit, then the group outputs."""
    outputs = 1 + (1 if groups == 2 else groups)
    net = TwoHeadNet(nn.Identity(), groups, features=outputs)
    with torch.no_grad():
        net.joined.weight.copy_(torch.eye(outputs))
        net.joined.bias.zero_()
    return net.eval()


def rows(n: int, groups: int = 2, seed: int = 0, *, blur: float = 0.3) -> Dataset:
    """Labels that differ by group, a task logit that knows it, and group outputs near 0 and 1."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, groups, n)
    y = rng.random(n) < 0.3 + 0.4 * g / (groups - 1)
    z_y = 2.0 * y - 1 + g / (groups - 1) + rng.normal(size=n)
    told = g[:, None] == np.arange(groups) if groups > 2 else g[:, None]
    X = np.column_stack([z_y, told + blur * rng.normal(size=told.shape)])
    return Dataset(X, y, g, group_names=NAMES[:groups], name="made-up")


@pytest.fixture(scope="module")
def made() -> tuple[Merge, Dataset, Dataset]:
    validation, new = rows(1500, seed=1), rows(2000, seed=2)
    return merge_bundle(Bundle(net=readout(2)), validation, max_gap=0.15, judged_on=new), validation, new


# ---------------------------------------------------------------- the numbers


def test_every_number_is_that_of_the_merged_networks_decisions(made: tuple[Merge, Dataset, Dataset]) -> None:
    merge, validation, new = made
    report = merge.report
    for data, outcome in ((validation, report.chosen.validation), (new, report.chosen.judged)):
        decision = two_head_scores(merge.bundle.net, data)[:, 0] > 0
        assert outcome is not None and outcome.n == len(data)
        assert outcome.accuracy.value == (decision == data.y).mean()
        assert outcome.selection_rate.value == decision.mean()
        rates = [decision[data.group == code].mean() for code in (0, 1)]
        assert [outcome.rates["selection_rate"][g].value for g in "ab"] == rates
        assert outcome.gap.value == pytest.approx(rates[1] - rates[0], abs=1e-12)
        counted = disparity_report(data.y, decision.astype(int), sensitive_features=data.group, replicates=0)
        gap = counted.gaps["selection_rate"].difference
        assert outcome.gap.low is not None and outcome.gap.high is not None and gap.high is not None
        assert max(-outcome.gap.low, outcome.gap.high) == pytest.approx(gap.high)
    before, after = new.inputs["x"][:, 0] > 0, two_head_scores(merge.bundle.net, new)[:, 0] > 0
    for code, name in enumerate("ab"):
        change, own = report.changes[name], new.group == code
        assert (change.n, change.raised) == (own.sum(), (~before & after)[own].sum())
        assert change.lowered == (before & ~after)[own].sum()
        assert change.lowered_share.value == change.lowered / change.n
    judged = report.alone.judged
    assert judged is not None and judged.beside is not None
    assert judged.beside.changed.value == (before != after).mean()
    cost = (after == new.y).mean() - (before == new.y).mean()
    assert judged.beside.accuracy.value == pytest.approx(cost, abs=1e-12)
    assert judged.beside.accuracy.low is not None and judged.beside.accuracy.high is not None
    assert judged.beside.accuracy.low < cost < judged.beside.accuracy.high < 0  # parity costs accuracy here


def test_the_promise_is_kept_and_the_rules_are_chosen_by_it(made: tuple[Merge, Dataset, Dataset]) -> None:
    report = made[0].report
    assert list(report.rules) == ["chosen", "point", "alone", "probability", "thresholds"] and not report.missing
    for name in ("chosen", "probability", "thresholds"):
        rule = report.rules[name]
        assert rule.bound is not None and abs(rule.validation.gap.value) < rule.bound <= 0.15
    point, chosen, alone = (report.rules[name].validation for name in ("point", "chosen", "alone"))
    assert report.rules["point"].bound is None and abs(point.gap.value) <= 0.15 < abs(alone.gap.value)
    assert chosen.accuracy.value <= point.accuracy.value <= alone.accuracy.value + 0.02
    assert report.chosen.b[0] < 0  # against the base rates
    assert report.alone.b == (0.0,) and report.alone.t == 0.0


def test_thresholds_give_each_person_that_of_their_own_group(made: tuple[Merge, Dataset, Dataset]) -> None:
    merge, _, new = made
    rule = merge.report.rules["thresholds"]
    decision = new.inputs["x"][:, 0].astype(np.float64) > -(rule.t + rule.b[0] * (new.group == 1))
    assert rule.judged is not None and rule.judged.selection_rate.value == decision.mean()


def test_the_front_holds_the_merges_that_were_chosen_and_only_rises(made: tuple[Merge, Dataset, Dataset]) -> None:
    report = made[0].report
    points = [(p.gap, p.accuracy) for p in report.front]
    assert 5 < len(points) <= 400
    assert points == sorted(points) and len({a for _, a in points}) == len(points)
    for rule in (report.chosen, report.rules["point"], report.alone):
        gap, accuracy = abs(rule.validation.gap.value), rule.validation.accuracy.value
        assert max(a for g, a in points if g <= gap + 1e-12) >= accuracy - 1e-12


def test_the_record_of_a_merge_is_read_as_it_was_saved(made: tuple[Merge, Dataset, Dataset], tmp_path: Path) -> None:
    saved = Bundle(net=MLP(3), merge=made[0].bundle.merge)
    assert load_bundle(save_bundle(saved, tmp_path / "merged")).merge == saved.merge


def test_what_the_merge_rests_on_goes_with_the_model(made: tuple[Merge, Dataset, Dataset]) -> None:
    merge, validation, new = made
    kept, report = merge.bundle.merge, merge.report
    assert kept is not None
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert (kept["b"], kept["t"]) == (report.chosen.b[0], report.chosen.t)
    assert (kept["max_gap"], kept["confidence"], kept["gap_metric"]) == (0.15, 0.95, "demographic_parity")
    assert kept["bound"] == report.chosen.bound and kept["gap"] == report.chosen.validation.gap.value
    assert kept["validation_rows"] == RowRecord.of(validation).digest == report.provenance["validation rows"]
    assert report.provenance["new rows"] == RowRecord.of(new).digest
    assert report.provenance["merged network"] == weights_digest(merge.bundle.net)
    assert report.check.rows == 1500 and report.check.largest <= report.check.tolerance < 1e-4
    assert "no record of its training rows" in report.notes[0]
    jsonschema.validate(report.to_dict(), schema_of(MergeReport))
    assert MergeReport.from_dict(report.to_dict()) == report


def test_the_same_rows_give_the_same_report_in_any_order(made: tuple[Merge, Dataset, Dataset]) -> None:
    merge, validation, new = made
    order = np.random.default_rng(0).permutation(len(new))
    again = merge_bundle(Bundle(net=readout(2)), validation, max_gap=0.15, judged_on=new.take(order))
    assert again.report.to_json() == merge.report.to_json()


# ---------------------------------------------------------------- what can be asked for


def test_more_groups_other_gaps_and_other_aims() -> None:
    validation, new = rows(900, 3, seed=3), rows(1500, 3, seed=4)
    made = merge_bundle(
        Bundle(net=readout(3)),
        validation,
        max_gap=0.3,
        confidence=0.9,
        gap_metric="equal_opportunity",
        objective="f1",
        minimum_rates={"selection_rate": 0.2},
        judged_on=new,
        split="some rows",
        judged="other rows",
    )
    report = made.report
    assert (report.split, report.judged, report.objective) == ("some rows", "other rows", "f1")
    assert len(report.chosen.b) == 3 and isinstance(made.bundle.merge, dict) and len(made.bundle.merge["b"]) == 3
    for data, outcome in ((validation, report.chosen.validation), (new, report.chosen.judged)):
        decision = two_head_scores(made.bundle.net, data)[:, 0] > 0
        right = data.y == 1
        tpr = [decision[right & (data.group == code)].mean() for code in range(3)]
        assert outcome is not None and outcome.objective is not None
        assert outcome.gap.value == pytest.approx(max(tpr) - min(tpr), abs=1e-12)
        assert (outcome.highest, outcome.lowest) == (NAMES[int(np.argmax(tpr))], NAMES[int(np.argmin(tpr))])
        tp, wrong = (decision & right).sum(), (decision != right).sum()
        assert outcome.objective.value == pytest.approx(2 * tp / (2 * tp + wrong))
        assert set(outcome.rates) == {"selection_rate", "true_positive_rate"}
    assert min(x.value for x in report.chosen.validation.rates["selection_rate"].values()) >= 0.2
    assert report.minimum_rates == {"selection_rate": 0.2} and report.front[0].objective is not None
    jsonschema.validate(report.to_dict(), schema_of(MergeReport))
    assert "f1" in report.summary() and "<svg" in report.page()


def test_of_several_classes_the_favourable_one_is_merged() -> None:
    torch.manual_seed(0)
    net = TwoHeadNet(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)), favourable=2)
    with torch.no_grad():  # class 2 and the group output see their inputs through two units
        layers = net.net.get_submodule("0"), net.joined
        for layer in layers:
            layer.weight.zero_()
            layer.bias.zero_()
        layers[0].weight[:2] = torch.eye(2)
        layers[0].bias[:2] = 10.0
        layers[1].weight[2, 0] = layers[1].weight[3, 1] = 1.0
        layers[1].bias[2] = layers[1].bias[3] = -10.0
    validation, new = rows(800, seed=1), rows(800, seed=2)
    made = merge_bundle(Bundle(net=net.eval()), validation, max_gap=0.3, judged_on=new)
    logits = two_head_scores(made.bundle.net, new)
    judged = made.report.chosen.judged
    assert logits.shape == (800, 3) and judged is not None
    assert judged.accuracy.value == ((logits.argmax(1) == 2) == new.y).mean()
    assert made.report.check.other_decisions == 0 and made.report.chosen.b[0] < 0


def test_without_new_rows_the_report_says_less_and_a_confidence_of_none_promises_nothing() -> None:
    made = merge_bundle(Bundle(net=readout(2)), rows(800), max_gap=0.1, confidence=None, gap_metric="equalized-odds")
    report = made.report
    assert report.gap_metric == "equalized_odds"
    assert report.judged == "" and report.chosen.judged is None and "point" not in report.rules
    assert report.chosen.bound is None and report.chosen.validation.gap.value <= 0.1
    assert sum(change.n for change in report.changes.values()) == 800
    assert set(report.chosen.validation.rates) == {"selection_rate", "true_positive_rate", "false_positive_rate"}
    assert made.bundle.merge is not None and "confidence" not in made.bundle.merge


@pytest.mark.slow
def test_a_loose_gap_merges_to_less_change() -> None:
    """The control of the changes: where nothing is asked, fewer are decided otherwise, and nobody need be."""
    loose, close = (
        sum(change.raised + change.lowered for change in made.report.changes.values()) / 1500
        for made in (merge_bundle(Bundle(net=readout(2)), rows(1500), max_gap=g, confidence=None) for g in (1.0, 0.02))
    )
    assert 1.5 * loose < close


def test_a_comparator_that_cannot_keep_the_gap_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_in_probability_space(*arguments: object, space: str, **options: object) -> object:
        if space == "probability":
            raise InputError("no merge keeps the gap; the smallest is 0.4.")
        return fit_frontier(*arguments, space=space, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(rules, "fit_frontier", none_in_probability_space)
    report = merge_bundle(Bundle(net=readout(2)), rows(600), max_gap=0.3).report
    assert report.missing == {"probability": "no merge keeps the gap; the smallest is 0.4."}
    assert "probability" not in report.rules and "the smallest is 0.4" in report.summary()


# ---------------------------------------------------------------- what is refused


def test_rows_are_not_used_twice() -> None:
    validation, new, third = rows(600, seed=1), rows(600, seed=2), rows(600, seed=3)
    net = readout(2)
    with pytest.raises(InputError, match="`validation` must hold other rows than the network was trained on; 100"):
        merge_bundle(Bundle(net=net, rows=RowRecord.of(validation)), validation, max_gap=0.3)
    with pytest.raises(InputError, match="`judged_on` must hold other rows than the coefficients are chosen on; 100"):
        merge_bundle(Bundle(net=net), validation, max_gap=0.3, judged_on=validation)
    with pytest.raises(InputError, match="`judged_on` must hold other rows than the network was trained on; 100"):
        merge_bundle(Bundle(net=net, rows=RowRecord.of(new)), validation, max_gap=0.3, judged_on=new)
    stopped = Bundle(net=net, rows=RowRecord.of(third), training={"patience": 3})
    apart = merge_bundle(stopped, validation, max_gap=0.3, judged_on=new)
    assert len(apart.report.notes) == 1 and "Validation rows ended the training" in apart.report.notes[0]
    assert apart.report.provenance["training rows"] == RowRecord.of(third).digest


def test_what_cannot_be_merged_is_refused() -> None:
    data = rows(600)
    with pytest.raises(InputError, match="single head"):
        merge_bundle(Bundle(net=MLP(2)), data, max_gap=0.1)
    with pytest.raises(ConfigError, match="`gap_metric` must be one of"):
        merge_bundle(Bundle(net=readout(2)), data, max_gap=0.1, gap_metric="treatment_equality")
    with pytest.raises(ConfigError, match="`objective` must be one of"):
        merge_bundle(Bundle(net=readout(2)), data, max_gap=0.1, objective="precision")
    with pytest.raises(InputError, match="the smallest that can be had is"):
        merge_bundle(Bundle(net=readout(2)), data, max_gap=0.001)
    other = Dataset(data.inputs["x"][::-1], data.y, data.group, group_names=("x", "y"))
    with pytest.raises(InputError, match="`judged_on` must have the groups of `validation`"):
        merge_bundle(Bundle(net=readout(2)), data, max_gap=0.2, judged_on=other)


# ---------------------------------------------------------------- outcomes of decisions


def judged(y: np.ndarray, group: np.ndarray, groups: int = 2, **other: object) -> HeadRows:
    fields: dict[str, object] = {"gap_metric": "demographic_parity", "objective": "accuracy"} | other
    zero = np.zeros(len(y))
    return HeadRows(zero, zero, y.astype(np.int64), group.astype(np.int64), NAMES[:groups], **fields)  # type: ignore[arg-type]


ROWS = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1)), min_size=4, max_size=40)


@settings(max_examples=10)
@given(ROWS)
def test_exchanging_the_groups_turns_the_gap_and_duplicating_rows_leaves_it(
    given_rows: list[tuple[bool, bool, bool, int]],
) -> None:
    y, decision, chosen, group = (np.array(column) for column in zip(*given_rows, strict=True))
    group[:2] = 0, 1
    here = judged(y, group).outcome(decision, chosen)
    turned = judged(y, 1 - group).outcome(decision, chosen)
    assert turned.gap.value == pytest.approx(-here.gap.value, abs=1e-12)
    assert (turned.accuracy, turned.beside) == (here.accuracy, here.beside)
    twice = judged(np.tile(y, 2), np.tile(group, 2)).outcome(np.tile(decision, 2), np.tile(chosen, 2))
    assert twice.gap.value == pytest.approx(here.gap.value, abs=1e-12)
    assert here.beside is not None and twice.beside is not None
    assert twice.beside.changed.value == here.beside.changed.value == (decision != chosen).mean()
    if here.accuracy.low is not None and twice.accuracy.low is not None and 0 < here.accuracy.value < 1:
        assert twice.accuracy.low > here.accuracy.low  # more rows say more


def test_rows_without_a_group_count_for_accuracy_alone() -> None:
    y, group = np.array([1, 0, 1, 0, 1, 1]), np.array([0, 0, 1, 1, -1, -1])
    decision = np.array([True, False, True, True, False, False])
    outcome = judged(y, group).outcome(decision)
    assert (outcome.n, outcome.accuracy.value) == (6, 0.5)
    assert outcome.gap.value == 0.5
    assert sum(change.n for change in judged(y, group).changes(~decision, decision).values()) == 4


def test_a_group_without_rows_has_no_rate_and_no_gap() -> None:
    y, group = np.array([1, 0, 1]), np.zeros(3)
    outcome = judged(y, group).outcome(y == 1)
    assert np.isnan(outcome.gap.value) and outcome.gap.reason
    assert outcome.rates["selection_rate"]["b"].reason
    empty = judged(y, group).changes(y == 0, y == 1)["b"]
    assert (empty.n, empty.raised, empty.raised_share.reason) == (0, 0, "no rows")


def test_what_is_maximised_by_hand() -> None:
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    decision = np.array([True, True, False, True, False, False, False, False])
    group = np.arange(8) % 2
    values = {
        "f1": 2 * 2 / (2 * 2 + 1 + 1),
        "balanced_accuracy": (2 / 3 + 4 / 5) / 2,
        Utility(tp=5.0, fp=-2.0, fn=-1.0, tn=0.5): (2 * 5 - 2 - 1 + 4 * 0.5) / 8,
    }
    for objective, value in values.items():
        number = judged(y, group, objective=objective).outcome(decision).objective
        assert number is not None and number.value == pytest.approx(value)
        assert number.low is not None and number.high is not None and number.low < value < number.high
    assert judged(y, group).outcome(decision).objective is None


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["f1", Utility(tp=3.0, fp=-1.0, fn=-2.0, tn=0.5)], ids=["f1", "utility"])
def test_intervals_of_what_is_maximised_cover(objective: str | Utility) -> None:
    rng = np.random.default_rng(0)
    cells = np.array([0.2, 0.1, 0.1, 0.6])  # tp, fp, fn, tn
    truth = 2 * 0.2 / (2 * 0.2 + 0.2) if objective == "f1" else 0.2 * 3 - 0.1 - 0.2 + 0.3
    inside = 0
    for _ in range(1000):
        kind = rng.choice(4, 300, p=cells)
        made = judged(np.isin(kind, (0, 2)), kind % 2, objective=objective)
        number = made._objective(np.isin(kind, (0, 1)))
        assert number.low is not None and number.high is not None
        inside += number.low <= truth <= number.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_shares_have_wilson_or_exact_intervals() -> None:
    many, none = share(np.arange(1000) < 300), share(np.zeros(50, bool))
    assert (round(many.low or 0, 4), round(many.high or 0, 4), many.conservative) == (0.2724, 0.3291, False)
    assert (none.value, none.low, none.conservative) == (0.0, 0.0, True)
    assert share(np.zeros(0, bool)).reason == "no rows"


def test_a_front_is_thinned_to_what_a_report_keeps() -> None:
    data = rows(200, seed=5)
    z = data.inputs["x"].astype(np.float64)
    front = fit_frontier(z[:, 0], z[:, 1], data.y, data.group)
    few = rules.front_points(front, [], by_objective=False)
    assert len(few) <= 400 and [p.gap for p in few] == sorted(p.gap for p in few)
    gaps, accuracies = np.abs(front.gap), front.accuracy
    for point in few:
        assert point.accuracy == accuracies[gaps <= point.gap].max()  # the best with at most this gap
    many = rules._thinned(few * 500)
    assert len(many) == 400 and (many[0], many[-1]) == (few[0], few[-1])
