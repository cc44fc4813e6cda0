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
    except (FairheadsError, MemoryError):
        raise
    except Exception as error:
        shapes = ", ".join(f"{name} ({', '.join(['n', *map(str, each.shape[1:])])})" for name, each in inputs.items())
        raise InputError(f"{what} cannot be run on the inputs {shapes}: {line_with_kind(error)}") from error
