"""fairheads disparity"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .gates import check_gap, close_gates, gap_options
from .options import SEED, keep_other, names, overwrite_option, rows_read
from .verbosity import say

if TYPE_CHECKING:
    from fairheads.results import DisparityReport, ImpactReport

FORMATS = ("text", "json", "md", "html", "csv")

STANDARDS = ("four-fifths", "nyc-ll144")

NOT_FOR_STANDARDS = {
    "control",
    "reference",
    "metric",
    "confidence",
    "simultaneous",
    "replicates",
    "seed",
    "max_gap",
    "gap_metric",
    "junit",
}
"""Options that a standard leaves no choice about."""


FOR_STANDARDS = {"exclude_below", "justification"}


@click.command()
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option("--group", metavar="COL[,COL]", help="Column of the groups; several make intersections.")
@click.option(
    "--membership",
    multiple=True,
    metavar="GROUP=COL",
    help="Instead of --group: column of the probability that a row belongs to GROUP; repeatable.",
)
@click.option("--label", metavar="COL", help="Column of the recorded outcome; error rates need it.")
@click.option("--prediction", metavar="COL", help="Column of the decision.")
@click.option("--score", metavar="COL", help="Column of a score, larger for the favourable outcome.")
@click.option("--threshold", type=float, metavar="X", help="Without --prediction: the decision is score >= X.")
@click.option("--control", metavar="COL[,COL]", help="Compare selection rates within the strata of these columns too.")
@click.option("--weight", metavar="COL", help="Column of row weights, at least 0.")
@click.option(
    "--favourable",
    metavar="VALUE",
    help="Favourable value of label and decision; may be left out for 0/1, yes/no and true/false.",
)
@click.option("--reference", metavar="GROUP", help="Group that the others are compared with; by default the largest.")
@click.option("--metric", metavar="NAME[,NAME]", help="Metrics to report; by default all that the columns allow.")
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Confidence of every interval.",
)
@click.option("--simultaneous", is_flag=True, help="Intervals that hold for all groups and metrics together.")
@click.option(
    "--replicates",
    type=click.IntRange(min=0),
    default=10_000,
    show_default=True,
    help="Permutations and bootstrap replicates: more are finer and slower, 0 leaves the nulls out.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the replicates.")
@click.option(
    "--standard",
    type=click.Choice(STANDARDS),
    help="Impact ratios as the four-fifths rule or New York City's Local Law 144 asks for them, instead.",
)
@click.option(
    "--exclude-below",
    type=click.FloatRange(0, 0.02),
    default=0.02,
    show_default=True,
    help="With --standard: share of the data below which a category gets no impact ratio.",
)
@click.option("--justification", default="", help="With --standard nyc-ll144: why such categories are left out.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report as JSON, HTML, Markdown and CSV.")
@overwrite_option("Replace a report of another table, standard or other columns in --out.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="What is printed."
)
@gap_options
@click.pass_context
def disparity(
    context: click.Context,
    predictions: Path,
    group: str | None,
    membership: tuple[str, ...],
    label: str | None,
    prediction: str | None,
    score: str | None,
    threshold: float | None,
    control: str | None,
    weight: str | None,
    favourable: str | None,
    reference: str | None,
    metric: str | None,
    confidence: float,
    simultaneous: bool,
    replicates: int,
    seed: int,
    standard: str | None,
    exclude_below: float,
    justification: str,
    out: Path | None,
    overwrite: bool,
    form: str,
    max_gap: float | None,
    gap_metric: str,
    junit: Path | None,
) -> None:
    """Rates of every group and the gaps between groups, counted from a table of PREDICTIONS.

    \b
    fairheads disparity decisions.csv --group sex --label hired --prediction offer
    fairheads disparity decisions.parquet --group sex,race --label hired --score p --threshold 0.5 --out report
    fairheads disparity folder/ --group sex --prediction offer --control job --max-gap 0.05   # exit code 3
    fairheads disparity decisions.csv --group sex,race --score p --standard nyc-ll144 --format md

    PREDICTIONS is a CSV file (also .gz or .xz), a Parquet file, or a folder of such files, of any length: rows are
    counted as they stream. Rows whose group is missing are shown as "(not recorded)"; a missing label, decision or
    score is an error. nyc-ll144 on a score without --threshold takes who scored above the median of all rows. Needs
    no model.
    """
    from fairheads.errors import ConfigError
    from fairheads.results import ImpactReport

    columns: dict[str, Any] = {
        "group": names(group),
        "label": label,
        "prediction": prediction,
        "score": score,
        "threshold": threshold,
        "weight": weight,
        "control": names(control),
        "favourable": favourable,
        "memberships": _memberships(membership),
    }
    chosen = _chosen(context)
    if standard is None and (given := sorted(FOR_STANDARDS.intersection(chosen))):
        raise ConfigError(f"without a `--standard` there is no use for {_options(given)}.")
    if standard is not None:
        if given := sorted(NOT_FOR_STANDARDS.intersection(chosen)):
            raise ConfigError(f"`--standard {standard}` leaves no choice of {_options(given)}.")
        if justification and standard != "nyc-ll144":
            raise ConfigError("`--justification` is for `--standard nyc-ll144`.")
        keep_other(
            out, ImpactReport, {"another standard": standard, "another table": predictions.name}, overwrite=overwrite
        )
        _print(_impact(predictions, columns, standard, exclude_below, justification), out, form)
        return

    from fairheads.data import tally_file
    from fairheads.metrics import disparity_of
    from fairheads.reports import gap_gate
    from fairheads.results import RATES, SCORES, DisparityReport

    wanted = tuple(name.replace("-", "_") for name in names(metric)) or None
    unknown = [m for m in wanted or () if m not in {**RATES, **SCORES} and not m.startswith("score_quantile_")]
    if unknown:
        raise ConfigError(f"`--metric` must be among {', '.join([*RATES, *SCORES])}, got {', '.join(unknown)}.")
    if junit is not None and max_gap is None:
        raise ConfigError("`--junit` tells of gates; give `--max-gap` too.")
    check_gap(max_gap, gap_metric, wanted if wanted and max_gap is not None else [*RATES, *SCORES])
    groups = ", ".join(names(group) or ("group",))
    keep_other(out, DisparityReport, {"another table": predictions.name, "other columns": groups}, overwrite=overwrite)
    with rows_read(f"counting {predictions.name}") as tell:
        tally = tally_file(predictions, **columns, progress=tell)
    report = disparity_of(
        tally,
        favourable=favourable or _favourable(predictions, columns),
        reference=reference,
        metrics=wanted,
        confidence=confidence,
        simultaneous=simultaneous,
        replicates=replicates,
        seed=seed,
        name=predictions.name,
    )
    if max_gap is not None:
        check_gap(max_gap, gap_metric, report.gaps)
    _print(report, out, form)
    gates = [] if max_gap is None else [gap_gate(report, max_gap, gap_metric)]
    close_gates(gates, any_set=bool(gates), file=junit, suite=f"disparity of {predictions.name}")


def _chosen(context: click.Context) -> set[str]:
    """The options that stand on the command line."""
    given = click.core.ParameterSource.COMMANDLINE
    return {name for name in context.params if context.get_parameter_source(name) is given}


def _options(parameters: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in parameters)


def _memberships(pairs: tuple[str, ...]) -> dict[str, str]:
    """Columns of probabilities by group."""
    from fairheads.errors import ConfigError

    wrong = [pair for pair in pairs if not all(pair.partition("="))]
    if wrong:
        raise ConfigError(f"`--membership` must be GROUP=COL, got {wrong[0]!r}.")
    return dict(pair.split("=", 1) for pair in pairs)


def _favourable(predictions: Path, columns: dict[str, Any]) -> str:
    """What counted as favourable, in the words of the table."""
    from fairheads.data.predictions import favourable_word

    outcome = columns["label"] or columns["prediction"]
    if outcome is None:
        return "1" if columns["threshold"] is None else f"{columns['score']} >= {columns['threshold']:g}"
    return favourable_word(predictions, outcome)


def _impact(
    predictions: Path, columns: dict[str, Any], standard: str, exclude_below: float, justification: str
) -> ImpactReport:
    """The impact ratios that a standard asks for."""
    from fairheads.data import scores_of, tally_file
    from fairheads.data.roles import Roles
    from fairheads.errors import ConfigError
    from fairheads.metrics.standards import four_fifths, local_law_144, threshold_above_median

    Roles(**columns)
    if columns["prediction"] is not None:
        columns = {**columns, "score": None}
    scoring = columns["prediction"] is None and columns["threshold"] is None
    if scoring and standard == "four-fifths":
        raise ConfigError("`--standard four-fifths` needs decisions: name --prediction, or a --threshold of the score.")
    with rows_read(f"counting {predictions.name}") as tell:
        if scoring:
            scores = scores_of(predictions, columns["score"], progress=tell)
            columns = {**columns, "threshold": threshold_above_median(scores)}
        tally = tally_file(predictions, **columns, progress=tell)
    if standard == "four-fifths":
        return four_fifths(tally, name=predictions.name, exclude_below=exclude_below)
    return local_law_144(
        tally,
        kind="scoring" if scoring else "selection",
        name=predictions.name,
        exclude_below=exclude_below,
        justification=justification,
    )


def _print(report: DisparityReport | ImpactReport, out: Path | None, form: str) -> None:
    from fairheads.reports import render

    shown = render(report, form)
    if out is not None:
        for file in report.save(out):
            say(f"wrote {file}")
    click.echo(shown, nl=False)
