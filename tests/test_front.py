"""The front of accuracy and disparity: who dominates whom, and what a person sees of it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import jsonschema
import matplotlib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from results_for_tests import HOSTILE, LONG

import fairheads_cli.main as command_line
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import disparity_report
from fairheads.reports import FORMATS, load, render
from fairheads.results import (
    DisparityReport,
    Front,
    FrontPoint,
    Number,
    TrainedReport,
    dominated,
    front_of,
    schema_of,
    undefined,
)
from fairheads.results._front_tables import DISCLAIMER
from fairheads.results.front_points import marked

GOLDEN = Path(__file__).parent / "golden"


def number(value: float, half: float) -> Number:
    return Number(value=value, n=16281, low=value - half, high=value + half)


def point(
    objective: str, setting: dict[str, float], accuracy: float, gap: float, *, seed: int = 0, n: int = 0
) -> FrontPoint:
    return FrontPoint(
        name=f"{objective} {setting} {seed} {n}",
        objective=objective,
        setting=setting,
        seed=seed,
        accuracy=number(accuracy, 0.0055),
        gap=number(gap, 0.012),
        gaps={"equalized_odds_difference": number(0.1, 0.03)},
        dominated=False,
    )


def front(points: list[FrontPoint], **other: object) -> Front:
    fields: dict[str, object] = {
        "data": "Adult",
        "split": "the 16,281 test rows of the published split",
        "n": 16281,
        "groups": ("Female", "Male"),
        "confidence": 0.95,
        "accuracy_metric": "accuracy",
        "gap_metric": "demographic_parity_difference",
        "points": marked(points),
        "notes": ("Hidden layers 128, 128, 128; 8 epochs.",),
    }
    return Front(**(fields | other))  # type: ignore[arg-type]


def twenty() -> Front:
    """Four objectives and two networks beside them, crowded at the left."""
    rng = np.random.default_rng(0)

    def curve(gap: float, below: float = 0.0) -> float:
        return 0.825 + 0.031 * (1 - math.exp(-gap / 0.04)) - below + 0.001 * rng.normal()

    points = [point("unconstrained", {}, 0.857, 0.182), point("reweighted", {}, 0.851, 0.09)]
    for name, option, below, places in (
        ("penalized", "weight", 0.0, ((0.0, 0.18), (1.0, 0.12), (3.0, 0.07), (10.0, 0.03), (30.0, 0.012))),
        ("lagrangian", "tolerance", 0.0, ((0.01, 0.0145), (0.02, 0.024), (0.05, 0.052), (0.1, 0.1), (0.15, 0.147))),
        ("adversarial", "weight", 0.006, ((0.1, 0.17), (0.3, 0.15), (1.0, 0.11), (3.0, 0.08), (10.0, 0.02))),
        ("massaged", "share", 0.004, ((0.25, 0.14), (0.5, 0.09), (0.75, 0.05))),
    ):
        points += [point(name, {option: value}, curve(gap, below), gap) for value, gap in places]
    return front(points)


def seeded() -> Front:
    """Three settings with three seeds each; that of weight 3 has the best single seed and the worst mean."""
    places = {
        1.0: ((0.850, 0.10), (0.851, 0.10), (0.849, 0.10)),
        3.0: ((0.860, 0.01), (0.830, 0.15), (0.830, 0.15)),
        10.0: ((0.845, 0.05), (0.846, 0.05), (0.844, 0.05)),
    }
    return front(
        [
            point("penalized", {"weight": weight}, accuracy, gap, seed=seed)
            for weight, seeds in places.items()
            for seed, (accuracy, gap) in enumerate(seeds)
        ]
    )


def lacking() -> Front:
    """One network without a gap."""
    without = replace(point("penalized", {"weight": 9.0}, 0.8, 0.1), gap=undefined("only one group has rows", 40))
    return front([point("penalized", {"weight": 1.0}, 0.85, 0.1), without])


def hostile() -> Front:
    names = (HOSTILE, LONG, "=cmd|' /C calc'!A0", "表" * 60)
    points = [replace(point(name, {name: 1.0}, 0.8 + i / 100, 0.1), name=name) for i, name in enumerate(names)]
    texts = {"data": HOSTILE, "split": LONG, "groups": names, "notes": (HOSTILE, LONG)}
    return front(points, **texts)


MADE: dict[str, Callable[[], Front]] = {
    "twenty": twenty,
    "seeded": seeded,
    "one": lambda: front([point("unconstrained", {}, 0.85, 0.18)]),
    "lacking": lacking,
    "hostile": hostile,
    "two options": lambda: front(
        [
            point("lagrangian", {"weight": w, "tolerance": t}, 0.85 + t / 100 - w / 1e4, t)
            for w in (1.0, 5.0)
            for t in (0.01, 0.1)
        ]
    ),
}


@pytest.fixture(params=MADE.values(), ids=MADE.keys())
def made(request: pytest.FixtureRequest) -> Front:
    made: Front = request.param()
    return made


def golden(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("FAIRHEADS_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


# ---------------------------------------------------------------- who dominates whom

PLACES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)
"""A coarse grid: ties are common."""


def flags(places: list[tuple[float, float]]) -> list[bool]:
    return list(dominated([a for a, _ in places], [g for _, g in places]))


@settings(max_examples=40)
@given(PLACES)
def test_the_front_is_what_a_sweep_from_the_left_keeps(places: list[tuple[float, float]]) -> None:
    kept = set()
    best = -math.inf
    for accuracy, gap in sorted(set(places), key=lambda p: (p[1], -p[0])):
        if accuracy > best:
            best = accuracy
            kept.add((accuracy, gap))
    assert flags(places) == [place not in kept for place in places]
    assert kept  # somebody is always on the front


@settings(max_examples=40)
@given(PLACES, st.integers(0, 99))
def test_order_does_not_matter_and_a_dominated_point_changes_nothing(places: list[tuple[float, float]], k: int) -> None:
    order = list(range(len(places)))
    random.Random(k).shuffle(order)
    assert flags([places[i] for i in order]) == [flags(places)[i] for i in order]
    accuracy, gap = places[k % len(places)]
    assert flags([*places, (accuracy - 1, gap + 1)]) == [*flags(places), True]


def test_a_point_without_a_number_neither_dominates_nor_is_dominated() -> None:
    assert dominated([0.9, math.nan, 0.8], [math.nan, 0.0, 0.1]) == (False, False, False)
    report = lacking()
    assert [setting.on_front for setting in report.settings] == [True, False]
    assert [p.dominated for p in report.points] == [False, False]
    assert [setting.setting for setting in report.front] == [{"weight": 1.0}]


def test_seeds_are_judged_by_their_mean_and_not_by_the_luckiest() -> None:
    report = seeded()
    one, three, ten = report.settings
    assert three.accuracy.value == pytest.approx(0.84)
    assert three.gap.value == pytest.approx(0.31 / 3)
    assert (three.accuracy.low, three.accuracy.high) == (pytest.approx(0.8345), pytest.approx(0.8455))
    assert three.dominated and all(p.dominated for p in three.points)
    assert report.front == (ten, one)
    # Alone, the lucky seed would be the whole front: the rule is what keeps it off.
    alone = dominated([p.accuracy.value for p in report.points], [p.gap.value for p in report.points])
    assert [p.seed for p, flag in zip(report.points, alone, strict=True) if not flag] == [0]


def test_the_mean_of_intervals_covers_the_mean_of_networks_judged_on_the_same_rows() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((3, 400)) < np.array([[0.7], [0.8], [0.9]])
    trained = [
        TrainedReport(
            name=str(i),
            objective="a",
            setting={},
            seed=i,
            report=disparity_report(
                np.ones(400, int), row.astype(int), sensitive_features=["a", "b"] * 200, replicates=200
            ),
        )
        for i, row in enumerate(right)
    ]
    accuracy = front_of(trained).settings[0].accuracy
    assert accuracy.value == pytest.approx(right.mean())
    error = right.mean(axis=0).std() / math.sqrt(400)
    assert accuracy.low is not None and accuracy.high is not None
    assert accuracy.high - accuracy.low >= 2 * 1.95 * error


def test_flags_and_names_must_follow_from_the_points() -> None:
    good = twenty()
    wrong = good.to_dict()
    wrong["points"][3]["dominated"] = not wrong["points"][3]["dominated"]
    with pytest.raises(InputError, match="`dominated` must follow from accuracy and gap"):
        Front.from_dict(wrong)
    twice = (*good.points, good.points[0])
    with pytest.raises(InputError, match="must have a name each"):
        replace(good, points=twice)


# ---------------------------------------------------------------- from reports


@cache
def six(decisions: tuple[int, ...], labels: tuple[int, ...] = (1, 0, 1, 0, 1, 0)) -> DisparityReport:
    """Few replicates: the tests look at values."""
    return disparity_report(labels, decisions, sensitive_features=list("aaabbb"), name="six", replicates=200)


def judged(decisions: list[int], name: str, **other: object) -> TrainedReport:
    fields = {"objective": "penalized", "setting": {"weight": 1}, "seed": 0, "report": six(tuple(decisions))}
    return TrainedReport(name=name, **(fields | other))  # type: ignore[arg-type]


def test_a_front_takes_the_numbers_of_the_reports() -> None:
    one = judged([1, 0, 1, 0, 1, 0], "one", model="one")
    report = front_of([one, judged([1, 0, 0, 0, 1, 0], "two", setting={"weight": 3})], notes=["seen"])
    assert (report.data, report.n, report.groups, report.split) == ("six", 6, ("a", "b"), "6 rows")
    assert report.notes == ("seen",)
    first = report.points[0]
    assert first.accuracy == one.report.metrics["accuracy"].overall
    assert first.gap == one.report.demographic_parity_difference
    assert first.gaps["equalized_odds_difference"] == one.report.criteria["equalized_odds"].difference
    assert (first.model, first.setting) == ("one", {"weight": 1.0})
    odds = front_of([one], gap="equalized_odds_difference", accuracy="balanced_accuracy")
    assert odds.points[0].gap == one.report.criteria["equalized_odds"].difference
    assert "demographic_parity_difference" in odds.points[0].gaps
    rates = front_of([one], gap="true_positive_rate_difference")
    assert rates.points[0].gap == one.report.gaps["true_positive_rate"].difference


@pytest.mark.parametrize(
    ("trained", "options", "error", "says"),
    [
        ([], {}, InputError, "at least one report, got none"),
        (["one", "one"], {}, InputError, "a name of its own for every report, got 'one' twice"),
        (["one"], {"gap": "selection_rate"}, ConfigError, "has no 'selection_rate', but demographic_parity_difference"),
        (["one"], {"accuracy": "auc"}, ConfigError, "that of 'one' has no 'auc', but selection_rate"),
    ],
)
def test_what_makes_no_front_is_refused(trained: list[str], options: dict[str, str], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        front_of([judged([1, 0, 1, 0, 1, 0], name) for name in trained], **options)  # type: ignore[arg-type]


def test_other_rows_and_endless_settings_are_refused() -> None:
    one = judged([1, 0, 1, 0, 1, 0], "one")
    front_of([one, judged([0, 0, 0, 0, 0, 1], "two")])  # other decisions on the same rows are what a front is of
    with pytest.raises(InputError, match="the groups and labels of 'two' are not those of 'one'"):
        front_of([one, judged([1, 0, 1, 0, 1, 0], "two", report=six((1, 0, 1, 0, 1, 0), labels=(1, 1, 1, 0, 1, 0)))])
    with pytest.raises(InputError, match="the confidence of 'two'"):
        front_of([one, judged([1, 0, 1, 0, 1, 0], "two", report=replace(one.report, confidence=0.9))])
    with pytest.raises(InputError, match="finite numbers, got weight = inf"):
        front_of([judged([1, 0, 1, 0, 1, 0], "one", setting={"weight": math.inf})])


# ---------------------------------------------------------------- data


def test_a_front_comes_back_from_its_json_and_keeps_to_the_schema(made: Front) -> None:
    plain = json.loads(made.to_json())
    jsonschema.validate(plain, schema_of(Front))
    again = Front.from_dict(plain)
    assert again.to_json() == made.to_json()
    plain["points"][0]["accuracy"] = {"value": None, "n": 3}
    with pytest.raises(jsonschema.ValidationError, match="reason"):
        jsonschema.validate(plain, schema_of(Front))


def test_the_frame_has_a_row_a_network() -> None:
    frame = twenty().to_frame()
    assert len(frame) == 20
    assert frame["setting_weight"].notna().sum() == 10
    chosen = frame[frame["objective"] == "unconstrained"].iloc[0]
    assert (chosen["accuracy"], chosen["demographic_parity_difference"]) == (0.857, 0.182)
    assert pd.isna(lacking().to_frame()["demographic_parity_difference"].iloc[1])
    assert lacking().to_frame()["reason"].iloc[1] == "only one group has rows"


def test_csv_reads_back_and_runs_nothing(made: Front) -> None:
    head, *rows = csv.reader(io.StringIO(made.to_csv()))
    assert len(rows) == len(made.points)
    assert all(len(row) == len(head) for row in rows)
    for cell in (cell for row in (head, *rows) for cell in row):
        text = cell.lstrip()
        assert not text.startswith(("=", "+", "@")) and (not text.startswith("-") or math.isfinite(float(text)))


# ---------------------------------------------------------------- text and pages


def test_text_fits_a_terminal_and_its_last_line_says_what_it_does_not_say(made: Front) -> None:
    lines = made.summary().splitlines()
    assert lines[-1] == DISCLAIMER
    if made.data != HOSTILE:
        assert max(map(len, lines)) <= 100
    assert sum(line.lstrip().startswith("* ") for line in lines) == len(made.front)
    assert str(made) == made.summary()


def test_golden_summaries() -> None:
    golden("front_summary.txt", f"{twenty().summary()}\n\n{seeded().summary()}\n\n{lacking().summary()}\n")


@pytest.mark.slow
def test_every_format_is_made_and_is_the_same_each_time(made: Front) -> None:
    for form in FORMATS[Front]:
        text = render(made, form)
        assert text == render(Front.from_dict(made.to_dict()), form)
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


def test_the_page_holds_the_front_itself() -> None:
    text = twenty().page()
    inside = text.split('id="fairheads-front">')[1].split("</script>")[0]
    assert Front.from_dict(json.loads(inside)) == twenty()
    assert "http" not in text.replace("http://www.w3.org", "")


# ---------------------------------------------------------------- the figure


def drawn(report: Front) -> tuple[Figure, list[Line2D]]:
    ax = report.plot()
    figure = ax.figure
    assert isinstance(figure, Figure)
    return figure, list(ax.lines)


def labels_of(figure: Figure) -> list[Annotation]:
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation) and text.get_text()]


def marks_of(lines: list[Line2D]) -> list[Line2D]:
    return [line for line in lines if line.get_markersize() > 5 and len(np.asarray(line.get_xdata())) == 1]


def test_hollow_marks_are_dominated_and_the_line_goes_through_the_others() -> None:
    report = twenty()
    _, lines = drawn(report)
    marks = marks_of(lines)
    assert len(marks) == 20
    full = {
        (float(np.asarray(m.get_xdata())[0]), float(np.asarray(m.get_ydata())[0]))
        for m in marks
        if to_hex(m.get_markerfacecolor()) == to_hex(m.get_color())
    }
    on_front = {(s.gap.value, s.accuracy.value) for s in report.front}
    assert full == on_front
    step = next(line for line in lines if line.get_drawstyle() == "steps-post")
    places = list(zip(np.asarray(step.get_xdata()).tolist(), np.asarray(step.get_ydata()).tolist(), strict=True))
    assert set(places[:-1]) == on_front
    assert places == sorted(places)


def test_objectives_are_told_apart_without_colour() -> None:
    names = [f"objective {i}" for i in range(30)]
    _, lines = drawn(front([point(name, {}, 0.8, 0.01 * i) for i, name in enumerate(names)]))
    looks = [(m.get_marker(), to_hex(m.get_color())) for m in marks_of(lines)]
    assert len(set(looks)) == 30
    assert len({marker for marker, _ in looks[:11]}) == 11  # the first eleven by the marker alone


@pytest.mark.parametrize("report", [twenty(), seeded(), MADE["two options"]()], ids=["twenty", "seeded", "options"])
def test_labels_hide_neither_each_other_nor_a_mark(report: Front) -> None:
    figure, lines = drawn(report)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in labels_of(figure)]
    assert len(boxes) == sum(bool(setting.setting) for setting in report.settings)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
    axes = figure.axes[0]
    for mark in marks_of(lines):
        x, y = axes.transData.transform((np.asarray(mark.get_xdata())[0], np.asarray(mark.get_ydata())[0]))
        assert not any(box.contains(x, y) for box in boxes)
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 for box in boxes)


def test_a_label_without_room_is_left_out_and_not_drawn_over_others() -> None:
    crowd = front([point("a", {"weight": float(w)}, 0.85 + w / 1e6, 0.02 + w / 1e5) for w in range(80)])
    figure, _ = drawn(crowd)
    boxes = [text.get_window_extent() for text in labels_of(figure)]
    assert 5 < len(boxes) < 80
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_seeds_are_small_dots_around_their_mean() -> None:
    _, lines = drawn(seeded())
    assert len(marks_of(lines)) == 3
    dots = [line for line in lines if line.get_linestyle() == "None" and line.get_markersize() < 5]
    assert sorted(len(np.asarray(line.get_xdata())) for line in dots) == [3, 3, 3]


def test_the_figure_is_drawn_into_given_axes_and_leaves_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    ax = Figure().add_subplot()
    assert twenty().plot(ax) is ax
    assert dict(matplotlib.rcParams) == before
    inner = Figure().subfigures(1, 2)[0].add_subplot()
    assert twenty().plot(inner) is inner


def test_long_names_do_not_press_the_axes_together() -> None:
    figure, _ = drawn(hostile())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        figure.draw_without_rendering()
    assert figure.axes[0].get_position().width > 0.75


def test_there_is_nothing_to_plot_without_a_gap() -> None:
    nothing = front([lacking().points[1]])
    with pytest.raises(InputError, match="nothing to plot"):
        nothing.plot()
    assert "<svg" not in nothing.page()
    assert "only one group has rows" in nothing.page()


# ---------------------------------------------------------------- files


@pytest.mark.slow
def test_save_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    formats = ("svg", "json", "csv", "md", "html", "png")
    first = lacking().save(tmp_path / "a", formats)
    second = lacking().save(tmp_path / "b", formats)
    assert [file.name for file in first] == [f"front.{form}" for form in ("json", "csv", "md", "html", "png", "svg")]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(file.name for file in first)
    assert render(load(first[0]), "json") == lacking().to_json()
    assert first[4].read_bytes().startswith(b"\x89PNG")


def test_save_writes_five_files_and_leaves_nothing_beside_them(tmp_path: Path) -> None:
    files = MADE["one"]().save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(file.name for file in files)
    assert [file.suffix for file in files] == [".json", ".csv", ".md", ".html", ".png"]
    assert load(files[0]) == MADE["one"]()


def test_save_refuses_what_it_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for formats in (("json", "pdf"), (), "json"):
        with pytest.raises(ConfigError, match="`formats` must be some of"):
            lacking().save(tmp_path / "a", formats)
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be"):
        lacking().save(tmp_path / "file", ("csv",))
    lacking().save(tmp_path / "b", ("csv", "svg"))
    before = {path: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name.startswith(".front.svg"):
            raise OSError(28, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patched, pytest.raises(InputError, match="No space left"):
        patched.setattr(Path, "write_bytes", full)
        MADE["one"]().save(tmp_path / "b", ("csv", "svg"))
    assert {path: path.read_bytes() for path in (tmp_path / "b").iterdir()} == before
    (tmp_path / "c" / "front.png").mkdir(parents=True)
    with pytest.raises(InputError, match=r"front\.png' cannot be written: it is a folder"):
        lacking().save(tmp_path / "c")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["front.png"]


def test_a_saved_front_is_rendered_by_the_command_line(tmp_path: Path) -> None:
    file = lacking().save(tmp_path, ("json",))[0]
    for form, sign in (("text", DISCLAIMER), ("md", "| penalized, weight 1 |"), ("html", "<svg"), ("csv", "name,obj")):
        done = CliRunner().invoke(command_line.fairheads, ["render", str(file), "--format", form])
        assert done.exit_code == 0, done.output
        assert sign in done.stdout
        assert done.stdout == render(lacking(), form)
    (tmp_path / "other.json").write_text('{"schema": "fairheads/front/2"}')
    with pytest.raises(InputError, match="is not of the schema"):
        Front.load(tmp_path / "other.json")
