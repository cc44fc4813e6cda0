"""fairheads audit"""

from __future__ import annotations

from pathlib import Path

import click

from .gates import check_gap, close_gates, gap_not_met, gap_options
from .options import SEED, counted, names, opened, table_options


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@table_options
@click.option("--split", type=click.Choice(("test", "all")), default="test", show_default=True, help="Which rows.")
@click.option("--twins", "n_twins", type=int, default=0, metavar="N", help="Train N twins by the model's recipe.")
@click.option("--train-data", metavar="FILE", help="Training table for --twins; by default --data.")
@click.option(
    "--twin",
    "twin_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A trained twin; repeatable.",
)
@click.option(
    "--placebo", type=int, default=0, metavar="N", help="With --twins: N more, constrained on permuted groups."
)
@click.option("--layers", metavar="NAME[,NAME]", help="Layers to look at; by default the hidden ones.")
@click.option("--reference", metavar="GROUP", help="Reference group; by default the largest.")
@click.option("--group-input", metavar="COL[,COL]", help="Inputs that hold the group: also say what flipping it does.")
@click.option("--no-details", is_flag=True, help="The verdict alone: no units, routes or inputs that the head reads.")
@click.option("--sample", type=int, default=20_000, show_default=True, help="Rows that interventions run on.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.json, report.html and report.md.")
@click.option("--format", "form", type=click.Choice(("text", "json", "md", "html")), default="text", show_default=True)
@click.option("--fail-on", multiple=True, metavar="VERDICT", help="Exit with 3 if any group has this verdict.")
@gap_options
def audit(
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
    placebo: int,
    layers: str | None,
    reference: str | None,
    group_input: str | None,
    no_details: bool,
    sample: int,
    seed: int,
    out: Path | None,
    form: str,
    fail_on: tuple[str, ...],
    max_gap: float | None,
    gap_metric: str,
) -> None:
    """Audit the saved MODEL: how it treats the groups, and whether by an internal estimate of the group.

    \b
    fairheads audit models/parity --data adult --twins 5 --out report
    fairheads audit models/plain --data people.csv --label hired --group sex --format json
    fairheads audit models/plain --data people.csv --label hired --group sex --group-input gender

    On the table that MODEL was trained on, the rows of its held-out split are audited. Without twins the strongest
    finding is consistent_with_compensating_head.
    """
    from fairheads.audit import audit as run
    from fairheads.errors import ConfigError
    from fairheads.metrics import CORE
    from fairheads.models import load_bundle
    from fairheads.reports import render
    from fairheads.results import MEANING
    from fairheads.twins import TwinRecipe, default_cache

    for verdict in fail_on:
        if verdict not in MEANING:
            raise ConfigError(f"`--fail-on` must be one of {', '.join(MEANING)}, got {verdict!r}.")
    check_gap(max_gap, gap_metric, CORE)
    if n_twins and twin_paths:
        raise ConfigError("give either `--twins N` or `--twin MODEL`, not both.")
    for option, given in (("--train-data", train_data is not None), ("--placebo", placebo != 0)):
        if given and not n_twins:
            raise ConfigError(f"`{option}` is for training twins; give `--twins N` too.")
    if group_input is not None and no_details:
        raise ConfigError("`--group-input` asks for one of the details; give either it or `--no-details`.")
    bundle = load_bundle(model)
    table = opened(source, label, group, favourable, drop)
    data, words = bundle.encode(table, split)
    if n_twins and train_data is None and not bundle.trained_on(table):
        raise ConfigError(
            "`--twins` needs the model's training table, and --data is another one: name it, --train-data."
        )
    flip = bundle.encoded_columns(names(group_input)) if group_input is not None else None
    said = f"training {n_twins} twins" + (f" and {placebo} placebos" if placebo else "")
    with counted(said if n_twins else "auditing", (n_twins + placebo) or 1) as tell:
        twins: TwinRecipe | tuple[Path, ...] | None = twin_paths or None
        if n_twins:
            rows = table if train_data is None else opened(train_data, label, group, favourable, drop)
            own, _ = bundle.encode(rows, "train" if bundle.trained_on(rows) else "all")
            twins = TwinRecipe(own, n=n_twins, placebo=placebo, seed=seed, cache=default_cache(), progress=tell)
        report = run(
            bundle,
            data,
            twins=twins,
            reference=reference,
            layers=names(layers) or None,
            sample=sample,
            seed=seed,
            flip=flip,
            details=not no_details,
            notes=[f"Audited on {words}."],
        )
    if out is not None:
        for file in report.save(out):
            click.echo(f"wrote {file}", err=True)
    click.echo(render(report, form), nl=False)
    failed = [f"{g}: {p.verdict}" for g, p in report.pathways.items() if p.verdict in fail_on]
    failed += gap_not_met(report.disparity, max_gap, gap_metric)
    close_gates(failed, any_set=bool(fail_on) or max_gap is not None)
