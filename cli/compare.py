"""fairheads compare"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import SEED, counted, flips_option, table_options, warnings_told, write_list
from .rows import Columns, Rows, model_options, rows_of
from .verbosity import say

if TYPE_CHECKING:
    from fairheads.activations import Outcome
    from fairheads.data import Dataset
    from fairheads.models import Opened
    from fairheads.results import AuditReport


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL ...", type=click.Path(path_type=Path))
@table_options
@click.option("--split", type=click.Choice(("test", "all")), default="test", show_default=True, help="Which rows.")
@model_options
@click.option(
    "--outcome",
    "outcome_text",
    metavar="KIND[:CLASS][@THRESHOLD]",
    help="What models that are no bundles return, if not one logit a row: softmax:1, sigmoid, regression@3.5 ...",
)
@click.option(
    "--gap-metric",
    default="demographic_parity",
    show_default=True,
    help="What the gap is in: demographic_parity, equalized_odds, equal_opportunity, predictive_parity or"
    " accuracy_equality.",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path),
    help="report.json of an audit of one of the models, whose verdict is shown; repeatable.",
)
@click.option("--audit", "audited", is_flag=True, help="Audit every model that has no --report, without twins.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of --audit.")
@flips_option("CSV file for who is decided differently, by row.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report as JSON, CSV, Markdown and HTML.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "md", "html", "csv")),
    default="text",
    show_default=True,
    help="What is printed.",
)
def compare(
    models: tuple[Path, ...],
    source: str,
    label: str | None,
    group: str | None,
    favourable: str | None,
    drop: str | None,
    split: str,
    factory: str | None,
    loader: str | None,
    outcome_text: str | None,
    gap_metric: str,
    reports: tuple[Path, ...],
    audited: bool,
    seed: int,
    list_flips: Path | None,
    out: Path | None,
    form: str,
) -> None:
    """Set two or more saved models side by side: accuracy, gap, verdict, agreement, and who is decided differently.

    \b
    fairheads compare models/plain models/parity --data adult
    fairheads compare models/plain models/parity --data adult --report report/report.json --out comparison
    fairheads compare old.pt2 new.pt2 --data people.csv --label hired --group sex --list-flips changed.csv

    Models may be of any kind that fairheads audit takes. They are compared on the rows that were held out from all of
    them. The report holds counts; --list-flips writes who is decided differently, by row of --data (from 0), into a
    file of its own.
    """
    from fairheads.activations import Outcome
    from fairheads.compare import common_rows
    from fairheads.compare import compare as run
    from fairheads.errors import ConfigError
    from fairheads.reports import render

    if len(models) < 2:
        raise ConfigError("`fairheads compare` needs two models or more.")
    outcome = None if outcome_text is None else Outcome.parse(outcome_text)
    columns = Columns(source=source, label=label, group=group, favourable=favourable, drop=drop)
    with warnings_told():
        told = [_report(path) for path in reports]
        opened = {name: _opened(path, factory, outcome) for name, path in _named(models).items()}
        taken = _rows(opened, columns, split, loader)
        rows, left_out = common_rows({name: each.data for name, each in taken.items()})
        words = list(dict.fromkeys(each.words for each in taken.values()))
        if len(words) > 1:
            left_out = (*left_out, *(f"{name} may be judged on {each.words}." for name, each in taken.items()))
            words = [f"{len(next(iter(rows.values()))):,} rows"]
        if audited:
            told += _audited(opened, rows, told, seed)
        say(f"comparing {len(opened)} models on {words[0]}")
        report = run(opened, rows, audits=told, gap_metric=gap_metric, split=words[0], notes=left_out)
    write_list(list_flips, "" if list_flips is None else report.changed_csv())
    for file in () if out is None else report.save(out):
        say(f"wrote {file}")
    click.echo(render(report, form), nl=False)


def _named(models: tuple[Path, ...]) -> dict[str, Path]:
    """The last part of every path as its name, or the whole path where two would have one name.

    Raises
    ------
    ConfigError
        If a path is given twice.
    """
    from fairheads.errors import ConfigError

    short = [path.absolute().name for path in models]
    named = {name if short.count(name) == 1 else str(path): path for name, path in zip(short, models, strict=True)}
    if len(named) < len(models):
        raise ConfigError("each model must be given once.")
    return named


def _report(path: Path) -> AuditReport:
    from fairheads.results import AuditReport

    return AuditReport.load(path / "report.json" if path.is_dir() else path)


def _opened(path: Path, factory: str | None, outcome: Outcome | None) -> Opened:
    """A model; a bundle needs neither factory nor outcome, a folder of transformers no factory."""
    from fairheads.models import holds_pretrained, open_model

    if path.is_dir():
        return open_model(path, outcome=outcome if holds_pretrained(path) else None)
    return open_model(path, factory=factory, outcome=outcome)


def _rows(opened: dict[str, Opened], columns: Columns, split: str, loader: str | None) -> dict[str, Rows]:
    """The rows of every model; those that no encoder makes are read once."""
    from fairheads.models import Bundle

    found: dict[str, Rows] = {}
    plain: Rows | None = None
    for name, model in opened.items():
        encodes = isinstance(model, Bundle) and model.preprocess is not None
        if encodes and loader is None and not columns.source.endswith(".npz"):
            found[name] = rows_of(model, columns, split, loader)  # type: ignore[arg-type]
        else:
            plain = plain or rows_of(None, columns, split, loader)
            found[name] = plain
    return found


def _audited(
    opened: dict[str, Opened], rows: dict[str, Dataset], told: list[AuditReport], seed: int
) -> list[AuditReport]:
    """Audits of the models that have none yet."""
    from fairheads.audit import audit
    from fairheads.compare import digest_of

    known = {report.model.digest for report in told}
    missing = [name for name, model in opened.items() if digest_of(model) not in known]
    with counted("auditing", len(missing)) as tell:
        made = []
        for done, name in enumerate(missing, 1):
            made.append(audit(opened[name], rows[name], seed=seed, details=False))
            tell(done)
    return made
