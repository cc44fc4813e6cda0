"""How often the verdict is right: every planted class on many data sets, with twins and without.

Run by `make calibrate` (`make calibrate QUICK=1` in ten minutes); resumable: what is measured is kept in --work. One
process a core with one thread each. Writes calibration.json and calibration.png beside this file; benches that are not
measured keep what stands there. Rules were compared on data sets with even seeds; what the chosen one does on those
with odd seeds stands beside.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import click
from calibration_figure import draw
from calibration_runs import ALPHA, BENCHES, BY_KIND, file_of, one_data_set, read_data_set
from calibration_tables import rules, seeds_where, summary, tables

HERE = Path(__file__).parent
SETTLED = {"image": 12, "tokens": 12}
"""Data sets of each kind that had been seen when the rule was last changed; later tables are a bench of their own."""

QUICK = {"table": 5, "image": 1, "tokens": 1, "bounds": 1, "parts": 1}


def seeds_of(name: str, quick: bool) -> range:
    """Of the data sets of a bench."""
    bench = BENCHES[name]
    n = QUICK.get(name, 0) if quick else bench.data_sets
    return range(bench.first_seed, bench.first_seed + n)


@click.command()
@click.option("--quick", is_flag=True, help="Few data sets: ten minutes.")
@click.option("--work", type=click.Path(path_type=Path), default=HERE / "work" / "calibration")
@click.option("--bench", "names", multiple=True, type=click.Choice(tuple(BENCHES)), default=tuple(BENCHES))
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Where networks are trained and run.")
@click.option("--measured-only", is_flag=True, help="Only data sets that are measured already.")
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "calibration.json")
def main(
    quick: bool, work: Path, names: tuple[str, ...], processes: int, device: str, measured_only: bool, out: Path
) -> None:
    """Measure the data sets that are missing, then judge all and write the tables."""
    work.mkdir(parents=True, exist_ok=True)
    wanted = [(name, seed) for name in names for seed in seeds_of(name, quick)]
    if not measured_only:
        with ProcessPoolExecutor(processes) as pool:
            jobs = [pool.submit(one_data_set, name, seed, work, device) for name, seed in wanted]
            for done, job in enumerate(as_completed(jobs), 1):
                name, seed, seconds = job.result()
                click.echo(f"{done:4}/{len(jobs)} {name} {seed} {seconds:.0f} s", err=True)
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"alpha": ALPHA}
    for name in names:
        seeds = [seed for each, seed in wanted if each == name and file_of(BENCHES[name], seed, work).exists()]
        found = [one for seed in seeds for one in read_data_set(name, seed, work)]
        if not found:
            continue
        result[name] = tables(BENCHES[name], found)
        if name in BY_KIND:
            halves = {half: seeds_where(found, odd) for half, odd in (("even seeds", False), ("odd seeds", True))}
            result[name]["rules"] = {half: rules(those) for half, those in halves.items() if those}
            if later := [one for one in found if name in SETTLED and one.seed >= SETTLED[name]]:
                result[name]["since the rule was settled"] = summary(later)
        for word, row in result[name]["classes"].items():
            click.echo(f"{name:10} {word:24} {row['truth']:12} {row['n']:4} {row['verdicts']}")
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(result, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
