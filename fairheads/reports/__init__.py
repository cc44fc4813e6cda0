"""Pages made of results: text, Markdown, HTML and CSV of any report, a page that compares audits, and gates."""

from fairheads.reports.comparison import comparison_page
from fairheads.reports.gates import Gate, check_refused, gap_gate, junit, verdict_gates
from fairheads.reports.pages import FORMATS, load, render, render_file
from fairheads.reports.replaced import refuse_other
from fairheads.results._saving import save_texts
from fairheads.results.shown import Report

__all__ = [
    "FORMATS",
    "Gate",
    "Report",
    "check_refused",
    "comparison_page",
    "gap_gate",
    "junit",
    "load",
    "refuse_other",
    "render",
    "render_file",
    "save_texts",
    "verdict_gates",
]
