"""The two audit standards: by hand, at their edges, and as the pages that are handed in."""

import csv
import io
import json
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact

from fairheads.errors import ConfigError, InputError
from fairheads.metrics.intervals import ratio_interval
from fairheads.metrics.standards import CHOSEN, above_median, four_fifths, local_law_144, threshold_above_median
from fairheads.results._csv import csv_text
from fairheads.results._text import columns
from fairheads.results.impact import ImpactReport, ImpactRow
from fairheads.sums import Membership, Tally

GOLDEN = Path(__file__).parent / "golden"

HOSTILE = [
    "=1+1",
    " \t@SUM(A1)",
    "+cmd|' /C calc'!A0",
    "-1",
    "\u200b=2",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b`c`](javascript:alert(1))\n# head",
    "\u202egpj.exe",
    "語" * 60,
    "$x_1$ {",
    "\x00",
]


def people(counts: dict[str, tuple[int, int]]) -> Tally:
    """The tally of groups with n people of whom k are selected, given as name: (n, k)."""
    group = [name for name, (n, _) in counts.items() for _ in range(n)]
    decision = [int(i < k) for n, k in counts.values() for i in range(n)]
    return Tally.of(None, decision, sensitive_features=group)


def crossed(cells: dict[tuple[str | None, str | None], tuple[int, int]]) -> Tally:
    """The same with sex and race."""
    sex = [names[0] for names, (n, _) in cells.items() for _ in range(n)]
    race = [names[1] for names, (n, _) in cells.items() for _ in range(n)]
    decision = [int(i < k) for n, k in cells.values() for i in range(n)]
    return Tally.of(None, decision, sensitive_features={"sex": sex, "race": race})


def by_name(report: ImpactReport, table: int = 0) -> dict[str, ImpactRow]:
    return {row.category: row for row in report.tables[table].rows}


def golden(name: str, text: str) -> None:
    """Compare with the committed file; FAIRHEADS_UPDATE_GOLDEN=1 writes it anew."""
    file = GOLDEN / name
    if os.environ.get("FAIRHEADS_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


SAMPLE = {
    ("Male", "White"): (412, 215),
    ("Female", "White"): (384, 197),
    ("Male", "Black or African American"): (226, 95),
    ("Female", "Black or African American"): (164, 50),
    ("Male", "Native Hawaiian or Other Pacific Islander"): (9, 4),
    ("Female", "Native Hawaiian or Other Pacific Islander"): (8, 0),
    (None, "White"): (13, 6),
    ("Female", None): (7, 3),
}


# ---------------------------------------------------------------- by hand


def test_the_agencies_example_of_four_groups() -> None:
    """Questions and Answers (44 FR 11996): 60, 45, 48 and 51 of 100 are ratios of 75, 80 and 85 %."""
    report = four_fifths(people({"White": (100, 60), "Indian": (100, 45), "Hispanic": (100, 48), "Black": (100, 51)}))
    rows = by_name(report)
    assert {name: row.impact_ratio.value for name, row in rows.items()} == {
        "White": 1.0,
        "Indian": 0.75,
        "Hispanic": 0.8,
        "Black": 0.85,
    }
    assert {name for name, row in rows.items() if row.below_four_fifths} == {"Indian"}
    assert rows["Indian"].shortfall == 3
    assert rows["Hispanic"].shortfall == 0
    assert report.tables[0].highest == ("White",)


def test_one_different_person_reverses_a_difference_of_small_numbers() -> None:
    """16 of 80 against 3 of 20 is a ratio of .75; one person exchanged makes it 15 of 80 against 4 of 20."""
    row = by_name(four_fifths(people({"a": (80, 16), "b": (20, 3)})))["b"]
    assert (row.impact_ratio.value, row.below_four_fifths, row.one_person_reverses) == (0.75, True, True)
    row = by_name(four_fifths(people({"a": (80, 48), "b": (40, 12)})))["b"]
    assert (row.impact_ratio.value, row.one_person_reverses, row.shortfall) == (0.5, False, 8)
    row = by_name(four_fifths(people({"a": (10, 5), "b": (10, 4)})))["b"]
    assert row.one_person_reverses  # 5 of 10 against 4 of 10
    row = by_name(four_fifths(people({"a": (10, 6), "b": (10, 4)})))["b"]
    assert not row.one_person_reverses  # 5 of 10 on both sides is no higher rate


def test_both_tests_against_the_formula_and_scipy() -> None:
    row = by_name(four_fifths(people({"a": (80, 48), "b": (40, 12)})))["b"]
    pooled = 60 / 120
    by_hand = (12 / 40 - 48 / 80) / math.sqrt(pooled * (1 - pooled) * (1 / 40 + 1 / 80))
    assert row.standard_deviations.value == pytest.approx(by_hand)
    assert row.standard_deviations.value == pytest.approx(-3.0983867)
    assert row.fisher_p.value == pytest.approx(fisher_exact([[12, 28], [48, 32]]).pvalue)
    assert row.standard_deviations.n == row.fisher_p.n == 120


def test_two_standard_deviations_are_exceeded_in_about_five_of_a_hundred_samples_without_a_difference() -> None:
    rng = np.random.default_rng(0)
    z = []
    for k1, k0 in rng.binomial([300, 400], 0.4, (600, 2)):
        rows = four_fifths(people({"a": (300, int(k1)), "b": (400, int(k0))})).tables[0].rows
        z += [row.standard_deviations.value for row in rows if not row.standard_deviations.reason] or [0.0]
    assert 0.03 < np.mean(np.abs(z) > 1.96) < 0.07
    assert all(x <= 0 for x in z)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), min_size=2, max_size=5))
