"""Degree by abstract interpretation: is a tile constant, affine or nonlinear in each of some sources, taken together?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

import sympy as sp

from miras_compiler.ir.build import derivative, placeholder
from miras_compiler.ir.nodes import Contract, ForwardSubstitute, Map, Node, Reduce, Root, TriangularSolve

Degree = Literal["none", "affine", "nonlinear"]
RANK: tuple[Degree, ...] = ("none", "affine", "nonlinear")


def degrees(node: Node, stops: Mapping[Node, bool]) -> dict[Node, Degree]:
    """The degree of `node` in every tile of `stops` that it reads on the way down; True marks those that vary with the state.

    A product of two tiles that both vary is nonlinear in either; a factor that does not vary leaves the degree as it is; a value that does
    not vary has the degree "none".
    """
    memo: dict[Node, dict[Node, Degree]] = {}

    def visit(tile: Node, is_root: bool = False) -> dict[Node, Degree]:
        if tile in stops and not is_root:
            return {tile: "affine" if stops[tile] else "none"}
        if tile not in memo:
            memo[tile] = _combine(tile, [visit(arg) for arg in tile.args])
        return memo[tile]

    return visit(node, is_root=True)


def _combine(tile: Node, args: list[dict[Node, Degree]]) -> dict[Node, Degree]:
    found: dict[Node, Degree] = {}
    for degree_of in args:
        for source, degree in degree_of.items():
            found[source] = max(found.get(source, "none"), degree, key=RANK.index)
    varying = [any(degree != "none" for degree in degree_of.values()) for degree_of in args]
    for index in _nonlinear_arguments(tile, varying):
        found |= {source: "nonlinear" for source, degree in args[index].items() if degree != "none"}
    return found


def _nonlinear_arguments(tile: Node, varying: list[bool]) -> Iterable[int]:
    """The varying arguments in which the tile is not affine, all varying arguments taken together."""
    indices = [index for index, varies in enumerate(varying) if varies]
    if isinstance(tile, Map):
        return {i for i in indices for j in indices if _curvature(tile.expr, i, j) != 0}
    if isinstance(tile, Contract | TriangularSolve):
        return indices if len(indices) > 1 or (isinstance(tile, TriangularSolve) and 0 in indices) else ()
    if isinstance(tile, ForwardSubstitute | Root) or (isinstance(tile, Reduce) and tile.kind == "max"):
        return indices
    return ()


@lru_cache(maxsize=4096)
def _curvature(expr: sp.Expr, i: int, j: int) -> sp.Expr:
    """0 where the expression is affine; a function that has derivative 0 only almost everywhere (a sign, a step) is no constant."""
    jumps = any(placeholder(i) in f.free_symbols for f in expr.atoms(sp.Function))
    return sp.Integer(1) if i == j and jumps else derivative(derivative(expr, i), j)
