"""Products under decays per channel as nodes of their own, which have tiles of two axes alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import sympy as sp

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import contract, entrywise, input_tile, placeholder, times
from miras_compiler.ir.nodes import (
    FACTORS,
    TOKEN_AXES,
    Axes,
    Cumulate,
    Decayed,
    ForwardSubstitute,
    Map,
    Mask,
    Node,
    Reduce,
    TriangularSolve,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.rows import decayed, forward_substitute, strict
from miras_compiler.ir.traverse import rewrite, topological


class Decay(NamedTuple):
    """D[row, column, channel] = exp(Σ_{column<l≤row} logs[l, channel]), 0 where row − column < low; see Decayed."""

    logs: Node
    row: str
    column: str
    low: int
    exclusive: bool


def contract_decays(program: Program) -> Program:
    """The program with a Decayed for every sum over tokens, or channels, of a product that one decay per channel is a factor of.

    A triangle per channel that couples rows becomes the factors of its entries, by which rows follow one another. Reverse mode of such
    nodes is made of such nodes again, so the pass comes before it.
    """

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        same = type(node)(node.axes, args, node.fields)
        if isinstance(same, Reduce) and same.kind == "sum" and (found := _contracted(same)) is not None:
            return found
        if isinstance(same, ForwardSubstitute | TriangularSolve) and (found := _substituted(same)) is not None:
            return found
        return same

    return rewrite(program, rule)


def decay_of(node: Node) -> Decay | None:
    """The decay of every channel between two tokens that a tile is; None for any other tile."""
    if not isinstance(node, Mask) or len(node.axes) != 3:
        return None
    (decay,) = node.args
    if not isinstance(decay, Map) or decay.expr != sp.exp(placeholder(0)):
        return None
    (sums,) = decay.args
    if not isinstance(sums, Cumulate) or sums.reverse or sums.axis != node.row:
        return None
    (masked,) = sums.args
    if not isinstance(masked, Mask) or (masked.row, masked.column, masked.low) != (node.row, node.column, 1):
        return None
    (spread,) = masked.args
    if not isinstance(spread, Map) or spread.expr != placeholder(0) or len(spread.args[0].axes) != 2 or spread.args[0].axes[0] != node.row:
        return None
    return Decay(spread.args[0], node.row, node.column, node.low, sums.exclusive)


def _contracted(node: Reduce) -> Node | None:
    """The sum as a Decayed, times the factors that do not take part in it; None where it is no such sum."""
    (inside,) = node.args
    if len(inside.axes) != 3:
        return None
    row, column, channel = inside.axes
    part = {row: "columns", column: "rows", channel: "scores"}[node.axis]
    split = _split(inside, part)
    if split is None:
        return None
    products = {side: _product(tiles, split.sides[side]) for side, tiles in split.factors.items()}
    if split.decay is not None:
        whole = decayed(part, {**products, "logs": split.decay.logs}, split.decay.low, exclusive=split.decay.exclusive)
    elif {row, column} <= TOKEN_AXES and channel not in TOKEN_AXES:
        a, b = (products[side] for side in split.sides if side != part)
        whole = contract(a, b)
    else:
        return None
    return times(products[part], whole) if split.factors[part] else whole


class Split(NamedTuple):
    """The factors of a tile [row, column, channel]: by the side that has their axes, and a decay, where one is among them."""

    sides: dict[str, Axes]
    factors: dict[str, list[Node]]
    decay: Decay | None


def _split(tile: Node, part: str = "") -> Split | None:
    """The factors of a product over three axes, rather on the side `part`; None where one has all three and is no decay."""
    row, column, channel = tile.axes
    sides: dict[str, Axes] = {"scores": (row, column), "rows": (row, channel), "columns": (column, channel)}
    factors: dict[str, list[Node]] = {side: [] for side in sides}
    decays: list[Decay] = []
    for each in _factors(tile):
        fitting = [side for side, over in sides.items() if set(each.axes) <= set(over)]
        if fitting:
            factors[part if part in fitting else fitting[0]].append(each)
        elif (decay := decay_of(each)) is not None:
            decays.append(decay)
        else:
            return None
    return Split(sides, factors, decays[0] if decays else None) if len(decays) < 2 else None


def _substituted(node: ForwardSubstitute | TriangularSolve) -> Node | None:
    """Rows coupled by a triangle per channel, by the factors of its entries; None where it has other factors, or there is one triangle."""
    lower, right, *rows = node.args
    if len(lower.axes) != 3 or (split := _split(lower)) is None or right.axes[0] != lower.axes[0]:
        return None
    if split.decay is not None and split.decay.low != 1:
        return None
    factors = {side: _product(tiles, split.sides[side]) for side, tiles in split.factors.items() if tiles or side == "scores"}
    scores = factors.pop("scores")
    if isinstance(scores, Map) and (not scores.args or scores.expr == placeholder(0)):
        scores = strict(scores)  # a tile of its own, which memory can hold
    factors |= {"logs": split.decay.logs} if split.decay is not None else {}
    if isinstance(node, ForwardSubstitute):
        phi, bound, together = node.phi, dict(zip(node.names, rows, strict=True)), node.together
    else:
        z = input_tile("z", ("v",))
        phi, bound, together = Program("row_of_solution", {"phi": z}), {}, 1
    exclusive = split.decay is not None and split.decay.exclusive
    return forward_substitute(scores, right, phi, bound | factors, together=together, exclusive=exclusive)


def _factors(node: Node) -> list[Node]:
    """The tiles whose product a tile is; those of three axes are spelled out, without the masks that a decay between tokens has, too."""
    if not isinstance(node, Map):
        return [node]
    bound = {f"x{i}": arg for i, arg in enumerate(node.args)}
    found: list[Node] = []
    for factor in sp.Mul.make_args(node.expr):
        tile = entrywise(factor, bound)
        found += _factors(tile) if isinstance(tile, Map) and tile.expr.is_Mul else [tile]
    low = min((decay.low for tile in found if (decay := decay_of(tile)) is not None), default=-1)
    masked = [tile for tile in found if isinstance(tile, Mask) and decay_of(tile) is None and tile.low <= low and len(tile.axes) == 3]
    return [each for tile in found for each in (_factors(tile.args[0]) if tile in masked else [tile])]


def _product(tiles: Sequence[Node], axes: Axes) -> Node:
    """The product of tiles over the axes; 1 for none."""
    names = {f"t{index}": tile for index, tile in enumerate(tiles)}
    return entrywise(sp.Mul(*map(letter, names)), names, axes)


def derivatives_together(nodes: Collection[Node]) -> dict[Node, dict[str, Decayed]]:
    """By node, the derivatives of one product under decays by rows, columns and logs, which one computation gives; always that by logs.

    A derivative that a factor is computed from stands alone, as the value of a forward pass may.
    """
    found = [node for node in nodes if isinstance(node, Decayed)]
    together: dict[Node, dict[str, Decayed]] = {}
    for whole in (node for node in found if node.part == "logs"):
        earlier = set(topological(whole.args))
        alike = [node for node in found if node.factors.items() <= whole.factors.items() and node.fields[1:] == whole.fields[1:]]
        same = [node for node in alike if node not in earlier]
        group = {node.part: node for part in FACTORS[1:] for node in same if node.part == part}
        together |= dict.fromkeys(group.values(), group)
    return together
