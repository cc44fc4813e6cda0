"""fairheads compare"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .audited import Audited, Images, audited_rows, input_options
from .options import (
    SEED,
    counted,
    flips_option,
    keep_other,
    overwrite_option,
    table_options,
    warnings_told,
    write_list,
)
from .progress import steps
from .rows import Columns, bundle_of, fitted_columns, model_options
from .verbosity import say

if TYPE_CHECKING:
    from fairheads.data import Dataset, Stream
    from fairheads.models import Bundle, Opened
    from fairheads.results import AuditReport


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL ...", type=click.Path(path_type=Path))
@table_options
@click.option("--split", type=click.Choice(("test", "all")), default="test", show_default=True, help="Which rows.")
@model_options
@input_options
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
    help="What the gap is in: demographic_parity, equalized_odds, equal_opportunity, predictive_parity,"
    " accuracy_equality, or the metric of one of these.",
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
@overwrite_option("Replace a report of other models or other rows in --out.")
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
    text: str | None,
    images: Path | None,
    image: str | None,
    preprocess: Path | None,
    outcome_text: str | None,
    gap_metric: str,
    reports: tuple[Path, ...],
    audited: bool,
    seed: int,
    list_flips: Path | None,
    out: Path | None,
    overwrite: bool,
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
    from fairheads.compare import compare as run
    from fairheads.errors import ConfigError
    from fairheads.models import open_among
    from fairheads.reports import render
    from fairheads.results import ComparisonReport

    if len(models) < 2:
        raise ConfigError("`fairheads compare` needs two models or more.")
    outcome = None if outcome_text is None else Outcome.parse(outcome_text)
    columns = Columns(source=source, label=label, group=group, favourable=favourable, drop=drop)
    pictures = Images(source=images, column=image, preprocess=preprocess)
    with warnings_told(), steps() as tell:
        told = [_report(path) for path in reports]
        opened = {name: open_among(path, factory=factory, outcome=outcome) for name, path in _named(models).items()}

        def taken(bundle: Bundle | None, model: Path, order: tuple[str, ...]) -> Audited:
            return audited_rows(
                bundle,
                replace(columns, order=order) if order else columns,
                split,
                loader,
                model=model,
                text=text,
                images=pictures,
                most=None,
                seed=seed,
                in_memory=False,
                tell=lambda done: tell(f"reading {source}", done, None, "rows"),
            )

        rows = _rows(opened, dict(zip(opened, models, strict=True)), taken, each_alike=text is None)
        words = list(dict.fromkeys(each.words for each in rows.values()))
        same = len(words) == 1
        data = {name: each.data for name, each in rows.items()}
        say(f"comparing {len(opened)} models on {words[0] if same else 'the rows that all of them may be judged on'}")
        report = run(
            opened,
            data,
            audits=chain(told, _audited(opened, data, told, seed)) if audited else told,
            gap_metric=gap_metric,
            split=words[0] if same else "",
            notes=[] if same else [f"{name} may be judged on {each.words}." for name, each in rows.items()],
            before=lambda weights, digests: keep_other(
                out, ComparisonReport, {"other models": weights, "other rows": digests}, overwrite=overwrite
            ),
        )
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


def _rows(
    opened: dict[str, Opened],
    paths: dict[str, Path],
    taken: Callable[[Bundle | None, Path, tuple[str, ...]], Audited],
    *,
    each_alike: bool,
) -> dict[str, Audited]:
    """The rows of every model; those that no encoder of a model makes are taken once an order, if alike for all."""
    found: dict[str, Audited] = {}
    plain: dict[tuple[str, ...], Audited] = {}
    for name, model in opened.items():
        bundle, order = bundle_of(model), fitted_columns(model)
        if not each_alike or (bundle is not None and bundle.preprocess is not None):
            found[name] = taken(bundle, paths[name], order)
        else:
            if order not in plain:
                plain[order] = taken(None, paths[name], order)
            found[name] = plain[order]
    return found


def _audited(
    opened: dict[str, Opened], rows: dict[str, Dataset | Stream], told: list[AuditReport], seed: int
) -> Iterator[AuditReport]:
    """Audits of the models that have none yet, each made when it is asked for."""
    from fairheads.audit import audit
    from fairheads.compare import digest_of

    known = {report.model.digest for report in told}
    missing = [name for name, model in opened.items() if digest_of(model) not in known]
    with counted("auditing", len(missing)) as tell:
        for done, name in enumerate(missing, 1):
            yield audit(opened[name], rows[name], seed=seed, details=False)
            tell(done)
