"""The grammar of a user's formula: its meaning, its messages on faults, and its text."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from kit.expression_value import value
from kit.hostile import HOSTILE
from miras_compiler.expressions.formula import FormulaError, names_in, parse_formula
from miras_compiler.expressions.slopes import softened
from miras_compiler.expressions.symbols import Power0, RowMax, RowSum, U, V, sigmoid, softplus
from miras_compiler.expressions.vocabulary import FUNCTIONS
from miras_compiler.expressions.written import formula_text

NUMBERS = st.sampled_from(["2", "3", "7", "10"])
ROUGH = st.sampled_from(["0.3", "1e-3", ".5", "2", "13", "1.5e2", "7."])


def deeper(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Arithmetic on parts, with and without parentheses: the neighbours of an operator decide which binds first."""
    return st.one_of(
        st.builds("{}{}{}".format, parts, st.sampled_from([" + ", "-", "*", " / "]), parts),
        st.builds("{}{}".format, st.sampled_from(["-", "+"]), parts),
        st.builds("({})".format, parts),
        st.builds("{}**{}".format, st.sampled_from(["u", "v", "2", "(u - v)"]), st.sampled_from(["2", "-1", "3", "-2", "2**1", "+1**-3"])),
    )


ARITHMETIC = st.recursive(st.sampled_from(["u", "v"]) | NUMBERS, deeper, max_leaves=12)
FORMULAS = st.recursive(
    st.sampled_from(["u", "v", "beta"]) | ROUGH,
    lambda parts: st.one_of(
        deeper(parts),
        st.builds("{}({})".format, st.sampled_from(sorted(name for name, count in FUNCTIONS if count == 1)), parts),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), parts, parts),
        st.builds("({})**{}".format, parts, st.sampled_from(["0.5", "-1.5", "2", "(1/3)", "-2"])),
    ),
    max_leaves=10,
)


def exact(expr: sp.Basic, **letters: Fraction) -> Fraction:
    """The value of arithmetic on exact numbers."""
    if isinstance(expr, sp.Rational):
        return Fraction(expr.p, expr.q)
    if isinstance(expr, sp.Symbol):
        return letters[expr.name]
    arguments = [exact(argument, **letters) for argument in expr.args]
    if isinstance(expr, sp.Add):
        return sum(arguments, Fraction(0))
    if isinstance(expr, sp.Mul):
        return math.prod(arguments, start=Fraction(1))
    assert isinstance(expr, sp.Pow | Power0)
    return Fraction(arguments[0] ** arguments[1])


def parsed(text: str, *names: str) -> sp.Expr:
    """The expression; a text that the grammar refuses is no example."""
    try:
        return parse_formula(text, names)
    except FormulaError:
        assume(False)


@pytest.mark.slow
@given(ARITHMETIC, st.fractions(-5, 5, max_denominator=7), st.fractions(-5, 5, max_denominator=7))
def test_arithmetic_means_what_it_means_in_python(text: str, u: Fraction, v: Fraction) -> None:
    python = re.sub(r"\d+", r"F(\g<0>)", text)
    try:
        expected = eval(python, {"F": Fraction, "u": u, "v": v})
    except ZeroDivisionError:
        assume(False)
    assert exact(parsed(text, "u", "v"), u=u, v=v) == expected


@pytest.mark.parametrize("name", sorted(name for name, count in FUNCTIONS if count == 1 and name not in ("sum", "max", "norm")))
@given(x=st.integers(1, 2000).map(lambda thousandths: thousandths / 100))
def test_a_function_at_a_number_is_its_value(name: str, x: float) -> None:
    for sign in (1, -1) if name not in ("log", "sqrt") else (1,):
        folded = parse_formula(f"{name}({sign * x})", ())
        assert isinstance(folded, sp.Rational)
        assert float(folded) == pytest.approx(float(value(parse_formula(f"{name}(u)", "u"), u=sign * x)), rel=1e-12)


def test_min_and_max_of_two_are_entrywise_and_max_of_one_is_over_the_row() -> None:
    u, v = np.array([1.0, -2.0, 3.0]), np.array([0.0, 5.0, 3.5])
    assert value(parse_formula("min(u, v)", "uv"), u=u, v=v).tolist() == [0.0, -2.0, 3.0]
    assert value(parse_formula("max(u, v)", "uv"), u=u, v=v).tolist() == [1.0, 5.0, 3.5]
    assert value(parse_formula("max(u)", "u"), u=u).tolist() == [3.0]
    assert value(parse_formula("norm(u)", "u"), u=u) == pytest.approx(math.sqrt(14))
    assert (parse_formula("sum(u*v)", "uv"), parse_formula("max(u)", "u")) == (RowSum(U * V), RowMax(U))


@pytest.mark.parametrize(
    "text", ["1/u", "u**-2", "sqrt(u)", "u**0.5", "u/norm(u)", "exp(-log(u))", "exp(-1.5*log(u))", "1/sqrt(u)", "abs(u)**1.5"]
)
def test_a_singular_point_gives_0_and_so_does_the_derivative(text: str) -> None:
    expr = parse_formula(text, "u")
    assert value(expr, u=[0.0]) == 0
    assert value(sp.diff(expr.replace(RowSum, lambda x: x), U), u=[0.0]) == 0


