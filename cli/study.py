"""fairheads study"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .options import names, warnings_told
from .progress import steps
from .verbosity import say, verbosity_options


@click.group()
def study() -> None:
    """The paper's study on data of your choice.

    \b
    fairheads study paper --data adult --out study-adult
    """


@click.command()
@click.option(
    "--data",
    type=click.Choice(("adult", "compas", "fairface", "celeba")),
    required=True,
    help="adult comes with the package; the others need --source.",
)
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="compas: ProPublica's compas-scores-two-years.csv. fairface, celeba: the folder with label lists and images.",
)
@click.option("--network", metavar="NAME", help="Of images: resnet, resnet50 or mobilenet_v3_small (torchvision's).")
@click.option("--size", type=click.IntRange(1, 1024), help="Of images, in pixels.")
@click.option("--train-rows", type=click.IntRange(1), metavar="N", help="Training images at most.")
@click.option("--weights", metavar="W,W,...", help="Of the penalty; 0 is always trained.")
@click.option("--penalties", metavar="KIND,KIND", help="squared, absolute.")
@click.option("--seeds", type=int, help="Networks of every kind.")
@click.option("--epochs", type=int)
@click.option("--batch-size", type=int)
@click.option("--learning-rate", type=float)
@click.option("--intervention-rows", type=int, metavar="ROWS", help="Test rows that interventions run on, at most.")
@click.option("--all-layers", is_flag=True, help="Audit all layers of image networks, not the last alone.")
@click.option("--device", metavar="NAME", help="Where networks are trained, such as cuda; by default the CPU.")
@click.option("--jobs", type=int, show_default="one a core", help="Processes of one thread each.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of this study; it goes on there.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "md", "html", "csv")),
    default="text",
    show_default=True,
    help="What is printed.",
)
def paper(
    data: str,
    source: Path | None,
    network: str | None,
    size: int | None,
    train_rows: int | None,
    weights: str | None,
    penalties: str | None,
    seeds: int | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    intervention_rows: int | None,
    all_layers: bool,
    device: str | None,
    jobs: int | None,
    out: Path,
    form: str,
) -> None:
    """The four claims of "Are two heads the same as one?", on your data: which hold, and which do not.

    \b
    fairheads study paper --data adult --out study-adult
    fairheads study paper --data fairface --source fairface/ --out study-faces
    fairheads study paper --data celeba --source celeba/ --network mobilenet_v3_small --device cuda --out study-celeba

    Trains unconstrained, penalised, massaged and two-headed networks from several seeds, and measures accuracy, gap,
    group probe, interventions, agreement with the best merge, recovery and retention. Every network is kept in
    OUT/networks as soon as it is trained: run the same command again and it goes on where it stood. Adult takes about
    a quarter of an hour on two cores, COMPAS a few minutes, FairFace two to three hours.
    """
    from fairheads.reports import render
    from fairheads.study import SETTINGS, paper_study

    numbers = {
        "network": network,
        "size": size,
        "train_rows": train_rows,
        "seeds": seeds,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "sample": intervention_rows,
        "weights": None if weights is None else _numbers(weights),
        "penalties": None if penalties is None else names(penalties),
    }
    changed: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    if all_layers:
        changed["last_layer"] = False
    setting = replace(SETTINGS[data], **changed)
    with warnings_told(), steps() as tell:
        report = paper_study(
            setting,
            out,
            source=source,
            jobs=jobs,
            device=device,
            progress=lambda step, done, of: tell(step, done, of, "done"),
        )
    for file in report.save(out):
        say(f"wrote {file}")
    click.echo(render(report, form), nl=False)


def _numbers(text: str) -> tuple[float, ...]:
    from fairheads.errors import ConfigError

    try:
        return tuple(float(part) for part in names(text))
    except ValueError as error:
        raise ConfigError(f"`--weights` must be numbers such as 1,3,10, got {text!r}.") from error


study.add_command(verbosity_options(paper))
