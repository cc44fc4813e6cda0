"""The look of pages and of results in a notebook: one style sheet that reaches no further than its own frame."""

from __future__ import annotations

import re

from fairheads.results._style import BAND, INK, PALETTE_DARK, PALETTE_LIGHT, PAPER, RULE, SOFT, TWIN

_DARK = {"ink": "#e6edf3", "soft": "#a3afbb", "rule": "#3d4752", "band": "#262e37", "twin": "#8b96a2"}
_DARK |= {"paper": "#10151b", "card": "#181f27", "link": "#79c0ff"}
_LIGHT = {"ink": INK, "soft": SOFT, "rule": RULE, "band": BAND, "twin": TWIN, "paper": PAPER}
_LIGHT |= {"card": "#f5f7f9", "link": "#0550ae"}


_THEMES = (("true", "light"), ("false", "dark"))
"""How JupyterLab and its exports, and VS Code, mark the page of a light and of a dark theme."""


def _variables(colours: dict[str, str], palette: tuple[str, ...]) -> str:
    both = colours | {f"group-{i}": colour for i, colour in enumerate(palette)}
    return " ".join(f"--fh-{name}: {colour};" for name, colour in both.items())


_RULES = """
.fairheads { color: var(--fh-ink); background: var(--fh-paper); color-scheme: light dark;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  padding: 1rem; box-sizing: border-box; overflow-wrap: anywhere; }
.fairheads *, .fairheads *::before { box-sizing: border-box; }
.fairheads h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .25rem; }
.fairheads h2 { font-size: 1.35rem; line-height: 1.25; margin: 3rem 0 .75rem; padding-top: 1rem;
  border-top: 1px solid var(--fh-rule); }
.fairheads h3 { font-size: 1.08rem; line-height: 1.3; margin: 1.75rem 0 .5rem; }
.fairheads h4 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
.fairheads p { margin: .5rem 0; max-width: 44rem; }
.fairheads ul { margin: .5rem 0; padding-left: 1.2rem; max-width: 44rem; }
.fairheads a { color: var(--fh-link); }
.fairheads .soft, .fairheads figcaption, .fairheads caption { color: var(--fh-soft); }
.fairheads .n { white-space: nowrap; font-variant-numeric: tabular-nums; }
.fairheads .i { color: var(--fh-soft); }
.fairheads code { font: .88em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: none;
  color: inherit; padding: 0; }
.fairheads .card { background: var(--fh-card); border: 1px solid var(--fh-rule);
  border-left: .4rem solid var(--fh-soft); border-radius: .5rem; padding: 1rem 1.25rem 1.1rem; margin: 1rem 0; }
.fairheads .card.found { border-left-color: var(--fh-group-1); }
.fairheads .card.none { border-left-color: var(--fh-group-0); }
.fairheads .card h3 { margin: 0; font-weight: 500; font-size: 1rem; color: var(--fh-soft); }
.fairheads .verdict { font-size: 1.5rem; line-height: 1.25; font-weight: 700; margin: .1rem 0 .4rem; }
.fairheads dl { margin: .75rem 0 0; display: grid;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr));
  gap: .9rem 1.75rem; }
.fairheads dl > div { border-top: 1px solid var(--fh-rule); padding-top: .4rem; }
.fairheads dt { font-size: .85rem; color: var(--fh-soft); font-weight: 400; }
.fairheads dt, .fairheads dd { display: block; float: none; width: auto; padding: 0; }
.fairheads dl { width: auto; overflow: visible; padding: 0; }
.fairheads dd { margin: 0; }
.fairheads dd strong { font-size: 1.1rem; font-variant-numeric: tabular-nums; }
.fairheads .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr));
  gap: 1rem 2.5rem; align-items: start; }
.fairheads figure { margin: 1rem 0; max-width: 30rem; }
.fairheads figure svg { display: block; width: 100%; height: auto; overflow: visible; }
.fairheads figcaption { font-size: .88rem; line-height: 1.45; margin-top: .4rem; }
.fairheads summary { cursor: pointer; width: fit-content; }
.fairheads .layers { margin: 1rem 0; border-bottom: 1px solid var(--fh-rule); }
.fairheads .layers > details { border-top: 1px solid var(--fh-rule); padding: .45rem 0; }
.fairheads .layers > details[open] { padding-bottom: 1rem; }
.fairheads .layers summary { width: auto; }
.fairheads .layers summary > * { display: inline-block; min-width: 14rem; vertical-align: top; padding-right: 1rem; }
.fairheads .layers summary > :first-child { min-width: 9rem; font-weight: 600; }
.fairheads summary:focus-visible { outline: 2px solid var(--fh-link); outline-offset: 2px; }
.fairheads .scroll { overflow-x: auto; margin: 1rem 0; max-width: 100%; }
.fairheads .scroll:focus-visible { outline: 2px solid var(--fh-link); outline-offset: 2px; }
.fairheads table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4;
  overflow-wrap: break-word; background: none; color: inherit; margin: 0; border: 0; table-layout: auto; }
.fairheads p, .fairheads h2, .fairheads h3, .fairheads h4 { text-align: left; }
.fairheads thead, .fairheads tr { background: none; border: 0; padding: 0; line-height: inherit; }
.fairheads caption { caption-side: top; text-align: left; padding: 0 0 .5rem; font-size: .9rem;
  position: sticky; left: 0; }
.fairheads th, .fairheads td { padding: .45rem .75rem .45rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--fh-rule); max-width: 22rem; white-space: normal; line-height: inherit; }
.fairheads thead th { border-bottom: 2px solid var(--fh-soft); font-weight: 600; vertical-align: bottom; }
.fairheads tbody th { font-weight: 500; min-width: 6rem; max-width: 16rem; overflow-wrap: break-word; }
.fairheads th.r, .fairheads td.r { text-align: right; }
.fairheads tr > :last-child { padding-right: 0; }
.fairheads .r + :not(.r) { padding-left: .9rem; }
.fairheads td.r .i { display: block; font-size: .92em; }
@media screen and (max-width: 600px) {
  .fairheads table, .fairheads caption, .fairheads tbody, .fairheads tr, .fairheads tbody th { display: block; }
  .fairheads thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .fairheads tbody tr { border-bottom: 1px solid var(--fh-rule); padding: .5rem 0 .6rem; }
  .fairheads tbody tr:first-child { border-top: 2px solid var(--fh-soft); }
  .fairheads tbody th { min-width: 0; max-width: none; border: 0; padding: 0 0 .15rem; font-weight: 700; }
  .fairheads td, .fairheads .r + :not(.r) { display: grid; column-gap: .75rem;
    grid-template-columns: minmax(0, 9.5rem) minmax(0, 1fr); border: 0; padding: .1rem 0;
    max-width: none; text-align: left; }
  .fairheads td::before { content: attr(data-label); color: var(--fh-soft); }
  .fairheads td.r { text-align: left; } .fairheads td.r .i { display: inline; } }
.fairheads abbr { text-decoration: none; }
.fairheads .met { font-weight: 700; }
"""