def test_ratio_line_and_shortfall_by_whole_numbers(given_counts: list[tuple[int, int]]) -> None:
    counts = {f"g{i}": (n, min(k, n)) for i, (n, k) in enumerate(given_counts)}
    report = four_fifths(people(counts), exclude_below=0)
    top = max(Fraction(k, n) for n, k in counts.values())
    for name, row in by_name(report).items():
        n, k = counts[name]
        assert row.rate.value == k / n
        if not top:
            assert row.impact_ratio.reason and row.below_four_fifths is None and row.shortfall is None
            continue
        assert row.impact_ratio.value == pytest.approx(float(Fraction(k, n) / top))
        assert row.below_four_fifths == (5 * Fraction(k, n) < 4 * top)
        assert row.shortfall is not None
        assert 5 * Fraction(k + row.shortfall, n) >= 4 * top
        assert row.shortfall == 0 or 5 * Fraction(k + row.shortfall - 1, n) < 4 * top
        if row.impact_ratio.low is not None:
            high = math.inf if row.impact_ratio.high is None else row.impact_ratio.high
            assert row.impact_ratio.low <= row.impact_ratio.value <= high
        assert (name in report.tables[0].highest) == (Fraction(k, n) == top)


# ---------------------------------------------------------------- edges


def test_exactly_two_percent_is_included_and_less_is_not() -> None:
    rows = by_name(local_law_144(people({"a": (980, 400), "b": (20, 10)})))
    assert rows["b"].included and rows["b"].impact_ratio.value == 1.0
    rows = by_name(local_law_144(people({"a": (981, 400), "b": (19, 10)}), justification="19 people only"))
    assert not rows["b"].included
    assert rows["b"].rate.value == 10 / 19 and rows["b"].n == 19
    assert rows["b"].reason is not None and "19 people only" in rows["b"].reason
    assert rows["b"].below_four_fifths is None and math.isnan(rows["b"].impact_ratio.value)
    assert rows["a"].impact_ratio.value == 1.0  # compared among the included
    rows = by_name(local_law_144(people({"a": (981, 400), "b": (19, 10)}), exclude_below=0))
    assert rows["b"].included and rows["a"].impact_ratio.value < 1


