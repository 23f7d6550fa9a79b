"""The grammar of shape expressions in an exported program.

torch hands these texts to `sympify`, which evaluates them as Python. Here a text is parsed, each part is held against
an allow-list, and the text is printed anew from the parsed tree, so that nothing else can reach `sympify`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from fxopt_plugins.frontends.archive import Refused

_SYMBOL = re.compile(r"(s|u|zf|zuf)\d{1,6}")
_FLOAT = re.compile(r"-?\d{1,40}(\.\d{0,40})?(e[+-]?\d{1,2})?", re.IGNORECASE)
_ASSUMPTIONS = {"integer", "positive", "nonnegative", "real", "commutative"}
_FUNCTIONS = {
    # sympy's
    *("Add", "Mul", "Mod", "Max", "Min", "Abs", "floor", "ceiling", "And", "Or", "Not", "ITE"),
    *("Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality"),
    *("StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan"),
    # torch's own, as its deserializer knows them
    *("FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt"),
    *("FloatTrueDiv", "IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity"),
    "IsNonOverlappingAndDenseIndicator",
}
_POWERS = {"Pow", "PowByNatural", "FloatPow", "LShift", "RShift"}
_CONSTANTS = {"true", "false"}
_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod),
    *(ast.USub, ast.UAdd, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
)
_LONGEST, _DEEPEST, _LARGEST, _LARGEST_POWER = 20_000, 60, 2**63, 16


def clean_expression(text: str) -> str:
    """The expression, printed anew from its parsed form.

    Raises:
        Refused: the text is not in the grammar.
    """
    try:
        if len(text) > _LONGEST:
            raise _Outside
        tree = ast.parse(text, mode="eval")
        _check(tree.body, depth=0, in_power=False)
        return ast.unparse(tree)
    except (_Outside, SyntaxError, ValueError, RecursionError, MemoryError):
        shown = text if len(text) <= 80 else text[:77] + "..."
        raise Refused(f"it holds {shown!r} where a shape expression belongs") from None


class _Outside(Exception):
    """Not in the grammar."""


def _check(node: ast.expr, depth: int, in_power: bool) -> None:
    def inner(child: ast.expr, power: bool = in_power) -> None:
        _check(child, depth + 1, power)

    match node:
        case _ if depth > _DEEPEST:
            raise _Outside
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value) if abs(value) < _LARGEST:
            pass
        case ast.Name(id=name) if _SYMBOL.fullmatch(name) or name in _CONSTANTS:
            pass
        case ast.UnaryOp(op=op, operand=operand) if isinstance(op, _OPERATORS):
            inner(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            _check_power(left, right, in_power, inner)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATORS):
            inner(left)
            inner(right)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, _OPERATORS):
            inner(left)
            inner(right)
        case ast.Call(func=ast.Name(id=function), args=args, keywords=keywords):
            _check_call(function, args, keywords, in_power, inner)
        case _:
            raise _Outside


def _check_call(
    function: str, args: list[ast.expr], keywords: list[ast.keyword], in_power: bool, inner: Callable[..., None]
) -> None:
    options = {keyword.arg: keyword.value for keyword in keywords}
    if len(options) != len(keywords) or (options and function not in ("Symbol", "Float")):
        raise _Outside
    match function, args:
        case "Symbol", [ast.Constant(value=str(name))] if _SYMBOL.fullmatch(name):
            if not all(key in _ASSUMPTIONS and _is_literal(value, bool) for key, value in options.items()):
                raise _Outside
        case "Float", [ast.Constant(value=str(number))] if _FLOAT.fullmatch(number):
            if options.keys() != {"precision"} or not _is_literal(options["precision"], int, 256):
                raise _Outside
        case "Integer" | "Rational", [*numbers] if 1 <= len(numbers) <= 2:
            if not all(_is_literal(_positive(number), int) for number in numbers):
                raise _Outside
        case name, [base, exponent] if name in _POWERS:
            _check_power(base, exponent, in_power, inner)
        case name, _ if name in _FUNCTIONS:
            for argument in args:
                inner(argument)
        case _:
            raise _Outside


def _check_power(base: ast.expr, exponent: ast.expr, in_power: bool, inner: Callable[..., None]) -> None:
    """A power of a power, or a large one, is a number that no machine can hold."""
    if in_power:
        raise _Outside
    match exponent:
        case ast.Call(func=ast.Name(id="Integer" | "Rational"), args=args, keywords=[]):
            parts = args
        case _:
            parts = [exponent]
    for part in parts:
        part = _positive(part)
        if not (_is_literal(part, int, _LARGEST_POWER) or _is_literal(part, float, _LARGEST_POWER)):
            raise _Outside
    inner(base, True)


def _positive(node: ast.expr) -> ast.expr:
    return node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node


def _is_literal(node: ast.expr, kind: type, largest: float = _LARGEST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is kind and 0 <= node.value < largest
