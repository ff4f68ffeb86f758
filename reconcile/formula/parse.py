"""Reads a formula into a tree of whitelisted nodes; everything else is refused with its place.

The text is parsed by Python's own `ast` and rebuilt node by node, so nothing of it can run and nothing unknown passes.
Reading takes bounded time: a formula has at most `CHARS_MAX` characters, `NODES_MAX` nodes and `DEPTH_MAX` levels.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Final

from reconcile.formula.errors import FormulaError, error_at
from reconcile.formula.functions import DEFAULT_FUNCTIONS, constant_number, number_node, read_call

CHARS_MAX: Final = 4_000
DEPTH_MAX: Final = 32
NODES_MAX: Final = 500
DIGITS_MAX: Final = 38
"""Digits of one number, as many as `NUMERIC(38,4)` has."""

_OUTSIDE_TEXT: Final = re.compile(r"""'[^'\n]*'|"[^"\n]*"|\#[^\n]*|[−×÷\r\n\t\f\v]""")
_TEXT: Final = re.compile(r"""'[^'\\\n]*'|"[^"\\\n]*\"""")
_SIGNS: Final = {"−": "-", "×": "*", "÷": "/"}
_NUMBER: Final = re.compile(r"[0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*")
_OPERATORS: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS: Final = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
_WHAT_MAY_STAND: Final = (
    "write it with + - * /, comparisons, and, or, not, `a if c else b` and the functions of the language"
)


def parse(text: str, *, where: str, functions: Collection[str] = DEFAULT_FUNCTIONS) -> ast.expr:
    """The formula as a tree of Constant, Name, Attribute, UnaryOp, BinOp, BoolOp, Compare, IfExp, Call, Tuple and List.

    Numbers are `Constant(Decimal)`, exact as written. `order.status` is `Attribute(Name("order"), "status")`.
    `iff(c, a, b)` becomes an IfExp; calls of the language's other functions have positional arguments only, checked by
    `reconcile.formula.functions`. Calls of further names in `functions` are passed on as they are written.
    A node's `col_offset` and `end_col_offset` are positions of characters in `text`, also when it has several lines.

    Args:
        text: the formula; signs − × ÷ and comments from `#` to the end of the line are understood.
        where: what the formula is called in errors, such as `carrier.toml, fee distance`.
        functions: names that may be called.

    Errors: FormulaError, and nothing else, whatever the text is.
    """
    return _Reader(text, where, functions).read()


def segment(text: str, node: ast.expr) -> str:
    """The piece of the formula that a node was read from, in one line."""
    return " ".join(text[node.col_offset : node.end_col_offset].split())


