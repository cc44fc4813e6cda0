"""What every result can do: say itself in text and as HTML, show itself in a notebook, and be plain JSON data."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from fairheads.errors import InputError, first_line
from fairheads.results._stylesheet import framed
from fairheads.results._text import inert
from fairheads.results.record import from_plain, json_text, to_plain

MOST_BYTES = 64 * 2**20
"""Largest file of a result: 10,000 groups fill as much, and what is read of it takes twenty times the memory."""


def plain_in(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises
    ------
    InputError
        If there is no such file, it is larger than 64 MB, or it holds something else, such as NaN, which is no JSON.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{str(file)!r} has more than {MOST_BYTES // 2**20} MB, and is no fairheads result.")
        plain = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise InputError(f"{str(file)!r} cannot be read: {error.strerror}.") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(file)!r} is not a JSON file: {first_line(error)}.") from error
    if not isinstance(plain, dict):
        raise InputError(f"{str(file)!r} holds no fairheads result.")
    return plain


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


class Displayed(ABC):
    """What shows itself: `print` gives the summary, the last line of a notebook's cell the HTML, a list one line each.

    A dataclass needs ``repr=False``, or it writes a representation of its own.
    """

    @abstractmethod
    def summary(self) -> str:
        """The result in a few lines of text; the last says what the numbers do not say."""

    @abstractmethod
    def html(self) -> str:
        """The result as an HTML fragment; everything that came from data is escaped."""

    def __str__(self) -> str:
        return inert(self.summary())

    def __repr__(self) -> str:
        """The class and the first line of the summary."""
        return f"<{type(self).__name__}: {str(self).splitlines()[0].strip()}>"

    def _repr_html_(self) -> str:
        return framed(self.html())


class Shown(Displayed):
    """Text, HTML and JSON of a result dataclass."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; keys are the attributes, NaN is null."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    def to_json(self) -> str:
        """The JSON text; the same result gives the same bytes."""
        return json_text(self.to_dict())

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The result that `to_dict` made ``plain`` from.

        Raises
        ------
        InputError
            If a key is missing, unknown, or of another type.
        """
        return from_plain(cls, dict(plain))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The result in a JSON file.

        Raises
        ------
        InputError
            If there is no such file or it holds something else.
        """
        return cls.from_file(path, plain_in(path))

    @classmethod
    def from_file(cls, path: str | Path, plain: Mapping[str, Any]) -> Self:
        """The result in the JSON object that a file holds.

        Raises
        ------
        InputError
            If it is something else.
        """
        schema = getattr(cls, "SCHEMA", None)
        if schema is not None and plain.get("schema") != schema:
            raise InputError(f"{str(path)!r} is not of the schema {schema}, but of {repr(plain.get('schema'))[:60]}.")
        return cls.from_dict(plain)


class Report(Shown):
    """A result that stands by itself: with pages of its own, and files of which ``FILE`` is the one that `load` reads.

    Every report has ``summary``, ``text``, ``markdown``, ``html`` (a fragment), ``page`` (a whole file), ``plot``,
    ``to_frame``, ``to_json`` and ``save``; what it saves is what these return.
    """

    SCHEMA: ClassVar[str]
    FILE: ClassVar[str]
    OF: ClassVar[str]
    """What it is a report of, in words."""

    @abstractmethod
    def page(self) -> str:
        """One HTML file that needs nothing else; the report is inside as JSON."""

    @abstractmethod
    def markdown(self) -> str:
        """The report as Markdown with a title; names from data stay inert."""

    def text(self) -> str:
        """What is printed of it: the summary, with a line break at its end."""
        return f"{self.summary()}\n"

    def subject(self) -> dict[str, tuple[str, str]]:
        """What it is about, by the words for one that is about something else: a key, and how it is told.

        A report may replace one with the same keys: `fairheads.reports.refuse_other`.
        """
        return {}
