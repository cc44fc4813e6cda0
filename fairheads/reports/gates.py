"""Gates of a pipeline: what a report must say for a command to succeed, and JUnit XML that tells a CI server of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from fairheads.errors import ConfigError
from fairheads.results import GAPS, MEANING, AuditReport, DisparityReport, PathwayReport, gap_named
from fairheads.results._pathway_text import effect_text, twins_text
from fairheads.results._words import VERDICT_NAME, clip, printable, rate_name, sentence

NAME, LONG = 60, 1000
"""Letters of a name, and of a sentence."""

NEEDED_TWINS = {"compensating_head": 2, "aligned_use": 2, "head_or_suppression": 1, "suppression": 1}
"""Fewest twins with which a verdict can be found; the others need none."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition.

    Attributes
    ----------
    name : str
        What is asked.
    met : bool
    short, said : str
        What was found, in a few words and in sentences.
    """

    name: str
    met: bool
    short: str
    said: str


def check_refused(refused: Collection[str], twins: int) -> None:
    """Whether gates on these verdicts can fail in an audit with so many twins.

    Raises
    ------
    ConfigError
        If a verdict does not exist, or none of them can be found.
    """
    for verdict in refused:
        if verdict not in MEANING:
            raise ConfigError(f"`--fail-on` must be one of {', '.join(MEANING)}, got {verdict!r}.")
    if refused and all(NEEDED_TWINS.get(verdict, 0) > twins for verdict in refused):
        least = min(NEEDED_TWINS[verdict] for verdict in refused)
        weaker = [f"`--fail-on consistent_with_{v}`" for v in refused if f"consistent_with_{v}" in MEANING]
        ways = [*weaker, f"{least} twins or more (`--twins N`, or `--twin MODEL` for each)"]
        raise ConfigError(
            f"`--fail-on {' --fail-on '.join(refused)}` cannot fail: with {twins or 'no'}"
            f" {'twin' if twins == 1 else 'twins'} no audit comes to that verdict. Give {', or '.join(ways)}."
        )


def verdict_gates(report: AuditReport, refused: Collection[str]) -> list[Gate]:
    """A gate a group, which is not met where its verdict is among ``refused``."""
    asked = f"verdict is not {', '.join(refused)}" if refused else "verdict"
    return [
        Gate(
            name=f"{clip(group, NAME)} beside {clip(pathway.reference, NAME)}: {asked}",
            met=pathway.verdict not in refused,
            short=f"{clip(group, NAME)}: {pathway.verdict}",
            said=_verdict(pathway),
        )
        for group, pathway in report.pathways.items()
    ]


def _verdict(pathway: PathwayReport) -> str:
    """The verdict in sentences, with the effect it rests on."""
    told = [f"{VERDICT_NAME[pathway.verdict]}: {MEANING[pathway.verdict]}.", sentence(pathway.reason)]
    if pathway.effect is not None:
        told.append(f"Effect: {effect_text(pathway.effect)}.")
    if pathway.twins is not None:
        told.append(f"{twins_text(pathway.twins)}.")
    return " ".join(told)


def gap_gate(report: DisparityReport, most: float, metric: str) -> Gate:
    """A gate that is met where the upper bound of the gap is at most ``most``; ``metric`` is its name, as in `GAPS`.

    A gap that cannot be estimated does not meet it.

    Raises
    ------
    KeyError
        If the report has no such gap.
    """
    made = GAPS.get(gap_named(metric), (metric,))
    if len(made) == 1:
        (metric,) = made
        gap = report.gaps[metric]
        difference, groups = gap.difference, (gap.highest, gap.lowest)
    else:
        metric = gap_named(metric)
        difference, groups = report.criteria[metric].difference, ("", "")
    bound = difference.value if difference.high is None else difference.high
    between = f", between {clip(groups[0], NAME)} and {clip(groups[1], NAME)}" if groups[0] else ""
    return Gate(
        name=f"gap in {rate_name(metric)} at most {most:g}",
        met=bool(bound <= most),
        short=f"gap in {metric} {difference}, allowed {most:g}",
        said=f"The gap in {rate_name(metric)} is {difference}{between}; its upper bound may be {most:g}.",
    )


def junit(gates: Sequence[Gate], *, suite: str) -> str:
    """JUnit XML: a test case a gate, a failure with its sentences where it is not met.

    Parameters
    ----------
    gates : sequence of Gate
    suite : str
        What was judged. Names from data are kept to what XML may hold.

    Notes
    -----
    Without times and dates: the same gates give the same bytes.

    Examples
    --------
    >>> gate = Gate(name="gap at most 0.05", met=False, short="gap 0.1", said="The gap is <0.1>.")
    >>> print(junit([gate], suite="a & b"))
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="fairheads" tests="1" failures="1" errors="0">
      <testsuite name="a &amp; b" tests="1" failures="1" errors="0" skipped="0">
        <testcase classname="fairheads" name="gap at most 0.05">
          <failure type="gate" message="gap 0.1">The gap is &lt;0.1&gt;.</failure>
        </testcase>
      </testsuite>
    </testsuites>
    <BLANKLINE>
    """
    counts = {"tests": str(len(gates)), "failures": str(sum(not gate.met for gate in gates)), "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": "fairheads", **counts})
    cases = ElementTree.SubElement(root, "testsuite", {"name": _text(suite), **counts, "skipped": "0"})
    for gate in gates:
        case = ElementTree.SubElement(cases, "testcase", {"classname": "fairheads", "name": _text(gate.name)})
        if gate.met:
            ElementTree.SubElement(case, "system-out").text = _text(gate.said)
        else:
            failure = ElementTree.SubElement(case, "failure", {"type": "gate", "message": _text(gate.short)})
            failure.text = _text(gate.said)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _text(text: str) -> str:
    """One line of characters that XML may hold; its writer escapes the rest."""
    return printable(clip(text, LONG)).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
