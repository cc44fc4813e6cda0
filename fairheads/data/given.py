"""What a caller gives as rows: a `Dataset` or a `Stream`, and one line where it is anything else."""

from __future__ import annotations

from fairheads.data.dataset import Dataset
from fairheads.data.stream import Stream
from fairheads.errors import InputError


def refuse_other_rows(data: object, *, streams: bool = True) -> None:
    """Refuse what is no `Dataset`, nor, where ``streams`` will do, a `Stream`.

    Raises
    ------
    InputError
    """
    if isinstance(data, Dataset) or (streams and isinstance(data, Stream)):
        return
    wanted = "a Dataset or a Stream" if streams else "a Dataset, rows in memory"
    way = "take(places) of a stream makes one" if isinstance(data, Stream) else "make one by Dataset(X, y, group)"
    raise InputError(f"`data` must be {wanted} (fairheads.data), got {type(data).__name__}; {way}.")