def test_unknown_is_counted_and_excluded() -> None:
    law = local_law_144(crossed(SAMPLE))
    assert (law.n, law.unknown) == (1223, 20)
    assert [table.unknown for table in law.tables] == [20, 20, 20]
    assert [sum(row.n for row in table.rows) for table in law.tables] == [1203, 1203, 1203]
    assert "20 people" in law.summary()
    guidelines = four_fifths(crossed(SAMPLE))
    assert [table.unknown for table in guidelines.tables] == [13, 7, 20]
    assert by_name(guidelines)["Female"].n == by_name(law)["Female"].n + 7
    assert by_name(guidelines)["Female"].selected == 197 + 50 + 0 + 3


def test_everybody_unknown_leaves_empty_tables() -> None:
    report = local_law_144(crossed({(None, "a"): (3, 1), ("x", None): (2, 1)}))
    assert report.unknown == report.n == 5
    assert all(table.rows == () and table.highest == () for table in report.tables)
    assert report.summary() and report.page() and report.markdown() and report.to_csv()


def test_tables_of_one_column_sum_over_the_other() -> None:
    report = local_law_144(crossed(SAMPLE))
    assert [table.columns for table in report.tables] == [("sex",), ("race",), ("sex", "race")]
    assert by_name(report, 0)["Male"].n == 412 + 226 + 9
    assert by_name(report, 1)["White"].selected == 215 + 197
    row = by_name(report, 2)["Female, Black or African American"]
    assert row.parts == {"sex": "Female", "race": "Black or African American"}
    assert (row.n, row.selected) == (164, 50)


def test_ties_for_the_highest_are_all_named() -> None:
    report = four_fifths(people({"a": (10, 5), "b": (40, 20), "c": (20, 5)}))
    assert report.tables[0].highest == ("a", "b")
    rows = by_name(report)
    assert rows["a"].impact_ratio.value == rows["b"].impact_ratio.value == 1.0
    assert rows["c"].standard_deviations.n == 60  # beside the larger of the two
    assert "a; b" in report.summary()


def test_nobody_selected_is_undefined_with_the_reason() -> None:
    report = four_fifths(people({"a": (10, 0), "b": (20, 0)}))
    assert report.tables[0].highest == ()
    for row in report.tables[0].rows:
        assert row.included and row.rate.value == 0.0
        assert math.isnan(row.impact_ratio.value) and row.impact_ratio.reason
        assert row.below_four_fifths is None and row.shortfall is None
    assert "nobody was selected" in report.summary()
    assert report.page()


def test_one_category_only() -> None:
    report = four_fifths(people({"a": (10, 4)}))
    row = report.tables[0].rows[0]
    assert row.impact_ratio.value == 1.0
    assert row.standard_deviations.reason == "there is no other category to compare with"
    assert "no other category" in report.summary()


def test_a_group_without_selections_has_a_ratio_of_0_with_an_upper_bound() -> None:
    row = by_name(four_fifths(people({"a": (60, 30), "b": (20, 0)})))["b"]
    assert row.impact_ratio.value == row.impact_ratio.low == 0.0
    assert row.impact_ratio.high is not None and 0 < row.impact_ratio.high < 1


def test_weights_make_rates_and_no_tests() -> None:
    group, decision = ["a"] * 40 + ["b"] * 40, [1] * 24 + [0] * 16 + [1] * 24 + [0] * 16
    weight = [1.0] * 40 + [1.0] * 24 + [2.0] * 16
    report = four_fifths(Tally.of(None, decision, sensitive_features=group, sample_weight=weight))
    rows = by_name(report)
    assert rows["b"].rate.value == pytest.approx(24 / 56)
    assert rows["b"].impact_ratio.value == pytest.approx(24 / 56 / 0.6)
    assert rows["b"].share == pytest.approx(56 / 96)
    assert rows["b"].standard_deviations.reason and rows["b"].fisher_p.reason
    assert rows["b"].shortfall is None and rows["b"].one_person_reverses is None
    assert any("weighted" in note for note in report.notes)
    ones = four_fifths(Tally.of(None, decision, sensitive_features=group, sample_weight=np.full(80, 0.1)))
    plain = four_fifths(Tally.of(None, decision, sensitive_features=group))
    assert ones.tables[0].highest == plain.tables[0].highest == ("a", "b")
    assert by_name(ones)["a"].rate.low == pytest.approx(by_name(plain)["a"].rate.low, abs=0.02)


