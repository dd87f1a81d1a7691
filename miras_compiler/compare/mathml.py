"""LaTeX of an equation as MathML, with what differs marked."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from latex2mathml.converter import convert

from miras_compiler.compare.terms import Term

WORD = re.compile(r'(?:<mi mathvariant="normal">[^<]*</mi>){2,}')
NAMED = re.compile(r"<m[io]>([a-zA-Z_]{2,})</m[io]>")
CALL = '<mo stretchy="false">&#x00028;</mo>'


def equation(left: str, terms: Sequence[tuple[Term, bool]]) -> str:
    """`left` = the sum of the terms; those that come with True are marked as differing."""
    parts = [mathml(left), "<mo>=</mo>"]
    for index, (term, differs) in enumerate(terms):
        sign = "" if index == 0 and term.sign == "+" else f"<mo>{'+' if term.sign == '+' else '−'}</mo>"
        inside = f"<mrow>{mathml(term.latex)}</mrow>"
        parts.append(f'<mrow class="differs">{sign}{inside}</mrow>' if differs else sign + inside)
    return f"<math><mrow>{''.join(parts)}</mrow></math>"


@functools.cache
def mathml(latex: str) -> str:
    """The inside of a `math` element: words as one upright identifier each, and a space behind a function without brackets."""
    whole = convert(latex)
    inside = whole[whole.index(">") + 1 : whole.rindex("</math>")]
    inside = WORD.sub(lambda found: f"<mi>{re.sub('<[^>]*>', '', found.group())}</mi>", inside)
    return NAMED.sub(lambda found: f"<mi>{found.group(1)}</mi>" + _space(inside[found.end() :]), inside)


def _space(following: str) -> str:
    """Between a function and what it is of, unless that is in brackets, or is a part of the function's name."""
    return (
        ""
        if following.startswith((CALL, "</m")) or not following or following.startswith(("<mo", "<mi>&#x02032;"))
        else '<mspace width="0.17em"/>'
    )
