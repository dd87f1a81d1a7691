"""Reads printed equations back: a parser of the notation alone, which knows nothing of how they were printed, and evaluates in numpy.

A value is a number, a row, a column or a matrix, with the names of its axes. Tokens are indices, bound by a sum or by who evaluates.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Binding = Mapping[str, int]
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
BEHIND = r"(?![A-Za-z0-9_\[α-ωₐ₀-₉\u0302-\u0304])"  # no name goes on behind a name
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {"<": np.less, "≤": np.less_equal, ">": np.greater, "≥": np.greater_equal}


@dataclass(frozen=True)
class Value:
    """A two-dimensional array and the names of its two axes; None for an axis that it has not."""

    array: Array
    axes: tuple[str | None, str | None] = (None, None)

    @property
    def is_number(self) -> bool:
        return self.axes == (None, None)

    def turned(self) -> Value:
        return Value(self.array.T, (self.axes[1], self.axes[0]))


Meaning = Callable[[Binding], Value]


def number(x: Any) -> Value:
    return Value(np.asarray(x, dtype=np.float64).reshape(1, 1))


def entrywise(function: Callable[..., Any], *values: Value) -> Value:
    axes = tuple(next((v.axes[i] for v in values if v.axes[i] is not None), None) for i in (0, 1))
    with np.errstate(all="ignore"):
        return Value(np.asarray(function(*(v.array for v in values)), dtype=np.float64), axes)  # type: ignore[arg-type]


def multiplied(a: Value, b: Value) -> Value:
    """A number in front, or a product of matrices."""
    if a.is_number or b.is_number:
        return entrywise(np.multiply, a, b)
    assert a.axes[1] is not None, "a column multiplies from the left"
    assert a.axes[1] == b.axes[0] or a.array.shape[1] == b.array.shape[0], f"{a.axes} times {b.axes}"
    return Value(a.array @ b.array, (a.axes[0], b.axes[1]))


def raised(exponent: int, x: Any) -> Any:
    return x**exponent


def called(function: Callable[[Binding, Value], Value], argument: Meaning, binding: Binding) -> Value:
    return function(binding, argument(binding))


def reduced(value: Value, over: str, function: Callable[..., Any]) -> Value:
    """Over the axes that are named in capitals, or over all; a matrix becomes a row."""
    dims = [i for i in (0, 1) if value.axes[i] is not None and (not over or value.axes[i].upper() in re.findall(r"[A-Z]\d*", over))]  # type: ignore[union-attr]
    assert dims, f"nothing to reduce in {value.axes} over {over!r}"
    axes = tuple(None if i in dims else axis for i, axis in enumerate(value.axes))
    result = Value(function(value.array, axis=tuple(dims), keepdims=True), axes)  # type: ignore[arg-type]
    return result.turned() if axes[0] is not None and axes[1] is None else result


def softmax(value: Value, over: str) -> Value:
    dims = tuple(i for i in (0, 1) if value.axes[i] is not None and (not over or value.axes[i].upper() in over))  # type: ignore[union-attr]
    raised = np.exp(value.array)
    return Value(raised / raised.sum(axis=dims, keepdims=True), value.axes)


def gelu(x: Any) -> Any:
    return x * np.vectorize(lambda y: 0.5 * math.erfc(-y / math.sqrt(2)))(x)


def gelu_tanh(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Any) -> Any:
    return x / (1 + np.exp(-x))


def slope(function: Callable[[Any], Any], h: float = 1e-5) -> Callable[[Any], Any]:
    """A derivative by differences of fourth order."""
    return lambda x: (8 * (function(x + h) - function(x - h)) - function(x + 2 * h) + function(x - 2 * h)) / (12 * h)


ENTRYWISE: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "cosh": np.cosh, "sinh": np.sinh, "asinh": np.arcsinh, "atanh": np.arctanh,
    "atan": np.arctan, "erf": np.vectorize(math.erf),
    "sign": np.sign, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softplus": lambda x: np.log1p(np.exp(x)),
    "relu": lambda x: np.maximum(x, 0), "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu,
    "gelu′": slope(gelu), "gelu_tanh′": slope(gelu_tanh), "silu′": slope(silu),
    "soft": lambda x, g: np.sign(x) * np.maximum(0, np.abs(x) - g), "Φ": np.vectorize(lambda y: 0.5 * math.erfc(-y / math.sqrt(2))),
}  # fmt: skip


@dataclass
class Page:
    """`values` are arrays by the letters that stand for them, with their axes: tokens first. `sizes` are the numbers of tokens that an
    index counts; `functions` are those that only this page knows.
    """

    values: Mapping[str, tuple[Array, Sequence[str]]]
    sizes: Mapping[str, int]
    functions: Mapping[str, Callable[[Binding, Value], Value]] = field(default_factory=dict)
    first: int = 0  # the number of the first token
    before: int = 0  # entries of the values in front of it
    defined: Mapping[str, tuple[str, Meaning]] = field(default_factory=dict)  # letters by an equation: its index and its right side

    def __post_init__(self) -> None:
        names = sorted({*self.values, *self.defined}, key=len, reverse=True)
        index = f"(?:_(?P<i>[{''.join(map(re.escape, self.sizes))}0]+)(?![a-zA-Z0-9]))?"
        self.patterns = [
            (name, re.compile(re.escape(name[:-1]) + index + r"\)" if name.endswith(")") else re.escape(name) + index + BEHIND))
            for name in names
        ]

    def value(self, name: str, index: str, binding: Binding) -> Value:
        if name in self.defined:
            own, meaning = self.defined[name]
            assert len(own) == len(index), f"{name}_{index}"
            return meaning({letter: binding[each] for letter, each in zip(own, index, strict=True)})
        array, axes = self.values[name]
        at = tuple(0 if each == "0" else binding[each] - self.first + self.before for each in index)
        array, axes = array[at], axes[len(at) :]
        assert len(axes) < 3, f"{name}_{index} has the axes {axes}"
        if not axes:
            return number(array)
        return Value(array.reshape(1, -1), (None, axes[0])) if len(axes) == 1 else Value(array, (axes[0], axes[1]))

    def meaning(self, text: str) -> Meaning:
        reader = _Reader(self, text)
        result = reader.sum()
        assert not reader.rest, f"cannot read {reader.rest!r} in {text!r}"
        return result

    def bindings(self, index: str) -> list[dict[str, int]]:
        spans = [range(self.first, self.sizes[each] + self.first) for each in index]
        return [dict(zip(index, each, strict=True)) for each in itertools.product(*spans)]

    def error(self, left: str, right: str) -> float:
        """The largest difference of the two sides of an equation over all tokens, relative to their size."""
        return self.difference((self.meaning(left), self.meaning(right)), self.index(left), f"{left} = {right}")

    def difference(self, sides: tuple[Meaning, Meaning], index: str, text: str) -> float:
        """The largest difference of two meanings over all tokens of an index."""
        worst = 0.0
        for binding in self.bindings(index):
            one, two = (side(binding) for side in sides)
            assert two.is_number or one.axes == two.axes or (one.array.shape == two.array.shape), f"{text}: {one.axes}, {two.axes}"
            scale = max(1.0, float(np.abs(one.array).max()))
            worst = max(worst, float(np.abs(one.array - two.array).max()) / scale)
        return worst

    def index(self, left: str) -> str:
        """The indices of the letters on the left of an equation; none of an expression."""
        for _, pattern in self.patterns:
            match = pattern.fullmatch(left)
            if match:
                return match["i"] or ""
        return ""


class _Reader:
    """Recursive descent: sums of products of powers of atoms."""

    def __init__(self, page: Page, text: str) -> None:
        self.page = page
        self.rest = text.strip()

    def take(self, *marks: str) -> str:
        for mark in marks:
            if self.rest.startswith(mark):
                self.rest = self.rest[len(mark) :]
                return mark
        return ""

    def expect(self, mark: str) -> None:
        assert self.take(mark), f"expected {mark!r} at {self.rest!r}"

    def match(self, pattern: str) -> re.Match[str] | None:
        found = re.match(pattern, self.rest)
        if found:
            self.rest = self.rest[found.end() :]
        return found

    def sum(self) -> Meaning:
        terms = [self.negated(self.term()) if self.take("−") else self.term()]
        while sign := self.take(" + ", " − "):
            terms.append(self.negated(self.term()) if sign == " − " else self.term())
        return lambda b: entrywise(lambda *x: sum(x[1:], x[0]), *(term(b) for term in terms)) if len(terms) > 1 else terms[0](b)

    @staticmethod
    def negated(term: Meaning) -> Meaning:
        return lambda b: entrywise(np.negative, term(b))

    def term(self) -> Meaning:
        result = self.power()
        while True:
            if self.take(" · "):
                result = self.joined(self.times, result, self.power())
            elif self.take(" ⊗ "):
                result = self.joined(multiplied_outer, result, self.power())
            elif self.take(" / "):
                result = self.joined(lambda x, y: entrywise(np.divide, x, y), result, self.power())
            elif re.match(r" (?![+−]|if |else |[<≤>≥=])", self.rest):
                self.take(" ")
                result = self.joined(multiplied, result, self.power())
            else:
                return result

    @staticmethod
    def times(a: Value, b: Value) -> Value:
        return entrywise(np.multiply, a, b)

    @staticmethod
    def joined(function: Callable[[Value, Value], Value], a: Meaning, b: Meaning) -> Meaning:
        return lambda binding: function(a(binding), b(binding))

    def power(self) -> Meaning:
        result = self.atom()
        while True:
            if self.take("ᵀ"):
                result = self.applied(Value.turned, result)
            elif digits := self.match(f"[{SUPERSCRIPTS}]+"):
                exponent = int("".join(str(SUPERSCRIPTS.index(c)) for c in digits[0]))
                result = self.applied(partial(entrywise, partial(raised, exponent)), result)
            elif self.take("^("):
                exponent_of = self.sum()
                self.expect(")")
                result = self.joined(lambda x, y: entrywise(np.power, x, y), result, exponent_of)
            else:
                return result

    @staticmethod
    def applied(function: Callable[[Value], Value], a: Meaning) -> Meaning:
        return lambda binding: function(a(binding))

    def atom(self) -> Meaning:
        if found := self.match(r"([ΣΠ])(?:_(?:\{([^}]*)\}|([A-Z][A-Z0-9]*|[a-z])))? "):
            return repeated(self.page, found[1], found[2] or found[3] or "", self.term())
        for function in self.page.functions:
            if self.take(f"{function}("):
                (argument,) = self.arguments()
                return partial(called, self.page.functions[function], argument)
        for name, pattern in self.page.patterns:
            if found := pattern.match(self.rest):
                self.rest = self.rest[found.end() :]
                return partial(self.page.value, name, found["i"] or "")
        if found := self.match(r"\d+(?:\.\d+)?(?:e-?\d+)?(?:/(\d+))?"):
            constant = number(float(found[0].partition("/")[0]) / float(found[1] or 1))
            return lambda b: constant
        if self.take("√("):
            inside = self.sum()
            self.expect(")")
            return self.applied(lambda x: entrywise(np.sqrt, x), inside)
        if self.take("‖"):
            inside = self.sum()
            self.expect("‖")
            over = found[1] if (found := self.match(r"_([A-Z][A-Z0-9]*)")) else ""
            return self.applied(lambda x: entrywise(np.sqrt, reduced(entrywise(np.square, x), over, np.sum)), inside)
        if self.take("|"):
            inside = self.sum()
            self.expect("|")
            return self.applied(lambda x: entrywise(np.abs, x), inside)
        if self.take("["):
            condition = self.condition()
            self.expect("]")
            return condition
        if self.take("("):
            inside = self.either()
            self.expect(")")
            return inside
        if found := self.match(r"(\w+′?)(?:_([A-Z][A-Z0-9]*))?\("):
            return self.function(found[1], found[2] or "")
        raise AssertionError(f"cannot read {self.rest!r}")

    def either(self) -> Meaning:
        """A sum, or one of two by a condition."""
        inside = self.sum()
        if not self.take(" if "):
            return inside
        condition = self.condition()
        self.expect(" else ")
        other = self.sum()
        return lambda b: entrywise(lambda c, x, y: np.where(c > 0, x, y), condition(b), inside(b), other(b))

    def arguments(self) -> list[Meaning]:
        found = [self.either()]
        while self.take(", "):
            found.append(self.sum())
        self.expect(")")
        return found

    def function(self, name: str, over: str) -> Meaning:
        if name.split("_")[-1].isupper():
            name, _, over = name.rpartition("_")
        arguments = self.arguments()
        if name in ("mean", "max", "softmax", "log_softmax") and len(arguments) == 1:
            (inside,) = arguments
            if name.endswith("softmax"):
                change = np.log if name.startswith("log") else np.positive
                return self.applied(lambda x: entrywise(change, softmax(x, over)), inside)
            return self.applied(lambda x: reduced(x, over, np.mean if name == "mean" else np.max), inside)
        known = {"max": np.maximum, "min": np.minimum} | ENTRYWISE
        assert name in known, f"unknown function {name}"
        return lambda b: entrywise(known[name], *(argument(b) for argument in arguments))

    def condition(self) -> Meaning:
        """1 where a comparison holds; single letters of tokens are their places."""
        if found := re.match(r"([a-z]) ([<≤>≥]) ([a-z])(?=\]| else)", self.rest):
            one, sign, two = found.groups()
            if one in self.page.sizes and two in self.page.sizes and one not in self.page.values:
                self.rest = self.rest[found.end() :]
                return lambda b: number(COMPARISONS[sign](b[one], b[two]))
        left = self.sum()
        found = self.match(r" ([<≤>≥]) ")
        assert found, f"expected a comparison at {self.rest!r}"
        sign, right = found[1], self.sum()
        return lambda b: entrywise(COMPARISONS[sign], left(b), right(b))


def repeated(page: Page, kind: str, over: str, inside: Meaning) -> Meaning:
    """A sum or a product over channels (all of them where nothing is said), or over tokens between bounds."""
    if not over or over[0].isupper():
        return lambda binding: reduced(inside(binding), over, np.sum)
    joined: Callable[..., Any] = np.add if kind == "Σ" else np.multiply
    start = number(0.0 if kind == "Σ" else 1.0)

    def total(binding: Binding) -> Value:
        result = start
        for each in range_of(page, over, binding):
            result = entrywise(joined, result, inside({**binding, **each}))
        return result

    return total


def range_of(page: Page, over: str, binding: Binding) -> list[dict[str, int]]:
    """The places of an index: "j", "j≤t", "j<l≤t", "l=j+1..t"."""
    if found := re.fullmatch(r"([a-z])=(\w)(\+1)?\.\.(\w)", over):
        index, low, plus, high = found.groups()
        ends = [int(each) if each.isdecimal() else binding[each] for each in (low, high)]
        return [{index: n} for n in range(ends[0] + bool(plus), ends[1] + 1)]
    parts = re.split("([<≤>≥])", over)
    index = parts[0] if len(parts) <= 3 else parts[2]
    places = [{index: n} for n in range(page.first, page.sizes[index] + page.first)]
    return [place for place in places if holds(parts, {**binding, **place})]


def holds(parts: Sequence[str], named: Binding) -> bool:
    """Returns true where "j", "<", "l", "≤", "t" are in order."""
    return all(COMPARISONS[sign](named[a], named[b]) for a, sign, b in zip(parts[::2], parts[1::2], parts[2::2], strict=False))


def multiplied_outer(a: Value, b: Value) -> Value:
    """The outer product of a column and a row."""
    assert a.axes[1] is None
    assert b.axes[0] is None
    return Value(a.array * b.array, (a.axes[0], b.axes[1]))
