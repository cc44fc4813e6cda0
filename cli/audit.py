"""fairheads audit"""

from __future__ import annotations

from pathlib import Path

import click

from .audited import Images, audited_rows, input_options
from .config import config_option
from .gates import check_gap, close_gates, gap_options
from .options import (
    SEED,
    flips_option,
    keep_other,
    names,
    overwrite_option,
    table_options,
    warnings_told,
    write_list,
)
from .progress import steps
from .rows import Columns, bundle_of, fitted_columns, model_options, trainable, training_rows
from .verbosity import say


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
@model_options
@input_options
@click.option(
    "--outcome",
    "outcome_text",
    metavar="KIND[:CLASS][@THRESHOLD]",
    help="What MODEL returns, if not one logit a row: logit:2 of classes, sigmoid, softmax:1, regression@3.5 ...",
)
@click.option(
    "--placebo", type=int, default=0, metavar="N", help="With --twins: N more, constrained on permuted groups."
)
@click.option("--layers", metavar="NAME[,NAME]", help="Layers to look at; by default the hidden ones.")
@click.option("--reference", metavar="GROUP", help="Reference group; by default the largest.")
@click.option("--group-input", metavar="COL[,COL]", help="Inputs that hold the group: also say what flipping it does.")
@click.option("--no-details", is_flag=True, help="The verdict alone: no units, routes or inputs that the head reads.")
@click.option("--sample", type=int, metavar="N", help="A quick look: N rows, drawn with --seed, instead of all.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.json, report.html and report.md.")
@overwrite_option("Replace a report of another model or other rows in --out.")
@flips_option("CSV file for who flips, by row; the report itself holds counts.")
@click.option("--format", "form", type=click.Choice(("text", "json", "md", "html")), default="text", show_default=True)
@click.option(
    "--fail-on", multiple=True, metavar="VERDICT", help="Exit with 3 if any group has this verdict; repeatable."
)
@gap_options
@config_option
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
    factory: str | None,
    loader: str | None,
    text: str | None,
    images: Path | None,
    image: str | None,
    preprocess: Path | None,
    outcome_text: str | None,
    placebo: int,
    layers: str | None,
    reference: str | None,
    group_input: str | None,
    no_details: bool,
    sample: int | None,
    seed: int,
    out: Path | None,
    overwrite: bool,
    list_flips: Path | None,
    form: str,
    fail_on: tuple[str, ...],
    max_gap: float | None,
    gap_metric: str,
    junit: Path | None,
) -> None:
    """Audit the saved MODEL: how it treats the groups, and whether by an internal estimate of the group.

    \b
    fairheads audit models/parity --data adult --twins 5 --out report
    fairheads audit models/plain --data people.csv --label hired --group sex --format json
    fairheads audit models/plain --data people.csv --label hired --group sex --group-input gender
    fairheads audit net.pt2 --data numbers.csv --label hired --group sex --outcome sigmoid
    fairheads audit net.safetensors --factory nets:build --data rows.npz --label y --group group
    fairheads audit net.pt2 --data folder/ --label hired --group sex --sample 5000   # a quick look
    fairheads audit net.onnx --data f.csv --label old --group sex --images f.zip --image file --preprocess p.json

    On the table that MODEL was trained on, the rows of its held-out split are audited. Without twins the strongest
    finding is consistent_with_compensating_head.

    --data may be of any length, and a folder of tables: large ones are read again in every pass, and never held.
    Decisions are counted on all rows, interventions run on 20,000. With --out an audit that was killed goes on where
    it was when it is started again, and ends with the same report.

    MODEL is a folder that fairheads saved, or any other saved model: .pt2 of torch.export, .onnx, .skops, a folder of
    transformers, or weights with --factory. No pickle is executed, and no other code but that of --factory and
    --loader. Models that bring no encoder are fed all columns of --data but the label, the group and those of --drop;
    they must be numbers, and go in as they are, as one matrix of float32, in their order, or that of the columns which
    scikit-learn noted in a .skops. Or --data is a .npz file: --label and --group (by default y and group) name two
    arrays of it, and the others are the inputs. Images come as a folder or a zip archive (--images) with a table of
    their labels and groups, and --preprocess FILE says how they are fed: {"kind": "image", "size": [HEIGHT, WIDTH],
    "mean": [r, g, b], "scale": [r, g, b], "layout": "CHW" or "HWC", "colours": "RGB" or "L"}, less mean and divided by
    scale, of 0 to 1. For a folder of transformers --text names the column of texts, which its own tokenizer.json turns
    into tokens. For all other data there is --loader.
    """
    from fairheads.activations import Outcome
    from fairheads.audit import audit as run
    from fairheads.audit import forget
    from fairheads.audit.flipped import flips_csv
    from fairheads.errors import ConfigError
    from fairheads.metrics import CORE
    from fairheads.models import open_model
    from fairheads.reports import check_refused, gap_gate, render, verdict_gates
    from fairheads.results import AuditReport
    from fairheads.twins import TwinRecipe, default_cache

    check_refused(fail_on, n_twins or len(twin_paths))
    check_gap(max_gap, gap_metric, CORE)
    if n_twins and twin_paths:
        raise ConfigError("give either `--twins N` or `--twin MODEL`, not both.")
    for option, given in (("--train-data", train_data is not None), ("--placebo", placebo != 0)):
        if given and not n_twins:
            raise ConfigError(f"`{option}` is for training twins; give `--twins N` too.")
    if group_input is not None and no_details:
        raise ConfigError("`--group-input` asks for one of the details; give either it or `--no-details`.")
    outcome = None if outcome_text is None else Outcome.parse(outcome_text)
    said = f"training {n_twins} twins" + (f" and {placebo} placebos" if placebo else "")
    sums = None if out is None else out / ".audit-sums.json"
    with warnings_told(), steps() as tell:
        opened = open_model(model, factory=factory, outcome=outcome)
        bundle = bundle_of(opened)
        columns = Columns(
            source=source, label=label, group=group, favourable=favourable, drop=drop, order=fitted_columns(opened)
        )
        recorded = trainable(bundle, columns, loader, model) if n_twins else None
        rows = audited_rows(
            bundle,
            columns,
            split,
            loader,
            model=model,
            text=text,
            images=Images(source=images, column=image, preprocess=preprocess),
            most=sample,
            seed=seed,
            in_memory=bool(n_twins) and train_data is None,
            tell=lambda done: tell(f"reading {source}", done, None, "rows"),
        )
        own = None if recorded is None else training_rows(recorded, rows.table, columns, train_data)
        twins: TwinRecipe | tuple[Path, ...] | None = twin_paths or None
        if own is not None:
            twins = TwinRecipe(
                own,
                n=n_twins,
                placebo=placebo,
                seed=seed,
                cache=default_cache(),
                progress=lambda done, of: tell(said, done, of, "networks"),
            )
        report = run(
            opened,
            rows.data,
            twins=twins,
            factory=factory if twin_paths else None,
            outcome=outcome if twin_paths else None,
            reference=reference,
            layers=names(layers) or None,
            seed=seed,
            flip=names(group_input) or None,
            details=not no_details,
            notes=[f"Audited on {rows.words}."],
            name=model.absolute().name,
            before=lambda weights, digest: keep_other(
                out, AuditReport, {"another model": weights, "other rows": digest}, overwrite=overwrite
            ),
            progress=lambda done, of: tell("auditing", done, of, "rows"),
            looking=lambda done, of: tell("looking inside", done, of, "measurements"),
            resume=sums,
        )
        who = ""
        if list_flips is not None:
            who = flips_csv(report, opened, rows.data)
    if out is not None:
        for file in report.save(out):
            say(f"wrote {file}")
    write_list(list_flips, who)
    if sums is not None:
        forget(sums)
    click.echo(render(report, form), nl=False)
    gates = verdict_gates(report, fail_on)
    gates += [] if max_gap is None else [gap_gate(report.disparity, max_gap, gap_metric)]
    suite = f"audit of {report.model.name} on {report.data.name}"
    close_gates(gates, any_set=bool(fail_on) or max_gap is not None, file=junit, suite=suite)
