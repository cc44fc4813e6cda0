"""fairheads train"""

from __future__ import annotations

from pathlib import Path

import click

from .job import Job
from .objectives import ObjectiveOptions, objective_of, objective_options, refuse_foreign
from .options import SEED, names, opened, table_options
from .sweep import planned


@click.command()
@table_options
@objective_options
@click.option(
    "--sweep",
    metavar="OPTION=V,V,...",
    help="A network for each value of weight, tolerance, share or rate, and their front.",
)
@click.option("--hidden", default="128,128,128", show_default=True, metavar="W,W,...", help="Widths of hidden layers.")
@click.option("--epochs", type=int, default=8, show_default=True)
@click.option("--batch-size", type=int, default=512, show_default=True)
@click.option("--learning-rate", type=float, default=1e-3, show_default=True)
@click.option("--schedule", type=click.Choice(("cosine", "constant")), default="cosine", show_default=True)
@click.option("--clip-norm", type=float, help="Largest norm of the gradient.")
@click.option("--side-batch", type=int, metavar="ROWS", help="Take the constraint on a second batch, groups balanced.")
@click.option(
    "--patience",
    type=int,
    metavar="EPOCHS",
    help="End when validation rows see nothing better for so long; the best epoch is kept.",
)
@click.option(
    "--checkpoint", metavar="FILE", type=click.Path(path_type=Path), help="Keep the run there; go on from it."
)
@click.option(
    "--monitor",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Watch a head emerge: once an epoch, on the validation rows, as CSV.",
)
@click.option("--device", metavar="NAME", show_default="cuda where there is one", help="Where to train: cpu, cuda ...")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--group-in-inputs", is_flag=True, help="Let the network see the protected columns.")
@click.option("--test", "test_share", type=float, default=0.2, show_default=True, help="Share held out for audits.")
@click.option("--test-data", metavar="FILE", help="Hold out nothing; judge on this table.")
@click.option(
    "--validation",
    type=float,
    default=0.2,
    show_default=True,
    help="Share held out to choose a merge on, for --patience and --monitor.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the saved model, or of a sweep.")
@click.option("--overwrite", is_flag=True, help="Replace the model, or the sweep, in --out.")
def train(
    source: str,
    label: str | None,
    group: str | None,
    favourable: str | None,
    drop: str | None,
    objective: str | None,
    constraint: str,
    penalty: str,
    weight: float | None,
    tolerance: float | None,
    memory: float | None,
    control: str | None,
    layer: str | None,
    given_label: bool,
    share: float | None,
    rate: float | None,
    sweep: str | None,
    hidden: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    schedule: str,
    clip_norm: float | None,
    side_batch: int | None,
    patience: int | None,
    checkpoint: Path | None,
    monitor: Path | None,
    device: str | None,
    seed: int,
    group_in_inputs: bool,
    test_share: float,
    test_data: str | None,
    validation: float,
    out: Path,
    overwrite: bool,
) -> None:
    """Train a network on a table and save it with its encoder and the record of its training.

    \b
    fairheads train --data adult --objective penalized --weight 10 --out models/parity
    fairheads train --data people.csv --label hired --group sex --out models/plain
    fairheads train --data adult --objective lagrangian --constraint equalized-odds --tolerance 0.02 --out models/odds
    fairheads train --data adult --objective penalized --sweep weight=0,1,3,10,30 --out models/sweep

    A published test split is held out as it is (Adult's), else --test of the rows. `fairheads audit --data` on the same
    table then uses those rows. A sweep saves each model as it is finished and, last, the front of accuracy and
    demographic-parity difference on those rows.

    Defaults are those of this command, and the model's record says what was taken. The classes of fairheads.training
    and fairheads.constraints start from less: Penalized from weight 1, every constraint from memory 0.
    """
    from fairheads.errors import ConfigError
    from fairheads.models import check_free, save_bundle
    from fairheads.nets import TwoHeadNet

    chosen = objective or ("unconstrained" if sweep is None else "penalized")
    refuse_foreign(click.get_current_context(), chosen, constraint)
    numbers = {"weight": weight, "tolerance": tolerance, "share": share, "rate": rate}
    options = ObjectiveOptions(
        objective=chosen,
        constraint=constraint,
        penalty=penalty,
        numbers={name: value for name, value in numbers.items() if value is not None},
        memory=memory,
        layer=layer,
        given_label=given_label,
    )
    if sweep is not None and (checkpoint is not None or monitor is not None):
        raise ConfigError("`--checkpoint` and `--monitor` are of one run; a sweep has many.")
    for option, file in (("checkpoint", checkpoint), ("monitor", monitor)):
        if file is not None and out.resolve() in (file.resolve(), *file.resolve().parents):
            raise ConfigError(f"`--{option}` must lie outside `--out`, which is written when the training is done.")
    if monitor is not None and chosen == "two-headed":
        raise ConfigError("`--monitor` watches one logit; a two-headed network has two.")
    if not all(part.isdecimal() for part in names(hidden)):
        raise ConfigError(f"`--hidden` must be whole numbers such as 128,128, got {hidden!r}.")
    plan = None if sweep is None else planned(sweep, options, out=out, overwrite=overwrite)
    if plan is None:
        check_free(out, overwrite=overwrite)
        made = objective_of(options)
    table = opened(source, label, group, favourable, drop, group_in_inputs=group_in_inputs)
    if control is not None:
        table = table.within(names(control))
    test_table = None
    if test_data is not None:
        test_table = opened(test_data, label, group, favourable, drop, group_in_inputs=group_in_inputs)
        if test_table.source == table.source:
            raise ConfigError("`--test-data` is the table of `--data`; leave it out to hold some of its rows out.")
    job = Job(
        table=table,
        test_table=test_table,
        hidden=tuple(int(part) for part in names(hidden)),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        clip_norm=clip_norm,
        side_batch=side_batch,
        patience=patience,
        checkpoint=checkpoint,
        device=device,
        monitor=monitor,
        test=test_share,
        validation=validation,
        seed=seed,
    )
    if plan is not None:
        click.echo(plan.run(job).summary())
        return
    bundle = job.fit(made, f"training ({chosen})")
    if job.holds_out:
        job.held_out(bundle)  # that no training row is among them is known before anything is written
    save_bundle(bundle, out, overwrite=overwrite)
    click.echo(f"saved {out}")
    if isinstance(bundle.net, TwoHeadNet):
        click.echo("two heads; merge them before an audit: fairheads merge")
    elif job.holds_out:
        report, words = job.judge(bundle)
        click.echo(
            f"on {words}: accuracy {report.metrics['accuracy'].overall},"
            f" demographic-parity difference {report.demographic_parity_difference},"
            f" equalized-odds difference {report.criteria['equalized_odds'].difference}"
        )
