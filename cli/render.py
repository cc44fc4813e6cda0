"""fairheads render"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(("text", "json", "md", "html", "csv")), default="text", show_default=True
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; by default standard output.")
def render(report: Path, form: str, out: Path | None) -> None:
    """Show a saved report as text, Markdown or HTML.

    That is a report of an audit, a comparison, disparities, a merge, a self-test, a study, the front of a sweep, or
    audits side by side (`fairheads demo`). The groups of a disparity report, compared models, the rules of a merge and
    the networks of a front or a study also as CSV. Needs no model and does not load torch.

    \b
    fairheads render report/report.json --format md
    fairheads render models/sweep/front.json --format html --out front.html
    fairheads render merged-report/merge.json --format text
    """
    from fairheads.errors import ConfigError
    from fairheads.reports import render_file, save_texts

    if out is not None and out.resolve() == report.resolve():
        raise ConfigError("`--out` would overwrite the report itself; name another file.")
    text = render_file(report, form)
    if out is None:
        click.echo(text, nl=False)
    else:
        save_texts(out.parent, {out.name: text})
        click.echo(f"wrote {out}")
