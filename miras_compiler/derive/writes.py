"""From ∂ℓ/∂u to the write: an outer product of a left and a right row per weight, or a sum of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from miras_compiler.derive.parts import Weight
from miras_compiler.derive.prediction import Prediction
from miras_compiler.derive.rule import Rule
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import add, contract, entrywise, total
from miras_compiler.ir.differentiate import cotangents
from miras_compiler.ir.nodes import Node

Name = Callable[[Node, str, str], Node]


class Write(NamedTuple):
    """g = leftᵀ ⊗ right, part of the surprise of one weight."""

    left: Node
    right: Node


Writes = Mapping[str, Sequence[Write]]


def pulled_back(at_key: Prediction, du: Node) -> dict[str, Node]:
    """∂ℓ/∂u pulled back to the product of every weight, by reverse mode."""
    gradients = cotangents({at_key.u: du}, list(at_key.products.values()))
    return {name: gradients[product] for name, product in at_key.products.items()}


def plain_writes(at_key: Prediction, pulled: Mapping[str, Node], gain: Node | None) -> dict[str, list[Write]]:
    """The surprise of every weight; a preconditioner's `gain` scales the key that is written."""
    left = {name: entrywise(letter("g") * letter("x"), {"g": gain, "x": rows}) if gain else rows for name, rows in at_key.left.items()}
    return {name: [Write(left[name], d)] for name, d in pulled.items()}


def erasing_writes(rule: Rule, u: Node, v: Node, write_key: Node, erase_write_key: Node) -> dict[str, list[Write]]:
    """Three keys: s bᵀ ⊗ κ W − s kᵀ ⊗ v, with u = κ W."""
    s = rule.surprise.scale
    assert s is not None
    (name,) = (weight.name for weight in rule.weights)
    erased = entrywise(s * letter("u"), {"u": u})
    written = entrywise(-s * letter("v"), {"v": v})
    return {name: [Write(erase_write_key, erased), Write(write_key, written)]}


def surprise_tile(weight: Weight, writes: Sequence[Write]) -> Node:
    """g itself, over the axes of the weight; rows of a window are summed."""
    return add(*(_outer(weight, write) for write in writes))


def _outer(weight: Weight, write: Write) -> Node:
    if "j" not in write.left.axes:
        return entrywise(letter("h") * letter("d"), {"h": write.left, "d": write.right}, weight.axes)
    if weight.columns:
        return contract(write.left, write.right)
    return total(entrywise(letter("h") * letter("d"), {"h": write.left, "d": write.right}), "j")


def squared_size(weight: Weight, writes: Sequence[Write]) -> Node:
    """‖g‖²; of a single outer product from its two rows."""
    if len(writes) == 1 and weight.columns and "j" not in writes[0].left.axes:
        (write,) = writes
        return entrywise(letter("a") * letter("b"), {"a": squares(write.left), "b": squares(write.right)})
    return squares(surprise_tile(weight, writes))


def squares(node: Node) -> Node:
    """‖·‖² over all axes."""
    result = entrywise(letter("x") ** 2, {"x": node})
    for axis in node.axes:
        result = total(result, axis)
    return result
