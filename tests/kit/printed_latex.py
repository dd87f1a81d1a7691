"""Reads the LaTeX of pages back: a strict parser, which knows nothing of the printer.

A name with its marks (an accent, a number, a word, a moment in brackets) is the letter of a `Page`, a letter behind them an index of
tokens. All else is an error, such as two factors without a sign between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np

from kit.printed_equations import (
    COMPARISONS,
    ENTRYWISE,
    Meaning,
    Page,
    Value,
    called,
    entrywise,
    multiplied,
    multiplied_outer,
    number,
    raised,
    reduced,
    repeated,
    softmax,
)

TOKEN = re.compile(
    r"\\(?:mathrm|operatorname|text)\{(?:[A-Za-z0-9 ]|\\_)+\}"
    r"|\\[A-Za-z]+|\\[\\,|]|\d+(?:\.\d+)?|[A-Za-z]|[-+=&^_{}()\[\]<>|,/']|(?P<space>\s+)"
)
GREEK = dict(zip(
    r"\alpha \beta \gamma \delta \zeta \eta \kappa \mu \pi \rho \tau \phi \omega \Lambda \Gamma \ell".split(),
    "αβγδζηκμπρτφωΛΓℓ", strict=True,
))  # fmt: skip
ACCENTS = {r"\hat": "\u0302", r"\tilde": "\u0303", r"\bar": "\u0304"}
SIGNS = {"<": "<", ">": ">", r"\le": "≤", r"\ge": "≥"}
PLAIN = {rf"\{name}": name for name in ("exp", "log", "tanh", "cosh", "sinh", "max", "min")} | {r"\Phi": "Φ"}
SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def rows_of(block: str) -> list[tuple[str, str]]:
    """Left and right sides of a block: one equation, or the rows of an `aligned` environment."""
    inside = re.fullmatch(r"\\begin\{aligned\}\n(.*)\n\\end\{aligned\}", block, flags=re.DOTALL)
    if inside is None:
        left, right = block.split(" = ", 1)
        return [(left, right)]
    found = [row.split(" &= ") for row in inside[1].split(" \\\\\n")]
    assert all(len(row) == 2 for row in found), block
    return [(left, right) for left, right in found]


def error(page: Page, left: str, right: str) -> float:
    """The largest difference of the two sides of an equation over all tokens, relative to their size."""
    reader = Reader(page, left)
    index = reader.name()[1] if reader.is_name() else ""
    sides = meaning(page, left), meaning(page, right)
    return page.difference(sides, "" if reader.tokens else index, f"{left} = {right}")


def name_of(page: Page, left: str) -> tuple[str, str]:
    """The letter that an equation defines, and the index behind it."""
    reader = Reader(page, left)
    found = reader.name()
    assert not reader.tokens, left
    return found


def meaning(page: Page, text: str) -> Meaning:
    reader = Reader(page, text)
    result = reader.sum()
    assert not reader.tokens, f"cannot read {''.join(reader.tokens)!r} in {text!r}"
    return result


class Reader:
    """Recursive descent over tokens: sums of products of powers of atoms."""

    def __init__(self, page: Page, text: str) -> None:
        self.page, self.text = page, text
        self.tokens: list[str] = []
        place = 0
        while place < len(text):
            found = TOKEN.match(text, place)
            assert found, f"no LaTeX of a page: {text[place:]!r} in {text!r}"
            place = found.end()
            if not found["space"]:
                self.tokens.append(found[0])

    def peek(self, place: int = 0) -> str:
        return self.tokens[place] if place < len(self.tokens) else ""

    def take(self, *wanted: str) -> bool:
        """These tokens, one after the other."""
        if tuple(self.tokens[: len(wanted)]) != wanted:
            return False
        del self.tokens[: len(wanted)]
        return True

    def next(self) -> str:
        assert self.tokens, f"{self.text!r} ends too early"
        return self.tokens.pop(0)

    def expect(self, *wanted: str) -> None:
        assert self.take(*wanted), f"expected {' '.join(wanted)} at {' '.join(self.tokens)!r} in {self.text!r}"

    def inside(self, *end: str) -> Meaning:
        result = self.sum()
        self.expect(*end)
        return result

    # Sums and products

    def sum(self) -> Meaning:
        terms = [self.signed(self.take("-"))]
        while self.peek() in ("+", "-"):
            terms.append(self.signed(self.next() == "-"))
        return lambda b: entrywise(lambda *x: sum(x[1:], x[0]), *(term(b) for term in terms)) if len(terms) > 1 else terms[0](b)

    def signed(self, negative: bool) -> Meaning:
        term = self.term()
        return self.of(partial(entrywise, np.negative), term) if negative else term

    def term(self) -> Meaning:
        result = self.power()
        joints: dict[str, Callable[[Value, Value], Value]] = {
            r"\,": multiplied, r"\odot": partial(entrywise, np.multiply), r"\otimes": multiplied_outer,
        }  # fmt: skip
        while self.peek() in joints:
            result = self.of(joints[self.next()], result, self.power())
        return result

    @staticmethod
    def of(function: Callable[..., Value], *arguments: Meaning) -> Meaning:
        return lambda binding: function(*(argument(binding) for argument in arguments))

    def power(self) -> Meaning:
        result = self.atom()
        while self.peek() == "^":
            self.next()
            if self.take(r"\top"):
                result = self.of(Value.turned, result)
                continue
            self.expect("{")
            exponent = self.inside("}")
            result = self.of(partial(entrywise, np.power), result, exponent)
        return result

    # Atoms

    def atom(self) -> Meaning:
        if self.peek() in (r"\sum", r"\prod"):
            return self.repeated(self.next())
        if self.take("(", "F", "'", ")", "^", "{", "-", "1", "}", "("):
            return self.of_page("F′⁻¹")
        if self.take(r"\operatorname{NS}", "_", "5", "("):
            return self.of_page("NS₅")
        if self.take(r"\operatorname{surprise}", "("):
            return self.of_page("surprise")
        if self.take(r"\psi", "("):
            return self.of_page("ψ")
        if self.peek().startswith(r"\operatorname") or (self.peek() in PLAIN and self.peek(1) in ("(", "_")):
            return self.function()
        if self.is_name():
            return partial(self.page.value, *self.name())
        return self.enclosed()

    def enclosed(self) -> Meaning:
        """Numbers, and everything in brackets."""
        token = self.next()
        if token[0].isdecimal():
            if token == "10" and self.take("^", "{", "-"):
                token = f"1e-{self.next()}"
                self.expect("}")
            elif self.take(r"\cdot", "10", "^", "{", "-"):
                token = f"{token}e-{self.next()}"
                self.expect("}")
            constant = number(float(token))
            return lambda b: constant
        if token == "{":
            return self.inside("}")
        if token == "(":
            return self.inside(")")
        if token == r"\frac":
            self.expect("{")
            above = self.inside("}", "{")
            return self.of(partial(entrywise, np.divide), above, self.inside("}"))
        if token == r"\sqrt":
            self.expect("{")
            return self.of(partial(entrywise, np.sqrt), self.inside("}"))
        if token == r"\|":
            x = self.inside(r"\|")
            over = self.over()
            return self.of(lambda y: entrywise(np.sqrt, reduced(entrywise(partial(raised, 2), y), over, np.sum)), x)
        if token == "|":
            return self.of(partial(entrywise, np.abs), self.inside("|"))
        if token == "[":
            condition = self.condition()
            self.expect("]")
            return condition
        assert token == r"\begin", f"cannot read {token!r} in {self.text!r}"
        return self.cases()

    def cases(self) -> Meaning:
        self.expect("{", *"cases", "}")
        one = self.inside("&", r"\text{if }")
        condition = self.condition()
        self.expect(r"\\")
        other = self.inside("&", r"\text{else}", r"\end", "{", *"cases", "}")
        return self.of(lambda c, x, y: entrywise(lambda *v: np.where(v[0] > 0, v[1], v[2]), c, x, y), condition, one, other)

    def over(self) -> str:
        """The axes that stand below a norm or a function, in capitals."""
        if not self.take("_", "{"):
            return ""
        found = ""
        while not self.take("}"):
            found += self.next()
        assert re.fullmatch(r"(?:[A-Z]\d*)+", found), f"no axes: {found!r} in {self.text!r}"
        return found

    def of_page(self, name: str) -> Meaning:
        return partial(called, self.page.functions[name], self.inside(")"))

    def function(self) -> Meaning:
        token = self.next()
        name = PLAIN[token] if token in PLAIN else token.removeprefix(r"\operatorname{").removesuffix("}").replace(r"\_", "_")
        if self.take("'"):
            name += "′"
        over = self.over()
        self.expect("(")
        arguments = [self.sum()]
        while self.take(","):
            arguments.append(self.sum())
        self.expect(")")
        if len(arguments) == 1 and name in ("mean", "max"):
            return self.of(lambda x: reduced(x, over, np.mean if name == "mean" else np.max), *arguments)
        if name.endswith("softmax"):
            change = np.log if name == "log_softmax" else np.positive
            return self.of(lambda x: entrywise(change, softmax(x, over)), *arguments)
        known = {"max": np.maximum, "min": np.minimum} | ENTRYWISE
        assert name in known, f"unknown function {name} in {self.text!r}"
        assert not over, f"{name} runs over nothing"
        return self.of(partial(entrywise, known[name]), *arguments)

    # Sums over tokens and channels, conditions on tokens

    def repeated(self, kind: str) -> Meaning:
        over = self.range() if self.take("_", "{") else ""
        if kind == r"\prod" or "=" in over:
            self.expect("^", "{")
            over += f"..{self.next()}"
            self.expect("}")
        return repeated(self.page, "Σ" if kind == r"\sum" else "Π", over, self.term())

    def range(self) -> str:
        text = ""
        while not self.take("}"):
            token = self.next()
            text += SIGNS.get(token, token)
        return text

    def condition(self) -> Meaning:
        """1 where a comparison holds; single letters of tokens are their places."""
        one, sign, two = self.peek(), self.peek(1), self.peek(2)
        if sign in SIGNS and {one, two} <= set(self.page.sizes) and not {one, two} & set(self.page.values):
            del self.tokens[:3]
            return lambda b: number(COMPARISONS[SIGNS[sign]](b[one], b[two]))
        left = self.sum()
        sign = self.next()
        assert sign in SIGNS, f"expected a comparison in {self.text!r}"
        return self.of(partial(entrywise, COMPARISONS[SIGNS[sign]]), left, self.sum())

    # Names

    def is_name(self) -> bool:
        token = self.peek()
        if token == r"\log":
            return self.peek(1) in GREEK
        return (
            token in GREEK
            or token in ACCENTS
            or token == r"\partial"
            or token.startswith(r"\mathrm")
            or re.fullmatch("[A-Za-z]", token) is not None
        )

    def name(self) -> tuple[str, str]:
        """A letter of the page with its marks, and the tokens that it is indexed by."""
        if self.take(r"\partial", r"\ell", "/", r"\partial", "u"):
            below, index = self.below()
            return "∂ℓ/∂u" + below, index
        if self.take(r"\phi", "("):
            inside, index = self.name()
            self.expect(")")
            return f"φ({inside})", index
        before = "log " if self.take(r"\log") else ""
        core = self.core()
        below, index = self.below()
        return before + core + below + self.moment(), index

    def core(self) -> str:
        token = self.next()
        if token in ACCENTS:
            self.expect("{")
            core = self.core()
            self.expect("}")
            return core + ACCENTS[token]
        if token.startswith(r"\mathrm"):
            word = token.removeprefix(r"\mathrm{").removesuffix("}").replace(r"\_", "_")
            assert len(word) > 1, "a letter stands alone"
            return word
        return GREEK.get(token, token)

    def below(self) -> tuple[str, str]:
        """Numbers and words that are part of a name, and an index."""
        if not self.take("_", "{"):
            return "", ""
        marks, index = "", ""
        while True:
            token = self.next()
            assert not index or token in self.page.sizes, f"an index stands last in {self.text!r}"
            if token.isdecimal():
                marks += token.translate(SUBSCRIPT)
            elif token.startswith(r"\mathrm"):
                marks += "_" + token.removeprefix(r"\mathrm{").removesuffix("}").replace(r"\_", "_")
            elif token in self.page.sizes:
                index += token
            else:
                marks += f"_{token}"
            if self.take("}"):
                return marks, index
            if self.take(","):
                continue
            assert index, f"marks without a comma in {self.text!r}"

    def moment(self) -> str:
        if not self.take("^", "{", "["):
            return ""
        found = ""
        while not self.take("]", "}"):
            token = self.next()
            word = token.removeprefix(r"\mathrm{").removesuffix("}") if token.startswith(r"\mathrm") else GREEK.get(token, token)
            found += {"-": "−", ",": ", ", r"\,": ""}.get(word, word)
        return f"[{found}]"