def test_weights_of_0_leave_no_rate() -> None:
    tally = Tally.of(None, [1, 0, 1], sensitive_features=["a", "a", "b"], sample_weight=[1.0, 1.0, 0.0])
    row = by_name(four_fifths(tally))["b"]
    assert not row.included and row.rate.reason == row.reason == "the weights of its rows sum to 0"


def test_labels_change_nothing() -> None:
    group, decision = ["a", "a", "b", "b", "b"], [1, 0, 0, 1, 0]
    with_labels = four_fifths(Tally.of([1, 0, 1, 0, 1], decision, sensitive_features=group))
    assert with_labels == four_fifths(Tally.of(None, decision, sensitive_features=group))


def test_above_the_median_is_strictly_above() -> None:
    assert above_median([3, 1, 2]).tolist() == [1, 0, 0]
    assert above_median([1.0, 2.0, 3.0, 4.0]).tolist() == [0, 0, 1, 1]
    assert above_median([5, 5, 5]).tolist() == [0, 0, 0]
    assert above_median([1]).dtype == np.uint8
    score = np.array([0.1, 0.2, 0.3], np.float32)
    assert above_median(score).tolist() == (score.astype(float) >= threshold_above_median(score)).tolist() == [0, 0, 1]
    for wrong in ([], [[1.0]], [1.0, math.nan], ["a"], [True, False]):
        with pytest.raises(InputError):
            above_median(wrong)


def test_scoring_counts_who_is_above_the_median_of_all() -> None:
    score = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    sex = ["F", "F", "M", "M", "F", None]
    tally = Tally.of(None, above_median(score), sensitive_features={"sex": sex})
    report = local_law_144(tally, kind="scoring")
    assert by_name(report)["F"].rate.value == pytest.approx(1 / 3)
    assert by_name(report)["M"].rate.value == 0.5
    assert report.unknown == 1
    assert "scoring rate" in report.summary() and "median" in report.rule


# ---------------------------------------------------------------- refusals


def test_refusals_name_what_is_wrong() -> None:
    tally = people({"a": (10, 5), "b": (10, 4)})
    soft = Tally.of(None, [1, 0], sensitive_features=Membership(("a", "b"), np.array([[0.5, 0.5], [0.2, 0.8]])))
    scores = Tally.of(None, None, y_score=[0.1, 0.2], sensitive_features=["a", "b"])
    three = Tally.of(None, [1, 0, 1], sensitive_features=np.array([["a", "b", "c"]] * 3))
    assert tally.cells is not None
    for function in (four_fifths, local_law_144):
        for wrong in (soft, scores):
            with pytest.raises(InputError):
                function(wrong)
        with pytest.raises(ConfigError, match="`columns` must name"):
            function(tally.cells)
        with pytest.raises(ConfigError, match="`columns`"):
            function(tally, columns=["sex"])
        with pytest.raises(ConfigError, match="`exclude_below`"):
            function(tally, exclude_below=0.6)
        assert function(tally.cells, columns=["sex"]).tables[0].columns == ("sex",)
    with pytest.raises(ConfigError, match="two columns"):
        local_law_144(three)
    with pytest.raises(ConfigError, match=r"0\.02"):
        local_law_144(tally, exclude_below=0.03)
    with pytest.raises(ConfigError, match="`kind`"):
        local_law_144(tally, kind="ranking")  # type: ignore[arg-type]
    classes = Tally.of(None, ["x", "y", "z"], sensitive_features=["a", "b", "b"], classes=["x", "y", "z"])
    with pytest.raises(InputError, match="two classes"):
        four_fifths(classes)


