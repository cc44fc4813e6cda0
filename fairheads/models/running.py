"""What a network raises in a forward pass, as one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from fairheads.errors import FairheadsError, InputError, line_with_kind


@contextmanager
def running(what: str, inputs: Mapping[str, NDArray[Any]]) -> Iterator[None]:
    """Whatever a network raises in a forward pass becomes one line, and is its cause."""
    try:
        yield
    except Exception as error:
        failure = _failure(error)
        if failure is None:
            raise
        shapes = ", ".join(f"{name} ({', '.join(['n', *map(str, each.shape[1:])])})" for name, each in inputs.items())
        raise InputError(f"{what} cannot be run on the inputs {shapes}: {line_with_kind(failure)}") from failure


def _failure(error: Exception) -> Exception | None:
    """What a network raised by itself; None where the error says it already."""
    return None if isinstance(error, FairheadsError | MemoryError) else error
