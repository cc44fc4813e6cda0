"""fairheads train"""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from .options import SEED, counted, names, opened, table_options

OBJECTIVES = ("unconstrained", "penalized", "two-headed")


@click.command()
@table_options
@click.option("--objective", type=click.Choice(OBJECTIVES), default="unconstrained", show_default=True)
@click.option(
    "--constraint", type=click.Choice(("demographic-parity",)), default="demographic-parity", show_default=True
)
@click.option("--penalty", type=click.Choice(("squared", "absolute")), default="squared", show_default=True)
@click.option("--weight", type=float, default=10.0, show_default=True, help="Weight of the constraint (penalized).")
@click.option("--hidden", default="128,128,128", show_default=True, metavar="W,W,...", help="Widths of hidden layers.")
@click.option("--epochs", type=int, default=8, show_default=True)
@click.option("--batch-size", type=int, default=512, show_default=True)
@click.option("--learning-rate", type=float, default=1e-3, show_default=True)
@click.option("--schedule", type=click.Choice(("cosine", "constant")), default="cosine", show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--group-in-inputs", is_flag=True, help="Let the network see the protected columns.")
@click.option("--test", "test_share", type=float, default=0.2, show_default=True, help="Share held out for audits.")
@click.option("--test-data", metavar="FILE", help="Hold out nothing; judge on this table.")
@click.option("--validation", type=float, default=0.2, show_default=True, help="Share held out to choose a merge on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the saved model.")
@click.option("--overwrite", is_flag=True, help="Replace the model in --out.")
def train(
    source: str,
    label: str | None,
    group: str | None,
    favourable: str | None,
    drop: str | None,
    objective: str,
    constraint: str,
    penalty: str,
    weight: float,
    hidden: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    schedule: str,
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

    A published test split is held out as it is (Adult's), else --test of the rows. `fairheads audit --data` on the same
    table then uses those rows.
    """
    from fairheads.audit import network_disparity
    from fairheads.constraints import demographic_parity
    from fairheads.errors import ConfigError
    from fairheads.models import check_free, fit_table, save_bundle
    from fairheads.nets import TwoHeadNet
    from fairheads.training import Objective, Penalized, TwoHeaded, Unconstrained

    if objective != "penalized":
        given = click.get_current_context().get_parameter_source
        for option in ("constraint", "penalty", "weight"):
            if given(option) is ParameterSource.COMMANDLINE:
                raise ConfigError(f"`--{option}` needs `--objective penalized`.")
    if not all(part.isdecimal() for part in names(hidden)):
        raise ConfigError(f"`--hidden` must be whole numbers such as 128,128, got {hidden!r}.")
    check_free(out, overwrite=overwrite)
    made: dict[str, Objective] = {
        "unconstrained": Unconstrained(),
        "penalized": Penalized(demographic_parity(kind=penalty), weight),
        "two-headed": TwoHeaded(),
    }
    table = opened(source, label, group, favourable, drop, group_in_inputs=group_in_inputs)
    judged_on = table
    if test_data is not None:
        judged_on = opened(test_data, label, group, favourable, drop, group_in_inputs=group_in_inputs)
        if judged_on.source == table.source:
            raise ConfigError("`--test-data` is the table of `--data`; leave it out to hold some of its rows out.")
    with counted(f"training ({objective})", epochs) as tell:
        bundle = fit_table(
            table,
            made[objective],
            hidden=[int(part) for part in names(hidden)],
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule=schedule,
            test=0.0 if test_data is not None else test_share,
            validation=validation,
            seed=seed,
            progress=tell,
        )
    judged = None
    if test_data is not None or table.test_rows is not None or test_share > 0:
        judged, words = bundle.encode(judged_on, "test")
        if bundle.rows is not None:
            bundle.rows.refuse_overlap(judged)
    save_bundle(bundle, out, overwrite=overwrite)
    click.echo(f"saved {out}")
    if isinstance(bundle.net, TwoHeadNet):
        click.echo("two heads; merge them before an audit: fairheads merge")
    elif judged is not None:
        report = network_disparity(bundle.net, judged)
        gap = report.demographic_parity_difference
        click.echo(f"on {words}: accuracy {report.metrics['accuracy'].overall}, demographic-parity difference {gap}")
