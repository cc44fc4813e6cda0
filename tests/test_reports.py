"""Pages: whole, self-contained, inert whatever the names, and legible in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html import unescape
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from PIL import Image
from results_for_tests import (
    HOSTILE,
    LONG,
    audit,
    compared,
    comparison,
    detailed,
    detailed_audit,
    fragment_of,
    full,
    impact,
    intersections,
    merge_report,
    not_testable,
    page_of,
    pathway,
    reading,
    recovery,
    selftest_report,
)

import fairheads.results
import fairheads_cli.main as command_line
from fairheads.errors import ConfigError, InputError
from fairheads.pathways.evidence import with_details
from fairheads.reports import FORMATS, comparison_page, load, refuse_other, render
from fairheads.reports.pages import KINDS
from fairheads.results import AuditReport, Comparison, PathwayReport, json_schema, json_text, schema_of
from fairheads.results.page import html_page, markdown_page, text_page
from fairheads.results.schema import schema_file
from fairheads.results.shown import Report, Shown

GROUPS = {"two": ("Female", "Male"), "hostile": (HOSTILE, LONG)}


def detailed_page() -> str:
    return page_of(detailed_audit())


def data_of(page: str, name: str) -> str:
    found = re.search(rf'<script type="application/json" id="{name}">\n(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found.group(1)


# ---------------------------------------------------------------- HTML


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_the_page_asks_nothing_of_anybody(groups: tuple[str, ...]) -> None:
    page = page_of(audit(groups))
    assert not re.search(r"\b(src|srcset|action|data|background)=", re.sub(r"data-label=", "", page))
    assert not re.search(r"href=\"(?!#)", page)
    assert "url(" not in re.sub(r"url\(#", "", page)
    assert "@import" not in page
    assert not re.search(r"https?://", page)
    assert len(re.findall("<script", page)) == 1


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_the_page_carries_the_report_for_programs(groups: tuple[str, ...]) -> None:
    report = audit(groups)
    carried = json.loads(data_of(page_of(report), "fairheads-report"))
    assert AuditReport.from_dict(carried).to_json() == report.to_json()


def test_the_same_report_gives_the_same_page() -> None:
    report = audit()
    again = AuditReport.from_dict(report.to_dict())
    assert html_page(report) == html_page(again) == page_of(audit())
    assert markdown_page(report) == markdown_page(again)


def test_sections_come_in_reading_order() -> None:
    page = page_of(audit())
    places = [
        page.index(part)
        for part in (
            "<h1>",
            "Compensating head",
            "People to whom the network gives the same merit",
            "Effect of the internal group estimate at every layer",
            ">Decisions by group<",
            ">Layer by layer<",
            ">Evidence<",
            ">Data and model<",
            ">Notes<",
            ">Method and limits<",
            ">To do it again<",
            "fairheads-report",
        )
    ]
    assert places == sorted(places)
    assert re.findall(r"<h([1-6])", page)[0] == "1"
    assert page.count("<h1>") == 1


def test_the_verdict_card_holds_the_numbers_it_rests_on() -> None:
    report = pathway()
    card = re.sub(r"<[^>]*>", "", fragment_of(report))
    for told in ("0.300 [0.250, 0.350]", "margin 0.100", "0.960 [0.950, 0.970]", "480", "p = 0.00013", "5 twins"):
        assert told in card


def test_what_a_finding_is_made_of_comes_after_the_layers_with_headings_in_order() -> None:
    page = page_of(detailed_audit(("a", "b", "c")))
    parts = ("What the head reads", "Two heads, fitted and taken out", "Units and routes")
    titles = ("Layer by layer", *parts, "Evidence")
    places = [page.index(f"<h2>{title}</h2>") for title in titles]
    assert places == sorted(places)
    told = re.sub(r"<[^>]*>", "", page)
    for group in ("a", "b"):
        for title in ("What the group head reads", "Two heads fitted to the network at hidden.0", "Units"):
            assert f"{title}: {group} beside c" in told
    for made, first in ((page, 1), (detailed_audit().html(), 2)):
        levels = [int(level) for level in re.findall(r"<h([1-6])>", made)]
        assert levels[0] == first
        assert all(below - above <= 1 for above, below in pairwise(levels))
    assert not any(f"<h2>{title}" in page_of(audit()) for title in parts)


def test_long_tables_are_folded_away_and_nothing_is_lost() -> None:
    page = detailed_page()
    folded = re.findall(r"<details><summary>In numbers</summary>(.*?)</details>", page, re.DOTALL)
    assert [len(re.findall("<table", part)) for part in folded] == [1, 1, 1]  # columns, two heads, recovery
    assert all(len(re.findall("rowheader", part)) > 6 for part in folded)
    assert page.count("relationship = Husband") == 1
    for row in ("decided alike: fit minus ceiling", "accuracy: share of the cost that comes back"):
        assert len(re.findall(rf"<bdi>{row}</bdi>|>{row}<", page)) == 1
    figures = re.findall(r'<figure><svg role="img" aria-label="([^"]*)"', page)
    assert len(figures) == page.count("<figure>") == 3 + 1 + 3 + 3  # verdict and rates; head; heads; units and routes
    assert all(re.search(r"\d", figure) for figure in figures)


def layer_lines(fragment: str) -> list[tuple[str, bool, str]]:
    """Of every layer that can be opened: what ties it to others, whether it is open, and its text."""
    found = re.findall(r'<details name="(layers-[0-9a-f]{8})"( open)?>(.*?)</details>', fragment, re.DOTALL)
    return [(name, bool(is_open), re.sub(r"<[^>]*>", "", text)) for name, is_open, text in found]


def test_layers_open_one_at_a_time_and_the_deciding_one_is_open() -> None:
    report = detailed()
    lines = layer_lines(fragment_of(report))
    assert [is_open for _, is_open, _ in lines] == [layer.name == "hidden.0" for layer in report.layers]
    assert len({name for name, _, _ in lines}) == 1
    for layer, (_, _, told) in zip(report.layers, lines, strict=True):
        assert told.startswith(layer.name)
        for number in (layer.swap, layer.erasure, layer.equal_merit, layer.flips, layer.probe_auc, layer.merit_auc):
            assert told.count(str(number)) >= 1
    assert "emerges here" in lines[0][2] and "The verdict rests on the swap here" in lines[0][2]
    assert "2 named; largest: unit 0 (0.050)" in lines[0][2]
    assert not any(words in lines[1][2] for words in ("emerges", "rests on", "in the figure"))
    assert layer_lines(fragment_of(not_testable("a", "b"))) == []


def test_layers_of_different_groups_are_opened_apart() -> None:
    page = page_of(detailed_audit(("a", "b", "c")))
    lines = layer_lines(page)
    names = [name for name, _, _ in lines]
    assert len(set(names)) == 2 and [names.count(name) for name in names] == [2] * 4
    assert [is_open for _, is_open, _ in lines] == [True, False] * 2
    assert page.count("All layers in one table") == 2


def test_maps_of_images_are_shown() -> None:
    nothing = dict.fromkeys(("units", "routing", "two_heads", "recovery", "counterfactual"))
    assert "Mean maps of" in html_page(detailed_audit(**nothing, reading=reading(image=True)))
    assert "Mean maps of" not in detailed_page()


def test_what_could_not_be_looked_at_is_left_out() -> None:
    page = html_page(detailed_audit(reading=None, two_heads=None, recovery=None, counterfactual=None))
    assert "What the head reads" not in page
    assert "Two heads, fitted" not in page
    assert "<h2>Units and routes</h2>" in page


def evidence_of(report: PathwayReport) -> dict[str, tuple[object, ...]]:
    return {
        line.detector: (line.tag, line.value, line.low, line.null, line.passed)
        for line in with_details(report).evidence
        if line not in report.evidence
    }


def test_every_detail_has_a_line_of_evidence_among_those_of_its_kind() -> None:
    found = with_details(detailed())
    tags = [line.tag for line in found.evidence]
    assert tags == sorted(tags, key=("causal", "functional", "descriptive", "check").index)
    assert max(len(line.detector) for line in found.evidence) <= 38
    low = pytest.approx
    assert evidence_of(detailed()) == {
        "pathway neutralised at hidden.0": ("causal", 0.055, low(0.045), low(0.015), True),
        "counterfactual inputs": ("causal", 0.22, low(0.21), 0.0, None),
        "two heads fitted: decided alike": ("functional", 0.956, low(0.946), 0.932, None),
        "recovery: decided like a twin": ("functional", 0.962, low(0.952), 0.921, None),
        "routing at hidden.0": ("descriptive", 0.4, low(0.2), 0.7, None),
        "units named, share": ("descriptive", 2 / 64, None, None, None),
    }
    assert evidence_of(pathway()) == {}


def test_untestable_and_many_groups_have_a_page() -> None:
    page = page_of(audit(("a", "b", "c", "d"), untestable=("b",)))
    assert "Not testable" in page
    assert "no layer was measured" in page
    assert "The deciding effect of every group" in page


def test_ids_are_not_given_twice() -> None:
    for page in (page_of(audit(("a", "b", "c", "d"), untestable=("b",))), detailed_page()):
        found = re.findall(r'\bid="([^"]+)"', page)
        assert len(found) == len(set(found))


# ---------------------------------------------------------------- Markdown and text


def test_markdown_of_hostile_names_is_inert() -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    page = markdown_page(audit((HOSTILE, LONG), name=HOSTILE))
    html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    assert not re.search(r"<(script|a|code|strong|em|img)\b", html)
    widths = {len(re.findall(r"<t[hd]\b", row)) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)}
    assert widths == {4, 5, 6}
    assert max(map(len, page.splitlines())) < 1500


def test_markdown_tells_what_a_finding_is_made_of() -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    page = markdown_page(detailed_audit())
    assert page.index("## What it is made of") < page.index("## Evidence")
    assert "- two heads fitted: strength 2.500" in page
    assert "| relationship | 0.600 [0.590, 0.610] | 60 %" in page
    assert "What it is made of" not in markdown_page(audit())
    hostile = markdown_page(detailed_audit((HOSTILE, LONG)))
    html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(hostile)
    assert not re.search(r"<(script|a|code|strong|em|img)\b", html)


def test_markdown_says_what_the_page_says() -> None:
    page = markdown_page(audit())
    for told in ("# parity on adult", "Compensating head", "margin 0.100", "not about law", "Seed 7"):
        assert told in page


def test_text_ends_with_what_it_does_not_say() -> None:
    page = text_page(audit())
    assert "swap at hidden.0" in page
    assert "not about law" in page.splitlines()[-1]
    assert max(map(len, page.splitlines())) <= 100


REPORTS: dict[str, Callable[[], Report]] = {
    "audit": audit,
    "comparison": comparison,
    "compare": compared,
    "disparity": full,
    "front": lambda: compared().front,
    "impact": impact,
    "merge": merge_report,
    "paper": lambda: load(Path(__file__).parent / "studies" / "paper" / "compas.json"),
    "selftest": selftest_report,
}


def test_no_kind_of_report_is_forgotten() -> None:
    assert set(KINDS) == set(Report.__subclasses__()) == {type(make()) for make in REPORTS.values()}


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_every_report_has_the_same_views_which_say_what_its_files_say(
    made: Callable[[], Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = made()
    monkeypatch.setattr("fairheads.results._style.svg", lambda *_: "")  # figures take most of the time
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    monkeypatch.setattr("fairheads.results._paper_figures.FIGURES", {"accuracy": lambda *_: None})
    files = {file.suffix: file for file in report.save(tmp_path)}
    views = {".json": report.to_json(), ".md": report.markdown(), ".html": report.page()}
    assert files[".json"].name == report.FILE and files.keys() >= views.keys()
    for suffix, text in views.items():
        assert files[suffix].read_text(encoding="utf-8") == text == render(report, suffix[1:])
    back = load(files[".json"])
    assert type(back) is type(report) and back.subject() == report.subject()
    assert report.markdown().startswith("# ") and report.page().count("<h1>") == 1
    assert report.summary().splitlines()[-1] == report.text().splitlines()[-1] and report.text() == render(
        report, "text"
    )
    assert len(report.to_frame()) > 0 and report.html() and report.plot() is not None


@pytest.mark.parametrize("made", REPORTS.values(), ids=REPORTS)
def test_a_report_replaces_one_about_the_same_alone(made: Callable[[], Report], tmp_path: Path) -> None:
    report = made()
    subject = {what: key for what, (key, _) in report.subject().items()}
    refuse_other(tmp_path, type(report), subject)
    (tmp_path / report.FILE).write_text(report.to_json(), encoding="utf-8")
    refuse_other(tmp_path, type(report), subject)
    for what in subject:
        with pytest.raises(InputError, match=rf"{report.FILE}' is of {what} \(.+\); .*--overwrite"):
            refuse_other(tmp_path, type(report), {what: "else"})
    (tmp_path / report.FILE).write_text("{}")
    with pytest.raises(InputError, match=f"is no report of {report.OF}"):
        refuse_other(tmp_path, type(report), {})


def records(kind: type[Shown] = Shown) -> Iterator[type[Shown]]:
    """Every kind of record whose JSON names a schema."""
    for each in kind.__subclasses__():
        if "SCHEMA" in vars(each):
            yield each
        yield from records(each)


@pytest.mark.parametrize("kind", list(records()), ids=lambda kind: kind.__name__)
def test_the_package_ships_the_schema_of_every_record(kind: type[Shown]) -> None:
    file = Path(fairheads.results.__file__).parent / schema_file(kind)
    if os.environ.get("FAIRHEADS_UPDATE_GOLDEN"):
        file.write_text(json_text(json_schema(kind)), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == json_text(json_schema(kind))
    jsonschema.Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("made", [*REPORTS.values(), recovery], ids=[*REPORTS, "recovery"])
def test_a_record_keeps_to_its_schema_and_the_schema_can_fail(made: Callable[[], Shown]) -> None:
    record = made()
    plain, schema = json.loads(record.to_json()), schema_of(type(record))
    jsonschema.validate(plain, schema)
    for wrong in (plain | {"more": 1}, plain | {"schema": "x"}, {k: v for k, v in plain.items() if k != "schema"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_what_names_no_schema_has_none() -> None:
    with pytest.raises(ConfigError, match="must be a record with a `SCHEMA`, got PathwayReport"):
        schema_of(PathwayReport)


def test_formats_are_dispatched_and_others_refused(tmp_path: Path) -> None:
    report = audit()
    assert {name: render(report, name) for name in FORMATS[AuditReport]}["json"] == report.to_json()
    assert [path.read_text(encoding="utf-8") for path in report.save(tmp_path)] == [
        render(report, name) for name in ("json", "html", "md")
    ]
    with pytest.raises(ConfigError, match="'pdf'"):
        render(report, "pdf")


# ---------------------------------------------------------------- comparison


def test_comparison_links_to_the_pages_it_is_given() -> None:
    page = comparison_page(comparison(), {"plain": "plain net/report.html"})
    assert re.findall(r'<a href="([^"]*)"', page) == ["./plain%20net/report.html"]
    assert Comparison.from_dict(json.loads(data_of(page, "fairheads-comparison"))).reports.keys() == {"plain", "parity"}
    assert page == comparison_page(comparison(), {"plain": "plain net/report.html"})


def test_links_cannot_leave_the_folder_by_protocol_or_host() -> None:
    page = comparison_page(comparison(), {"plain": 'javascript:alert("1")'})
    assert re.findall(r'<a href="([^"]*)"', page) == ["./javascript%3Aalert%28%221%22%29"]
    for path in ("/etc/report.html", "//host/report.html", ""):
        with pytest.raises(InputError, match="relative"):
            comparison_page(comparison(), {"plain": path})
    with pytest.raises(InputError, match="names among"):
        comparison_page(comparison(), {"other": "x.html"})


def test_every_group_has_a_row_of_its_own() -> None:
    page = comparison_page(Comparison(reports={"net": audit(("a", "b", "c"))}), {})
    assert page.count('<tr role="row"><th role="rowheader" scope="row"><bdi>net</bdi>') == 2
    empty = Comparison(reports={"net": AuditReport.from_dict(audit().to_dict() | {"pathways": {}})})
    assert "no group was put beside a reference" in comparison_page(empty, {})
    assert "net" in empty.summary()


def test_a_saved_comparison_of_audits_is_rendered_like_other_reports(tmp_path: Path) -> None:
    file = tmp_path / "comparison.json"
    file.write_text(comparison().to_json(), encoding="utf-8")
    wanted = {
        "text": f"{comparison().summary()}\n",
        "json": comparison().to_json(),
        "md": comparison().markdown(),
        "html": comparison_page(comparison(), {}),
    }
    for form, text in wanted.items():
        done = CliRunner().invoke(command_line.fairheads, ["render", str(file), "--format", form])
        assert done.exit_code == 0, done.output
        assert done.stdout == text == render(load(file), form)
    with pytest.raises(InputError, match="is not of the schema fairheads/comparison/1"):
        file.write_text('{"schema": "fairheads/comparison/2"}')
        Comparison.load(file)


# ---------------------------------------------------------------- a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PAGES: dict[str, Callable[[], str]] = {
    "compare": lambda: page_of(compared()),
    "compare of hostile names": lambda: page_of(compared((HOSTILE, LONG, "c"), (HOSTILE, LONG))),
    "audit": lambda: page_of(audit()),
    "audit of hostile names": lambda: page_of(audit((HOSTILE, LONG))),
    "audit of hostile names with details": lambda: page_of(detailed_audit((HOSTILE, LONG))),
    "disparity": lambda: page_of(intersections()),
    "disparity of hostile names": lambda: page_of(full((HOSTILE, LONG), columns=(LONG,), name=LONG)),
}
browser = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]


def chromium(folder: Path, page: Path, *options: str, timeout: float = 120) -> str:
    """Open a page in a profile of its own; standard output."""
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout).stdout


WIDTHS, HEIGHT = (375, 1440), 3000


def framed(folder: Path, page: str) -> Path:
    """A page that shows another in frames of every width: a headless window is never narrower than 500."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    frame = folder / "frames.html"
    style = f"height:{HEIGHT}px;border:0;float:left"
    frames = (f'<iframe src="page.html" style="width:{width}px;{style}"></iframe>' for width in WIDTHS)
    frame.write_text(f'<body style="margin:0">{"".join(frames)}')
    return frame


