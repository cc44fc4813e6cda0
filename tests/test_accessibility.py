"""Pages under axe-core, in a browser: nothing serious at either width, in either theme."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from results_for_tests import HOSTILE, LONG, audit, compared, detailed_audit, full, page_of
from test_reports import CHROMIUM, WIDTHS, chromium, framed
from test_shown import SHOWN

from fairheads.results import PaperReport
from fairheads.results._stylesheet import page_style
from fairheads.results.page import html_document

SERIOUS = ("serious", "critical")


def cells() -> str:
    """What a notebook shows of objects that have no page of their own."""
    shown = "\n".join(made()._repr_html_() for made in SHOWN.values())
    return html_document("Cells", f"<h1>Cells</h1>\n<h2>Outputs</h2>\n{shown}", "{}", "none")


PAGES: dict[str, Callable[[], str]] = {
    "audit": lambda: page_of(audit()),
    "audit of five groups": lambda: page_of(audit(("a", "b", "c", "d", "e"), untestable=("b",))),
    "audit with details": lambda: page_of(detailed_audit()),
    "compare": lambda: page_of(compared()),
    "compare of hostile names": lambda: page_of(compared((HOSTILE, LONG, "c"), (HOSTILE, LONG))),
    "disparity": lambda: page_of(full(("a", "b", "c"))),
    "cells of a notebook": cells,
    "study": lambda: PaperReport.load(Path(__file__).parent / "studies" / "paper" / "adult.json").page(),
}

ASK = """
<script src="axe.min.js"></script>
<script>addEventListener('load', () => {
  for (const details of document.querySelectorAll('details')) { details.removeAttribute('name'); details.open = true; }
  const where = {include: [document], exclude: [['svg > *']]};
  axe.run(where, {iframes: false}).then(found => parent.postMessage(JSON.stringify({
    width: innerWidth,
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    passes: found.passes.map(rule => rule.id),
    violations: found.violations.map(rule => ({
      id: rule.id, impact: rule.impact,
      nodes: rule.nodes.slice(0, 3).map(node => node.html.slice(0, 160) + ' ' + node.failureSummary)}))}), '*'));
});</script>
"""


def axe() -> Path:
    """The file of axe-core, in whichever package brings it; the test skips where none does."""
    for name in ("axe_playwright_python", "axe_core_python"):
        found = find_spec(name)
        for folder in () if found is None else found.submodule_search_locations or ():
            if (Path(folder) / "axe.min.js").is_file():
                return Path(folder) / "axe.min.js"
    pytest.skip("needs axe-core (axe-core-python, in the extra `dev`)")


def asked(folder: Path, page: str, *, dark: bool) -> list[dict[str, Any]]:
    """What axe-core finds at every width."""
    shutil.copy(axe(), folder / "axe.min.js")
    frame = framed(folder, page.replace("</body>", ASK + "</body>"))
    listener = (
        "<script>onmessage = e => { const said = document.createElement('p'); said.className = 'said';"
        " said.textContent = e.data; document.body.append(said); }</script>"
    )
    frame.write_text(listener + frame.read_text())
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom = chromium(folder, frame, scheme, "--virtual-time-budget=60000", "--dump-dom", timeout=600)
    return [json.loads(unescape(said)) for said in re.findall(r'<p class="said">(.*?)</p>', dom, re.DOTALL)]


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_words_and_marks_have_contrast_in_both_themes() -> None:
    """4.5 to 1 for words, 3 to 1 for what figures draw; figures are paths, which axe-core does not judge."""
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    themes = re.findall(r":root \{ (.*?) \}", page_style())
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--fh-([a-z0-9-]+): (#[0-9a-f]{6});", theme))
        for word in ("ink", "soft", "link"):
            for ground in ("paper", "card"):
                assert contrast(colours[word], colours[ground]) >= 4.5, (word, ground)
        marks = [name for name in colours if name.startswith("group-")]
        assert len(marks) == 8
        for mark in (*marks, "twin"):
            assert contrast(colours[mark], colours["paper"]) >= 3, mark


browser = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
class TestUnderAxe:
    pytestmark = browser

    def test_nothing_serious_is_found(self, tmp_path: Path, page: Callable[[], str], dark: bool) -> None:
        told = asked(tmp_path, page(), dark=dark)
        assert sorted(each["width"] for each in told) == list(WIDTHS)
        for each in told:
            assert each["dark"] == dark
            assert {"color-contrast", "svg-img-alt", "html-has-lang", "document-title"} <= set(each["passes"])
            assert [rule for rule in each["violations"] if rule["impact"] in SERIOUS] == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_what_is_serious_is_noticed(tmp_path: Path) -> None:
    page = '<html><body><main><p style="color:#aaa;background:#fff">pale</p><img src="x.png"></main></body></html>'
    for each in asked(tmp_path, page, dark=False):
        found = {rule["id"] for rule in each["violations"] if rule["impact"] in SERIOUS}
        assert {"color-contrast", "image-alt", "html-has-lang"} <= found
