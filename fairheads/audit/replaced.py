"""Which report an audit may replace: its own."""

from __future__ import annotations

import warnings
from pathlib import Path

from fairheads.activations import Outcome, as_network
from fairheads.audit.opening import Model, net_of
from fairheads.audit.told import digest_of
from fairheads.data import Dataset, RowRecord, Stream
from fairheads.errors import FairheadsWarning, InputError
from fairheads.models import open_model
from fairheads.results import AuditReport


def refuse_other_report(
    folder: str | Path,
    model: Model,
    data: Dataset | Stream,
    *,
    factory: str | None = None,
    outcome: Outcome | None = None,
) -> None:
    """Refuses a folder with a report of other weights or other rows, which an audit would replace; ask before it.

    Raises
    ------
    InputError
        If there is one, or a ``report.json`` of something else.
    FairheadsError
        If the model cannot be opened.
    """
    place = Path(folder) / "report.json"
    if not place.exists():
        return
    way = "choose another folder, or overwrite it (--overwrite)"
    try:
        there = AuditReport.load(place)
    except InputError as error:
        raise InputError(f"{str(place)!r} is no report of an audit; {way}.") from error
    with warnings.catch_warnings():  # the audit says it
        warnings.simplefilter("ignore", FairheadsWarning)
        opened = open_model(model, factory=factory, outcome=outcome) if isinstance(model, str | Path) else model
    if there.model.digest != digest_of(as_network(net_of(opened))):
        raise InputError(f"{str(place)!r} is of another model ({there.model.name}, other weights); {way}.")
    if there.data.digest != RowRecord.of(data).digest:
        raise InputError(f"{str(place)!r} is of other rows ({there.data.n:,} of {there.data.name}); {way}.")