def measured(folder: Path, page: str) -> list[tuple[int, int, int]]:
    """At every width: the width, what the page needs, and how many elements outside of scrolled ones are wider."""
    measure = (
        "<script>addEventListener('load', () => {"
        "const wide = [...document.querySelectorAll('.fairheads *')].filter("
        "e => !e.closest('.scroll') && !e.closest('svg') && !e.closest('script, style') && "
        "e.getBoundingClientRect().right > innerWidth + 1).length;"
        "parent.postMessage([innerWidth, document.documentElement.scrollWidth, wide].join(' ') + ';', '*'); });"
        "</script>"
    )
    frame = framed(folder, page.replace("</body>", measure + "</body>"))
    listener = "<p id=said></p><script>onmessage = e => { said.textContent += e.data; }</script>"
    frame.write_text(listener + frame.read_text())
    dom = chromium(folder, frame, "--virtual-time-budget=5000", "--dump-dom")
    said = re.search(r'<p id="said">([\d ;]+)</p>', dom)
    assert said is not None
    told = (each.split() for each in said.group(1).split(";") if each)
    return sorted((int(width), int(needed), int(wide)) for width, needed, wide in told)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
class TestInABrowser:
    pytestmark = browser

    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    def test_the_page_is_drawn(self, tmp_path: Path, dark: bool, page: Callable[[], str]) -> None:
        shot = tmp_path / "shot.png"
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        options = (scheme, f"--window-size={sum(WIDTHS)},{HEIGHT}", f"--screenshot={shot}")
        chromium(tmp_path, framed(tmp_path, page()), *options)
        drawn, left = Image.open(shot).convert("L"), 0
        for width in WIDTHS:
            image = drawn.crop((left, 0, left + width, HEIGHT))
            left += width
            paper = image.getpixel((2, 2))
            assert isinstance(paper, int)
            assert (paper < 60) == dark
            levels = image.histogram()
            ink = sum(levels[160:]) if dark else sum(levels[:96])
            assert ink > 0.005 * image.width * image.height

    def test_nothing_is_wider_than_the_page(self, tmp_path: Path, page: Callable[[], str]) -> None:
        told = measured(tmp_path, page())
        assert [width for width, _, _ in told] == list(WIDTHS)
        for width, needed, wide in told:
            assert needed <= width
            assert wide == 0


