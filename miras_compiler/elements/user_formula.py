"""Fields of a spec that hold a formula: read once when the spec is read, so that a fault is reported with its column."""

from __future__ import annotations

import sympy as sp
from pydantic import AfterValidator

from miras_compiler.elements.base import refused
from miras_compiler.expressions.formula import ROW_LETTERS, FormulaError, is_row, names_in, parse_formula
from miras_compiler.expressions.symbols import RowMax, RowSum, letter, signum

FOREIGN = {  # letters of the mathematics that a loss does not get, and the text to write
    "k": "the key reaches a loss through the prediction u = M(W; k) alone",
    "q": "a query reads, and no loss is measured there",
    "x": "the input reaches a loss through the prediction u and the value v alone",
    "w": "a penalty on weights is a retention: `retention: {kind: bregman, generator: ...}`",
    "e": "write u - v for the error",
    "y": "write u for the memory's answer",
    "o": "write u for the memory's answer",
    "t": "a loss is the same at every token; a gate may change it",
}

STATES = {"W": FOREIGN["w"], "A": "a penalty on the state is a retention: `retention: {kind: bregman, generator: ...}`"}  # if no gates


def foreign_letter(name: str, instead: str) -> tuple[str, str, str]:
    """The fault, its cause and its remedy, for a letter that a loss does not get."""
    return f"the loss reads '{name}'", "it is given the prediction u, the value v and gates", instead


def _check(text: str, letters: str, *, gates: bool) -> None:
    """Refuses text that is no formula in these letters (and gates), or that does not use the first of them."""
    for name in sorted(names_in(text) & FOREIGN.keys()) if gates else ():
        raise refused(*foreign_letter(name, FOREIGN[name]))
    names = frozenset(letters) | (names_in(text) - ROW_LETTERS if gates else frozenset())
    try:
        expr = parse_formula(text, names)
    except FormulaError as error:
        raise refused(f"in the formula, column {error.column}: {error.message}") from None
    if not any(symbol.name == letters[0] for symbol in expr.free_symbols):
        raise refused(f"the formula does not depend on {letters[0]}")
    if gates and letter(letters[0]) not in expr.replace(signum, lambda x: sp.Integer(1)).free_symbols:
        raise refused(f"the formula is flat: {letters[0]} stands inside sign( ) only", "a surprise is the slope of the loss")
    scalar = not is_row(expr)
    if gates and not scalar:
        raise refused("the formula has a value per coordinate", "an attentional bias is one number per token", "wrap it in sum( )")
    if not gates and scalar:
        raise refused("the formula is one number for the whole row", f"it must have a value per coordinate of {letters[0]}")
    if letters in ("w", "t") and expr.has(RowSum, RowMax):
        raise refused("the formula reduces a row", "a generator is entrywise: it is summed over the entries by itself")


def _formula_in(letters: str, *, gates: bool = False) -> AfterValidator:
    def read(text: str) -> str:
        _check(text, letters, gates=gates)
        return " ".join(text.split())  # one line, as it stands in comments of the generated files

    return AfterValidator(read)


LOSS = _formula_in("uv", gates=True)
MAP = _formula_in("x")
GENERATOR_IN_W = _formula_in("w")
GENERATOR_IN_T = _formula_in("t")
