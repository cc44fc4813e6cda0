"""What is handed over beside a model: a hostile file is refused in one line, and a report stays text."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import results_for_tests as results
from bombs_for_tests import bombs
from folders_for_tests import laid
from handed_for_tests import HANDED, handed
from hostile_files_for_tests import files
from hostile_for_tests import Hostile
from inert_for_tests import check_lines, check_page

from fairheads.errors import FairheadsError, InputError
from fairheads.reports import render, render_file
from fairheads.reports.pages import FORMATS
from fairheads.results.shown import Report

MARKER = Path(tempfile.gettempdir()) / f"fairheads-marker-{os.getpid()}"
"""Where a file whose code ran would leave a mark."""

MARKUP = (
    "</script><script>alert(1)</script>\"' onload=x><img src=//x.y>]]>--> $\\frac{$ [a](javascript:b) =1+1 \x1b[2J\x9b"
)


def opened(each: Hostile, folder: Path) -> None:
    """Opens a file as the fuzzer does."""
    path = folder / each.name
    path.write_bytes(each.content)
    if path.suffix == ".images":
        laid(each.content, path := folder / f"laid_{each.name}")
    HANDED[path.suffix](path)


@pytest.mark.slow
def test_bombs_are_refused_and_memory_stays_small(tmp_path: Path) -> None:
    """Small files that unpack to gigabytes: every reader that does not stream them says so, and none takes 2 GB."""
    made = [each for each in bombs() if each.says]
    for each in made:
        assert len(each.content) < 2**24
        (tmp_path / each.name).write_bytes(each.content)
    program = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "bombs_for_tests.py"), str(tmp_path)]
    # What reads rows as they pass goes on for minutes where they are no more than many.
    for name in ("rows.csv.gz", "rows.csv.xz", "rows.parquet"):
        (tmp_path / name).unlink(missing_ok=True)
    streamed = subprocess.run([*program, "stream", "tally"], capture_output=True, text=True, check=True)
    for each in made:
        (tmp_path / each.name).write_bytes(each.content)
    held = subprocess.run([*program, "read"], capture_output=True, text=True, check=True)
    wrong, wanted = [], {each.name: each.says for each in made}
    for done in (streamed, held):
        *lines, megabytes = done.stdout.splitlines()
        assert int(megabytes) < 2_000
        for name, reader, said in map(json.loads, lines):
            if not re.search(wanted[name].get(reader, "was read"), said) or len(said) > 600:
                wrong.append((name, reader, said))
    assert not wrong


def test_every_file_is_refused_in_one_line(tmp_path: Path) -> None:
    wrong = {}
    made = list(files(MARKER))
    assert len({each.name for each in made}) == len(made) > 50
    for each in made:
        try:
            opened(each, tmp_path)
            wrong[each.name] = "was opened"
        except FairheadsError as error:
            said = str(error)
            if not re.search(each.says, said) or "\n" in said or len(said) > 900:
                wrong[each.name] = said[:400]
        except Exception as error:
            wrong[each.name] = f"{type(error).__name__}: {str(error)[:300]}"
        if MARKER.exists():
            MARKER.unlink()
            wrong[each.name] = "ran its code"
    assert not wrong


def test_what_they_are_made_of_is_opened(tmp_path: Path) -> None:
    for number, (end, content) in enumerate(handed()):
        opened(Hostile(f"{number}{end}", content, ""), tmp_path)


def _strings(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    for each in plain.items() if isinstance(plain, dict) else plain if isinstance(plain, list | tuple) else ():
        yield from _strings(each)


def marked(report: Report) -> tuple[Report, int]:
    """The report with markup in every string that can be another one, and in how many."""
    text, count = json.dumps(report.to_dict()), 0
    for string in dict.fromkeys(_strings(report.to_dict())):
        other = text.replace(json.dumps(string), json.dumps(f"{MARKUP}{count}"))
        try:
            made = type(report).from_dict(json.loads(other))
            made.text(), made.markdown()
        except Exception:  # a word of a list of words, or a name that something else goes by
            continue
        report, text, count = made, other, count + 1
    return report, count


REPORTS = {
    "audit": results.audit,
    "details": results.detailed_audit,
    "audits": results.comparison,
    "models": results.compared,
    "disparity": results.full,
    "merge": results.merge_report,
    "selftest": results.selftest_report,
    "impact": results.impact,
}


@pytest.mark.parametrize("name", REPORTS)
def test_markup_in_every_string_stays_text(name: str, tmp_path: Path) -> None:
    report, count = marked(REPORTS[name]())
    assert count > 3
    (tmp_path / "report.json").write_text(report.to_json())
    for form in FORMATS[type(report)]:
        text = render_file(tmp_path / "report.json", form)
        if form == "html":
            check_page(text)
            assert "&lt;script&gt;alert(1)" in text
        elif form != "json":
            check_lines(text)
        if form == "csv":
            assert not re.search(r'(^|,)"?=1\+1', text, re.MULTILINE)


def test_the_checks_of_pages_see_what_they_are_there_for() -> None:
    """Positive controls."""
    page = render(results.impact(), "html")
    check_page(page)
    for bad in (
        "<script>alert(1)</script>",
        "<b onclick='x'>a</b>",
        "<a href='javascript:x'>a</a>",
        "<b>",
        "</div>",
        "<img src='https://x.y/z.png'>",
        "<iframe></iframe>",
        "<i style='background: url(//x)'></i>",
    ):
        with pytest.raises(ValueError, match="not inert"):
            check_page(page.replace("<main", f"{bad}<main"))
    with pytest.raises(ValueError, match="holds"):
        check_lines("a\x1b[2J")


def test_a_lone_surrogate_is_told_as_json_and_printed(tmp_path: Path) -> None:
    plain = results.impact().to_dict() | {"name": "\ud800"}
    (tmp_path / "impact.json").write_text(json.dumps(plain))
    for form in ("text", "json", "md", "html", "csv"):
        assert render_file(tmp_path / "impact.json", form).encode()
    with pytest.raises(InputError, match="cannot be read"):
        render_file(tmp_path, "text")
