"""--config: options in a TOML file, under the names that they have on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


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
    from fairheads.errors import InputError

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"`--config` {str(file)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"`--config` {str(file)!r} is no TOML file: {error}.") from error


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
            near = get_close_matches(key.replace("_", "-").lstrip("-"), known, n=1)
            wrong.append(f"there is no {key!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        elif (said := _refused(known[key], value)) is not None:
            wrong.append(f"{key!r} must be {said}, got {value!r}")
        else:
            found[str(known[key].name)] = _as_words(known[key], value)
    if wrong:
        raise ConfigError(f"`--config` {str(file)!r}: {'; '.join(wrong)}.")
    return found


def _refused(parameter: click.Parameter, value: Any) -> str | None:
    """What the value should have been, if it is something else; the command itself checks ranges and choices."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return None if isinstance(value, bool) else "true or false"
    if parameter.multiple or parameter.nargs != 1 or "[,COL]" in _shown(parameter) or "[,NAME]" in _shown(parameter):
        texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        return None if isinstance(value, str) or texts else "a text or a list of texts"
    if isinstance(parameter.type, click.types.IntParamType):
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if isinstance(parameter.type, click.types.FloatParamType):
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    return None if isinstance(value, str) else "a text"


def _shown(parameter: click.Parameter) -> str:
    return str(parameter.metavar or "")


def _as_words(parameter: click.Parameter, value: Any) -> Any:
    """As the command line would give it: lists for options that are repeated, commas for lists of columns."""
    if parameter.multiple or parameter.nargs != 1:
        return [value] if isinstance(value, str) else value
    return ",".join(value) if isinstance(value, list) else value
