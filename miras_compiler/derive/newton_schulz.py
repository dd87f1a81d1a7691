"""Newton–Schulz steps on tiles: towards the nearest matrix with orthonormal rows."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from miras_compiler.expressions.symbols import letter, power0
from miras_compiler.ir.build import entrywise, rename, total
from miras_compiler.ir.nodes import Node

FLOOR = sp.Rational(1, 10**7)
HALF = sp.Rational(1, 2)


def newton_schulz(x: Node, rows: str, columns: str, triples: Sequence[tuple[str, str, str]]) -> Node:
    """X/(‖X‖_F + 1e-7), then X ← a X + (b P + c P²) X with P = X Xᵀ once per triple (a, b, c), over the axes `rows` and `columns`.

    P runs over `rows`, the shorter axis: (b P + c P²) X is the same polynomial of X as with P = Xᵀ X on the other side.
    """
    square = total(total(entrywise(letter("x") ** 2, {"x": x}), columns), rows)
    x = entrywise(letter("x") / (power0(letter("s"), HALF) + FLOOR), {"x": x, "s": square}, x.axes)
    for triple in triples:
        a, b, c = map(sp.Rational, triple)
        other = rename(x, rows, "p")
        gram = _product(other, x, columns)  # P [p, rows]
        squared = _product(rename(gram, rows, "p2"), rename(gram, "p", "p2"), "p2")
        polynomial = entrywise(b * letter("x") + c * letter("y"), {"x": gram, "y": squared})
        turned = rename(_product(polynomial, x, rows), "p", rows)
        x = entrywise(a * letter("x") + letter("y"), {"x": x, "y": turned}, x.axes)
    return x


def _product(a: Node, b: Node, shared: str) -> Node:
    """Sum over one axis of an entrywise product; a token axis that both have stays."""
    return total(entrywise(letter("a") * letter("b"), {"a": a, "b": b}), shared)
