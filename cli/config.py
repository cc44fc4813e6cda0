"""--config: options in a TOML file, under the names that they have on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

LARGEST = 2**20
"""Most bytes of a file of options."""

MOST, SHOWN = 2**63, 60
"""Numbers lie below the first; and the letters of a value that are shown."""


def config_option(command: Command) -> Command:
    """--config FILE: what is not on the command line is taken from the file."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="TOML file of options by their names here; the command line wins. Paths in it start where you run it.",
    )(command)


def _read(context: click.Context, option: click.Parameter, file: Path | None) -> None:
    if file is not None:
        known = {_key(each): each for each in context.command.params if each is not option}
        given = _options(_table(file), known, file)
        context.default_map = {**(context.default_map or {}), **given}


def _table(file: Path) -> dict[str, Any]:
    from fairheads.errors import InputError, first_line

    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise InputError(
                f"`--config` {str(file)!r} has more than {LARGEST // 2**20} MB, and is no file of options."
            )
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise InputError(f"`--config` {str(file)!r} cannot be read: {error.strerror}.") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        said = first_line(error)[:200]
        raise InputError(f"`--config` {str(file)!r} is no TOML file: {said}.") from error


def _key(parameter: click.Parameter) -> str:
    """``max-gap`` of ``--max-gap``, ``model`` of the argument."""
    if isinstance(parameter, click.Argument):
        return str(parameter.name)
    return max(parameter.opts, key=len).lstrip("-")


def _options(table: Mapping[str, Any], known: Mapping[str, click.Parameter], file: Path) -> dict[str, Any]:
    """Values by the names of parameters; all that is wrong is said at once."""
    from fairheads.errors import ConfigError

    wrong = []
    found = {}
    for key, value in table.items():
        if key not in known:
            near = get_close_matches(key[:SHOWN].replace("_", "-").lstrip("-"), known, n=1)
            wrong.append(f"there is no {_told(key)}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        elif (said := _refused(known[key], value)) is not None:
            wrong.append(f"{key!r} must be {said}, got {_told(value)}")
        else:
            found[str(known[key].name)] = _as_words(known[key], value)
    if wrong:
        more = f"; and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
        raise ConfigError(f"`--config` {str(file)!r}: {'; '.join(wrong[:5])}{more}.")
    return found


def _told(value: Any) -> str:
    """The beginning of a value."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return "something huge"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _refused(parameter: click.Parameter, value: Any) -> str | None:
    """What the value should have been, if it is something else; the command itself checks ranges and choices."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return None if isinstance(value, bool) else "true or false"
    if parameter.multiple or parameter.nargs != 1 or "[,COL]" in _shown(parameter) or "[,NAME]" in _shown(parameter):
        texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        given = [value] if isinstance(value, str) else value if texts else [""]
        if any("\0" in each for each in given):
            return "without null characters"
        return None if isinstance(value, str) or texts else "a text or a list of texts"
    if isinstance(parameter.type, click.types.IntParamType):
        return None if _is_number(value, int) and abs(value) < MOST else "a whole number"
    if isinstance(parameter.type, click.types.FloatParamType):
        return None if _is_number(value, int | float) and abs(value) < MOST else "a number"
    return None if isinstance(value, str) and "\0" not in value else "a text"


def _shown(parameter: click.Parameter) -> str:
    return str(parameter.metavar or "")


def _as_words(parameter: click.Parameter, value: Any) -> Any:
    """As the command line would give it: lists for options that are repeated, commas for lists of columns."""
    if parameter.multiple or parameter.nargs != 1:
        return [value] if isinstance(value, str) else value
    return ",".join(value) if isinstance(value, list) else value
