"""fairheads merge"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import keep_other, opened, overwrite_option, table_options
from .verbosity import say

if TYPE_CHECKING:
    from fairheads.data import Dataset, Table
    from fairheads.models import Bundle


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@table_options
@click.option("--test-data", metavar="FILE", help="Judge on this table, whose rows neither trained nor choose.")
@click.option("--max-gap", type=float, default=0.05, show_default=True, help="Largest gap between groups.")
@click.option(
    "--gap-metric",
    default="demographic_parity",
    show_default=True,
    help="What the gap is in: demographic_parity, equalized_odds, equal_opportunity, predictive_equality,"
    " predictive_parity, accuracy_equality, or the metric of one of these.",
)
@click.option(
    "--objective",
    default="accuracy",
    show_default=True,
    help="What is maximised: accuracy, balanced_accuracy or f1.",
)
@click.option(
    "--minimum-rate",
    multiple=True,
    metavar="RATE=X",
    help="Every group has at least this rate, as in selection_rate=0.1; repeatable.",
)
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    help="Confidence with which new rows keep the gap; 0 asks it of the validation rows alone.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the merged model.")
@overwrite_option("Replace the model in --out, and a report of another one or other rows in --report.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Folder for the report as JSON, CSV, Markdown, HTML and PNG."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "md", "html", "csv")),
    default="text",
    show_default=True,
    help="What is printed.",
)
def merge(
    model: Path,
    source: str,
    label: str | None,
    group: str | None,
    favourable: str | None,
    drop: str | None,
    test_data: str | None,
    max_gap: float,
    gap_metric: str,
    objective: str,
    minimum_rate: tuple[str, ...],
    confidence: float,
    out: Path,
    overwrite: bool,
    report: Path | None,
    form: str,
) -> None:
    """Merge the two heads of MODEL into one: z_y + b z_g + t, as one linear layer.

    \b
    fairheads train --data adult --objective two-headed --out models/two
    fairheads merge models/two --data adult --max-gap 0.03 --out models/merged --report models/merged-report
    fairheads merge models/two --data adult --gap-metric equal_opportunity --max-gap 0.1 --out models/equal

    b and t are chosen on the validation rows that were held out when MODEL was trained (of another table, on all
    rows), and the merged logits are compared with the two heads' before anything is written. What the merge promises,
    what it costs beside other rules and whom it concerns is judged on the test rows of the same split, or on
    --test-data.
    """
    from fairheads.data import RowRecord
    from fairheads.models import check_free, load_bundle, save_bundle, weights_digest
    from fairheads.reports import render
    from fairheads.results import MergeReport
    from fairheads.twoheads import merge_bundle

    least = _minimum_rates(minimum_rate)
    check_free(out, overwrite=overwrite)
    _check_report(report, out)
    bundle = load_bundle(model)
    table = opened(source, label, group, favourable, drop)
    data, words = bundle.encode(table, "validation" if bundle.trained_on(table) else "all")
    about = {"another model": weights_digest(bundle.net), "other rows": RowRecord.of(data).digest}
    keep_other(report, MergeReport, about, overwrite=overwrite)
    test_table = None if test_data is None else opened(test_data, label, group, favourable, drop)
    new, new_words = _new_rows(bundle, table, test_table)
    made = merge_bundle(
        bundle,
        data,
        max_gap=max_gap,
        confidence=confidence or None,
        gap_metric=gap_metric,
        objective=objective.replace("-", "_"),
        minimum_rates=least,
        judged_on=new,
        split=words,
        judged=new_words,
    )
    shown = render(made.report, form)
    save_bundle(made.bundle, out, overwrite=overwrite)
    say(f"saved {out}")
    for file in () if report is None else made.report.save(report):
        say(f"wrote {file}")
    click.echo(shown, nl=False)


def _minimum_rates(pairs: tuple[str, ...]) -> dict[str, float]:
    """Rates by name.

    Raises
    ------
    ConfigError
        If a pair is none, or names a rate twice.
    """
    from fairheads.errors import ConfigError

    found: dict[str, float] = {}
    for pair in pairs:
        name, _, text = (part.strip() for part in pair.partition("="))
        name = name.replace("-", "_")
        try:
            value = float(text)
        except ValueError as error:
            raise ConfigError(f"`--minimum-rate` must be RATE=X with X a number, got {pair!r}.") from error
        if name in found:
            raise ConfigError(f"`--minimum-rate` must have every rate once, got {name!r} twice.")
        found[name] = value
    return found


def _check_report(report: Path | None, out: Path) -> None:
    """Whether the report has a folder of its own: a model's folder holds nothing else.

    Raises
    ------
    ConfigError
        If it would be the model's.
    InputError
        If there is a file or a model in its place, or it cannot be made.
    """
    from fairheads.errors import ConfigError, InputError
    from fairheads.models import holds_model

    if report is None:
        return
    if report.resolve() == out.resolve() or out.resolve() in report.resolve().parents:
        raise ConfigError("`--report` must be a folder outside `--out`, which holds the model alone.")
    if report.exists() and not report.is_dir():
        raise InputError(f"{str(report)!r} is a file; `--report` must be a folder.")
    if holds_model(report):
        raise InputError(f"{str(report)!r} holds a model; choose another folder for the report.")
    there = next(path for path in (report, *report.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise InputError(f"{str(report)!r} cannot be made: {str(there)!r} cannot be written to.")


def _new_rows(bundle: Bundle, table: Table, test_table: Table | None) -> tuple[Dataset | None, str]:
    """Rows to judge on, and which they are, in words; none where there are no others."""
    if test_table is not None:
        return bundle.encode(test_table, "all" if not bundle.trained_on(test_table) else "test")
    if not bundle.trained_on(table):
        return None, ""
    if table.test_rows is None and not bundle.training["split"]["test"]:
        return None, ""
    return bundle.encode(table, "test")
