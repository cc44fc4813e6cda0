"""fairheads demo"""

from __future__ import annotations

from pathlib import Path

import click

from .options import SEED, counted

TWINS = 5
WEIGHT = 10.0
MAX_GAP = 0.03
NAMES = ("unconstrained", "demographic-parity", "two-headed-merged")


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("fairheads-demo"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
def demo(out: Path, seed: int) -> None:
    """Train three networks on Adult, save them, audit the saved files and compare.

    An unconstrained network, one with a demographic-parity penalty, and a two-headed one merged at a gap of 0.03; five
    twins train beside them. Sex is not an input. Writes models, reports and a comparison page to --out.
    """
    from fairheads.audit import audit
    from fairheads.constraints import demographic_parity
    from fairheads.data import adult
    from fairheads.models import fit_table, load_bundle, save_bundle
    from fairheads.results import Comparison
    from fairheads.training import Objective, Penalized, TwoHeaded, Unconstrained
    from fairheads.twins import TwinRecipe
    from fairheads.twoheads import merge_bundle

    table = adult(sensitive="sex")
    objectives: tuple[Objective, ...] = (Unconstrained(), Penalized(demographic_parity(), WEIGHT), TwoHeaded())
    for name, objective in zip(NAMES, objectives, strict=True):
        with counted(f"training {name:<20}", 8) as tell:
            bundle = fit_table(table, objective, epochs=8, seed=seed, progress=tell)
            if isinstance(objective, TwoHeaded):
                save_bundle(bundle, out / "models" / "two-headed", overwrite=True)
                rows, words = bundle.encode(table, "validation")
                bundle = merge_bundle(bundle, rows, max_gap=MAX_GAP, split=words).bundle
            save_bundle(bundle, out / "models" / name, overwrite=True)
    reports = {}
    for name in NAMES:
        saved = load_bundle(out / "models" / name)
        train_rows, _ = saved.encode(table, "train")
        test_rows, words = saved.encode(table, "test")
        with counted(f"auditing {name:<20}", TWINS) as tell:
            recipe = TwinRecipe(train_rows, n=TWINS, seed=seed, cache=out / "twins", progress=tell)
            reports[name] = audit(saved, test_rows, twins=recipe, notes=[f"Audited on {words}."])
        reports[name].save(out / "reports" / name)
    comparison = Comparison(reports=reports)
    links = {name: f"reports/{name}/report.html" for name in NAMES}
    comparison.save(out, links)
    click.echo(comparison.summary())
    click.echo(f"\nOpen {out / 'comparison.html'} in a browser; each model has its report in {out / 'reports'}.")
