"""The paper's study on Adult, COMPAS and FairFace, and the figures of README.

Run by `make paper`: minutes for Adult and COMPAS, two to three hours on two cores for FairFace; resumable, in --work.
Writes a report for each data set into paper/ beside this file. COMPAS and FairFace are left out where
FAIRHEADS_SHARED_DATA does not have them. `--figures` (part of `make figures`) draws README's figures from these reports
and trains nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import click

from fairheads.results import PaperReport
from fairheads.results._style import picture
from fairheads.study import SETTINGS, paper_study

HERE = Path(__file__).parent
RESULTS = HERE / "paper"
FIGURES = HERE.parents[1] / "notebooks" / "figures"
SOURCES = {"adult": None, "compas": "compas/compas_two_years_deidentified.csv", "fairface": "fairface"}
SHOWN = {"paper-accuracy": "accuracy", "paper-probe": "probe", "paper-treatment": "treatment"}
"""README's figures, all of Adult."""


def run(data: str, work: Path, jobs: int | None) -> PaperReport | None:
    """The study of one data set; None where its files are absent."""
    shared = Path(os.environ.get("FAIRHEADS_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
    found = SOURCES[data]
    source = None if found is None else shared / found
    if source is not None and not source.exists():
        print(f"{data}: left out, {found} is not there")
        return None

    def tell(step: str, done: int, of: int) -> None:
        print(f"{data}: {step}, {done} of {of}", file=sys.stderr, flush=True)

    return paper_study(SETTINGS[data], work / data, source=source, jobs=jobs, progress=tell)


def draw() -> None:
    """README's figures."""
    report = PaperReport.load(RESULTS / "adult.json")
    FIGURES.mkdir(exist_ok=True)
    for name, of in SHOWN.items():
        (FIGURES / f"{name}.png").write_bytes(picture(lambda of=of: report.plot(of=of), "png"))


@click.command()
@click.option("--data", "names", multiple=True, type=click.Choice(sorted(SOURCES)), help="By default all.")
@click.option("--work", type=click.Path(path_type=Path), default=HERE / "work" / "paper")
@click.option("--jobs", type=int, help="Processes; by default one a core.")
@click.option("--figures", is_flag=True, help="Draw README's figures and do nothing else.")
def main(names: tuple[str, ...], work: Path, jobs: int | None, figures: bool) -> None:
    """Run the studies, or draw the figures."""
    if figures:
        draw()
        return
    RESULTS.mkdir(exist_ok=True)
    for data in names or SOURCES:
        report = run(data, work, jobs)
        if report is not None:
            (RESULTS / f"{data}.json").write_text(report.to_json(), encoding="utf-8")
            print(report.summary())


if __name__ == "__main__":
    main()
