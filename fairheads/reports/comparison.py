"""The page that puts several audits side by side."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from fairheads.errors import InputError
from fairheads.results import Comparison
from fairheads.results.page import html_document


def comparison_page(comparison: Comparison, links: Mapping[str, str]) -> str:
    """The comparison as one HTML file that needs nothing else.

    Parameters
    ----------
    comparison : Comparison
        The audits by name.
    links : mapping of name to str
        For each name that has a page of its own the path to it, relative to where this page will lie.

    Raises
    ------
    InputError
        If a link is for a name that is not compared, or is not a relative path.

    Notes
    -----
    Not shown: which network to use.
    """
    unknown = sorted(set(links) - set(comparison.reports))
    if unknown:
        raise InputError(f"`links` must be for names among {sorted(comparison.reports)}, got {unknown}.")
    for path in links.values():
        if path.startswith(("/", "\\")) or not path:
            raise InputError(f"`links` must hold relative paths, got {path!r}.")
    # "./" before a quoted path: no path can then be read as the name of a protocol or of a host.
    addresses = {name: f"./{quote(path, safe='/')}" for name, path in links.items()}
    body = f"<h1>Networks side by side</h1>\n{comparison.html(addresses)}"
    return html_document("Networks side by side: audit by group", body, comparison.to_json(), "fairheads-comparison")
