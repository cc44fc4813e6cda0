"""The report of a merge: what it holds, what a person sees of it, and that its numbers are those of the decisions."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import matplotlib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from results_for_tests import HOSTILE, LONG, merge_outcome, merge_report

import fairheads_cli.main as command_line
from fairheads.errors import ConfigError, InputError
from fairheads.reports import FORMATS, load, render
from fairheads.results import MergePoint, MergeReport, Number, schema_of, undefined
from fairheads.results._merge_tables import DISCLAIMER, GAP_RATES

GOLDEN = Path(__file__).parent / "golden"

RACES = ("White", "Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other")


def lacking() -> MergeReport:
    """No interval for a group without rows among the new ones."""
    made = merge_report()
    none = undefined("no rows recorded as favourable")
    rules = dict(made.rules)
    for name, rule in rules.items():
        assert rule.judged is not None
        rates = {"selection_rate": {**rule.judged.rates["selection_rate"], "Male": none}}
        rules[name] = replace(rule, judged=replace(rule.judged, gap=none, rates=rates))
    return replace(made, rules=rules)


def by_f1() -> MergeReport:
    """Something else than accuracy is maximised."""
    made = merge_report()
    rules = {
        name: replace(
            rule,
            validation=replace(rule.validation, objective=replace(rule.validation.accuracy, value=0.6 + i / 100)),
            judged=None if rule.judged is None else replace(rule.judged, objective=rule.judged.selection_rate),
        )
        for i, (name, rule) in enumerate(made.rules.items())
    }
    front = tuple(replace(point, objective=point.accuracy - 0.2) for point in made.front)
    return replace(made, objective="f1", rules=rules, front=front, minimum_rates={"selection_rate": 0.1})


def hostile() -> MergeReport:
    names = (HOSTILE, LONG, "=cmd|' /C calc'!A0", "表" * 60)
    return merge_report(
        names,
        model=HOSTILE,
        data=HOSTILE,
        split=LONG,
        judged=HOSTILE,
        notes=(HOSTILE, LONG),
        provenance={HOSTILE: LONG},
    )


MADE: dict[str, Callable[[], MergeReport]] = {
    "two": merge_report,
    "validation alone": lambda: merge_report(judged=False, confidence=None, missing=True),
    "five": lambda: merge_report(RACES, gap_metric="equal_opportunity"),
    "lacking": lacking,
    "f1": by_f1,
    "hostile": hostile,
}


@pytest.fixture(params=MADE.values(), ids=MADE.keys())
def made(request: pytest.FixtureRequest) -> MergeReport:
    made: MergeReport = request.param()
    return made


def golden(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("FAIRHEADS_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


# ---------------------------------------------------------------- data


def test_a_report_comes_back_from_its_json_and_keeps_to_the_schema(made: MergeReport) -> None:
    plain = json.loads(made.to_json())
    jsonschema.validate(plain, schema_of(MergeReport))
    assert MergeReport.from_dict(plain).to_json() == made.to_json()
    plain["rules"]["chosen"]["validation"]["accuracy"] = {"value": None, "n": 3}
    with pytest.raises(jsonschema.ValidationError, match="reason"):
        jsonschema.validate(plain, schema_of(MergeReport))


def test_gaps_are_made_of_the_rates_that_a_front_takes() -> None:
    from fairheads.twoheads.criteria import GAP_METRICS

    assert GAP_RATES == GAP_METRICS


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"rules": {}}, r"lacks \['alone', 'chosen'\]"),
        ({"missing": {"else": "no"}}, r"and no \['else'\]"),
        ({"judged": ""}, "every rule must be `judged`, and `judged` say on what, or none"),
        ({"changes": {}}, "`changes` must be of the groups"),
        (
            {"front": (MergePoint(b=(0.0,), t=0.0, accuracy=0.8, gap=math.nan, selection_rate=0.2),)},
            "`front` must rise",
        ),
        ({"front": merge_report().front[::-1]}, "`front` must rise"),
        ({"front": merge_report().front[:1] * 401}, "at most 400"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(other: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(merge_report(), **other)  # type: ignore[arg-type]


def test_the_frame_has_a_row_a_rule_and_kind_of_rows() -> None:
    frame = merge_report().to_frame()
    assert list(frame["rule"]) == [name for name in merge_report().rules for _ in range(2)]
    assert list(frame["rows"]) == ["validation", "judged"] * 5
    first = frame.iloc[0]
    assert (first["accuracy"], first["gap"], first["b"], first["t"], first["bound"]) == (
        0.833,
        0.011,
        -1.2345,
        0.1,
        0.0287,
    )
    assert pd.isna(frame["bound"].iloc[1]) and pd.isna(first["changed"]) and frame["changed"].iloc[2] == 0.021
    five = merge_report(RACES, judged=False).to_frame()
    assert len(five) == 5 and {"b_1", "b_5"} <= set(five.columns)
    assert pd.isna(lacking().to_frame()["gap"].iloc[1])


def test_csv_reads_back_and_runs_nothing(made: MergeReport) -> None:
    head, *rows = csv.reader(io.StringIO(made.to_csv()))
    assert len(rows) == len(made.rules) * (2 if made.judged else 1)
    assert all(len(row) == len(head) for row in rows)


# ---------------------------------------------------------------- text and pages


def test_text_fits_a_terminal_and_its_last_line_says_what_it_does_not_say(made: MergeReport) -> None:
    lines = made.summary().splitlines()
    assert lines[-1] == DISCLAIMER and str(made) == made.summary()
    if made.data != HOSTILE:
        assert max(map(len, lines)) <= 100
    numbers = merge_outcome(0.5, 0.1, {"a": 0.1}).accuracy
    assert f"{numbers:.3f}" not in made.summary()


def test_golden_summaries() -> None:
    texts = [MADE[name]().summary() for name in ("two", "validation alone", "five", "f1")]
    golden("merge_summary.txt", "\n\n".join(texts) + "\n")


def test_the_text_says_what_was_promised_and_what_was_not() -> None:
    sure, bare = merge_report().summary(), MADE["validation alone"]().summary()
    assert "with 95 % confidence; its upper bound is 0.0287" in " ".join(sure.split())
    assert "new rows are promised nothing" in " ".join(bare.split()) and "confidence;" not in bare
    assert "On new rows" in sure and "On new rows" not in bare
    assert "No thresholds by true group: no merge keeps the gap." in bare
    assert "The more the network takes a person for Male, the more it lowers the score." in sure
    raised = merge_report(rules={**merge_report().rules, "chosen": replace(merge_report().chosen, b=(0.5,))})
    assert "takes a person for Male, the more it raises the score" in raised.summary()
    none = merge_report(rules={**merge_report().rules, "chosen": replace(merge_report().chosen, b=(0.0,))})
    assert "the group head plays no part" in none.summary()


@pytest.mark.parametrize(
    ("gap", "low", "high", "says"),
    [
        (0.01, -0.01, 0.025, "within 0.03, and so is its whole interval"),
        (-0.01, -0.025, 0.01, "within 0.03, and so is its whole interval"),
        (-0.01, -0.04, 0.01, "within 0.03, its interval reaches beyond"),
        (0.05, 0.02, 0.08, "beyond 0.03, its interval reaches back within"),
        (-0.05, -0.08, -0.035, "beyond 0.03, and so is its whole interval"),
    ],
)
def test_whether_new_rows_keep_the_gap_is_said(gap: float, low: float, high: float, says: str) -> None:
    chosen = merge_report().chosen
    assert chosen.judged is not None
    judged = replace(chosen.judged, gap=Number(value=gap, n=100, low=low, high=high))
    report = merge_report(rules={**merge_report().rules, "chosen": replace(chosen, judged=judged)})
    assert f"The merge's gap there is {says}." in " ".join(report.summary().split())
    assert "gap there is" not in merge_report(judged=False).summary()


def test_gaps_of_two_groups_have_a_direction_and_those_of_more_have_none() -> None:
    assert "Gap: selection rate of Male minus that of Female." in merge_report().summary()
    five = " ".join(MADE["five"]().summary().split())
    assert "Gap: the largest minus the smallest true positive rate of the 5 groups." in five
    assert "Of the merge it lies between Other and White." in five
    assert "being taken for White helps the score most and being taken for Other least" in five
    odds = " ".join(merge_report(gap_metric="equalized_odds").summary().split())
    assert "Gap: the largest difference between groups in true positive rate and false positive rate." in odds


def test_thresholds_are_what_the_task_logit_must_exceed() -> None:
    # z_y + b + t > 0 for the second group and z_y + t > 0 for the first
    assert "z_y above -0.3000 (Female), 0.6000 (Male)" in merge_report().summary()
    assert "-0.9000 (White), -0.5000 (Black)" in " ".join(MADE["five"]().summary().split())


def test_decisions_that_rounding_changed_are_counted() -> None:
    seen = merge_report().check
    assert "no decision differs" in " ".join(merge_report().summary().split())
    assert "3 decisions differ" in " ".join(merge_report(check=replace(seen, other_decisions=3)).summary().split())


@pytest.mark.slow
def test_every_format_is_made_and_is_the_same_each_time(made: MergeReport) -> None:
    for form in FORMATS[MergeReport]:
        text = render(made, form)
        assert text == render(MergeReport.from_dict(made.to_dict()), form)
        assert text.endswith("\n")
    with pytest.raises(ConfigError, match="`format` must be one of"):
        render(made, "pdf")


def test_names_from_data_stay_text() -> None:
    report = hostile()
    for page in (report.page(), report._repr_html_()):
        assert "<script>alert" not in page
        assert "href" not in page.split("</style>")[1].split("<svg")[0]
    seen = MarkdownIt("commonmark", {"html": True}).enable("table").parse(report.markdown())
    inline = [child for token in seen for child in token.children or []]
    assert {token.type for token in seen}.isdisjoint({"html_block", "fence"})
    assert {child.type for child in inline} <= {"text", "text_special", "softbreak"}


def test_the_page_holds_the_report_itself() -> None:
    text = merge_report().page()
    inside = text.split('id="fairheads-merge">')[1].split("</script>")[0]
    assert MergeReport.from_dict(json.loads(inside)) == merge_report()
    assert "http" not in text.replace("http://www.w3.org", "")
    assert text.count("<figure>") == 2


# ---------------------------------------------------------------- the figure


def place(line: Line2D) -> tuple[float, float]:
    return float(np.asarray(line.get_xdata())[0]), float(np.asarray(line.get_ydata())[0])


def test_the_bar_of_the_merge_ends_at_its_bound_left_of_what_was_asked() -> None:
    report = merge_report()
    ax = report.plot()
    assert isinstance(ax.figure, Figure) and len(ax.figure.axes) == 2
    ends = next(line for line in ax.lines if line.get_marker() == "|")
    assert place(ends) == (0.0287, 0.833)
    asked = next(line for line in ax.lines if line.get_linestyle() == "--")
    assert place(asked)[0] == 0.03 > place(ends)[0]
    assert not [line for line in merge_report(confidence=None).plot().lines if line.get_marker() == "|"]


def test_every_rule_has_a_mark_of_its_own_that_colour_is_not_needed_for() -> None:
    report = merge_report()
    ax = report.plot()
    legend = ax.get_legend()
    assert legend is not None
    handles = {str(line.get_label()): line for line in ax.lines if not str(line.get_label()).startswith("_")}
    assert [text.get_text() for text in legend.get_texts()] == list(handles)
    marks = {label: line for label, line in handles.items() if line.get_marker() != "None"}
    looks = {
        (line.get_marker(), to_hex(line.get_markerfacecolor()) == to_hex(line.get_color())) for line in marks.values()
    }
    assert len(marks) == 6
    # the merge on new rows and the rule in probability space share the hollow diamond, and differ in colour and bars
    assert len(looks) == 5
    assert place(marks["task head alone"]) == (0.176, 0.852)
    assert place(marks["thresholds by true group"]) == (0.009, 0.8395)  # the absolute gap


def test_what_is_maximised_is_drawn() -> None:
    ax = by_f1().plot()
    assert ax.get_ylabel() == "f1"
    mark = next(line for line in ax.lines if line.get_label() == "the merge")
    assert place(mark) == (0.011, 0.6)


def test_who_changes_goes_to_the_right_where_they_are_newly_selected() -> None:
    report = merge_report()
    ax = report.plot_changes()
    widths = [patch.get_width() for patch in ax.patches]  # type: ignore[attr-defined]
    assert widths == pytest.approx([471 / 5421, -12 / 5421, 235 / 5321, -312 / 5321])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Female", "Male"]
    assert not [text for text in merge_report().plot().figure.axes[0].get_yticklabels() if text.get_text() == "Male"]


def test_of_many_groups_those_that_change_most_are_drawn() -> None:
    many = merge_report(tuple(f"group {i}" for i in range(16)))
    ax = many.plot_changes()
    assert len(ax.get_yticklabels()) == 12 and "12 groups that change most" in many.page()
    shares = {g: (c.raised + c.lowered) / c.n for g, c in many.changes.items()}
    kept = [label.get_text() for label in ax.get_yticklabels()]
    assert min(shares[g] for g in kept) >= max(shares[g] for g in set(shares) - set(kept))


def test_the_figure_is_drawn_into_given_axes_and_leaves_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    ax = Figure().add_subplot()
    assert merge_report().plot(ax) is ax and len(ax.figure.axes) == 1
    other = Figure().add_subplot()
    assert merge_report().plot_changes(other) is other
    assert dict(matplotlib.rcParams) == before


def test_marks_and_labels_stay_inside_the_figure(made: MergeReport) -> None:
    ax = made.plot()
    figure = ax.figure
    assert isinstance(figure, Figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        figure.draw_without_rendering()
        assert all(one.get_position().width > 0.25 for one in figure.axes)
        frame = figure.bbox
        for one in figure.axes:
            for text in one.texts:
                box = text.get_window_extent()
                assert frame.x0 <= box.x0 and box.x1 <= frame.x1


# ---------------------------------------------------------------- files


def test_save_writes_five_files_and_leaves_nothing_beside_them(tmp_path: Path) -> None:
    files = merge_report().save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(file.name for file in files)
    assert [file.name for file in files] == [f"merge.{form}" for form in ("json", "csv", "md", "html", "png")]
    assert files[4].read_bytes().startswith(b"\x89PNG")
    assert load(files[0]) == merge_report()


@pytest.mark.slow
def test_save_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    formats = ("svg", "json", "csv", "md", "html", "png")
    first, second = (merge_report().save(tmp_path / name, formats) for name in "ab")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_save_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    for formats in (("json", "pdf"), (), "json"):
        with pytest.raises(ConfigError, match="`formats` must be some of"):
            merge_report().save(tmp_path / "a", formats)
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be"):
        merge_report().save(tmp_path / "file", ("csv",))


def test_a_saved_report_is_rendered_by_the_command_line(tmp_path: Path) -> None:
    file = merge_report().save(tmp_path, ("json",))[0]
    for form, sign in (("text", DISCLAIMER), ("md", "| the merge |"), ("html", "<svg"), ("csv", "rule,rows")):
        done = CliRunner().invoke(command_line.fairheads, ["render", str(file), "--format", form])
        assert done.exit_code == 0, done.output
        assert sign in done.stdout
        assert done.stdout == render(merge_report(), form)
    (tmp_path / "other.json").write_text('{"schema": "fairheads/merge/2"}')
    with pytest.raises(InputError, match="is not of the schema"):
        MergeReport.load(tmp_path / "other.json")
