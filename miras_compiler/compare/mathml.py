"""LaTeX of an equation as MathML, with the differences marked."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from latex2mathml.converter import convert

from miras_compiler.compare.terms import Term

WORD = re.compile(r'(?:<mi mathvariant="normal">[^<]*</mi>){2,}')
NAMED = re.compile(r"<m[io]>([a-zA-Z_]{2,})</m[io]>")


MINUS = re.compile(r'(<mo stretchy="false">&#x00028;</mo>|<mo>&#x0002C;</mo>)<mo>&#x02212;</mo>')
NO_SPACE = ("<mo", "</m", "<mi>&#x02032;")  # brackets and operators, the end of a name, a prime


def equation(left: str, terms: Sequence[tuple[Term, bool]]) -> str:
    """`left` = the sum of the terms; those that come with True are marked as differing."""
    parts = [mathml(left), "<mo>=</mo>"]
    for index, (term, differs) in enumerate(terms):
        inside = _sign(term.sign, index == 0) + f"<mrow>{mathml(term.latex)}</mrow>"
        parts.append(f'<mrow class="differs">{inside}</mrow>' if differs else inside)
    return f"<math><mrow>{''.join(parts)}</mrow></math>"


def _sign(sign: str, first: bool) -> str:
    """Between terms; before the first one a minus only, which stands close to it."""
    if first:
        return '<mo form="prefix">−</mo>' if sign == "-" else ""
    return f'<mo form="infix">{"+" if sign == "+" else "−"}</mo>'


@functools.cache
def mathml(latex: str) -> str:
    """The inside of a `math` element: words as one upright identifier each, and a space behind a function without brackets."""
    whole = convert(latex)
    inside = whole[whole.index(">") + 1 : whole.rindex("</math>")]
    inside = WORD.sub(lambda found: f"<mi>{re.sub('<[^>]*>', '', found.group())}</mi>", inside)
    inside = MINUS.sub(r'\1<mo form="prefix">&#x02212;</mo>', inside)
    return NAMED.sub(lambda found: f"<mi>{found.group(1)}</mi>{_space(found.string[found.end() :])}", inside)


def _space(following: str) -> str:
    """Between the name of a function and its argument, unless that is in brackets."""
    return "" if not following or following.startswith(NO_SPACE) else '<mspace width="0.17em"/>'
