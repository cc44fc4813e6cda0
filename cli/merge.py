"""fairheads merge"""

from __future__ import annotations

from pathlib import Path

import click

from .options import opened, table_options


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@table_options
@click.option("--max-gap", type=float, default=0.02, show_default=True, help="Largest gap in selection rate.")
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    help="Confidence with which new rows keep the gap; 0 asks it of the validation rows alone.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the merged model.")
@click.option("--overwrite", is_flag=True, help="Replace the model in --out.")
def merge(
    model: Path,
    source: str,
    label: str | None,
    group: str | None,
    favourable: str | None,
    drop: str | None,
    max_gap: float,
    confidence: float,
    out: Path,
    overwrite: bool,
) -> None:
    """Merge the two heads of MODEL into one: z_y + b z_g + t, as one linear layer.

    \b
    fairheads train --data adult --objective two-headed --out models/two
    fairheads merge models/two --data adult --max-gap 0.02 --out models/merged

    b and t are chosen on the validation rows that were held out when MODEL was trained (of another table, on all
    rows), and the merged logits are compared with the two heads' before anything is written.
    """
    from fairheads.models import check_free, load_bundle, save_bundle
    from fairheads.twoheads import merge_bundle

    check_free(out, overwrite=overwrite)
    bundle = load_bundle(model)
    table = opened(source, label, group, favourable, drop)
    data, words = bundle.encode(table, "validation" if bundle.trained_on(table) else "all")
    merged = merge_bundle(bundle, data, max_gap=max_gap, confidence=confidence or None)
    save_bundle(merged, out, overwrite=overwrite)
    chosen = merged.merge or {}
    click.echo(f"saved {out}")
    click.echo(
        f"b = {chosen['b']:.4f}, t = {chosen['t']:.4f}; on {words}: accuracy {chosen['accuracy']:.3f},"
        f" gap {chosen['gap']:+.4f}"
    )
