"""What a network raises in a forward pass, as one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from fairheads.errors import FairheadsError, InputError, line_with_kind

OTHER_WIDTH = (
    r"mat1 and mat2 shapes cannot be multiplied \(\d+x(?P<got>\d+) and (?P<wanted>\d+)x",
    r"shape\[1\] to be equal to (?P<wanted>\d+), but got (?P<got>\d+)",
    r"index: 1 Got: (?P<got>\d+) Expected: (?P<wanted>\d+)",
)
"""How a module, an exported graph and onnxruntime say that rows have another number of columns."""


@contextmanager
def running(what: str, inputs: Mapping[str, NDArray[Any]], columns: Sequence[str] | None = None) -> Iterator[None]:
    """Whatever a network raises in a forward pass becomes one line, and is its cause; ``columns`` are names for it."""
    try:
        yield
    except (FairheadsError, MemoryError):
        raise
    except Exception as error:
        shapes = ", ".join(f"{name} ({', '.join(['n', *map(str, each.shape[1:])])})" for name, each in inputs.items())
        line = line_with_kind(error)
        reason = _other_width(line, inputs, columns) or line
        raise InputError(f"{what} cannot be run on the inputs {shapes}: {reason}") from error


def _other_width(line: str, inputs: Mapping[str, NDArray[Any]], columns: Sequence[str] | None) -> str:
    """That a matrix has too many columns or too few, where the error says so; else nothing."""
    widths = [each.shape[1] if each.ndim == 2 else None for each in inputs.values()]
    for found in (re.search(pattern, line) for pattern in OTHER_WIDTH):
        if found is not None and widths == [int(found["got"])]:
            named = f" ({', '.join(columns[:12])}{', ...' if len(columns) > 12 else ''})" if columns else ""
            return f"it takes {found['wanted']} columns, and there are {found['got']}{named}; check --drop."
    return ""
