"""Which report a new one may replace: one of the same kind about the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fairheads.errors import InputError
from fairheads.results.shown import Report


def refuse_other(folder: str | Path, kind: type[Report], subject: Mapping[str, str]) -> None:
    """Refuses a folder whose report a new one would replace although it is about something else; ask before the work.

    Parameters
    ----------
    folder : str or Path
        Where the new report will be saved.
    kind : type of report
        Of the new one.
    subject : mapping of words to str
        The keys of what the new one is about, as far as they are known: see its ``subject()``.

    Raises
    ------
    InputError
        If the file that the kind saves is there and is of another subject, or no such report.

    Examples
    --------
    >>> import tempfile
    >>> from fairheads.metrics import disparity_report
    >>> report = disparity_report([1, 0, 1, 0], [1, 1, 0, 0], sensitive_features=list("aabb"), name="may.csv")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = report.save(folder)
    ...     refuse_other(folder, type(report), {"another table": "may.csv"})
    """
    place = Path(folder) / kind.FILE
    if not place.exists():
        return
    way = "choose another folder, or overwrite it (--overwrite)"
    try:
        there = kind.load(place)
    except InputError as error:
        raise InputError(f"{str(place)!r} is no report of {kind.OF}; {way}.") from error
    about = there.subject()
    for what, mine in subject.items():
        key, told = about[what]
        if key != mine:
            raise InputError(f"{str(place)!r} is of {what} ({told}); {way}.")
