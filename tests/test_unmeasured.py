"""Groups that nothing was measured of are told once for each reason; what was measured is told group by group."""

from __future__ import annotations

from dataclasses import replace

import pytest
from results_for_tests import audit, page_of

from fairheads.reports import render
from fairheads.results import AuditReport
from fairheads.results._unmeasured import bunches

MANY = tuple(f"group {i}" for i in range(3))


def report(untestable: tuple[str, ...]) -> AuditReport:
    return audit((*MANY, "main"), untestable=untestable)


def test_reports_of_one_reason_come_together_and_measured_ones_stay_alone() -> None:
    made = report(("group 0", "group 1", "group 2"))
    pathways = list(made.pathways.values())
    (other,) = [i for i, p in enumerate(pathways) if p.group == "group 2"]
    pathways[other] = replace(pathways[other], reason="something else")
    together = [[p.group for p in bunch] for bunch in bunches(pathways)]
    assert together == [["group 0", "group 1"], ["group 2"]]
    measured = report(("group 0", "group 1")).pathways
    assert [len(bunch) for bunch in bunches(measured.values())] == [2, 1]


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_the_reason_is_said_once_for_all_and_every_group_is_named(form: str) -> None:
    made = report(MANY[1:])
    shown = render(made, form)
    assert "2 groups beside" in shown
    head = shown.split("Decisions by group")[0] if form != "text" else shown.split("Rates of")[0]
    for name in MANY[1:]:
        assert head.count(f"<bdi>{name}</bdi>" if form == "html" else name) == 1
    assert head.count(made.pathways["group 2"].reason) == 1


def test_where_nothing_was_measured_no_figure_shows_it() -> None:
    page = page_of(report(MANY))
    assert "<svg" not in page.split("Decisions by group")[0] and "rows drawn" not in page


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_names_of_intersections_are_told_apart(form: str) -> None:
    names = ("Black, Female", "White, Female")
    shown = render(audit((*names, "White, Male"), untestable=names), form)
    between = "</bdi>; <bdi>" if form == "html" else "; "
    assert between.join(names) in shown


def test_what_is_not_known_of_training_rows_takes_no_column() -> None:
    made = audit()
    assert "Recorded favourable in training" in page_of(made)
    bare = {g: replace(share, training_n=None, training_base_rate=None) for g, share in made.data.groups.items()}
    assert "Recorded favourable in training" not in page_of(replace(made, data=replace(made.data, groups=bare)))
