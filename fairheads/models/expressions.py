"""Symbolic sizes in exported graphs: a small language that is read first, since torch evaluates them as Python."""

from __future__ import annotations

import ast
import re
import warnings

LENGTH = 500
"""Most characters of an expression."""
LARGEST = 2**40
"""Largest number in one."""

SYMBOL = re.compile(r"s\d{1,4}")
"""Names of the sizes that an export leaves open."""

FUNCTIONS = frozenset(
    {"Add", "Mul", "Max", "Min", "FloorDiv", "Mod", "PythonMod", "CleanDiv", "CeilDiv", "Identity"}
    | {"Eq", "Ne", "Le", "Lt", "Ge", "Gt", "Equality", "Unequality"}
    | {"LessThan", "StrictLessThan", "GreaterThan", "StrictGreaterThan"}
)
ASSUMPTIONS = frozenset({"positive", "nonnegative", "integer", "real", "negative", "zero"})
POWERS = range(-1, 5)


def is_plain(expression: str) -> bool:
    """Whether an expression of sizes is made of sums, products, quotients, extrema and comparisons of them alone.

    Sizes are ``s`` and a number, as they stand or as ``Symbol('s0', positive=True, integer=True)``. No other name, no
    attribute, no string, no large power: nothing in it can run code or take long.

    Examples
    --------
    >>> is_plain("Mul(Integer(4), Symbol('s77', positive=True, integer=True))"), is_plain("2*s0 + 1")
    (True, True)
    >>> is_plain("__import__('os').getpid()"), is_plain("9**9**9")
    (False, False)
    """
    if len(expression) > LENGTH:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own remarks on odd source
            return _plain(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False


def _plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return _number(node)
    if isinstance(node, ast.Name):
        return SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _plain(node.operand)
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Pow):
            return _plain(node.left) and _small(node.right)
        return (
            isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv)
            and _plain(node.left)
            and _plain(node.right)
        )
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _call(node.func.id, node)


def _call(name: str, node: ast.Call) -> bool:
    if name == "Symbol":
        sign = all(
            k.arg in ASSUMPTIONS and isinstance(k.value, ast.Constant) and k.value.value is True for k in node.keywords
        )
        first = node.args[0] if len(node.args) == 1 else None
        named = isinstance(first, ast.Constant) and isinstance(first.value, str) and SYMBOL.fullmatch(first.value)
        return bool(named) and sign
    if node.keywords:
        return False
    if name == "Integer":
        return len(node.args) == 1 and _number(_unsigned(node.args[0]))
    if name == "Pow":
        return len(node.args) == 2 and _plain(node.args[0]) and _small(node.args[1])
    return name in FUNCTIONS and bool(node.args) and all(_plain(argument) for argument in node.args)


def _unsigned(node: ast.expr) -> ast.expr:
    return node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node


def _number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value <= LARGEST


def _small(node: ast.expr) -> bool:
    """Whether a power is one of `POWERS`, as a number or ``Integer(number)``."""
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id == "Integer"
        return named and len(node.args) == 1 and not node.keywords and _small(node.args[0])
    plain = _unsigned(node)
    if not isinstance(plain, ast.Constant) or type(plain.value) is not int:
        return False
    return (plain.value if plain is node else -plain.value) in POWERS
