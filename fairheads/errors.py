"""Exceptions and warnings: every error a user can cause has one type here and one line to read."""


class FairheadsError(Exception):
    """Any error that fairheads raises on purpose; its message is one clear line."""


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
