"""Pages made of results: text, Markdown, HTML and CSV of any report, and a page that compares audits."""

from fairheads.reports.comparison import comparison_page
from fairheads.reports.pages import FORMATS, Report, load, render
from fairheads.results._saving import save_texts

__all__ = ["FORMATS", "Report", "comparison_page", "load", "render", "save_texts"]
