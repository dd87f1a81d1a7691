"""Tiles as mathematics on one line: Unicode for terminals and code comments, LaTeX for papers.

A tile with a label is written by its letters; any other is written out, so that an equation goes down to the nearest labelled values.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from miras_compiler.derive.dialects import GREEK, LATEX, UNICODE, Dialect
from miras_compiler.errors import InternalError
from miras_compiler.inverse import newton_inverse
from miras_compiler.ir.build import ordered, placeholder
from miras_compiler.ir.nodes import (
    AXIS_ORDER,
    Contract,
    Cumulate,
    ForwardSubstitute,
    Leaf,
    Map,
    Mask,
    Node,
    Program,
    Reduce,
    Rename,
    Root,
    TriangularSolve,
)
from miras_compiler.symbols import Power0, RealFunction, RowMax, RowSum

SUM, PRODUCT, POWER, ATOM = range(4)  # how tightly a text binds
Text = tuple[str, int]

NAMES = {
    "gelu_slope": "gelu′", "gelu_tanh_slope": "gelu_tanh′", "silu_slope": "silu′", "signum": "sign", "normal_cdf": "Φ", "larger": "max",
    "smaller": "min",
}  # fmt: skip


def without_automatic(program: Program) -> Program:
    """The program with labels for those values only that have a name in the mathematics."""
    return Program(program.name, program.outputs, {node: label for node, label in program.labels.items() if not label.automatic})


def equation(program: Program, node: Node, dialect: Dialect = UNICODE) -> str:
    """ "z₁ = k W₁": a labelled tile and its definition in other labelled tiles; the letters alone for a leaf."""
    letters = dialect.letters(program.labels[node].letters)
    return letters if isinstance(node, Leaf) or program.labels[node].opaque else f"{letters} = {definition(program, node, dialect)}"


def definition(program: Program, node: Node, dialect: Dialect = UNICODE) -> str:
    return _Writer(program, dialect).defined(node)[0]


def _leaf_letters(name: str) -> str:
    """ "log_alpha" as "log α"."""
    log, _, letter = name.rpartition("log_")
    return f"{log}log {GREEK.get(letter, letter.replace('beta', 'β'))}" if name.startswith("log_") else name


class _Writer:
    def __init__(self, program: Program, dialect: Dialect) -> None:
        self.program = program
        self.dialect = dialect

    def tile(self, node: Node) -> Text:
        if node in self.program.labels:
            letters = self.dialect.letters(self.program.labels[node].letters)
            return letters, POWER if "−" in letters or "/" in letters else ATOM
        return self.defined(node)

    def at_least(self, text: Text, strength: int) -> str:
        return text[0] if text[1] >= strength else f"({text[0]})"

    def defined(self, node: Node) -> Text:
        d = self.dialect
        match node:
            case Leaf():
                return d.letters(_leaf_letters(node.name)), ATOM
            case Map():
                return self.expression(node.expr, {placeholder(i): arg for i, arg in enumerate(node.args)})
            case Contract(args=(a, b)):
                left, right = self.at_least(self.tile(a), POWER), self.at_least(self.tile(b), POWER)
                (shared,) = node.over
                left = d.transposed(left) if len(a.axes) > 1 and a.axes[0] == shared else left
                right = d.transposed(right) if len(b.axes) > 1 and b.axes[-1] == shared else right
                return f"{left}{d.dot}{right}", PRODUCT
            case Rename(args=(a,)):
                return self.tile(a)
            case Reduce(args=(a,)):
                return self.reduced(node, a)
            case Cumulate(args=(Mask(low=1, args=(Map() as rows,)),)) if rows.expr == placeholder(0):
                segment = "{j<l<t}" if node.exclusive else "{j<l≤t}"
                return d.total(d.letters(segment), self.at_least(self.tile(rows), PRODUCT)), PRODUCT
            case Cumulate(args=(a,)):
                lower, upper = ("l<" if node.exclusive else "l≤", "l>" if node.exclusive else "l≥")
                return d.total(d.letters(f"{{{upper if node.reverse else lower}t}}"), self.at_least(self.tile(a), PRODUCT)), PRODUCT
            case Mask(args=(a,)):
                return d.call("strictly_causal" if node.low else "causal", self.tile(a)[0]), ATOM
            case TriangularSolve(args=(lower, right)):
                inverse = f"(I + {self.tile(lower)[0]}){d.letters('⁻¹')}"
                inverse = d.transposed(inverse) if node.transposed else inverse
                return f"{inverse} {self.at_least(self.tile(right), PRODUCT)}", PRODUCT
            case Root():
                return "ζ" if d is UNICODE else r"\zeta", ATOM
            case ForwardSubstitute(args=(lower, right, *_)):
                inside = f"{self.at_least(self.tile(right), PRODUCT)} {d.letters('−')} {self.at_least(self.tile(lower), PRODUCT)}{d.dot}U"
                return d.call("φ" if d is UNICODE else r"\phi", inside), ATOM
        raise InternalError(f"no notation for {node!r}")

    def reduced(self, node: Reduce, inside: Node) -> Text:
        d = self.dialect
        if node.kind == "max":
            return d.call("max", self.tile(inside)[0]), ATOM
        if isinstance(inside, Map) and inside not in self.program.labels and inside.expr == placeholder(0) ** 2:
            return d.power(d.norm(self.tile(inside.args[0])[0]), "2"), POWER
        return d.total(node.axis, self.at_least(self.tile(inside), PRODUCT)), PRODUCT

    def expression(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Node]) -> Text:
        d = self.dialect
        if expr in bound:
            return self.tile(bound[expr])
        if isinstance(expr, sp.Symbol):
            return expr.name.removeprefix("dim_").upper(), ATOM
        if expr.is_number and not expr.atoms(RealFunction):
            text = d.number(expr)
            return text, ATOM if text.isdecimal() else SUM if text.startswith(("-", "−")) else PRODUCT
        if isinstance(expr, sp.Add):
            return self.sum(expr, bound), SUM
        if isinstance(expr, sp.Mul):
            return self.product(expr, bound)
        if isinstance(expr, sp.Pow | Power0):
            return self.power(expr, bound)
        name = type(expr).__name__
        if isinstance(expr, newton_inverse):
            return d.call("F′⁻¹" if d is UNICODE else "F'^{-1}", self.expression(expr.args[2], bound)[0]), ATOM
        arguments = [self.expression(argument, bound)[0] for argument in expr.args]
        if name == "where_positive":
            return d.cases(arguments[1], self.condition(expr.args[0], bound), arguments[2]), ATOM
        if name == "magnitude":
            return f"|{arguments[0]}|", ATOM
        if name == "rsqrt":
            return d.fraction("1", d.root(arguments[0])), PRODUCT
        if name == "step":
            return d.call("1", self.condition(expr.args[0], bound)).replace("(", "[").replace(")", "]"), ATOM
        return d.call(NAMES.get(name, name), ", ".join(arguments)), ATOM

    def sum(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Node]) -> str:
        """Terms with a plus first."""
        terms = sorted(expr.as_ordered_terms(), key=lambda term: (term.could_extract_minus_sign(), -len(sp.Mul.make_args(term))))
        text = ""
        for term in terms:
            negative = term.could_extract_minus_sign()
            part = self.at_least(self.expression(-term if negative else term, bound), PRODUCT)
            sign = self.dialect.letters("−") if negative else "+"
            text = f"{text} {sign} {part}" if text else f"{sign}{part}" if negative else part
        return text

    def product(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Node]) -> Text:
        """Numbers, then numbers per token, then rows; rows over different axes are an outer product."""
        d = self.dialect
        if expr.could_extract_minus_sign():
            return d.letters("−") + self.at_least(self.expression(-expr, bound), PRODUCT), SUM
        divisors = [factor for factor in sp.Mul.make_args(expr) if isinstance(factor, sp.Pow | Power0) and factor.args[1].is_negative]
        ratio = expr.as_coeff_Mul()[0]
        below_1 = ratio.q if isinstance(ratio, sp.Rational) else sp.Integer(1)
        denominator = sp.Mul(below_1, *(type(f)(f.args[0], -f.args[1]) if f.args[1] != -1 else f.args[0] for f in divisors))
        numerator = below_1 * sp.Mul(*(factor for factor in sp.Mul.make_args(expr) if factor not in divisors))
        if denominator != 1:
            above, below = self.expression(numerator, bound), self.expression(denominator, bound)
            braces = d is LATEX
            return d.fraction(
                above[0] if braces else self.at_least(above, PRODUCT), below[0] if braces else self.at_least(below, POWER)
            ), PRODUCT
        scalars: list[str] = []
        rows: dict[tuple[str, ...], list[str]] = {}
        for factor in expr.as_ordered_factors():
            axes = ordered(axis for symbol in factor.free_symbols if symbol in bound for axis in bound[symbol].axes)
            text = self.at_least(self.expression(factor, bound), POWER)
            (rows.setdefault(axes, []) if axes else scalars).append(text)
        groups = [f" {d.letters('·')} ".join(rows[axes]) for axes in sorted(rows, key=lambda axes: [AXIS_ORDER.index(a) for a in axes])]
        disjoint = len(groups) == 2 and not set.intersection(*map(set, rows))
        joined = d.outer.join([d.transposed(groups[0]), groups[1]]) if disjoint else f" {d.letters('·')} ".join(groups)
        return d.dot.join([*scalars, *([joined] if joined else [])]), PRODUCT

    def power(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Node]) -> Text:
        d = self.dialect
        base, exponent = expr.args
        text = self.expression(base, bound)
        if exponent == sp.Rational(1, 2):
            before, behind = d.power(d.norm("\0"), "2").split("\0")
            if (
                text[1] == POWER and text[0].startswith(before) and text[0].endswith(behind)
            ):  # one squared norm, not a sum or product of them
                return d.norm(text[0].removeprefix(before).removesuffix(behind)), ATOM
            return d.root(text[0]), ATOM
        if exponent.is_number and exponent < 0:
            inverse = type(expr)(base, -exponent) if exponent != -1 else base
            return d.fraction("1", self.at_least(self.expression(inverse, bound), POWER)), PRODUCT
        return d.power(self.at_least(text, ATOM), self.expression(exponent, bound)[0]), POWER

    def condition(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Node]) -> str:
        """ "‖e‖ > δ" for ‖e‖ − δ > 0."""
        terms = sp.Add.make_args(expr)
        above = sp.Add(*(term for term in terms if not term.could_extract_minus_sign()))
        below = sp.Add(*(-term for term in terms if term.could_extract_minus_sign()))
        return f"{self.expression(above, bound)[0]} > {self.expression(below, bound)[0]}"


def formula_latex(expr: sp.Expr) -> str:
    """An expression over the letters of MATH (u, v, e, w, a, gates), with sums over a row."""
    return formula(expr, LATEX)


def formula(expr: sp.Expr, dialect: Dialect = UNICODE) -> str:
    """The same in any dialect."""
    return _FormulaWriter(Program("formula", {}), dialect).expression(expr, {})[0]


class _FormulaWriter(_Writer):
    """Letters stand for themselves."""

    def expression(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Node]) -> Text:
        if isinstance(expr, sp.Symbol):
            return self.dialect.letters(GREEK.get(expr.name, expr.name)), ATOM
        if isinstance(expr, RowSum):
            (inside,) = expr.args
            if isinstance(inside, sp.Pow) and inside.exp == 2:
                return self.dialect.power(self.dialect.norm(self.expression(inside.base, bound)[0]), "2"), POWER
            return self.dialect.total("j", self.at_least(self.expression(inside, bound), PRODUCT)), PRODUCT
        if isinstance(expr, RowMax):
            return self.dialect.call("max", self.expression(expr.args[0], bound)[0]), ATOM
        return super().expression(expr, bound)
