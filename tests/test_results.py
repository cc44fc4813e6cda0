"""Results keep what they hold, say it in text and HTML, and draw it without touching anybody's settings."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from results_for_tests import (
    HOSTILE,
    LONG,
    audit,
    compared,
    comparison,
    counterfactual,
    detailed,
    detailed_audit,
    disparity,
    evidence,
    fragment_of,
    full,
    incomparable,
    intersections,
    not_testable,
    number,
    pathway,
    reading,
    regression,
    routes,
    two_heads,
    units,
    unlabelled,
)

from fairheads.errors import InputError
from fairheads.results import (
    MEANING,
    AuditReport,
    Comparison,
    DisparityReport,
    Number,
    PathwayReport,
    schema_of,
    undefined,
)
from fairheads.results._audit_figure import figure
from fairheads.results._markup import prose
from fairheads.results._style import PALETTE, look, svg
from fairheads.results._words import VERDICT_NAME, amount, clip, clip_middle, in_words, p_value, printable
from fairheads.results.shown import Shown

GOLDEN = Path(__file__).parent / "golden"
FIVE = ("Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White")

RESULTS: dict[str, Callable[[], Shown]] = {
    "disparity": disparity,
    "disparity without positives": lambda: disparity(no_positives=True),
    "disparity in full": full,
    "disparity of intersections": intersections,
    "disparity without labels": unlabelled,
    "disparity of scores": regression,
    "disparity of nobody to compare": incomparable,
    "disparity of hostile names": lambda: full((HOSTILE, LONG), custom={HOSTILE: 0.3}, name=HOSTILE),
    "pathway": pathway,
    "pathway without twins": lambda: pathway(n_twins=0),
    "pathway not testable": lambda: not_testable("a", "b"),
    "pathway with details": detailed,
    "pathway of an image and of hostile names": lambda: detailed(
        HOSTILE, LONG, reading=reading(HOSTILE, LONG, image=True), units=units(named=0), counterfactual=None
    ),
    "audit": audit,
    "audit of five groups": lambda: audit(FIVE, untestable=("Other",), no_positives=True),
    "audit of hostile names": lambda: audit((HOSTILE, LONG), name=HOSTILE),
    "comparison": comparison,
    "compared models": compared,
    "seven compared models of long and hostile names": lambda: compared(
        (HOSTILE, LONG, *(f"model {i} of a long name" for i in range(5))), (HOSTILE, LONG)
    ),
}


@pytest.fixture(params=RESULTS.values(), ids=RESULTS.keys())
def result(request: pytest.FixtureRequest) -> Shown:
    made: Shown = request.param()
    return made


def without_hidden(result: Any) -> Any:
    """Row ids of flips are for Python only."""
    if isinstance(result, PathwayReport) and result.flips is not None:
        return replace(result, flips=replace(result.flips, row_ids=()))
    return result


def golden(name: str, text: str) -> None:
    """Compare with the committed file; FAIRHEADS_UPDATE_GOLDEN=1 writes it anew, for a reader to look at the change."""
    file = GOLDEN / name
    if os.environ.get("FAIRHEADS_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


# ---------------------------------------------------------------- data


def test_every_result_comes_back_from_its_json(result: Shown) -> None:
    text = result.to_json()
    again = type(result).from_dict(json.loads(text))
    assert again.to_json() == text
    assert "NaN" not in text


def test_a_missing_value_keeps_its_reason() -> None:
    rate = DisparityReport.from_dict(disparity(no_positives=True).to_dict()).metrics["true_positive_rate"]
    rate = rate.groups["Female"]
    assert math.isnan(rate.value)
    assert rate.reason == "no rows recorded as favourable"
    with pytest.raises(ValueError, match="reason"):
        Number(value=math.nan, n=0)


def test_plain_pathways_are_equal_after_the_round_trip() -> None:
    report = pathway(evidence=(evidence(),))
    assert PathwayReport.from_dict(report.to_dict()) == without_hidden(report)


def test_unknown_missing_and_mistyped_keys_are_refused(result: Shown) -> None:
    plain = result.to_dict()
    with pytest.raises(InputError, match="unknown keys"):
        type(result).from_dict(plain | {"surprise": 1})
    first = next(key for key in plain if key not in {"schema", "notes", "conditional"})  # in order: it has no default
    with pytest.raises(InputError, match="missing keys"):
        type(result).from_dict({k: v for k, v in plain.items() if k != first})
    with pytest.raises(InputError, match="must be"):
        type(result).from_dict(plain | {first: [["not", "this"]]})


def test_load_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        AuditReport.load(tmp_path / "none.json")
    for text, said in (
        ("{", "not a JSON file"),
        ("[]", "holds no fairheads result"),
        ('{"schema": "x"}', "is not of the schema"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=said):
            AuditReport.load(tmp_path / "bad.json")


@pytest.mark.parametrize("groups", [("Female", "Male"), FIVE])
def test_reports_keep_to_the_schema_and_the_schema_can_fail(groups: tuple[str, ...]) -> None:
    plain = audit(groups, twins=0, no_positives=True, untestable=groups[:1]).to_dict()
    jsonschema.Draft202012Validator.check_schema(schema_of(AuditReport))
    jsonschema.validate(plain, schema_of(AuditReport))
    del plain["disparity"]["metrics"]["true_positive_rate"]["groups"][groups[0]]["reason"]
    with pytest.raises(jsonschema.ValidationError, match="reason"):
        jsonschema.validate(plain, schema_of(AuditReport))


# ---------------------------------------------------------------- words


def test_numbers_have_three_decimals_and_no_negative_zero() -> None:
    assert [amount(v) for v in (0.12345, -0.0001, math.nan)] == ["0.123", "0.000", "not estimable"]
    assert [p_value(p) for p in (0.000131, 0.56, 1 / 6, math.nan)] == ["0.00013", "0.56", "0.17", "not estimable"]


def test_records_are_told_in_words() -> None:
    objective = {"name": "penalized", "constraint": {"name": "demographic_parity", "tolerance": 0.0}, "weight": 10.0}
    assert in_words(objective) == "penalized (constraint demographic parity (tolerance 0), weight 10)"
    assert in_words([True, None, 1000]) == "yes, none, 1,000"


def test_every_verdict_has_a_name_and_a_meaning() -> None:
    assert VERDICT_NAME.keys() == MEANING.keys()


@given(st.text())
def test_names_become_one_printable_line_of_bounded_length(text: str) -> None:
    for short in (clip(text, 12), clip_middle(text, 12)):
        assert 0 < len(short) <= 12
        assert short.splitlines() == [short]
        short.encode()
    assert printable(printable(text)) == printable(text)


# ---------------------------------------------------------------- text


def test_summaries_fit_the_terminal_and_end_with_what_they_do_not_say(result: Shown) -> None:
    lines = result.summary().splitlines()
    assert max(map(len, lines)) <= (110 if isinstance(result, Comparison) else 100)
    assert " not " in lines[-1]
    assert str(result) == result.summary()
    assert all(line == line.rstrip() for line in lines)


def test_golden_summaries() -> None:
    golden("audit_summary.txt", audit().summary() + "\n")
    golden("pathway_summary.txt", pathway(n_twins=0).summary() + "\n")
    golden("pathway_details_summary.txt", detailed().summary() + "\n")
    golden("comparison_summary.txt", comparison().summary() + "\n")


def test_what_a_finding_is_made_of_is_told_in_a_dozen_lines() -> None:
    *_, made, _ = detailed().summary().split("\n\n")
    assert len(made.splitlines()) <= 14
    told = (
        "strength 2.500 [2.000, 3.000]",
        "merit and group 0.956, merit alone 0.932 (floor), two twins 0.985 (ceiling)",
        "accuracy +0.019, the twin's +0.024",
        "relationship +0.600 (60%, task 5%)",
        "2 of 64: hidden.0 unit 0, hidden.0 unit 1",
        "not shown; dissociation 0.400 [0.200, 0.600] at hidden.0, largest of 5 twins 0.700",
        "91% of it through hidden.0; 4% of decisions flip",
    )
    words = " ".join(made.split())
    assert [phrase for phrase in told if phrase not in words] == []
    assert " routed; dissociation" in " ".join(detailed(routing=routes(routed=True)).summary().split())
    assert "none of 64: no unit carries more" in detailed(units=units(named=0)).summary()
    assert "column 2" in detailed().to_dict()["reading"]["columns"][4]["name"]
    assert "column 2" not in made  # the first four only
    assert "what it is made of" not in pathway().summary()
    assert "what it is made of" in detailed_audit().summary()


def test_a_layer_of_a_long_name_keeps_within_the_terminal() -> None:
    through = replace(counterfactual().layers[0], layer=LONG)
    flipped, fit = replace(counterfactual(), layers=(through,)), replace(two_heads(), layer=LONG)
    for result in (flipped, detailed(counterfactual=flipped, two_heads=fit)):
        assert max(map(len, result.summary().splitlines())) <= 100
        assert "…" in result.summary()


def test_an_effect_emerges_at_the_first_layer_beyond_its_margin_in_its_direction() -> None:
    report = pathway()
    assert report.emerges_at == "hidden.0"
    first, second = report.layers[0], replace(report.layers[1], swap=number(0.2, 0.05))
    within = {"swap": number(0.12, 0.05), "erasure": number(0.02, 0.01)}
    assert replace(report, layers=(replace(first, **within), second)).emerges_at == "hidden.2"
    by_erasure = replace(first, swap=within["swap"])
    assert replace(report, layers=(by_erasure, second)).emerges_at == "hidden.0"
    against = {"swap": number(-0.3, 0.05), "erasure": number(-0.06, 0.01)}
    assert replace(report, layers=(replace(first, **against), second)).emerges_at == "hidden.2"
    assert report.effect is not None
    aligned = replace(report, effect=replace(report.effect, value=-0.3), layers=(second, replace(first, **against)))
    assert aligned.emerges_at == "hidden.0"
    assert replace(report, layers=(replace(first, **within),)).emerges_at is None
    assert (
        replace(report, layers=(replace(first, swap=undefined("none"), erasure=undefined("none")),)).emerges_at is None
    )
    assert not_testable("a", "b").emerges_at is None


def test_no_network_is_called_a_good_one(result: Shown) -> None:
    said = f"{result.summary()} {fragment_of(result)}".lower()
    assert not [word for word in ("unbiased", "debiased", " fair ", "fairer", "unfair") if word in said]


def test_a_missing_rate_is_said_with_its_reason() -> None:
    report = disparity(no_positives=True)
    assert "true positive rate of Female, no rows recorded as favourable" in report.summary()
    assert "no rows recorded as favourable" in fragment_of(report)
    assert "0.000 " not in report.summary().splitlines()[4]


# ---------------------------------------------------------------- HTML

VOID = {"meta", "br", "use"}


class Tags(HTMLParser):
    """Fails where elements are not nested; collects tags, attributes and headings."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    return tags


