"""Long lines of code, broken as a formatter breaks them: in parentheses, before the operators that bind least."""

from __future__ import annotations

from miras_compiler.emit.printing.python_text import WIDTH

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
        together = inside + rest[:-1]
        given = [together] if len(together) <= WIDTH else [line for each in arguments(rest[:-1]) for line in _argument(each, indent + 4)]
        return [f"{space}{opening}{callee}(", *given, f"{space})"]
    return [line]


def arguments(code: str) -> list[str]:
    """The arguments between the brackets of a call; the comma between the parameters of a lambda does not separate two of them."""
    found: list[str] = []
    for part in split(code, (", ",)):
        if found and found[-1].startswith("lambda ") and ":" not in found[-1]:
            found[-1] += part
        else:
            found.append(part.removeprefix(",").strip())
    return found


def _argument(code: str, indent: int) -> list[str]:
    """One argument in lines of its own, the comma included; the body of a lambda is broken like any other code."""
    head, colon, body = code.partition(": ") if code.startswith("lambda ") else ("", "", code)
    lines = fit(head + colon, body, indent) if head else [" " * indent + code]
    return [*lines[:-1], f"{lines[-1]},"]


def _is_balanced(code: str) -> bool:
    """True if every bracket that closes was opened in here."""
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
