"""A formula in LaTeX as a sum of terms, in which two formulas are compared."""

from __future__ import annotations

import re
from typing import NamedTuple

TOKEN = re.compile(r"\\begin\{\w+\}|\\end\{\w+\}|\\[a-zA-Z]+|\\.|[{}()\[\]]| [+-] |.", re.DOTALL)
OPENING, CLOSING = ("{", "(", "["), ("}", ")", "]")


class Term(NamedTuple):
    """A summand with its sign, "+" or "-"."""

    sign: str
    latex: str


def terms_of(latex: str) -> list[Term]:
    """The summands outside of all brackets, in their order."""
    found: list[Term] = []
    sign, begun, depth = "+", "", 0
    for match in TOKEN.finditer(latex):
        token = match.group()
        depth += (token in OPENING or token.startswith(r"\begin")) - (token in CLOSING or token.startswith(r"\end"))
        if depth == 0 and token in (" + ", " - "):
            found.append(Term(sign, begun))
            sign, begun = token.strip(), ""
        else:
            begun += token
    found.append(Term(sign, begun))
    first = found[0]
    if re.match(r"-\s*[^\s\d]", first.latex):  # "- \eta x", but not the number -60
        found[0] = Term("-", first.latex[1:].strip())
    return found
