"""The page that puts several audits side by side."""

from __future__ import annotations

from collections.abc import Mapping

from fairheads.results import Comparison


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
    return comparison.page(links)
