"""Exceptions and warnings: every error a user can cause has one type here and one line to read."""


class FairheadsError(Exception):
    """Any error that fairheads raises on purpose; its message is one clear line.

    A name from a file that was not written in good faith may hold line breaks or what moves a terminal's cursor; what
    cannot be printed is shown escaped.

    Examples
    --------
    >>> str(FairheadsError("there is no column 'age\\x1b[2J'."))
    "there is no column 'age\\\\x1b[2J'."
    """

    def __str__(self) -> str:
        said = super().__str__()
        return said if said.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in said)


class InputError(FairheadsError, ValueError):
    """The data (rows, labels, groups, files) cannot be used as they are."""


class ConfigError(FairheadsError, ValueError):
    """A setting has a value that makes no sense, alone or beside another."""


class LayerNotFoundError(FairheadsError, LookupError):
    """A layer was named that the network does not have; the message lists those it has."""


class UnsafeModelError(FairheadsError):
    """A model file is damaged, or would run code if it were loaded; nothing of it was executed."""


class DivergedError(FairheadsError, RuntimeError):
    """Training reached a loss that is not a finite number."""


class FairheadsWarning(UserWarning):
    """Something a reader of the result should know, and the computation could go on."""


def first_line(error: BaseException) -> str:
    """The first line of what an error of another library says; the name of its class where it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no such file\\nat line 3")), first_line(ValueError())
    ('no such file', 'ValueError')
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def line_with_kind(error: BaseException) -> str:
    """The same with the name of the class before it, for errors of code that nobody here knows."""
    kind, said = type(error).__name__, first_line(error)
    return f"{kind}." if said == kind else f"{kind}: {said[:300]}"
