"""Long lines of code on several lines: a term, a factor or the arguments of a call on each."""

from __future__ import annotations

from miras_compiler.emit.printing.python_text import WIDTH

LONG = 120


def folded(name: str, code: str) -> list[str]:
    """A long sum with a term a line, and a long term with a factor a line."""
    terms = [row for term in split(code, (" + ", " - ")) for row in (split(term, (" * ",)) if len(term) > LONG else [term])]
    if len(terms) == 1 and len(name) + len(code) + 3 <= WIDTH - 8:
        return [f"{name} = {code}"]
    return [f"{name} = (", *(f"    {row}" for row in terms), ")  # fmt: skip"]


def folded_call(line: str) -> list[str]:
    """A long call with its arguments on a line of their own."""
    if len(line) <= LONG:
        return [line]
    before, arguments = line.removesuffix(")").split("(", 1)
    return [f"{before}(", f"    {arguments}", ")  # fmt: skip"]


def split(code: str, operators: tuple[str, ...]) -> list[str]:
    """Code before each of the operators that stand outside of brackets."""
    rows, depth, start = [], 0, 0
    for index, letter in enumerate(code):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and code[index : index + 3] in operators:
            rows.append(code[start:index])
            start = index + 1
    return [*rows, code[start:]]
