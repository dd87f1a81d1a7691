"""A memory's prediction as tiles: u = M(W; φ(x)), for one row or for many, with any meaning of "times a weight matrix"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from miras_compiler.derive.parts import Entrywise, MemoryMap, Weight
from miras_compiler.derive.rule import Rule
from miras_compiler.expressions.symbols import letter, rsqrt
from miras_compiler.ir.build import contract, entrywise, input_tile, length, rename, total
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Label

EPSILON = sp.Rational(1, 10**6)  # of LayerNorm and RMSNorm
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
ORIGIN = "memory"


@dataclass(frozen=True)
class Prediction:
    """`left[w]` are the rows that multiply the weight w, `products[w]` their products; `labels` name the values of the paper."""

    u: Node
    left: Mapping[str, Node]
    products: Mapping[str, Node]
    labels: Mapping[Node, Label]


def subscripted(name: str) -> str:
    """ "z1" as "z₁"."""
    return name.translate(SUBSCRIPTS)


def build_features(rule: Rule, x: Node) -> Node:
    """φ of key or query rows; a leaf of its own where φ is applied before."""
    phi = rule.features.expression
    if phi is None:
        assert isinstance(x, Leaf)
        return input_tile(f"{x.name}_features", (*x.axes[:-1], "k"))  # of keys, queries, or the rows of a window
    return lower_expression(phi, {"x": x}, ("k",), x.axes)


def build_prediction(rule: Rule, features: Node, x: Node, times: Callable[[Weight, Node], Node], prefix: str, section: str) -> Prediction:
    """M(W; φ(x)) for rows `x` with `features` φ(x); `times` multiplies rows by a weight. Labels are `prefix` + the paper's letter.

    The values at a query are marked [q]: the page has those at the key beside them.
    """
    values: dict[str, Node] = {"x": features}
    left: dict[str, Node] = {}
    products: dict[str, Node] = {}
    labels: dict[Node, Label] = {}

    def name(node: Node, key: str, letters: str) -> None:
        labels.setdefault(node, Label(prefix + key, f"{letters}[q]" if section == "read" else letters, section, ORIGIN))

    weights = {weight.name: weight for weight in rule.weights}
    for step in rule.memory.steps:
        if isinstance(step, Entrywise):
            values[step.out] = entrywise(step.expr, values)
        else:
            weight = weights[step.weight]
            left[weight.name] = values[step.left] if weight.columns else rename(values[step.left], "k", "v")
            values[step.out] = products[weight.name] = times(weight, left[weight.name])
        name(values[step.out], step.out, subscripted(step.out))
    u = values["f"]
    if rule.memory.norm != "none":
        u = _normalized(rule.memory, u, name, labels)
    if rule.memory.residual:
        u = entrywise(letter("x") + letter("f"), {"x": rename(x, "k", "v"), "f": u})
    labels[u] = Label(prefix + ("y" if section == "read" else "u"), "y" if section == "read" else "u", section, ORIGIN)
    return Prediction(u, left, products, labels)


def _normalized(memory: MemoryMap, f: Node, name: Callable[[Node, str, str], None], labels: dict[Node, Label]) -> Node:
    """LayerNorm or RMSNorm over the value axis, with scale and shift per head."""
    centred = f
    if memory.norm == "layer":
        mean = entrywise(letter("s") / length("v"), {"s": total(f, "v")})
        name(mean, "mean", "f̄")
        centred = entrywise(letter("f") - letter("m"), {"f": f, "m": mean})
        name(centred, "centred", "f̃")
    square = total(entrywise(letter("x") ** 2, {"x": centred}), "v")
    scale = entrywise(rsqrt(letter("s") / length("v") + EPSILON), {"s": square})
    name(scale, "rstd", "ρ")
    normal = entrywise(letter("x") * letter("r"), {"x": centred, "r": scale})
    name(normal, "normal", "f̂")
    parameters: dict[str, Node] = {}
    for letters, key in (("w", "ln_weight"), ("b", "ln_bias")):
        parameters[letters] = input_tile(key, ("v",))
        labels[parameters[letters]] = Label(key, key, "input", "input")
    return entrywise(letter("x") * letter("w") + letter("b"), {"x": normal, **parameters})


def plain_product(weights: Mapping[str, Node]) -> Callable[[Weight, Node], Node]:
    """x W for weights that are tiles."""

    def times(weight: Weight, rows: Node) -> Node:
        tile = weights[weight.name]
        return contract(rows, tile) if weight.columns else entrywise(letter("x") * letter("w"), {"x": rows, "w": tile})

    return times