def test_fragments_are_well_formed_and_carry_no_behaviour(result: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    fragment = fragment_of(result)
    monkeypatch.setattr(type(result), "html", lambda _: fragment)
    whole = result._repr_html_()
    assert fragment in whole
    tags = parsed(whole)
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "iframe", "img", "link", "object", "h1"}
    assert not [a for _, attributes in tags.seen for a in attributes if a.startswith("on")]
    assert "http" not in whole.replace("https?", "")


def test_in_a_notebook_the_look_is_that_of_its_theme() -> None:
    """What the notebook says of itself comes last and is more specific than what the system prefers."""
    style = pathway()._repr_html_().split("</style>")[0]
    system = re.search(r"\{ (?:\.fairheads)+ \{ (.*?) \} \}", style)
    light = re.search(r':is\(\[data-jp-theme-light="true"\], \.vscode-light\) (?:\.fairheads)+ \{ (.*?) \}', style)
    dark = re.search(r':is\(\[data-jp-theme-light="false"\], \.vscode-dark\) (?:\.fairheads)+ \{ (.*?) \}', style)
    assert system is not None and light is not None and dark is not None
    assert dark[1] == system[1] != light[1]
    assert style.count(light[1]) == 2


def test_tables_have_captions_and_heads() -> None:
    tags = parsed(fragment_of(audit()))
    tables = [a for tag, a in tags.seen if tag == "table"]
    assert len(tables) == len([a for tag, a in tags.seen if tag == "caption"]) == 5
    assert {a.get("scope") for tag, a in tags.seen if tag == "th"} == {"row", "col"}


