"""What a person sees of a disparity report: text, pages, figures, CSV, and fairlearn's frame of the same counts."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fairlearn import metrics as fairlearn
from fairlearn.metrics import MetricFrame
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from results_for_tests import (
    HOSTILE,
    LONG,
    audit,
    contrast,
    counts,
    disparity,
    full,
    incomparable,
    intersections,
    number,
    page_of,
    regression,
    thousand,
    unlabelled,
)
from sklearn import metrics as sklearn

import fairheads_cli.main as command_line
from fairheads.errors import ConfigError, InputError
from fairheads.reports import FORMATS, load, render
from fairheads.results import AuditReport, DisparityReport, Group, Number, schema_of, undefined
from fairheads.results._words import EXACT_MEANS, estimate, interval

MADE: dict[str, Callable[[], DisparityReport]] = {
    "audit's": disparity,
    "full": full,
    "custom": lambda: full(custom={"cost_per_row": 12.5}),
    "intersections": intersections,
    "unlabelled": unlabelled,
    "regression": regression,
    "incomparable": incomparable,
    "thousand": thousand,
}


@pytest.fixture(params=MADE.values(), ids=MADE.keys())
def report(request: pytest.FixtureRequest) -> DisparityReport:
    made: DisparityReport = request.param()
    return made


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html.replace("<br>", " ")).split())


def shown(report: AuditReport | DisparityReport, form: str) -> str:
    return page_of(report) if form == "html" else render(report, form)


# ---------------------------------------------------------------- numbers in words


def test_intervals_without_a_bound_say_so() -> None:
    assert interval(0.512, None) == interval(0.512, math.inf) == "[0.512, no upper bound)"
    assert interval(None, 0.5) == "(no lower bound, 0.500]"
    assert interval(None, None) == interval(math.nan, math.nan) == ""
    assert str(Number(value=0.6, n=9, low=0.5)) == "0.600 [0.500, no upper bound)"


def test_exact_intervals_are_marked() -> None:
    few = Number(value=0.5, n=4, low=0.1, high=0.9, conservative=True)
    assert estimate(few) == str(few) == "0.500 [0.100, 0.900]†"


def test_large_scores_keep_their_width() -> None:
    assert estimate(Number(value=51234.5, n=9)) == "51,234.5"
    assert estimate(Number(value=1.23456e12, n=9)) == "1.235e+12"


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_the_mark_is_explained_exactly_where_it_is_shown(form: str) -> None:
    assert "†" not in shown(full(), form)
    assert EXACT_MEANS in " ".join(shown(intersections(), form).split())
    marked = replace(disparity().metrics["accuracy"].groups["Female"], conservative=True)
    accuracy = disparity().metrics["accuracy"]
    accuracy = replace(accuracy, groups=accuracy.groups | {"Female": marked})
    carried = replace(disparity(), metrics=disparity().metrics | {"accuracy": accuracy})
    assert EXACT_MEANS in " ".join(shown(replace(audit(), disparity=carried), form).split())
    assert "†" not in shown(audit(), form)


# ---------------------------------------------------------------- text, Markdown, HTML


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_every_metric_and_its_gap_is_shown(report: DisparityReport, form: str) -> None:
    page = words(page_of(report)) if form == "html" else render(report, form)
    for name in report.metrics:
        told = {"auc": "AUC", "brier": "Brier score", "theil": "Theil index"}.get(name, name.replace("_", " "))
        assert page.lower().count(told.lower()) >= 2, name


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_the_parts_of_a_full_report_are_shown(form: str) -> None:
    page = words(page_of(full())) if form == "html" else render(full(), form)
    page = " ".join(page.replace("\\", "").replace("&gt;", ">").split())
    for told in (
        "loans of 2024",
        "favourable is >50K",
        "reference is Male",
        "permutation, which can be no smaller than 0.0005",
        "mean 0.008, 95 % below 0.021",
        "qualized odds",
        "0.00042",
        "etectable",
        "alike in department",
        "Mantel and Haenszel",
        "Wasserstein",
        "2.3e-07",
        "n counts rows, rates weigh them",
        "eneralized entropy 0.020 [0.016, 0.024]",
        "nor whether a difference is lawful",
    ):
        assert told in page, told


def test_a_thousand_groups_stay_readable_and_nothing_is_left_out_in_silence() -> None:
    report = thousand()
    gap = report.metrics["selection_rate"].gap
    largest = sorted(report.groups, key=lambda name: -report.groups[name].n)[:20]
    for form in ("text", "md", "html"):
        page = shown(report, form).split("fairheads-disparity")[0]
        assert all(name in page for name in (*largest, gap.highest, gap.lowest, report.reference))
        assert sum(name in page for name in report.groups) < 60
        assert "977 of 1,000 groups are left out" in page
        assert re.search(r"district 0001; district 0003; district 0005 and 497 more(</bdi>)?,\s+no", page)
    lines = report.summary().splitlines()
    assert len(lines) < 300
    assert max(map(len, lines)) <= 100
    assert "groups are not drawn" in report.plot().get_xlabel()
    assert "groups are not drawn" in report.plot_ratios().get_xlabel()
    assert "994 of 1,000 groups are not drawn" in report.plot_roc().get_legend().get_title().get_text()  # type: ignore[union-attr]


def test_two_groups_are_not_left_out() -> None:
    assert "left out" not in full().summary() + page_of(full()) + render(full(), "md")
    assert "not drawn" not in page_of(full())


def test_nobody_to_compare_is_said() -> None:
    page = incomparable().summary()
    assert "1,070 rows in 1 group by sex" in page
    assert "70 rows have no recorded group: they are counted and compared with nobody" in page
    assert "Not estimable: gap in selection rate; accuracy; true positive rate and 14 more, one group only." in page
    assert "The reference" not in page


def test_decisions_alone_have_a_page_without_scores_and_labels() -> None:
    page = words(page_of(unlabelled()))
    assert "Selection rate" in page
    assert "ROC" not in page
    assert "True positive" not in page


def test_scores_alone_have_a_page_without_rates() -> None:
    page = words(page_of(regression()))
    assert "51,234.5" in page
    assert "Wasserstein" in page
    assert "Demographic-parity" not in page
    assert "Decisions by group" not in page


def test_intersections_that_are_alike_at_the_start_are_told_apart() -> None:
    table = intersections().summary().split("\n\n")[1].splitlines()[2:]
    names = [line[:16] for line in table]
    assert len(names) == len(set(names)) == 10


def test_numbers_without_a_value_come_with_their_reasons() -> None:
    report = full()
    rate = report.metrics["accuracy"]
    lost = {"Female": contrast(0, 1, reason="too few rows to compare")}
    report = replace(report, metrics=report.metrics | {"accuracy": replace(rate, to_reference=lost)})
    for form in ("text", "md", "html"):
        assert "accuracy beside Male of Female, too few rows to compare" in render(report, form)


def test_markdown_of_hostile_names_is_inert() -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    report = full((HOSTILE, LONG), columns=(HOSTILE,), name=HOSTILE, custom={HOSTILE: 0.2}, favourable=HOSTILE)
    report = replace(report, notes=(HOSTILE, LONG), confidence=0.9)
    html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(render(report, "md"))
    assert not re.search(r"<(script|a|code|strong|em|img|del)\b", html)
    for table in re.findall(r"<table>.*?</table>", html, re.DOTALL):
        rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
        assert len({len(re.findall(r"<t[hd]\b", row)) for row in rows}) == 1
    assert max(map(len, render(report, "md").splitlines())) < 2500


def test_html_of_hostile_names_is_inert_and_the_page_carries_the_report() -> None:
    report = full((HOSTILE, LONG), columns=(HOSTILE,), name=HOSTILE, custom={HOSTILE: 0.2}, favourable=HOSTILE)
    page = render(report, "html")
    assert len(re.findall("<script", page)) == 1
    assert "javascript:c)" in page
    assert not re.search(r'<[^>]*\s(on\w+|href="(?!#)|src)=', page)
    data = re.search(r'<script type="application/json" id="fairheads-disparity">\n(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert DisparityReport.from_dict(json.loads(data.group(1))).to_json() == report.to_json()
    assert max(len(word) for word in words(re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)).split()) <= 64


def test_the_same_report_gives_the_same_bytes() -> None:
    again = DisparityReport.from_dict(full().to_dict())
    assert [shown(full(), form) for form in FORMATS[DisparityReport]] == [
        render(again, form) for form in FORMATS[DisparityReport]
    ]


# ---------------------------------------------------------------- figures


def test_ratios_are_drawn_beside_the_lines_with_an_arrow_where_there_is_no_bound() -> None:
    ax = intersections().plot_ratios()
    upright = {line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1 < len(line.get_xdata())}
    assert {0.8, 1.0} <= upright
    assert sum(line.get_marker() == ">" for line in ax.lines) == 2
    assert "reference" in [text.get_text() for text in ax.texts]
    assert not [line for line in full().plot_ratios().lines if line.get_marker() == ">"]


def test_curves_are_drawn_for_every_group() -> None:
    for draw in (full().plot_roc, full().plot_calibration):
        legend = draw().get_legend()
        assert legend is not None
        assert [text.get_text().split(",")[0] for text in legend.get_texts()] == ["Female", "Male"]
    roc = full().plot_roc()
    assert {(line.get_xdata()[0], line.get_xdata()[-1]) for line in roc.lines} == {(0, 1)}


def test_the_diagonal_is_left_out_where_scores_are_no_probabilities() -> None:
    report = full()
    far = {
        g: replace(c, calibration=tuple(replace(b, score=10 * b.score) for b in c.calibration))
        for g, c in report.curves.items()
    }
    lines = len(report.plot_calibration().lines)
    assert len(replace(report, curves=far).plot_calibration().lines) == lines - 1


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_heat_map_has_a_legible_cell_for_every_intersection() -> None:
    ax = intersections().plot_heatmap()
    cells = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    said = [text.get_text() for text in ax.texts]
    assert len(cells) == len(said) == 10
    assert said.count("no rows") == 1
    assert said.count("not estimable\nn = 900") == 1
    assert "0.200\nn = 2,700" in said
    for cell, text in zip(cells, ax.texts, strict=True):
        if text.get_text().startswith("0."):
            light, dark = sorted((luminance(to_hex(cell.get_facecolor())), luminance(to_hex(text.get_color()))))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_large_heat_map_says_what_it_leaves_out() -> None:
    names = tuple(f"town {i} & job {j}" for i in range(20) for j in range(8))
    ax = full(names, columns=("town", "job")).plot_heatmap()
    assert "not drawn: 8 of 20 values of town, 3 of 8 values of job" in ax.get_xlabel()
    assert len(ax.texts) == 12 * 5


@pytest.mark.parametrize(
    ("made", "figure", "said"),
    [
        (regression, "plot", "no selection rate"),
        (regression, "plot_ratios", "no ratios to plot"),
        (incomparable, "plot_ratios", "no ratios to plot"),
        (unlabelled, "plot_roc", "no ROC curve"),
        (unlabelled, "plot_calibration", "no calibration"),
        (full, "plot_heatmap", "exactly two columns"),
    ],
)
def test_nothing_to_draw_is_said_in_a_sentence(made: Callable[[], DisparityReport], figure: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        getattr(made(), figure)()
    assert str(caught.value).count(". ") == 0


def test_figures_of_hostile_names_are_drawn_as_text() -> None:
    report = full((HOSTILE, LONG))
    for draw in (report.plot, report.plot_ratios, report.plot_roc, report.plot_calibration):
        draw().figure.canvas.draw()
    names = tuple(f"{HOSTILE} & {value}" for value in ("$x", LONG, "\ud800"))
    full(names, columns=("a", "b")).plot_heatmap().figure.canvas.draw()


# ---------------------------------------------------------------- files

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@A1",
    "\t=1",
    "\r=1",
    "  =1",
    "\u200b=1",
    "\uff1d1",
    '=HYPERLINK("x")',
    "a\nb",
    'q"q, r',
    LONG,
)


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_csv_holds_a_row_a_group_and_metric(report: DisparityReport) -> None:
    head, *rows = rows_of(report.to_csv())
    assert head == ["group", "metric", "value", "low", "high", "n", "reason"]
    assert len(rows) == len(report.metrics) * len(report.groups)
    for (group, name, value, low, _, n, reason), (_, expected) in zip(rows, report.to_frame().iterrows(), strict=True):
        assert (group, name, int(n)) == (expected["group"], expected["metric"], expected["n"])
        assert value == "" if reason else float(value) == expected["value"]
        assert low == "" or float(low) == expected["low"]


def test_csv_is_inert_in_a_spreadsheet() -> None:
    rows = rows_of(full(FORMULAS, bases={"selection_rate": 0.2}).to_csv())[1:]
    assert [row[0][0] for row in rows[:7]] == ["'"] * 7
    for cells in rows:
        assert not cells[0].lstrip().startswith(tuple("=+-@\uff1d"))
        assert len(cells) == 7
        assert "\n" not in cells[0]
        float(cells[2])


@given(st.text(min_size=1), st.text(min_size=1))
def test_whatever_the_names_are_a_row_stays_a_row(group: str, reason: str) -> None:
    plain = unlabelled()
    values = {group: undefined(reason)}
    metric = replace(plain.metrics["selection_rate"], groups=values)
    (cells,) = rows_of(replace(plain, metrics={"selection_rate": metric}).to_csv())[1:]
    assert len(cells) == 7
    for text in (cells[0], cells[6]):
        assert not text.strip().startswith(tuple("=+-@"))
        assert text.isprintable() or " " in text or not text.isascii()


def test_saving_writes_four_files_that_say_the_same(tmp_path: Path) -> None:
    report = full(("a\ud800", "=b"))
    paths = report.save(tmp_path / "deep" / "out")
    assert [path.name for path in paths] == ["report.json", "report.html", "report.md", "groups.csv"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    found = load(paths[0])
    assert isinstance(found, DisparityReport)
    assert found.to_csv() == report.to_csv() == paths[3].read_text(encoding="utf-8")
    assert found.to_json() == report.to_json()


def test_formats_are_dispatched_by_the_kind_of_report(tmp_path: Path) -> None:
    assert list(FORMATS[DisparityReport]) == ["text", "json", "md", "html", "csv"]
    assert render(full(), "csv") == full().to_csv()
    assert render(full(), "text").splitlines() == full().summary().splitlines()
    with pytest.raises(ConfigError, match="'csv'"):
        render(audit(), "csv")
    with pytest.raises(ConfigError, match="'pdf'"):
        render(full(), "pdf")
    assert isinstance(load(audit().save(tmp_path)[0]), AuditReport)
    (tmp_path / "other.json").write_text('{"schema": "x"}')
    with pytest.raises(InputError, match="is not of the schema"):
        load(tmp_path / "other.json")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.json")


def test_the_command_line_shows_a_saved_disparity_report(tmp_path: Path) -> None:
    file = str(full().save(tmp_path)[0])
    for form in FORMATS[DisparityReport]:
        done = CliRunner().invoke(command_line.fairheads, ["render", file, "--format", form])
        assert (done.exit_code, done.stdout) == (0, shown(full(), form))
    out = CliRunner().invoke(
        command_line.fairheads, ["render", file, "--format", "csv", "--out", str(tmp_path / "x.csv")]
    )
    assert out.exit_code == 0
    assert (tmp_path / "x.csv").read_text(encoding="utf-8") == full().to_csv()
    refused = CliRunner().invoke(command_line.fairheads, ["render", str(audit().save(tmp_path)[0]), "--format", "csv"])
    assert isinstance(refused.exception, ConfigError)


@pytest.mark.parametrize("made", [full, intersections, unlabelled, regression, incomparable])
def test_reports_keep_to_the_schema_and_the_schema_can_fail(made: Callable[[], DisparityReport]) -> None:
    plain = made().to_dict()
    jsonschema.Draft202012Validator.check_schema(schema_of(DisparityReport))
    jsonschema.validate(plain, schema_of(DisparityReport))
    del plain["groups"]
    with pytest.raises(jsonschema.ValidationError, match="groups"):
        jsonschema.validate(plain, schema_of(DisparityReport))


# ---------------------------------------------------------------- fairlearn

FUNCTIONS = {
    "selection_rate": fairlearn.selection_rate,
    "accuracy": sklearn.accuracy_score,
    "balanced_accuracy": sklearn.balanced_accuracy_score,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "positive_predictive_value": sklearn.precision_score,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("columns", [("sex",), ("race", "sex")])
def test_the_metric_frame_is_that_of_the_rows(weighted: bool, columns: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    n = 600
    people = pd.DataFrame({"sex": rng.choice(["F", "M"], n), "race": rng.choice(["b", "o", "w"], n)})[list(columns)]
    y, decision = rng.integers(0, 2, n), rng.integers(0, 2, n)
    weight = rng.uniform(0.2, 3.0, n) if weighted else np.ones(n)
    groups: dict[str, Group] = {}
    for parts, rows in people.groupby(list(columns)).indices.items():
        named = dict(zip(columns, parts if isinstance(parts, tuple) else (parts,), strict=True))
        cell = {
            name: float(weight[rows][(y[rows] == label) & (decision[rows] == chosen)].sum())
            for name, label, chosen in (
                ("true_positives", 1, 1),
                ("false_positives", 0, 1),
                ("false_negatives", 1, 0),
                ("true_negatives", 0, 0),
            )
        }
        groups[" & ".join(named.values())] = Group(n=len(rows), share=0.1, parts=named, counts=cell)
    nobody = Group(n=9, share=0.1, parts=dict.fromkeys(columns, "not recorded"), counts=counts(9, 0.5), recorded=False)
    report = replace(full(), columns=columns, groups={**groups, "not recorded": nobody})
    made = report.to_metric_frame()
    expected = MetricFrame(
        metrics=FUNCTIONS,
        y_true=y,
        y_pred=decision,
        sensitive_features=people,
        sample_params={name: {"sample_weight": weight} for name in FUNCTIONS},
    )
    pd.testing.assert_frame_equal(made.by_group, expected.by_group, rtol=0, atol=1e-12)
    pd.testing.assert_series_equal(made.overall, expected.overall, rtol=0, atol=1e-12)
    pd.testing.assert_series_equal(made.difference(), expected.difference(), rtol=0, atol=1e-12)
    assert made.by_group.index.nlevels == len(columns)


def test_a_metric_frame_needs_labels() -> None:
    for made in (unlabelled(), regression()):
        with pytest.raises(InputError, match="no counts of labels and decisions"):
            made.to_metric_frame()


def test_a_rate_that_is_undefined_warns_nobody() -> None:
    report = full()
    lonely = replace(
        report.groups["Male"], counts=report.groups["Male"].counts | {"true_positives": 0.0, "false_positives": 0.0}
    )
    frame = replace(report, groups=report.groups | {"Male": lonely}).to_metric_frame()
    assert frame.by_group["selection_rate"]["Male"] == 0.0


def test_a_custom_metric_is_shown_as_the_caller_means_it() -> None:
    report = full(custom={"cost_per_row": 12.5})
    assert "cost per row" in report.summary()
    assert "What the caller counts" in words(report.html())
    assert number(12.5).n > 0
