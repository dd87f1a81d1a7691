"""Products under decays per channel as nodes of their own, which have tiles of two axes alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sympy as sp

from miras_compiler.ir.build import decayed, entrywise, placeholder, times
from miras_compiler.ir.nodes import FACTORS, Axes, Cumulate, Decayed, Map, Mask, Node, Program, Reduce
from miras_compiler.ir.traverse import rewrite


class Decay(NamedTuple):
    """D[row, column, channel] = exp(Σ_{column<l≤row} logs[l, channel]), 0 where row − column < low; see Decayed."""

    logs: Node
    row: str
    column: str
    low: int
    exclusive: bool


def contract_decays(program: Program) -> Program:
    """The program with a Decayed for every sum over tokens, or channels, of a product that one decay per channel is a factor of.

    Reverse mode of such a node is made of such nodes again, so the pass comes before it.
    """

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        same = type(node)(node.axes, args, node.fields)
        if isinstance(same, Reduce) and same.kind == "sum" and (found := _contracted(same)) is not None:
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
    if not isinstance(inside, Map):
        return None
    args = {placeholder(i): arg for i, arg in enumerate(inside.args)}
    decays = {x: found for x, arg in args.items() if (found := decay_of(arg)) is not None}
    if len(decays) != 1:
        return None
    ((x, decay),) = decays.items()
    channel = decay.logs.axes[1]
    part = {decay.row: "columns", decay.column: "rows", channel: "scores"}.get(node.axis, "")
    sides: dict[str, Axes] = {"scores": (decay.row, decay.column), "rows": (decay.row, channel), "columns": (decay.column, channel)}
    factors: dict[str, list[sp.Expr]] = {side: [] for side in sides}
    for factor in sp.Mul.make_args(inside.expr):
        if factor == x:
            continue
        if not factor.free_symbols <= args.keys():
            return None
        axes = {axis for symbol in factor.free_symbols for axis in args[symbol].axes}
        fitting = [side for side, over in sides.items() if axes <= set(over)]
        if not fitting or x in factor.free_symbols:
            return None
        factors[part if part in fitting else fitting[0]].append(factor)
    bound = {f"x{i}": arg for i, arg in enumerate(inside.args)}
    tiles: dict[str, Node] = {side: entrywise(sp.Mul(*each), bound, sides[side]) for side, each in factors.items()}
    product = decayed(part, {**tiles, "logs": decay.logs}, decay.low, exclusive=decay.exclusive)
    return times(tiles[part], product) if factors[part] else product


def derivatives_together(nodes: Collection[Node]) -> dict[Node, dict[str, Decayed]]:
    """By node, the derivatives of the same product under decays that one computation gives, by their parts; always the one by the logs.

    That by the scores stays apart where the scores' own cotangent is made of it.
    """
    found = [node for node in nodes if isinstance(node, Decayed)]
    together: dict[Node, dict[str, Decayed]] = {}
    for whole in (node for node in found if node.part == "logs"):
        same = [node for node in found if node.factors.items() <= whole.factors.items() and node.fields[1:] == whole.fields[1:]]
        group = {node.part: node for part in FACTORS[1:] for node in same if node.part == part}
        together |= dict.fromkeys(group.values(), group)
    return together
