"""The paper's study on Adult, COMPAS and FairFace, and the figures of README.

Run by `make paper`: minutes for Adult and COMPAS, two to three hours on two cores for FairFace; resumable, in --work.
Writes a report for each data set into paper/ beside this file. COMPAS and FairFace are left out where
FAIRHEADS_SHARED_DATA does not have them. `--figures` (part of `make figures`) draws README's figures from these reports
and trains nothing.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import click

from fairheads.reports import save_texts
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


ASKED = {
    1: ("1, the probe: change of its AUC", "change of the probe's AUC", "+.3f"),
    2: ("2, the merge: decisions shared", "agreement", ".3f"),
    3: ("3, the head taken out: accuracy beyond an offset", "by the head", "+.3f"),
    4: ("4, at equal merit: change, sd of the logit", "change of the difference at equal merit", "+.3f"),
}
"""Words and number of every claim in README's table."""

TITLES = {"adult": "Adult, sex", "compas": "COMPAS, race", "fairface": "FairFace, gender"}


def table(reports: Mapping[str, PaperReport]) -> list[str]:
    """README's table of the claims: a row a data set and weight."""
    lines = [f"| data | {' | '.join(words for words, *_ in ASKED.values())} |", "|---" * (len(ASKED) + 1) + "|"]
    for data, report in reports.items():
        for weight in dict.fromkeys(claim.weight for claim in report.claims):
            cells = [f"{TITLES[data]}, weight {weight:g}"]
            for number, (_, name, spec) in ASKED.items():
                claim = next(c for c in report.claims if (c.claim, c.weight) == (number, weight))
                shown = re.sub(r"(?<![0-9])0\.", ".", format(claim.values[name], spec))
                point = next(p for p in report.of("squared") if p.weight == weight)
                heads = (
                    f"; head in {point.verdicts.get('compensating_head', 0)} of {point.seeds}" if number == 4 else ""
                )
                cells.append(f"{claim.holds}: {shown}{heads}")
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def kept() -> dict[str, PaperReport]:
    """The reports that are committed."""
    return {data: PaperReport.load(RESULTS / f"{data}.json") for data in SOURCES if (RESULTS / f"{data}.json").exists()}


@click.command()
@click.option("--data", "names", multiple=True, type=click.Choice(sorted(SOURCES)), help="By default all.")
@click.option("--work", type=click.Path(path_type=Path), default=HERE / "work" / "paper")
@click.option("--jobs", type=int, help="Processes; by default one a core.")
@click.option("--figures", is_flag=True, help="Draw README's figures, print its table, and do nothing else.")
def main(names: tuple[str, ...], work: Path, jobs: int | None, figures: bool) -> None:
    """Run the studies, or draw the figures."""
    if figures:
        draw()
        print("\n".join(table(kept())))
        return
    RESULTS.mkdir(exist_ok=True)
    for data in names or SOURCES:
        report = run(data, work, jobs)
        if report is not None:
            save_texts(RESULTS, {f"{data}.json": report.to_json()})
            print(report.summary())


if __name__ == "__main__":
    main()
