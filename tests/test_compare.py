"""Models side by side: what is counted is what a person would count by hand, and nothing else is compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from results_for_tests import HOSTILE, compared
from torch import nn

from fairheads.audit import audit
from fairheads.compare import compare
from fairheads.data import Dataset, RowRecord, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.metrics.agreement import changes, paired, share
from fairheads.models import Bundle
from fairheads.nets import MLP
from fairheads.planted import synthetic
from fairheads.reports import load, render
from fairheads.results import ComparisonReport, schema_of

ROWS = 900
COLUMNS = {"first": 0, "second": 1, "third": 2}
"""Each model selects where its own column of the inputs is above 0."""


class Column(nn.Module):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.weight = nn.Parameter(torch.tensor(1.0 + at))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x[:, self.at]


@pytest.fixture(scope="module")
def rows() -> Dataset:
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "c"], ROWS, p=[0.5, 0.3, 0.2])
    X = rng.normal(size=(ROWS, 3))
    X[:, 1] = X[:, 0] + 0.5 * X[:, 1] + 0.6 * (group == "c")
    return Dataset(X, (X[:, 0] + rng.normal(size=ROWS) > 0) * 1, group, name="made up", row_id=np.arange(ROWS) + 1000)


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    return {name: Column(at) for name, at in COLUMNS.items()}


@pytest.fixture(scope="module")
def report(rows: Dataset, models: dict[str, nn.Module]) -> ComparisonReport:
    return compare(models, dict.fromkeys(models, rows))


def decided(rows: Dataset, name: str) -> np.ndarray:
    return rows.inputs["x"][:, COLUMNS[name]] > 0


def test_what_it_is_about_is_told_before_any_work(
    rows: Dataset, models: dict[str, nn.Module], report: ComparisonReport
) -> None:
    told, ran = [], []
    handles = [net.register_forward_hook(lambda *_: ran.append(1)) for net in models.values()]

    def before(weights: str, digests: str) -> None:
        told.append((weights, digests))
        raise InputError("kept")

    with pytest.raises(InputError, match="kept"):
        compare(models, dict.fromkeys(models, rows), audits=(ran.append(1) for _ in range(1)), before=before)
    assert told == [tuple(key for key, _ in report.subject().values())] and not ran
    compare(models, dict.fromkeys(models, rows))
    assert ran, "else the hooks see nothing"
    for handle in handles:
        handle.remove()


def test_accuracy_and_gap_are_those_of_fairlearn(rows: Dataset, report: ComparisonReport) -> None:
    for point in report.front.points:
        choices = decided(rows, point.name) * 1
        assert point.accuracy.value == pytest.approx((choices == rows.y).mean())
        gap = demographic_parity_difference(rows.y, choices, sensitive_features=rows.group)
        assert point.gap.value == pytest.approx(gap)
        assert point.gap.low is not None and point.gap.high is not None
        assert point.gap.low <= gap <= point.gap.high


def test_agreement_and_changes_are_counted_by_hand(rows: Dataset, report: ComparisonReport) -> None:
    for one, two in combinations(COLUMNS, 2):
        before, after = decided(rows, one), decided(rows, two)
        pair = report.pair(one, two)
        assert pair.agreement.value == pytest.approx((before == after).mean())
        right = rows.y == 1
        assert pair.accuracy.value == pytest.approx((after == right).mean() - (before == right).mean())
        for code, name in enumerate(rows.group_names):
            own = rows.group == code
            change = pair.changes[name]
            assert (change.n, change.raised, change.lowered) == (
                own.sum(),
                (own & ~before & after).sum(),
                (own & before & ~after).sum(),
            )
            assert set(pair.raised_rows[name]) == set(rows.row_id[own & ~before & after].tolist())


def test_the_front_holds_whom_nobody_dominates(report: ComparisonReport) -> None:
    points = {point.name: (point.accuracy.value, point.gap.value) for point in report.front.points}
    best = {
        name
        for name, (accuracy, gap) in points.items()
        if not any(a >= accuracy and g <= gap and (a, g) != (accuracy, gap) for a, g in points.values())
    }
    assert set(report.on_front) == best
    assert best < set(points), "the example must have a dominated model"


def test_a_model_beside_itself_changes_nobody(rows: Dataset, models: dict[str, nn.Module]) -> None:
    twice = {"one": models["first"], "same": models["first"]}
    pair = compare(twice, dict.fromkeys(twice, rows)).pair("one", "same")
    assert (pair.agreement.value, pair.accuracy.value) == (1.0, 0.0)
    assert pair.accuracy.low is not None and pair.accuracy.low < 0, "new rows may still differ"
    assert sum(change.raised + change.lowered for change in pair.changes.values()) == 0


@pytest.mark.parametrize("metric", ["equalized_odds", "equal_opportunity"])
def test_the_gap_may_be_of_another_criterion(metric: str, rows: Dataset, models: dict[str, nn.Module]) -> None:
    found = compare(models, dict.fromkeys(models, rows), gap_metric=metric)
    assert found.front.gap_metric == f"{metric}_difference"
    assert found == compare(models, dict.fromkeys(models, rows), gap_metric=metric.replace("_", "-"))
    assert list(found.models["first"].rates)[:2] == ["selection_rate", "true_positive_rate"]
    if metric == "equalized_odds":
        choices = decided(rows, "second") * 1
        gap = equalized_odds_difference(rows.y, choices, sensitive_features=rows.group)
        assert found.front.points[1].gap.value == pytest.approx(gap)
        assert found.models["second"].highest == ""
    assert "selection rate by group" in str(found).lower()


def test_intervals_of_agreement_cover() -> None:
    """The share and the paired difference of two noisy rules, 150 samples of 400 rows."""
    rng = np.random.default_rng(1)
    missed = np.zeros(2)
    for _ in range(150):
        first = rng.random(400) < 0.5
        second = np.where(rng.random(400) < 0.1, rng.random(400) < 0.5, first)
        alike, differ = share(first == second), paired(second.astype(float) - first)
        missed += [not alike.low <= 0.95 <= alike.high, not differ.low <= 0 <= differ.high]
    assert (missed <= 0.09 * 150).all()
    assert missed.sum() > 0, "intervals that always hold are no intervals"


def test_rows_of_no_group_are_counted_in_none() -> None:
    before, after = np.array([True, True]), np.array([False, True])
    found = changes(before, after, np.array([-1, 0]), ("a", "b"))
    assert (found["a"].n, found["a"].lowered, found["b"].n) == (1, 0, 0)
    assert found["b"].raised_share.reason == "no rows"


def test_rows_that_all_have_are_compared_whatever_their_order(rows: Dataset, models: dict[str, nn.Module]) -> None:
    some = {
        "first": rows.take(np.arange(600)),
        "second": rows.take(np.arange(599, 199, -1)),
        "third": rows.take(np.arange(100, ROWS)),
    }
    found = compare(models, some)
    shared = compare(models, dict.fromkeys(models, rows.take(np.arange(200, 600))))
    assert found.pairs == shared.pairs
    assert found.changed_csv() == shared.changed_csv()
    assert found.front.points == shared.front.points
    assert found.notes == ("Compared on the 400 rows that all models may be judged on, of 800 at most.",)
    assert shared.notes == ()


def test_a_stream_gives_the_report_of_its_rows(
    rows: Dataset, models: dict[str, nn.Module], report: ComparisonReport
) -> None:
    def parts() -> Iterator[Dataset]:
        for start in range(0, ROWS, 130):
            yield rows.take(np.arange(start, min(start + 130, ROWS)))

    stream = Stream(parts, group_names=rows.group_names, name=rows.name)
    found = compare(models, dict.fromkeys(models, stream))
    assert found.to_json() == report.to_json()
    assert found.changed_csv() == report.changed_csv()


def test_other_people_are_refused(rows: Dataset) -> None:
    def refused(other: Dataset, says: str) -> None:
        nets = {"a": Column(0), "b": Column(1)}
        with pytest.raises(InputError, match=says):
            compare(nets, {"a": first, "b": other})

    first = rows.take(np.arange(100))
    refused(rows.take(np.arange(100, 200)), "no row is held out from all")
    refused(first.relabelled(1 - first.y), "'b' have other labels")
    refused(rows.take(np.r_[np.arange(50), np.arange(50)]), "not unique")
    refused(Dataset(np.zeros((100, 3)), first.y, np.zeros(100, int), group_names=["z"]), "same groups")


def test_what_makes_no_sense_is_refused(rows: Dataset, models: dict[str, nn.Module]) -> None:
    with pytest.raises(InputError, match="two or more, got 1"):
        compare({"first": models["first"]}, {"first": rows})
    with pytest.raises(InputError, match="rows for each"):
        compare(models, {"first": rows})
    with pytest.raises(ConfigError, match="`gap_metric` must be one of demographic_parity"):
        compare(models, dict.fromkeys(models, rows), gap_metric="auc")
    narrow = {"first": models["first"], "narrow": MLP(8, hidden=(4,))}
    with pytest.raises(InputError, match="'narrow' cannot be run on the inputs x"):
        compare(narrow, dict.fromkeys(narrow, rows))


def test_rows_that_a_model_was_trained_on_are_refused(rows: Dataset) -> None:
    bundles = {"seen": Bundle(net=MLP(3, hidden=(4,)), rows=RowRecord.of(rows)), "new": Bundle(net=MLP(3, hidden=(5,)))}
    with pytest.raises(InputError, match="training row of seen"):
        compare(bundles, dict.fromkeys(bundles, rows))


def test_a_verdict_stands_beside_the_weights_it_is_about() -> None:
    test, nets = synthetic(400), {"small": MLP(8, hidden=(4,)), "large": MLP(8, hidden=(6,))}
    audited = audit(nets["large"], test, details=False)
    found = compare(nets, dict.fromkeys(nets, test), audits=[audited])
    assert found.models["small"].verdicts == {}
    told = found.models["large"].verdicts["B"]
    assert (told.verdict, told.effect, told.same_rows) == (
        audited.pathways["B"].verdict,
        audited.pathways["B"].effect,
        True,
    )
    elsewhere = compare(nets, dict.fromkeys(nets, synthetic(400, seed=5)), audits=[audited])
    assert not elsewhere.models["large"].verdicts["B"].same_rows
    assert "verdict on large is of an audit of other rows" in " ".join(str(elsewhere).split())
    stranger = replace(audited, model=replace(audited.model, digest="0" * 64, name="stranger"))
    with pytest.raises(InputError, match="'stranger' was audited with"):
        compare(nets, dict.fromkeys(nets, test), audits=[stranger])


# ---------------------------------------------------------------- the report


def test_the_report_keeps_to_its_schema_and_the_schema_can_fail(report: ComparisonReport, tmp_path: Path) -> None:
    plain = json.loads(report.to_json())
    jsonschema.Draft202012Validator.check_schema(schema_of(ComparisonReport))
    jsonschema.validate(plain, schema_of(ComparisonReport))
    del plain["pairs"][0]["agreement"]
    with pytest.raises(jsonschema.ValidationError, match="agreement"):
        jsonschema.validate(plain, schema_of(ComparisonReport))
    files = report.save(tmp_path)
    assert [file.name for file in files] == ["compare.json", "compare.csv", "compare.md", "compare.html"]
    again = load(tmp_path / "compare.json")
    assert isinstance(again, ComparisonReport)
    assert [render(again, form) for form in ("json", "csv", "md", "html")] == [file.read_text() for file in files]


def test_ids_are_in_the_list_and_nowhere_else(report: ComparisonReport) -> None:
    lines = report.changed_csv().splitlines()
    assert lines[0] == "first,second,row,group,before,after"
    assert len(lines) == 1 + sum(c.raised + c.lowered for pair in report.pairs for c in pair.changes.values())
    some = report.pair("first", "second").raised_rows["c"][0]
    assert f"first,second,{some},c,0,1" in lines
    assert "raised_rows" not in report.to_json()
    assert not any(f"{row}" in report.markdown() for row in report.pair("first", "second").raised_rows["c"])


def test_a_report_that_contradicts_itself_is_refused(report: ComparisonReport) -> None:
    for wrong in (
        {"pairs": report.pairs[:-1]},
        {"models": dict(reversed(report.models.items()))},
        {"pairs": tuple(replace(pair, changes={}) for pair in report.pairs)},
    ):
        with pytest.raises(InputError):
            replace(report, **wrong)
    with pytest.raises(ConfigError, match="`formats`"):
        report.save("nowhere", formats=("pdf",))


def test_a_frame_has_a_row_a_model_and_group(report: ComparisonReport) -> None:
    frame = report.to_frame()
    assert list(frame["model"]) == [name for name in COLUMNS for _ in "abc"]
    assert frame["n"].sum() == 3 * ROWS


def test_many_models_keep_within_the_terminal() -> None:
    many = compared(tuple(f"models/of/a/long/path/{i}" for i in range(9)), audited=False)
    assert max(map(len, many.summary().splitlines())) <= 100
    assert "How it comes to its decisions" not in many.summary()


def test_names_of_models_stay_inert_in_markdown_and_csv() -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    hostile = compared((HOSTILE, "=1+1"), (HOSTILE, "@b"))
    page = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(hostile.markdown())
    assert "<script" not in page and "<a " not in page and "<strong" not in page
    assert "'=1+1" in hostile.to_csv() and "'@b" in hostile.to_csv()