def test_figures_say_their_numbers() -> None:
    labels = [a["aria-label"] or "" for tag, a in parsed(fragment_of(audit())).seen if tag == "svg"]
    assert len(labels) == 3
    assert all("0." in label for label in labels)
    assert any("hidden.0: swap 0.300 [0.250, 0.350]" in label for label in labels)


def test_hostile_names_stay_text_and_are_clipped_with_the_whole_in_the_title() -> None:
    fragment = fragment_of(audit((HOSTILE, LONG), name=HOSTILE))
    tags = parsed(fragment)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert any("<script>" in text for text in tags.text)
    assert max(len(word) for text in tags.text for word in text.split()) <= 64
    assert any(a.get("title") == LONG for _, a in tags.seen)


def test_the_same_report_gives_the_same_html() -> None:
    assert audit().html() == audit().html() == fragment_of(audit()) != audit(name="other").html()


# ---------------------------------------------------------------- figures


def test_plots_make_their_own_figure_or_use_the_axes_given(result: Shown) -> None:
    settings = dict(matplotlib.rcParams)
    draw: Any = result
    if isinstance(result, DisparityReport) and "selection_rate" not in result.metrics:
        with pytest.raises(InputError, match="nothing to plot"):
            result.plot()
        return
    own = draw.plot()
    assert isinstance(own, Axes)
    figure = Figure()
    given_axes = figure.add_subplot()
    assert draw.plot(given_axes) is given_axes
    for drawn in (figure, own.figure):
        assert svg(drawn, "words").startswith('<svg role="img" aria-label="words"')
    assert dict(matplotlib.rcParams) == settings