def dotted_name(node: ast.expr) -> str | None:
    """`km` or `order.status` for a node that is a name; None for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


class _Reader:
    """One reading of one formula."""

    def __init__(self, text: str, where: str, functions: Collection[str]) -> None:
        self.text = text
        self.where = where
        self.functions = functions
        self.nodes = 0
        self.depth = 0
        self.indent = 0
        self.line = ""

    def read(self) -> ast.expr:
        if len(self.text) > CHARS_MAX:
            raise self._refused(
                f"the formula has {len(self.text):,} characters, {CHARS_MAX:,} are allowed", (0, 0), "name parts of it"
            )
        plain = _OUTSIDE_TEXT.sub(_in_one_line, self.text)
        self.line = plain.lstrip(" ")
        self.indent = len(plain) - len(self.line)
        if not self.line:
            raise self._refused("the formula is empty", (0, 0), "write an expression such as `km * 2.5`")
        try:
            with warnings.catch_warnings():
                # What Python only warns of, such as `1if x`, is no formula.
                warnings.simplefilter("error")
                tree = ast.parse(self.line, mode="eval").body
        except SyntaxError as error:
            start = self.indent + max(0, (error.offset or 1) - 1)
            raise self._refused(
                f"the formula cannot be read: {error.msg}", (start, start + 20), _WHAT_MAY_STAND
            ) from None
        except (ValueError, MemoryError, RecursionError):
            raise self._refused(
                "the formula cannot be read: it holds characters that are no text, or is nested too deeply",
                (0, 0), "write it anew, and name parts of it",
            ) from None  # fmt: skip
        return self._node(tree)

    def _node(self, node: ast.expr) -> ast.expr:
        """The node and all below it, rebuilt."""
        self.nodes += 1
        self.depth += 1
        if self.depth > DEPTH_MAX or self.nodes > NODES_MAX:
            limit = f"{DEPTH_MAX} levels" if self.depth > DEPTH_MAX else f"{NODES_MAX} parts"
            raise self._at(node, f"the formula has more than {limit}", "name parts of it, and use the names")
        build = _BUILDERS.get(type(node))
        if build is None:
            raise self._at(node, f"{_kind_of(node)} is no part of the language", _WHAT_MAY_STAND)
        built = self._placed(build(self, node), node)
        self.depth -= 1
        return built

    def constant(self, node: ast.Constant) -> ast.expr:
        value = node.value
        if value is None or isinstance(value, bool | str):
            if isinstance(value, str) and not _TEXT.fullmatch(self._piece(node)):
                raise self._at(node, "a text stands in one pair of quotes, without backslash or prefix", "write 'text'")
            return ast.Constant(value)
        written = self._piece(node)
        if not isinstance(value, int | float) or not _NUMBER.fullmatch(written):
            raise self._at(node, "this is no decimal number", "write digits, with a point where needed, such as 12.50")
        if sum(character.isdigit() for character in written) > DIGITS_MAX:
            raise self._at(node, f"a number has at most {DIGITS_MAX} digits", "write fewer digits")
        return number_node(Decimal(written))

    def name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self._identifier(node.id, node), ast.Load())

    def attribute(self, node: ast.Attribute) -> ast.expr:
        if not isinstance(node.value, ast.Name):
            raise self._at(node, "a dotted name has two parts", "write `leg.column`")
        return ast.Attribute(self._node(node.value), self._identifier(node.attr, node), ast.Load())

    def unary(self, node: ast.UnaryOp) -> ast.expr:
        if not isinstance(node.op, ast.USub | ast.Not):
            raise self._at(node, "the signs before a value are - and not", _WHAT_MAY_STAND)
        return ast.UnaryOp(node.op, self._node(node.operand))

    def binary(self, node: ast.BinOp) -> ast.expr:
        if not isinstance(node.op, _OPERATORS):
            raise self._at(node, f"`{_SYMBOLS.get(type(node.op), '?')}` is no part of the language", _WHAT_MAY_STAND)
        return ast.BinOp(self._node(node.left), node.op, self._node(node.right))

    def boolean(self, node: ast.BoolOp) -> ast.expr:
        return ast.BoolOp(node.op, [self._node(value) for value in node.values])

    def compare(self, node: ast.Compare) -> ast.expr:
        left, sides = self._node(node.left), []
        for operator, side in zip(node.ops, node.comparators, strict=True):
            if not isinstance(operator, _COMPARISONS):
                raise self._at(node, "`is` is no part of the language", "compare with == or !=")
            if isinstance(operator, ast.In | ast.NotIn):
                sides.append(self._choices(side))
            else:
                sides.append(self._node(side))
        return ast.Compare(left, list(node.ops), sides)

    def conditional(self, node: ast.IfExp) -> ast.expr:
        return ast.IfExp(self._node(node.test), self._node(node.body), self._node(node.orelse))

    def call(self, node: ast.Call) -> ast.expr:
        if not isinstance(node.func, ast.Name) or node.func.id not in self.functions:
            known = ", ".join(sorted(self.functions))
            raise self._at(node.func, "there is no such function", f"the functions are {known}")
        arguments = [
            self._rows(argument) if isinstance(argument, ast.List) else self._node(argument) for argument in node.args
        ]
        keywords = []
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self._at(node, "`**` is no part of the language", "name each argument")
            keywords.append(ast.keyword(self._identifier(keyword.arg, node), self._node(keyword.value)))
        function = self._placed(ast.Name(node.func.id, ast.Load()), node.func)
        built = ast.Call(function, arguments, keywords)
        if node.func.id not in DEFAULT_FUNCTIONS:
            return built
        self._placed(built, node)
        return read_call(built, lambda what, remedy: self._at(node, what, remedy))

    def _choices(self, node: ast.expr) -> ast.expr:
        """What may stand behind `in`: constants in brackets."""
        if not isinstance(node, ast.Tuple | ast.List):
            raise self._at(node, "`in` needs its choices in brackets", "write `x in ('a', 'b')`")
        self.nodes += 1
        chosen = [self._node(entry) for entry in node.elts]
        if not chosen or not all(is_literal(entry) for entry in chosen):
            raise self._at(node, "the choices behind `in` are numbers or texts", "write `x in ('a', 'b')`")
        return self._placed(ast.Tuple(chosen, ast.Load()), node)

    def _rows(self, node: ast.List) -> ast.expr:
        """The table of `tier` and `bands`: a list of pairs."""
        self.nodes += 1
        rows: list[ast.expr] = []
        for row in node.elts:
            if not isinstance(row, ast.List | ast.Tuple):
                raise self._at(row, "a table is a list of pairs", "write `[[20, 0], [None, 500]]`")
            entries = [self._node(entry) for entry in row.elts]
            rows.append(self._placed(ast.List(entries, ast.Load()), row))
        return self._placed(ast.List(rows, ast.Load()), node)

    def _identifier(self, name: str, node: ast.expr) -> str:
        if name.startswith("_") or "__" in name:
            raise self._at(node, "a name begins with a letter and has no double underscore", "use another name")
        if name not in self._piece(node):
            raise self._at(node, f"this name reads as {name!r}", f"write it as {name!r}")
        return name

    def _placed(self, built: ast.expr, node: ast.expr) -> ast.expr:
        """The new node, at the place of the node it was read from."""
        built.lineno = built.end_lineno = 1
        built.col_offset, built.end_col_offset = self._span(node)
        return built

    def _span(self, node: ast.expr) -> tuple[int, int]:
        """Characters in the text; `ast` counts bytes."""
        start, end = node.col_offset, node.end_col_offset or 0
        if not self.line.isascii():
            encoded = self.line.encode()
            start, end = (len(encoded[:offset].decode()) for offset in (start, end))
        return start + self.indent, end + self.indent

    def _piece(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self.text[start:end]

    def _at(self, node: ast.expr, what: str, remedy: str) -> FormulaError:
        return self._refused(what, self._span(node), remedy)

    def _refused(self, what: str, span: tuple[int, int], remedy: str) -> FormulaError:
        return error_at(what, where=self.where, text=self.text, span=span, remedy=remedy)


def is_literal(node: ast.expr) -> bool:
    """Whether the node is a number, with or without a minus, a text, a flag or None."""
    return isinstance(node, ast.Constant) or constant_number(node) is not None


def _in_one_line(found: re.Match[str]) -> str:
    """Texts stay, signs become Python's, white space and comments become blanks: every character keeps its place."""
    piece = found[0]
    return piece if piece[0] in "'\"" else _SIGNS.get(piece, " " * len(piece))


