"""Pages made of results: text, Markdown and HTML of one audit, and the page that compares several."""

from fairheads.reports.comparison import comparison_page
from fairheads.reports.pages import FORMATS, html_page, markdown_page, render, save, text_page
from fairheads.results._saving import save_texts

__all__ = ["FORMATS", "comparison_page", "html_page", "markdown_page", "render", "save", "save_texts", "text_page"]
