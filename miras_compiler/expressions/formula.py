"""The grammar of a user's formula, into sympy.

    sum   = product (("+" | "-") product)*            power = atom ("**" sign)?
    product = sign (("*" | "/") sign)*                atom  = number | name | function "(" sum ("," sum)* ")" | "(" sum ")"
    sign  = ("-" | "+") sign | power

Text is never evaluated: a hand-written tokenizer and recursive descent over this grammar only, with limits on the size of the text, of
its nesting, of its numbers and of its exponents. Constant sub-expressions are folded to numbers, so that no tower of powers or
exponentials can arise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Literal, NamedTuple

import sympy as sp

from miras_compiler.errors import nearest
from miras_compiler.expressions.symbols import (
    Power0,
    RowMax,
    RowSum,
    letter,
    magnitude,
    power0,
)
from miras_compiler.expressions.vocabulary import FUNCTIONS, INSTEAD, NAMES_OF_FUNCTIONS, SIGNS

MAX_BYTES = 256 * 1024
MAX_NESTING = 64
MAX_TOKENS = 1000
MAX_EXPONENT = 64
MAX_NUMBER = 10**30
MAX_DIGITS = 120  # of a number as written; numbers of `formula_text` have up to 108

ROW_LETTERS = frozenset("uvewxta")  # names with coordinates; every other name is one number per token

TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\*\*|[-+*/(),]))", re.ASCII)


class FormulaError(Exception):
    """A fault of a formula, and its column (from 1)."""

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


class Token(NamedTuple):
    kind: Literal["number", "name", "mark", "end"]
    text: str
    column: int


def parse_formula(text: str, names: Iterable[str]) -> sp.Expr:
    """The formula as an expression in `letter(name)`; raises FormulaError at the first fault."""
    return _Parser(_tokens(text), frozenset(names)).formula()


def names_in(text: str) -> frozenset[str]:
    """The names that a formula uses, functions apart; none if it cannot be read."""
    try:
        return frozenset(token.text for token in _tokens(text) if token.kind == "name") - NAMES_OF_FUNCTIONS
    except FormulaError:
        return frozenset()


def is_row(expr: sp.Expr) -> bool:
    """True if the expression has a value per coordinate, rather than one for the whole row."""
    if isinstance(expr, sp.Symbol):
        return expr.name in ROW_LETTERS
    return not isinstance(expr, RowSum | RowMax) and any(map(is_row, expr.args))


def check_size(text: str) -> None:
    """Refuses text that is too long or nested too deeply, before anything parses it; `formula` and YAML share the limits."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise FormulaError(f"longer than {MAX_BYTES // 1024} KiB")
    depth = 0
    for column, character in enumerate(text, 1):
        if character in "([{":
            depth += 1
            if depth > MAX_NESTING:
                raise FormulaError(f"brackets nested deeper than {MAX_NESTING}", column)
        elif character in ")]}":
            depth = max(0, depth - 1)


def _tokens(text: str) -> list[Token]:
    check_size(text)
    tokens: list[Token] = []
    end = len(text.rstrip())
    position = 0
    while position < end:
        match = TOKEN.match(text, position)
        if match is None:
            column = position + 1 + len(text[position:]) - len(text[position:].lstrip())
            sign = text[column - 1]
            raise FormulaError(f"unexpected {sign!r}; {SIGNS.get(sign, 'a formula has numbers, names, + - * / ** ( ) and commas')}", column)
        kind: Literal["number", "name", "mark"] = "number" if match["number"] else "name" if match["name"] else "mark"
        tokens.append(Token(kind, match[kind], match.start(kind) + 1))
        if len(tokens) > MAX_TOKENS:
            raise FormulaError(f"more than {MAX_TOKENS} numbers, names and operators", tokens[-1].column)
        position = match.end()
    return [*tokens, Token("end", "the end of the formula", len(text) + 1)]


class _Parser:
    """Recursive descent; one method per line of the grammar."""

    def __init__(self, tokens: list[Token], names: frozenset[str]) -> None:
        self.tokens = tokens
        self.names = names
        self.position = 0
        self.depth = 0

    def formula(self) -> sp.Expr:
        expr = self.sum()
        if self.next.kind != "end":
            raise FormulaError(f"expected an operator before '{self.next.text}'{self._forgotten()}", self.next.column)
        if _levels(expr) > MAX_NESTING:
            raise FormulaError(f"functions and operators nested deeper than {MAX_NESTING}")
        return expr

    @property
    def next(self) -> Token:
        return self.tokens[self.position]

    def take(self, *marks: str) -> Token | None:
        """The next token if it is one of these marks."""
        token = self.next
        if token.kind == "mark" and token.text in marks:
            self.position += 1
            return token
        return None

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            raise FormulaError(f"expected '{mark}', found {_quoted(self.next)}{self._forgotten()}", self.next.column)

    def _forgotten(self) -> str:
        """A sign between two factors may be missing."""
        return "; a product is written *" if self.next.kind in ("number", "name") or self.next.text == "(" else ""

    def sum(self) -> sp.Expr:
        column, terms = self.next.column, [self.product()]
        while sign := self.take("+", "-"):
            terms.append(self.product() if sign.text == "+" else -self.product())
        return _bounded(sp.Add(*terms), column)

    def product(self) -> sp.Expr:
        column, factors = self.next.column, [self.sign()]
        while operator := self.take("*", "/"):
            factor = self.sign()
            factors.append(factor if operator.text == "*" else _power(factor, sp.Integer(-1), operator.column))
        return _bounded(sp.Mul(*factors), column)

    def sign(self) -> sp.Expr:
        self.deeper(1)
        sign = self.take("-", "+")
        expr = self.power() if sign is None else self.sign() if sign.text == "+" else -self.sign()
        self.deeper(-1)
        return expr

    def power(self) -> sp.Expr:
        base = self.atom()
        operator = self.take("**")
        return base if operator is None else _power(base, self.sign(), operator.column)

    def atom(self) -> sp.Expr:
        token = self.next
        self.position += 1
        if token.kind == "number":
            return _number(token)
        if token.kind == "name":
            return self.call(token) if self.next.text == "(" else self.letter(token)
        if token.text == "(":
            expr = self.sum()
            self.expect(")")
            return expr
        raise FormulaError(f"expected a number, a name or '(', found {_quoted(token)}", token.column)

    def letter(self, token: Token) -> sp.Expr:
        if token.text in self.names:
            return letter(token.text)
        if token.text in NAMES_OF_FUNCTIONS:
            raise FormulaError(f"the function '{token.text}' needs its argument in parentheses", token.column)
        raise FormulaError(f"unknown name '{token.text}'; {nearest(token.text, self.names)}", token.column)

    def call(self, token: Token) -> sp.Expr:
        if token.text not in NAMES_OF_FUNCTIONS:
            raise FormulaError(f"unknown function '{token.text}'; {_instead(token.text)}", token.column)
        self.expect("(")
        arguments = [self.sum()]
        while self.take(","):
            arguments.append(self.sum())
        self.expect(")")
        return _apply(token, arguments)

    def deeper(self, by: int) -> None:
        self.depth += by
        if self.depth > MAX_NESTING:
            raise FormulaError(f"nested deeper than {MAX_NESTING}", self.next.column)


def _instead(function: str) -> str:
    """The text to write in place of a function that the grammar lacks."""
    written = INSTEAD.get(function.lower())
    return f"write {written}" if written else nearest(function, NAMES_OF_FUNCTIONS)


def _levels(expr: sp.Basic) -> int:
    """The depth of an expression, which whatever walks it later recurses to."""
    return 1 + max(map(_levels, expr.args), default=0)


def _quoted(token: Token) -> str:
    return token.text if token.kind == "end" else f"'{token.text}'"


def _number(token: Token) -> sp.Expr:
    mantissa, _, exponent = token.text.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or len(exponent) > 4 or abs(int(exponent or 0)) > 30:
        raise FormulaError(f"a number has at most {MAX_DIGITS} digits and an exponent between -30 and 30", token.column)
    return sp.Rational(Fraction(token.text))


def _bounded(expr: sp.Expr, column: int) -> sp.Expr:
    """The expression, unless a number or an exponent in it is beyond the limits."""
    if any(abs(number.p) > MAX_NUMBER * number.q or number.q.bit_length() > 256 for number in expr.atoms(sp.Rational)):
        raise FormulaError(f"a number beyond 1e{len(str(MAX_NUMBER)) - 1} or too fine to represent", column)
    if any(abs(power.args[1]) > MAX_EXPONENT for power in expr.atoms(sp.Pow, Power0)):
        raise FormulaError(f"powers of powers beyond the exponent {MAX_EXPONENT}", column)
    return expr


def _power(base: sp.Expr, exponent: sp.Expr, column: int) -> sp.Expr:
    """base**exponent for a constant exponent; 0 at a singular base, as everywhere in the compiler."""
    if not isinstance(exponent, sp.Rational):
        raise FormulaError("an exponent must be a number; write exp(y*log(x)) for x**y", column)
    if abs(exponent) > MAX_EXPONENT:
        raise FormulaError(f"an exponent must lie between -{MAX_EXPONENT} and {MAX_EXPONENT}", column)
    if isinstance(base, sp.Rational):
        if base == 0 and exponent < 0:
            raise FormulaError("division by zero", column)
        return _folded(lambda x, y: x**y, (base, exponent), column)
    return _bounded(power0(base, exponent), column)


def _apply(token: Token, arguments: list[sp.Expr]) -> sp.Expr:
    """A function at its arguments; folded to a number where they all are numbers."""
    function = FUNCTIONS.get((token.text, len(arguments)))
    if function is None:
        counts = " or ".join(sorted(str(count) for name, count in FUNCTIONS if name == token.text))
        raise FormulaError(f"'{token.text}' takes {counts} argument(s), not {len(arguments)}", token.column)
    if function.value is None:
        if not is_row(arguments[0]):
            raise FormulaError(f"'{token.text}' runs over coordinates, and its argument has none", token.column)
    elif all(isinstance(argument, sp.Rational) for argument in arguments):
        return _folded(function.value, arguments, token.column)
    return _bounded(_guarded(function.build(*arguments), token.column), token.column)


def _folded(value: Callable[..., float], arguments: Iterable[sp.Expr], column: int) -> sp.Expr:
    """The value at numbers, exactly where it is rational."""
    try:
        result = value(*(Fraction(argument.p, argument.q) for argument in arguments))
        return _bounded(sp.Rational(result if isinstance(result, Fraction | int) else Fraction(str(result))), column)
    except (ValueError, OverflowError, TypeError, ZeroDivisionError):
        raise FormulaError("no real value here", column) from None


def _guarded(expr: sp.Expr, column: int) -> sp.Expr:
    """sympy turns exp(-log(u)) into 1/u and exp(log(u**2)/2) into Abs(u): say both in the grammar's own functions."""
    expr = expr.replace(sp.Abs, magnitude) if expr.has(sp.Abs) else expr
    singular = [power for power in expr.atoms(sp.Pow) if not (power.exp.is_Integer and power.exp >= 0)]
    return expr.xreplace({power: _power(power.base, power.exp, column) for power in singular}) if singular else expr
