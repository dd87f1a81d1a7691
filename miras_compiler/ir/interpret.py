"""Run a program in numpy float64, one head of one sequence: the meaning of the IR, against which printers are tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from miras_compiler.errors import InternalError
from miras_compiler.ir.build import ZETA, input_tile, length, ordered, placeholder
from miras_compiler.ir.expression_value import evaluate_expression
from miras_compiler.ir.nodes import (
    Contract,
    Cumulate,
    Decayed,
    ForwardSubstitute,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    Root,
    Start,
    TriangularSolve,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.rows import triangular_solve
from miras_compiler.ir.traverse import nodes_of

Array = NDArray[np.float64]


def interpret(program: Program, values: Mapping[str, Any], known: Mapping[str, int] | None = None) -> dict[str, Array]:
    """The outputs by name. `values` gives every leaf by name, as an array over the axes of the leaf, in their order.

    `known` are lengths of axes that no leaf may have.
    """
    lengths: dict[str, int] = dict(known or {})
    tiles: dict[Node, Array] = {}
    nodes = nodes_of(program)
    for node in nodes:
        if isinstance(node, Leaf):
            tiles[node] = np.asarray(values[node.name], dtype=np.float64)
            lengths.update(zip(node.axes, tiles[node].shape, strict=True))
    for node in nodes:
        if isinstance(node, Rename) and node.old in lengths:
            lengths.setdefault(node.new, lengths[node.old])
    for token_axis, like in (("c", ""), ("i", "c"), ("j", "c"), ("r", "s")):
        lengths.setdefault(token_axis, lengths.get(like, 1))
    for node in nodes:
        if node not in tiles:
            tiles[node] = _evaluate(node, [tiles[a] for a in node.args], lengths)
    return {name: tiles[node] for name, node in program.outputs.items()}


def _evaluate(node: Node, args: list[Array], lengths: Mapping[str, int]) -> Array:
    if isinstance(node, Map):
        lengths = {
            **lengths,
            **{a: n for arg, tile in zip(node.args, args, strict=True) for a, n in zip(arg.axes, tile.shape, strict=True)},
        }
        bound: dict[sp.Symbol, Any] = {length(a): float(n) for a, n in lengths.items()}
        for index, (arg, tile) in enumerate(zip(node.args, args, strict=True)):
            bound[placeholder(index)] = _aligned(tile, arg.axes, node.axes)
        own = {axis: n for arg, tile in zip(node.args, args, strict=True) for axis, n in zip(arg.axes, tile.shape, strict=True)}
        shape = tuple(own.get(a, lengths[a]) for a in node.axes)
        with np.errstate(all="ignore"):
            return np.array(np.broadcast_to(evaluate_expression(node.expr, bound), shape))
    if isinstance(node, Contract):
        a, b = node.args
        shared = node.over
        return np.asarray(np.tensordot(args[0], args[1], axes=([a.axes.index(s) for s in shared], [b.axes.index(s) for s in shared])))
    if isinstance(node, Rename | Start):
        return args[0]
    if isinstance(node, Reduce):
        position = node.args[0].axes.index(node.axis)
        return np.asarray(args[0].sum(position) if node.kind == "sum" else args[0].max(position))
    if isinstance(node, Cumulate):
        return _cumulate(args[0], node.axes.index(node.axis), node.reverse, node.exclusive)
    if isinstance(node, Mask):
        tokens = np.indices(args[0].shape)
        distance = tokens[node.axes.index(node.row)] - tokens[node.axes.index(node.column)]
        return np.where(distance >= node.low, args[0], 0.0)
    if isinstance(node, ForwardSubstitute):
        return _substitute(node, args, lengths)
    if isinstance(node, Root):
        return _root(node, args)
    if isinstance(node, Decayed):
        return _decayed(node, dict(zip(node.factors, args, strict=True)))
    if isinstance(node, TriangularSolve) and node.batch:
        systems = [
            _evaluate(
                triangular_solve(*(input_tile(name, axes) for name, axes in _without_batch(node))),
                [args[0][:, :, i], args[1][:, i]],
                lengths,
            )
            for i in range(args[0].shape[2])
        ]
        return np.stack(systems, -1)
    if isinstance(node, TriangularSolve):
        lower, right = node.args
        system = np.eye(args[0].shape[0]) + np.tril(args[0], -1)
        axis = right.axes.index(lower.axes[1] if node.transposed else lower.axes[0])
        moved: Array = np.moveaxis(args[1], axis, 0)
        solved = np.linalg.solve(system.T if node.transposed else system, moved.reshape(len(system), -1))
        return np.asarray(np.moveaxis(solved.reshape(moved.shape), 0, axis), dtype=np.float64)
    raise InternalError(f"no meaning for {node!r}")


def _without_batch(node: TriangularSolve) -> list[tuple[str, tuple[str, ...]]]:
    """One system of several: its triangle and right side."""
    return [(name, tuple(a for a in arg.axes if a not in node.batch)) for name, arg in zip(("lower", "right"), node.args, strict=True)]


def _substitute(node: ForwardSubstitute, args: list[Array], lengths: Mapping[str, int]) -> Array:
    lower, right, *rows = args
    lower = _by_channel(node, lower, dict(zip(node.names, rows, strict=True))) if node.factors else lower
    lower = lower.swapaxes(0, 1) if node.transposed else lower
    axis = node.args[0].axes[1 if node.transposed else 0]
    result = np.zeros_like(right)
    count = len(right)
    for t in reversed(range(count)) if node.transposed else range(count):
        bound = zip(node.names, rows, node.args[2:], strict=True)
        values = {name: tile[t] if axis in arg.axes else tile for name, tile, arg in bound if name not in node.factors}
        values["z"] = right[t] - ((lower[t] * result).sum(0) if lower.ndim > 2 else lower[t] @ result)
        (result[t],) = interpret(node.phi, values, lengths).values()
    return result


def _by_channel(node: ForwardSubstitute, scores: Array, factors: Mapping[str, Array]) -> Array:
    """[row, column, channel]: the weights of rows that are written out by their factors."""
    weights: Array = np.tril(scores, -1)[:, :, None]
    for name, place in (("rows", 1), ("columns", 0)):
        weights = weights * np.expand_dims(factors[name], place) if name in factors else weights
    return weights * _decays(factors["logs"], 1, node.exclusive)[0] if "logs" in factors else weights


def _decays(logs: Array, low: int, exclusive: bool) -> tuple[Array, Array]:
    """[row, column, channel]: the decay between two tokens; and [row, column, token]: 1 at those between."""
    count = len(logs)
    row, column, token = np.ogrid[:count, :count, :count]
    between = ((column < token) & (token < row + (not exclusive))).astype(np.float64)
    return np.exp(between @ logs) * (np.arange(count)[:, None] - np.arange(count) >= low)[:, :, None], between


def _decayed(node: Decayed, factors: Mapping[str, Array]) -> Array:
    decay, between = _decays(factors["logs"], node.low, node.exclusive)
    letters = {"scores": "rc", "rows": "rk", "columns": "ck"}
    used = [name for name in letters if name in factors]
    terms = ",".join(letters[name] for name in used)
    tiles = [factors[name] for name in used]
    if node.part == "logs":
        return np.asarray(np.einsum(f"{terms},rck,rcl->lk", *tiles, decay, between))
    return np.asarray(np.einsum(f"{terms},rck->{letters[node.part]}", *tiles, decay))


def _root(node: Root, args: list[Array]) -> Array:
    over = ordered((*node.axes, *node.over))
    bound = {placeholder(i): _aligned(tile, arg.axes, over) for i, (tile, arg) in enumerate(zip(args, node.args, strict=True))}
    dims = tuple(over.index(axis) for axis in node.over)
    shape = np.broadcast_shapes(*(tile.shape for tile in bound.values()))
    low = np.full(tuple(1 if i in dims else n for i, n in enumerate(shape)), -40.0)
    high = -low
    with np.errstate(all="ignore"):
        for _ in range(80):
            middle = (low + high) / 2
            value = evaluate_expression(node.expr, {**bound, ZETA: np.sinh(middle)}).sum(dims, keepdims=True)
            below = value < float(node.total)
            low, high = np.where(below, low, middle), np.where(below, middle, high)
    return np.asarray(np.sinh((low + high) / 2).squeeze(dims), dtype=np.float64)


def _aligned(tile: Array, axes: tuple[str, ...], target: tuple[str, ...]) -> Array:
    """The tile with its axes in the order of `target` and length-1 axes where it has none."""
    present = [a for a in target if a in axes]
    tile = np.transpose(tile, [axes.index(a) for a in present])
    return tile.reshape(tuple(tile.shape[present.index(a)] if a in present else 1 for a in target))


def _cumulate(x: Array, axis: int, reverse: bool, exclusive: bool) -> Array:
    x = np.flip(x, axis) if reverse else x
    if exclusive:
        x = np.delete(np.insert(x, 0, 0.0, axis), -1, axis)
    x = np.cumsum(x, axis)
    return np.flip(x, axis) if reverse else x
