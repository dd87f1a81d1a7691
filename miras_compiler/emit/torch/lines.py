"""Long lines of code, broken as a formatter breaks them: in parentheses, before the operators that bind least."""

from __future__ import annotations

WIDTH = 140
OPERATORS = ((" + ", " - "), (" @ ", " * ", " / "))


def fit(opening: str, code: str, indent: int) -> list[str]:
    """ "opening code" behind `indent` spaces, in one line or in several."""
    space = " " * indent
    line = f"{space}{opening}{code}"
    if len(line) <= WIDTH:
        return [line]
    inside = f"{space}    "
    for operators in OPERATORS:
        parts = split(code, operators)
        if len(parts) > 1:
            parts = [code] if len(inside + code) <= WIDTH else parts
            return [f"{space}{opening}(", *(inside + part for part in parts), f"{space})"]
    callee, bracket, rest = code.partition("(")
    if bracket and code.endswith(")") and _is_balanced(rest[:-1]):
        arguments = [part.removeprefix(",").strip() for part in split(rest[:-1], (", ",))]
        together = inside + ", ".join(arguments)
        given = [together] if len(together) <= WIDTH else [f"{inside}{argument}," for argument in arguments]
        return [f"{space}{opening}{callee}(", *given, f"{space})"]
    return [line]


def _is_balanced(code: str) -> bool:
    """Whether every bracket that closes was opened in here."""
    depth = 0
    for character in code:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return False
    return depth == 0


def split(code: str, operators: tuple[str, ...]) -> list[str]:
    """The code cut before every operator outside brackets; each part but the first begins with its operator."""
    parts, depth, begun = [], 0, 0
    for at, character in enumerate(code):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and any(code.startswith(operator, at) for operator in operators):
            parts.append(code[begun:at])
            begun = at + (code[at] == " ")
    return [*parts, code[begun:]]
