"""fairheads selftest"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import SEED, counted, keep_other, names, overwrite_option, table_options, warnings_told
from .rows import Columns, Rows, bundle_of, fitted_columns, model_options, rows_of, trainable, training_rows
from .verbosity import say

if TYPE_CHECKING:
    from fairheads.data import Dataset
    from fairheads.models import Bundle


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@table_options
@click.option("--split", type=click.Choice(("test", "all")), default="test", show_default=True, help="Which rows.")
@click.option("--twins", "n_twins", type=int, default=0, metavar="N", help="Train N twins by the model's recipe.")
@click.option("--train-data", metavar="FILE", help="Training table; by default --data, if MODEL was trained on it.")
@click.option(
    "--twin", "twin_paths", multiple=True, type=click.Path(path_type=Path), help="A trained twin; repeatable."
)
@model_options
@click.option(
    "--strength",
    "strengths",
    type=float,
    multiple=True,
    default=(0.25, 0.5, 1.0),
    show_default=True,
    help="Of planted heads, as a share of what parity needs; repeatable.",
)
@click.option("--planted-for", metavar="GROUP", help="Group of the planted heads; by default the largest but one.")
@click.option("--layers", metavar="NAME[,NAME]", help="Layers to look at; by default the hidden ones.")
@click.option("--reference", metavar="GROUP", help="Reference group; by default the largest.")
@click.option(
    "--intervention-rows", type=int, default=20_000, show_default=True, help="Rows that interventions run on, at most."
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report as JSON, HTML and Markdown.")
@overwrite_option("Replace a report of another model or other rows in --out.")
@click.option("--format", "form", type=click.Choice(("text", "json", "md", "html")), default="text", show_default=True)
def selftest(
    model: Path,
    source: str,
    label: str | None,
    group: str | None,
    favourable: str | None,
    drop: str | None,
    split: str,
    n_twins: int,
    train_data: str | None,
    twin_paths: tuple[Path, ...],
    factory: str | None,
    loader: str | None,
    strengths: tuple[float, ...],
    planted_for: str | None,
    layers: str | None,
    reference: str | None,
    intervention_rows: int,
    seed: int,
    out: Path | None,
    overwrite: bool,
    form: str,
) -> None:
    """Would an audit of the saved MODEL on these rows find a second head, and would it cry wolf?

    \b
    fairheads selftest models/parity --data adult --twins 6 --out report
    fairheads selftest models/plain --data people.csv --label hired --group sex --twin t1 --twin t2 --twin t3

    Heads of known strength are planted in the twins, and each is audited beside the others, as are networks without a
    head: the summary says how many were found. More twins make a better audit; this takes about as long as
    a dozen audits. Models and rows may be of any kind that fairheads audit takes, but twins must be networks that
    a head can be planted in: bundles, or weights with --factory.
    """
    from fairheads.errors import ConfigError
    from fairheads.models import Opened, open_among, open_model
    from fairheads.reports import render
    from fairheads.results import SelftestReport
    from fairheads.selftest import refuse_few
    from fairheads.selftest import selftest as run
    from fairheads.twins import TwinRecipe, default_cache

    if n_twins and twin_paths:
        raise ConfigError("give either `--twins N` or `--twin MODEL`, not both.")
    if not n_twins and not twin_paths:
        raise ConfigError(
            "heads are planted in twins, and there are none: give `--twins 6` to train them, or `--twin MODEL` for each"
            " that you have (3 or more)."
        )
    refuse_few(n_twins or len(twin_paths))
    with warnings_told():
        own_model = open_model(model, factory=factory)
        bundle = bundle_of(own_model)
        columns = Columns(
            source=source, label=label, group=group, favourable=favourable, drop=drop, order=fitted_columns(own_model)
        )
        recorded = trainable(bundle, columns, loader, model) if n_twins else None
        rows = rows_of(bundle, columns, split, loader)
        own = _fitted_on(bundle, rows, columns, loader, train_data, needed=recorded is not None)
        twins: TwinRecipe | list[Opened]
        if recorded is not None and own is not None:
            with counted(f"training {n_twins} twins", n_twins) as tell:
                twins = TwinRecipe(own, n=n_twins, seed=seed, cache=default_cache(), progress=tell)
                twins.train(recorded)  # into the cache, where the self-test finds them
            twins = replace(twins, progress=None)
        else:
            twins = [open_among(twin, factory=factory) for twin in twin_paths]
        say(f"auditing {rows.words}")
        with counted("planting and auditing", 100) as tell:
            report = run(
                own_model,
                rows.data,
                twins=twins,
                train_data=own,
                strengths=strengths,
                group=planted_for,
                reference=reference,
                layers=names(layers) or None,
                sample=intervention_rows,
                seed=seed,
                name=model.absolute().name,
                before=lambda weights, digest: keep_other(
                    out, SelftestReport, {"another model": weights, "other rows": digest}, overwrite=overwrite
                ),
                progress=lambda done, total: tell(100 * done // total),
            )
    if out is not None:
        for file in report.save(out):
            say(f"wrote {file}")
    click.echo(render(report, form), nl=False)


def _fitted_on(
    bundle: Bundle | None, rows: Rows, columns: Columns, loader: str | None, train_data: str | None, *, needed: bool
) -> Dataset | None:
    """The rows that group heads are fitted on, if the options or the bundle name any."""
    if bundle is not None and rows.table is not None:
        known = train_data is not None or bundle.trained_on(rows.table)
        return training_rows(bundle, rows.table, columns, train_data) if known or needed else None
    if train_data is None:
        return None
    return rows_of(bundle, replace(columns, source=train_data), "all", loader).data
