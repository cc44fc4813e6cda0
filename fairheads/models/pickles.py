"""What a pickle would do if it were loaded: its opcodes are read, never executed."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass

OPCODES = 200_000
"""Opcodes that are read of a pickle; calls beyond are not named."""

CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
"""Opcodes that call what was named."""
NAMES = frozenset({"GLOBAL", "INST", "STACK_GLOBAL"})
REGISTERED = frozenset({"EXT1", "EXT2", "EXT4"})

DATA = ("torch.", "numpy.", "collections.OrderedDict", "_codecs.encode")
"""Names that pickles of plain weights and arrays have."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a pickle names and calls.

    Attributes
    ----------
    names : tuple of str
        ``module.name`` of everything that it would import, in order.
    calls : bool
        Whether it would call any of it.
    whole : bool
        Whether it ends as a pickle does.
    """

    names: tuple[str, ...]
    calls: bool
    whole: bool

    @property
    def suspects(self) -> tuple[str, ...]:
        """Names other than those of weights and arrays."""
        return tuple(name for name in self.names if not name.startswith(DATA))

    def words(self) -> str:
        """What was found, in a few words."""
        shown = ", ".join(name[:60] for name in (self.suspects or self.names)[:3])
        if not shown:
            return "a pickle" if self.whole else "a pickle that is cut off or damaged"
        return f"a pickle that {'calls' if self.calls else 'names'} {shown}"


def scan(content: bytes) -> Scan:
    """Read the opcodes of the first pickle in ``content``.

    Examples
    --------
    >>> import pickle
    >>> scan(pickle.dumps(complex(1, 2))).words()
    'a pickle that calls builtins.complex'
    """
    names: list[str] = []
    memo: dict[int, str] = {}
    strings: list[str] = []
    calls = whole = False
    try:
        for opcode, argument in _opcodes(content):
            if opcode in CALLS:
                calls = True
            if opcode in ("GLOBAL", "INST"):
                names.append(".".join(str(argument).split(" ", 1)))
            elif opcode == "STACK_GLOBAL":
                names.append(".".join(strings[-2:]))
            elif opcode in REGISTERED:
                names.append(f"copyreg extension {argument}")
            elif opcode == "MEMOIZE":
                memo[len(memo)] = strings[-1] if strings else ""
            elif opcode in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int):
                memo[argument] = strings[-1] if strings else ""
            elif opcode in ("GET", "BINGET", "LONG_BINGET") and isinstance(argument, int):
                strings.append(memo.get(argument, ""))
            elif isinstance(argument, str):
                strings.append(argument)
            whole = opcode == "STOP"
    except Exception:  # whatever a damaged pickle leads pickletools to
        whole = False
    printable = ("".join(c if c.isprintable() else "?" for c in name) for name in names)
    return Scan(names=tuple(dict.fromkeys(printable)), calls=calls, whole=whole)


def _opcodes(content: bytes) -> Iterator[tuple[str, object]]:
    for number, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
        if number >= OPCODES:
            return
        yield opcode.name, argument