def test_what_sympy_simplifies_stays_in_the_grammar() -> None:
    assert formula_text(parse_formula("exp(log(u**2)/2)", "u")) == "abs(u)"
    assert formula_text(parse_formula("exp(log(4*u)*0.5)", "u")) == "2*u**(1/2)"
    assert value(parse_formula("1/(sqrt(2)*u)", "u"), u=3.0) == pytest.approx(1 / (math.sqrt(2) * 3))


@given(FORMULAS)
@pytest.mark.slow
def test_the_text_of_a_formula_reads_back_as_the_same_formula(text: str) -> None:
    expr = parsed(text, "u", "v", "beta")
    assert parse_formula(formula_text(expr), ("u", "v", "beta")) == expr


@given(FORMULAS)
def test_the_names_in_a_formula_are_its_letters(text: str) -> None:
    assert names_in(text) == set(re.findall(r"\b(?:u|v|beta)\b", text))


def test_a_text_that_cannot_be_read_has_no_names() -> None:
    assert names_in("u + $") == names_in("(" * 100) == frozenset()


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a number, a name or '(', found the end of the formula"),
        ("u +", 4, "expected a number, a name or '(', found the end of the formula"),
        ("u * * v", 5, "expected a number, a name or '(', found '*'"),
        ("sum(u", 6, "expected ')', found the end of the formula"),
        ("sum(u))", 7, "expected an operator before ')'"),
        ("sum(2u)", 6, "expected ')', found 'u'; a product is written *"),
        ("2 u", 3, "expected an operator before 'u'; a product is written *"),
        ("u\n + €", 6, "unexpected '€'; a formula has numbers, names, + - * / ** ( ) and commas"),
        ("u + uu", 5, "unknown name 'uu'; did you mean 'u'?"),
        ("u + zzz", 5, "unknown name 'zzz'; choose from beta, u, v"),
        ("u * bета", 6, "unexpected 'е'; a formula has numbers, names, + - * / ** ( ) and commas"),
        ("bet*u", 1, "unknown name 'bet'; did you mean 'beta'?"),
        ("-tan(u)", 2, "unknown function 'tan'; did you mean 'tanh'?"),
        ("mean(u)", 1, "unknown function 'mean'; write sum(x)/n, where n is the number of coordinates"),
        ("1 + dot(u, v)", 5, "unknown function 'dot'; write sum(x*y)"),
        ("where(u)", 1, "unknown function 'where'; write max(x, 0), min(x, y), abs(x) or sign(x): a formula has no conditions"),
        ("log1p(u)", 1, "unknown function 'log1p'; write log(1 + x)"),
        ("Log1P(u)", 1, "unknown function 'Log1P'; write log(1 + x)"),
        ("arcsinh(u)", 1, "unknown function 'arcsinh'; write asinh(x)"),
        ("u^2", 2, "unexpected '^'; a power is written **"),
        ("|u|", 1, "unexpected '|'; write abs(x) for |x|, and norm(x) for the length of a row"),
        ("u > v", 3, "unexpected '>'; a formula has no conditions; write max(x, 0), min(x, y) or sign(x)"),
        ("abs", 1, "the function 'abs' needs its argument in parentheses"),
        ("1 + min(u)", 5, "'min' takes 2 argument(s), not 1"),
        ("max(u, v, 1)", 1, "'max' takes 1 or 2 argument(s), not 3"),
        ("1 + sum(beta)", 5, "'sum' runs over coordinates, and its argument has none"),
        ("sum(sum(u))", 1, "'sum' runs over coordinates, and its argument has none"),
        ("u ** v", 3, "an exponent must be a number; write exp(y*log(x)) for x**y"),
        ("u**65", 2, "an exponent must lie between -64 and 64"),
        ("(u**8)**9", 7, "powers of powers beyond the exponent 64"),
        ("u + 1/0", 6, "division by zero"),
        ("u*log(-1)", 3, "no real value here"),
        ("u + (-8)**(1/3)", 9, "no real value here"),
        ("u*1e31", 3, "a number has at most 120 digits and an exponent between -30 and 30"),
        ("u*(1e30*10)", 4, "a number beyond 1e30 or too fine to represent"),
    ],
)
def test_a_fault_is_told_with_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula(text, ("u", "v", "beta"))
    assert (caught.value.column, caught.value.message) == (column, message)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_formula(text, ("u", "v"))


@pytest.mark.parametrize("text", ["log(1 + exp(3*u))", "log(exp(3*u) + 1)"])
def test_a_logarithm_that_outgrows_its_exponential_is_the_softplus(text: str) -> None:
    """The slope exp(x)/(exp(x) + 1) is no number where exp(x) is none; the sigmoid is."""
    expr = softened(parse_formula(f"u*{text} + log(2 + exp(u))", {"u"}))
    assert expr == U * softplus(3 * U) + sp.log(sp.exp(U) + 2)
    assert sp.diff(softplus(3 * U), U) == 3 * sigmoid(3 * U)
