"""fairheads selftest"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from .options import SEED, counted, names, opened, table_options


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@table_options
@click.option("--split", type=click.Choice(("test", "all")), default="test", show_default=True, help="Which rows.")
@click.option("--twins", "n_twins", type=int, default=0, metavar="N", help="Train N twins by the model's recipe.")
@click.option("--train-data", metavar="FILE", help="Training table; by default --data, if MODEL was trained on it.")
@click.option(
    "--twin", "twin_paths", multiple=True, type=click.Path(path_type=Path), help="A trained twin; repeatable."
)
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
@click.option("--sample", type=int, default=20_000, show_default=True, help="Rows that interventions run on.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for selftest.json and selftest.html.")
@click.option("--format", "form", type=click.Choice(("text", "json", "html")), default="text", show_default=True)
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
    strengths: tuple[float, ...],
    planted_for: str | None,
    layers: str | None,
    reference: str | None,
    sample: int,
    seed: int,
    out: Path | None,
    form: str,
) -> None:
    """Would an audit of the saved MODEL on these rows find a second head, and would it cry wolf?

    \b
    fairheads selftest models/parity --data adult --twins 6 --out report
    fairheads selftest models/plain --data people.csv --label hired --group sex --twin t1 --twin t2 --twin t3

    Heads of known strength are planted in the twins, and each is audited beside the others, as are networks without a
    head: the summary says how many were found. More twins make a better audit; this takes about as long as
    a dozen audits.
    """
    from fairheads.errors import ConfigError
    from fairheads.models import load_bundle
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
    bundle = load_bundle(model)
    table = opened(source, label, group, favourable, drop)
    data, words = bundle.encode(table, split)
    if n_twins and train_data is None and not bundle.trained_on(table):
        raise ConfigError(
            "`--twins` needs the model's training table, and --data is another one: name it, --train-data."
        )
    training = table if train_data is None else opened(train_data, label, group, favourable, drop)
    known = bundle.trained_on(training)
    own = None if train_data is None and not known else bundle.encode(training, "train" if known else "all")[0]
    twins: TwinRecipe | tuple[Path, ...] = twin_paths
    if n_twins and own is not None:
        with counted(f"training {n_twins} twins", n_twins) as tell:
            twins = TwinRecipe(own, n=n_twins, seed=seed, cache=default_cache(), progress=tell)
            twins.train(bundle)  # into the cache, where the self-test finds them
        twins = replace(twins, progress=None)
    click.echo(f"auditing {words}", err=True)
    with counted("planting and auditing", 100) as tell:
        report = run(
            bundle,
            data,
            twins=twins,
            train_data=own,
            strengths=strengths,
            group=planted_for,
            reference=reference,
            layers=names(layers) or None,
            sample=sample,
            seed=seed,
            progress=lambda done, total: tell(100 * done // total),
        )
    if out is not None:
        for file in report.save(out):
            click.echo(f"wrote {file}", err=True)
    forms = {"text": lambda: f"{report.summary()}\n", "json": report.to_json, "html": report.page}
    click.echo(forms[form](), nl=False)