def test_curves_are_drawn_and_told_to_be_missing() -> None:
    lines = {line.get_color() for line in pathway().plot_curve().lines}
    assert set(PALETTE[:2]) <= lines
    assert "no merit bin" in not_testable("a", "b").plot_curve().texts[0].get_text()


def test_letters_that_the_font_lacks_stay_text() -> None:
    report = pathway("女性", "男性")
    assert "女性" in svg(report.plot_curve().figure, "words")  # type: ignore[arg-type]
    assert "<text" not in svg(pathway().plot_curve().figure, "words")  # type: ignore[arg-type]


def test_a_group_keeps_its_colour_whatever_the_order() -> None:
    assert look("b", ["c", "b", "a"]) == look("b", ["a", "b", "c"])
    many = [f"group {i:02}" for i in range(36)]
    assert len({look(group, many)[:2] for group in many}) == len(many)


def colour_of(ax: Axes, *, beside: str) -> str:
    """Of the line with a label, or with the label that stands beside it."""
    labelled = {str(line.get_label()).split(",")[0]: line for line in ax.lines}
    if beside in labelled:
        return str(labelled[beside].get_color())
    ticks = {label.get_text(): at for at, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    marks = [line for line in ax.lines if line.get_marker() not in ("None", None)]
    return str(min(marks, key=lambda line: abs(float(line.get_ydata()[0]) - ticks[beside])).get_color())


def test_where_labels_show_no_gap_no_figure_gives_effects_a_direction() -> None:
    for orientation, told in ((-1, "compensating →"), (0, "no gap in the labels")):
        one = replace(pathway(), orientation=orientation)
        assert told in one.plot().get_xlabel() and ("labels show no gap" in one.html()) == (orientation == 0)
    mixed = audit(("Female", "Male", "other"))
    none = replace(mixed, pathways={g: replace(p, orientation=0) for g, p in mixed.pathways.items()})
    assert "compensating →" in mixed.plot().get_xlabel() and "no gap in the labels" in none.plot().get_xlabel()
    assert f"For {len(none.pathways)} of the {len(none.pathways)} groups the labels show no gap" in figure(none)
    assert "labels show no gap" not in figure(mixed)


def test_a_sentence_has_the_minus_sign_of_print_and_names_stay() -> None:
    told = prose("b = -0.5 [-1.25, -1,000], p = 5e-06; group -1, 1994-1995, craft-repair")
    assert "b = −0.5 [−1.25, −1,000], p = 5e−06; group -1, 1994-1995, craft-repair" in told


@pytest.mark.parametrize("loaded", [False, True], ids=["made", "loaded"])
def test_groups_keep_their_colour_in_every_figure_of_an_audit(loaded: bool) -> None:
    report = replace(detailed_audit(FIVE), disparity=full(FIVE))
    report = AuditReport.from_dict(report.to_dict()) if loaded else report
    for group, found in report.pathways.items():
        mine, theirs = (look(name, FIVE).colour for name in (group, found.reference))
        assert [line.get_color() for line in found.plot_curve().lines][-2:] == [theirs, mine]
        assert found.routing is not None
        if not loaded:  # a file has no shares of units
            profiles = found.routing.plot_profiles()
            assert [colour_of(profiles, beside=clip(g, 20)) for g in (group, found.reference)] == [mine, theirs]
        figures = (report.plot(), report.disparity.plot(), report.disparity.plot_roc(), report.disparity.plot_ratios())
        assert {colour_of(ax, beside=clip_middle(group, 18)) for ax in figures} == {mine}
    alone = detailed_audit(("White", "Black")).pathways["White"]
    assert alone.plot_curve().lines[-1].get_color() != look("White", FIVE).colour


def test_figures_follow_the_colours_of_the_page() -> None:
    drawn = svg(pathway().plot_curve().figure, "words")  # type: ignore[arg-type]
    assert f"var(--fh-group-0, {PALETTE[0]})" in drawn
    assert "date" not in drawn.lower()


def test_the_layer_where_an_effect_emerges_is_marked_if_the_verdict_rests_on_it() -> None:
    def labels(report: PathwayReport) -> list[str]:
        return [label.get_text() for label in report.plot().get_yticklabels()]

    assert labels(pathway()) == ["hidden.0\nemerges here", "hidden.2"]
    assert "The effect emerges at hidden.0" in fragment_of(pathway())
    neutral = pathway(verdict="neutral")
    assert labels(neutral) == ["hidden.0", "hidden.2"]
    assert "emerges" not in neutral.html()


def test_layers_without_a_value_are_drawn_as_such() -> None:
    report = pathway()
    first, *rest = report.layers
    lacking = replace(first, swap=undefined("no merit bin has rows of both groups"))
    ax = replace(report, layers=(lacking, *rest)).plot()
    assert any("not estimable" in text.get_text() for text in ax.texts)


def test_margins_are_those_of_both_effects() -> None:
    assert pathway().margins == {"swap": 0.1, "erasure": 0.025}
    assert not_testable("a", "b").margins == {}


# ---------------------------------------------------------------- frames and files


def test_frames_hold_a_row_for_everything() -> None:
    assert len(disparity().to_frame()) == 2 * 6
    assert set(pathway().to_frame()["layer"]) == {"hidden.0", "hidden.2"}
    assert list(audit(FIVE).to_frame()["group"]) == list(FIVE[:-1])
    assert list(comparison().to_frame()["model"]) == ["plain", "parity"]
    assert list(not_testable("a", "b").to_frame().columns) == list(pathway().to_frame().columns)


def test_saving_writes_three_files_that_load_again(tmp_path: Path) -> None:
    report = audit()
    paths = report.save(tmp_path / "deep" / "out")
    assert [path.name for path in paths] == ["report.json", "report.html", "report.md"]
    assert AuditReport.load(paths[0]).to_json() == report.to_json()
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["report.html", "report.json", "report.md"]


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [path.read_bytes() for path in audit().save(tmp_path)]

    def full(self: Path, data: bytes) -> int:
        if self.name.startswith(".report.md"):
            raise OSError(28, "No space left on device")
        return original(self, data)

    original = Path.write_bytes
    with monkeypatch.context() as patched, pytest.raises(InputError, match="No space left"):
        patched.setattr(Path, "write_bytes", full)
        audit(name="other").save(tmp_path)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == set(before)
    (tmp_path / "report.md").unlink()
    (tmp_path / "report.md").mkdir()
    with pytest.raises(InputError, match=r"report\.md' cannot be written: it is a folder"):
        audit(name="other").save(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("report.json", "report.html")] == before[:2]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        audit().save(tmp_path / "out")


def test_a_lone_surrogate_in_a_name_is_written_and_read_again(tmp_path: Path) -> None:
    report = audit(("a\ud800", "b"))
    assert list(AuditReport.load(report.save(tmp_path)[0]).pathways) == ["a\ud800"]


def test_importing_results_loads_neither_torch_nor_matplotlib_nor_pandas() -> None:
    code = (
        "import sys, fairheads.results, fairheads.reports; print({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_plotting_does_not_load_pyplot() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from results_for_tests import audit\n"
        "audit().html(); print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    folder = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_numbers_format_with_their_interval() -> None:
    assert f"{number(0.5):.2f}" == "0.50 [0.49, 0.51]"
    assert f"{number(-0.0001, 0.0002)} {number(-0.0001, 0.0002):+.2f}" == "0.000 [0.000, 0.000] +0.00 [+0.00, +0.00]"
    assert "not estimable (no rows)" in str(undefined("no rows"))