def _kind_of(node: ast.expr) -> str:
    return _NAMES.get(type(node), "this")


_BUILDERS: Final[dict[type[ast.expr], Callable[..., ast.expr]]] = {
    ast.Constant: _Reader.constant,
    ast.Name: _Reader.name,
    ast.Attribute: _Reader.attribute,
    ast.UnaryOp: _Reader.unary,
    ast.BinOp: _Reader.binary,
    ast.BoolOp: _Reader.boolean,
    ast.Compare: _Reader.compare,
    ast.IfExp: _Reader.conditional,
    ast.Call: _Reader.call,
}
_SYMBOLS: Final[dict[type[ast.operator], str]] = {
    ast.Pow: "**", ast.Mod: "%", ast.FloorDiv: "//", ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|",
    ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_NAMES: Final[dict[type[ast.expr], str]] = {
    ast.Subscript: "a subscript", ast.Lambda: "a lambda", ast.JoinedStr: "an f-string", ast.NamedExpr: "`:=`",
    ast.ListComp: "a comprehension", ast.SetComp: "a comprehension", ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension", ast.Starred: "`*` before a value", ast.Dict: "a dictionary", ast.Set: "a set",
    ast.Tuple: "a tuple outside `in`", ast.List: "a list outside `in`, `tier` and `bands`", ast.Await: "await",
    ast.Yield: "yield", ast.YieldFrom: "yield",
}  # fmt: skip
