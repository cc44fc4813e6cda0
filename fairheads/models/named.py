"""Code of the user's own, named as ``pkg.mod:function``: the only code that opening a model or its rows runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairheads.errors import ConfigError, FairheadsError, line_with_kind


def function_named(name: str, argument: str) -> Callable[..., Any]:
    """The function ``pkg.mod:function``, given as ``argument``, which errors name.

    Modules are looked for as Python does, then in the current folder.

    Raises
    ------
    ConfigError
        If the name is not of this form, its module cannot be imported, or has no such function.

    Examples
    --------
    >>> function_named("os.path:join", "factory").__name__
    'join'
    """
    module, _, path = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *path.split(".")]):
        raise ConfigError(f"`{argument}` must be named like 'pkg.mod:function', got {name!r}.")
    with _current_folder():
        try:
            function: Any = importlib.import_module(module)
        except Exception as error:  # the module is the user's, and runs as it is imported
            raise ConfigError(f"`{argument}` {name!r} cannot be imported: {error}.") from error
    for part in path.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise ConfigError(f"`{argument}` {name!r}: module {module!r} has no function {path!r}.")
    made: Callable[..., Any] = function
    return made


@contextmanager
def failing_in_one_line(
    name: str, argument: str, what: str, kind: type[FairheadsError] = ConfigError
) -> Iterator[None]:
    """While open, whatever the user's function raises on ``what`` becomes one error of ``kind``, and is its cause."""
    try:
        yield
    except FairheadsError:
        raise
    except Exception as error:
        raise kind(f"`{argument}` {name!r} failed on {what}: {line_with_kind(error)}") from error


@contextmanager
def _current_folder() -> Iterator[None]:
    """While open, modules of the current folder are found, after all others."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
