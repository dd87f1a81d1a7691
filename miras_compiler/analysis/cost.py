"""What a token costs, per head: operations and bytes counted on the tile program, and the roofline time on a named GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import sympy as sp

from miras_compiler.derive.leaves import window_of
from miras_compiler.elements.feature_map import PolynomialMap
from miras_compiler.gpus import GPU, H100
from miras_compiler.ir.nodes import Contract, ForwardSubstitute, Input, Map, Node, Program, Reduce, State, TriangularSolve
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.spec import Spec

TOKEN_BYTES = 2  # q, k, v, o in bfloat16
STATE_BYTES = 4  # states and gates in float32


class CostLine(NamedTuple):
    what: str
    value: float
    unit: str


def estimate_cost(spec: Spec, program: Program, adjoint: Program, gpu: GPU = H100) -> tuple[CostLine, ...]:
    """Costs per token and head, from the program of a tile of `chunk.size` tokens (of one token where it has no token axis)."""
    tokens = spec.chunk.size if any("c" in leaf.axes for leaf in leaves_of(program)) else 1
    lengths = axis_lengths(spec, tokens) | window_lengths(spec, program, tokens)
    products, others = _operations(program, lengths)
    products_back, others_back = _operations(adjoint, lengths)
    state = sum(
        STATE_BYTES * _size(leaf, lengths) for leaf in leaves_of(program) if isinstance(leaf, State) and leaf.name in program.outputs
    )
    moved = (_token_bytes(program, lengths) + 2 * state) / tokens
    floor = max(products / gpu.products, others / gpu.others, moved * tokens / gpu.bytes) / tokens
    return (
        CostLine("matrix products, forward", round(products / tokens), "FLOP / token / head"),
        CostLine("everything else, forward", round(others / tokens), "FLOP / token / head"),
        CostLine("matrix products, forward and backward", round(products_back / tokens), "FLOP / token / head"),
        CostLine("everything else, forward and backward", round(others_back / tokens), "FLOP / token / head"),
        CostLine("state", state, "bytes / head"),
        CostLine("tokens, and the state once per tile, moved", round(moved), "bytes / token / head"),
        CostLine("saved for backward, one state per tile", round(state / tokens), "bytes / token / head"),
        CostLine(f"roofline of the forward pass, {gpu.name}", float(f"{1e12 * floor:.3g}"), "ps / token / head"),
    )


def axis_lengths(spec: Spec, tokens: int) -> dict[str, int]:
    """The length of every axis at the spec's own dimensions."""
    hidden = {f"n{i}": spec.hidden_dim for i in range(1, 17)}
    shorter = min(spec.key_dim, spec.value_dim)
    by_token = dict.fromkeys("cij", tokens)
    keys = spec.feature_map.width(spec.key_dim) if isinstance(spec.feature_map, PolynomialMap) else spec.key_dim
    return {**by_token, "p": shorter, "p2": shorter, "k": keys, "v": spec.value_dim, "n": spec.hidden_dim, **hidden}


def window_lengths(spec: Spec, program: Program, tokens: int) -> dict[str, int]:
    """The rows of the windows of a tile: tokens that share them, or for every token its own."""
    window = window_of(spec)
    rows = tokens * window if any(leaf.name == "owner" for leaf in leaves_of(program)) else tokens + window - 1
    return {"r": rows, "s": rows}


def _size(node: Node, lengths: Mapping[str, int]) -> int:
    return math.prod(lengths[axis] for axis in node.axes)


def _operations(program: Program, lengths: Mapping[str, int]) -> tuple[int, int]:
    """Floating-point operations of contractions and solves, and of everything else."""
    products = others = 0
    for node in nodes_of(program):
        match node:
            case Contract():
                products += 2 * _size(node, lengths) * math.prod(lengths[axis] for axis in node.over)
            case TriangularSolve(args=(lower, *_)) | ForwardSubstitute(args=(lower, *_)):
                products += _size(node, lengths) * lengths[lower.axes[0]]
            case Map():
                others += int(sp.count_ops(node.expr)) * _size(node, lengths)
            case Reduce(args=(inside,)):
                others += _size(inside, lengths)
    return products, others


def _token_bytes(program: Program, lengths: Mapping[str, int]) -> int:
    """Inputs and outputs of a tile but for the state."""
    total = 0
    for leaf in leaves_of(program):
        if isinstance(leaf, Input):
            total += _size(leaf, lengths) * (TOKEN_BYTES if leaf.name in ("q", "k", "v") else STATE_BYTES)
    return total + TOKEN_BYTES * _size(program.outputs["o"], lengths)