_PAGE = """
body { margin: 0; background: var(--fh-paper); }
body > .fairheads { max-width: 70rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
@media (max-width: 600px) { body > .fairheads { padding: 1.25rem 1rem 3rem; }
  .fairheads .card { padding: .8rem .9rem 1rem; } .fairheads h1 { font-size: 1.5rem; } }
@media print { body > .fairheads { max-width: none; padding: 0; font-size: 10.5pt; }
  .fairheads .scroll { overflow: visible; } .fairheads table { font-size: 8pt; }
  .fairheads th, .fairheads td { padding-right: .45rem; }
  .fairheads figure, .fairheads tr, .fairheads .card, .fairheads dl > div { break-inside: avoid; }
  .fairheads details::details-content { content-visibility: visible; display: block; height: auto; }
  .fairheads h2, .fairheads h3, .fairheads caption, .fairheads thead { break-after: avoid; }
  .fairheads tbody tr:first-child { break-before: avoid; } .fairheads h2 { margin-top: 1.5rem; } }
"""


def _sheet(scope: str) -> str:
    light = f"{scope} {{ {_variables(_LIGHT, PALETTE_LIGHT)} }}"
    dark = f"@media screen and (prefers-color-scheme: dark) {{ {scope} {{ {_variables(_DARK, PALETTE_DARK)} }} }}"
    return f"{light}\n{dark}{_RULES}"


_STRONG = ".fairheads" * 3
"""In a notebook our rules are to win against those for all outputs, such as ``.x:not(.y) td`` and ``.x tr:hover``."""


def _themed() -> str:
    """A notebook's own theme, where it says which it has, comes before what the reader's system prefers."""
    light, dark = (f':is([data-jp-theme-light="{on}"], .vscode-{name}) {_STRONG}' for on, name in _THEMES)
    return f"{light} {{ {_variables(_LIGHT, PALETTE_LIGHT)} }}\n{dark} {{ {_variables(_DARK, PALETTE_DARK)} }}\n"


def page_style() -> str:
    """The style sheet of a page of its own."""
    return _sheet(":root") + _PAGE


def framed(fragment: str) -> str:
    """A fragment in a frame that carries its own style, for a notebook."""
    style = re.sub(r"\.fairheads\b", _STRONG, _sheet(".fairheads"))
    return f'<div class="fairheads"><style>{style}{_themed()}</style>\n{fragment}\n</div>'