# ---------------------------------------------------------------- properties


@settings(max_examples=30)
@given(st.permutations(range(20)), st.permutations(["k", "l", "m"]))
def test_row_order_and_names_change_nothing(order: list[int], names: list[str]) -> None:
    group, decision = np.array([0] * 6 + [1] * 6 + [2] * 8), np.array([1, 0, 0] * 6 + [1, 1])
    first = by_name(four_fifths(Tally.of(None, decision, sensitive_features=[("k", "l", "m")[g] for g in group])))
    renamed = [names[g] for g in group[order]]
    again = by_name(four_fifths(Tally.of(None, decision[order], sensitive_features=renamed)))
    for old, new in zip(("k", "l", "m"), names, strict=True):
        a, b = first[old].impact_ratio, again[new].impact_ratio
        assert (a, first[old].fisher_p, first[old].shortfall) == (b, again[new].fisher_p, again[new].shortfall)


def test_parts_add_up_to_the_whole() -> None:
    sex, race, decision = ["F", "M", "F", "M"] * 5, ["a", "a", "b", "b"] * 5, [1, 0, 1, 1, 0] * 4
    whole = Tally.of(None, decision, sensitive_features={"sex": sex, "race": race})
    halves = [
        Tally.of(None, decision[at], sensitive_features={"sex": sex[at], "race": race[at]})
        for at in (slice(0, 7), slice(7, 20))
    ]
    assert local_law_144(halves[1] + halves[0]) == local_law_144(whole)


# ---------------------------------------------------------------- pages


def reports() -> list[ImpactReport]:
    tally = crossed(SAMPLE)
    return [four_fifths(tally), local_law_144(tally, justification="very few"), local_law_144(tally, kind="scoring")]


@pytest.mark.parametrize(("categories", "said"), [(2, 95), (7, 55), (15, 17)])
def test_how_often_all_intervals_of_a_table_hold_1_is_what_the_note_says(categories: int, said: int) -> None:
    times, people = 1000, 300
    selected = np.sort(np.random.default_rng(9).binomial(people, 0.3, (times, categories)), 1)
    low, high = ratio_interval(selected[:, :-1], people, selected[:, -1:], people)
    together = int(((low <= 1) & (high >= 1)).all(1).sum())
    assert binomtest(together, times, said / 100).pvalue > 0.001
    assert f"{said} of" in CHOSEN or f"{said} in" in CHOSEN


def test_golden_summaries() -> None:
    guidelines, law, _ = reports()
    golden("impact_four_fifths.txt", guidelines.summary() + "\n")
    golden("impact_nyc_ll144.txt", law.summary() + "\n")


@pytest.mark.parametrize("report", reports(), ids=["four-fifths", "selection", "scoring"])
def test_a_report_comes_back_from_its_json(report: ImpactReport, tmp_path: Path) -> None:
    text = report.to_json()
    assert "NaN" not in text
    assert ImpactReport.from_dict(json.loads(text)).to_json() == text
    files = report.save(tmp_path)
    assert [file.name for file in files] == ["impact.json", "impact.html", "impact.md", "impact.csv"]
    loaded = ImpactReport.load(files[0])
    assert loaded.page() == files[1].read_text(encoding="utf-8")
    assert loaded.to_csv() == files[3].read_text(encoding="utf-8")
    with pytest.raises(InputError, match="schema"):
        ImpactReport.load(_other_schema(tmp_path, text))


def _other_schema(folder: Path, text: str) -> Path:
    file = folder / "other.json"
    file.write_text(text.replace("fairheads/impact/1", "fairheads/audit/1"), encoding="utf-8")
    return file


