"""Who flips: the people whose decision depends on which group the network takes them to be in, one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network, Outcome, as_network, one_thread
from fairheads.audit.opening import Model, net_of
from fairheads.data import Dataset, Stream, blocks
from fairheads.errors import InputError
from fairheads.models import open_model
from fairheads.models.running import running
from fairheads.results import AuditReport
from fairheads.results._csv import csv_text

HEAD = ("pathway", "layer", "row", "group", "before", "after")


@one_thread()
def flips_csv(
    report: AuditReport,
    model: Model,
    data: Dataset | Stream,
    *,
    factory: str | None = None,
    outcome: Outcome | None = None,
) -> str:
    """A line a person and pathway whose decision flips under the swap, as CSV text.

    Reports hold how many there are and never who: this is for a file of its own, to be kept as the data are.

    Parameters
    ----------
    report : AuditReport
        Of ``model`` on ``data``, made in this process: saved reports have no ids.
    model, data, factory, outcome
        As `fairheads.audit.audit` got them.

    Returns
    -------
    str
        Columns ``pathway`` (the group that was put beside the reference), ``layer`` of the swap, ``row`` (the row's
        id; of a table its place, from 0), ``group`` (the person's own), and the decision ``before`` and ``after``,
        1 where it is favourable.

    Raises
    ------
    InputError
        If the report has counts of people and not their ids, or a row of it is not in ``data``.

    Examples
    --------
    >>> from fairheads.audit import audit
    >>> from fairheads.nets import MLP
    >>> from fairheads.planted import synthetic
    >>> rows, net = synthetic(400), MLP(8, hidden=(8,))
    >>> flips_csv(audit(net, rows, details=False), net, rows).splitlines()[0]
    'pathway,layer,row,group,before,after'
    """
    flips = {group: path.flips for group, path in report.pathways.items() if path.flips is not None and path.flips.n}
    if any(len(each.row_ids) != each.n for each in flips.values()):
        raise InputError("`report` has no row ids: they are not saved. Audit again to list who flips.")
    wanted = np.unique([row for each in flips.values() for row in each.row_ids]).astype(np.int64)
    opened = open_model(model, factory=factory, outcome=outcome) if isinstance(model, str | Path) else model
    found = _decided(as_network(net_of(opened)), data, wanted) if len(wanted) else {}
    if missing := set(wanted.tolist()) - set(found):
        raise InputError(f"row {min(missing)} of `report` is not in `data`; are they the rows that were audited?")
    lines = [
        (pathway, each.layer, row, found[row][0], found[row][1], 1 - found[row][1])
        for pathway, each in flips.items()
        for row in sorted(each.row_ids)
    ]
    return csv_text(HEAD, lines)


def _decided(network: Network, data: Dataset | Stream, wanted: NDArray[np.int64]) -> dict[int, tuple[str, int]]:
    """Group and decision of the wanted rows; whole blocks are run, as in the audit."""
    found: dict[int, tuple[str, int]] = {}
    for batch in blocks(data):
        some = np.isin(batch.row_id, wanted)
        if some.any():
            with running("the model", batch.inputs):
                decision = network.forward(batch.inputs) > 0
            for row, group, favourable in zip(batch.row_id[some], batch.group[some], decision[some], strict=True):
                found[int(row)] = (data.group_names[group], int(favourable))
    return found