NOTEBOOK = """
.outer.common table { border: 1px solid red; table-layout: fixed; margin: 1em auto; font-size: 9px; }
.outer.common thead, .outer.common tr { border-bottom: 2px solid red; padding: 9px; line-height: 3; }
:not(.other).common td, :not(.other).common th { text-align: right; vertical-align: middle; max-width: none; }
.common tbody tr:nth-child(odd), .common tbody tr:nth-child(even) { background: red; }
.common :not(pre) > code { background: red; padding: 1px 9px; }
.outer dl { width: 100%; overflow: hidden; display: block; } .outer dt { float: left; width: 20%; font-weight: bold; }
.outer dd { float: left; width: 80%; } .common p, .common h3 { margin: 0 0 2em; text-align: right; }
"""
"""Such rules as notebooks have for everything that a cell shows."""

LOOKED_AT = ("dl", "dt", "dd", "table", "thead", "tbody tr", "tbody tr:nth-child(2)", "th", "td", "code", "p", "h3")


def styles(folder: Path, fragment: str, rules: str) -> dict[str, list[str]]:
    """How some elements of a fragment come out among a notebook's rules."""
    ask = (
        "const names = ['display', 'float', 'width', 'textAlign', 'backgroundColor', 'padding', 'margin', 'fontSize', "
        "'fontWeight', 'tableLayout', 'borderBottomWidth', 'lineHeight', 'verticalAlign'];"
        f"const said = Object.fromEntries({json.dumps(LOOKED_AT)}.map(where => {{ const style = getComputedStyle("
        "document.querySelector('.fairheads ' + where)); return [where, names.map(name => style[name])]; }));"
        "document.querySelector('#said').textContent = JSON.stringify(said);"
    )
    page = folder / "cell.html"
    body = f'<div class="outer common">{fragment}</div><pre id="said"></pre><script>{ask}</script>'
    page.write_text(f"<!DOCTYPE html><style>{rules}</style><body>{body}", encoding="utf-8")
    said = re.search(r'<pre id="said">(.*?)</pre>', chromium(folder, page, "--dump-dom"), re.DOTALL)
    assert said is not None
    found: dict[str, list[str]] = json.loads(unescape(said[1]))
    return found


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_notebook_does_not_change_the_look_of_a_cell(tmp_path: Path) -> None:
    shown = pathway()._repr_html_()
    alone = styles(tmp_path, shown, "")
    assert styles(tmp_path, shown, NOTEBOOK) == alone
    weak = re.sub(r"(\.fairheads){2,}", ".fairheads", shown)
    assert styles(tmp_path, weak, NOTEBOOK)["td"] != alone["td"]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_what_is_wider_than_the_page_is_noticed(tmp_path: Path) -> None:
    page = '<body style="margin:0"><main class="fairheads"><p style="width:1000px">wide</p></main></body>'
    assert measured(tmp_path, page) == [(375, 1000, 1), (1440, 1440, 0)]