@pytest.mark.parametrize("report", reports(), ids=["four-fifths", "selection", "scoring"])
def test_the_views_name_the_rule_and_end_with_what_they_do_not_say(report: ImpactReport) -> None:
    summary = report.summary()
    assert max(columns(line) for line in summary.splitlines()) <= 100
    assert "Not legal advice" in summary.rsplit("\n\n", 1)[1]
    for text in (summary, report.html(), report.markdown()):
        flat = " ".join(text.split())
        assert "1607.4" in flat and "Not legal advice" in flat
        assert not any(word in flat.lower() for word in ("unfair", "unbiased", "debiased", "is fair"))
    assert ("independent auditor" in summary) == (report.standard == "nyc-ll144")


@pytest.mark.parametrize("in_two_columns", [False, True])
@pytest.mark.parametrize("function", [four_fifths, local_law_144])
def test_hostile_names_stay_text(function, in_two_columns: bool) -> None:  # type: ignore[no-untyped-def]
    names = [name for name in HOSTILE for _ in range(4)]
    decision = [1, 0, 1, 0] * len(HOSTILE)
    tally = Tally.of(None, decision, sensitive_features={"=x<b>": names})
    if in_two_columns:
        names = [" ".join(name.split()) for name in names]
        tally = Tally.of(None, decision, sensitive_features={"=x<b>": names, "\u202e|y": names[::-1]})
    report = function(tally, name="<b>=x</b>")
    page = report.page()
    for text in (report.html(), page):
        shown = text.split("<script", 1)[0]
        assert "<script>" not in shown and "<img" not in shown and "<b>" not in shown and "\u202e" not in shown
    assert page.count("</script>") == 1
    for text in (report.summary(), report.markdown()):
        assert "\u202e" not in text and "\x00" not in text
    assert max(columns(line) for line in report.summary().splitlines()) <= 100
    assert "\n# head" not in report.markdown() and "<script" not in report.markdown()
    for cells in csv.reader(io.StringIO(report.to_csv())):
        for cell in cells:
            try:
                float(cell)
            except ValueError:
                assert not cell.strip(" \t\r\n\u200b\x00").startswith(("=", "+", "-", "@"))
    assert ImpactReport.from_dict(report.to_dict()).to_csv() == report.to_csv()


def test_csv_keeps_numbers_and_quotes_text() -> None:
    text = csv_text(["a", "b"], [[-1.5, "-1.5"], [None, True], ['x,"y"', "\n=1"], [0, "\uff1d1"], [1, "plain"]])
    assert text == 'a,b\n-1.5,\'-1.5\n,true\n"x,""y""","\'\n=1"\n0,\'\uff1d1\n1,plain\n'


def test_csv_and_frame_hold_a_line_a_category_and_the_unknown() -> None:
    report = local_law_144(crossed(SAMPLE))
    lines = list(csv.DictReader(io.StringIO(report.to_csv())))
    frame = report.to_frame()
    assert len(lines) == len(frame) == sum(len(table.rows) + 1 for table in report.tables)
    unknown = [line for line in lines if line["category"] == "(unknown)"]
    assert [line["applicants"] for line in unknown] == ["20", "20", "20"]
    assert lines[0]["rate"] == str(report.tables[0].rows[0].rate.value)
    small = next(line for line in lines if line["category"].startswith("Native"))
    assert small["included"] == "false" and small["impact_ratio"] == "" and "5-301(d)" in small["reason"]


def test_the_figure_draws_what_is_included() -> None:
    report = local_law_144(crossed(SAMPLE))
    ax = report.plot()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert "Male" in labels and "Native Hawaiian or Other Pa…" not in labels
    assert any(line.get_xdata()[0] == report.threshold for line in ax.lines)  # type: ignore[index]
    assert len(labels) == sum(row.included for table in report.tables for row in table.rows)


def test_many_categories_are_all_in_the_table_and_the_smallest_in_the_figure() -> None:
    report = four_fifths(people({f"g{i:02d}": (20, 2 + i % 19) for i in range(40)}), exclude_below=0)
    assert all(f"g{i:02d}" in report.summary() for i in range(40))
    assert len(report.plot().get_yticklabels()) == 30
