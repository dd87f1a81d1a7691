"""Cost of a token, per head: operations and bytes counted on the tile program of the PyTorch form, and roofline times on named GPUs."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import sympy as sp

from miras_compiler.analysis.parallel_form import Kind
from miras_compiler.analysis.tile import default_tile, has_own_rows
from miras_compiler.derive.rule import Rule
from miras_compiler.gpus import GPU, H100, H200
from miras_compiler.ir.build import placeholder
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.nodes import MASKS, Contract, ForwardSubstitute, Input, Map, Node, Reduce, Rename, State, TriangularSolve
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import dependents, leaves_of, nodes_of, use_counts
from miras_compiler.passes import run_passes

TOKEN_BYTES = 2  # q, k, v, o in bfloat16
STATE_BYTES = 4  # states and gates in float32
INTEGER_BYTES = 8


class CostLine(NamedTuple):
    what: str
    value: float
    unit: str


class AxisWidths(Protocol):
    """K, the width of φ(k), V, and N, which is 0 where a memory has no hidden width."""

    @property
    def key_dim(self) -> int: ...
    @property
    def feature_dim(self) -> int: ...
    @property
    def value_dim(self) -> int: ...
    @property
    def hidden_dim(self) -> int: ...


@dataclass(frozen=True)
class Operations:
    """Floating-point operations: of matrix products, of triangular solves, and of everything else."""

    products: float = 0
    solves: float = 0
    others: float = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(self.products + other.products, self.solves + other.solves, self.others + other.others)

    def __mul__(self, factor: float) -> Operations:
        return Operations(self.products * factor, self.solves * factor, self.others * factor)


def estimate_cost(
    rule: Rule, kind: Kind, program: Program, adjoint: Program, chunk_end: Program | None = None, gpus: tuple[GPU, ...] = (H100, H200)
) -> tuple[CostLine, ...]:
    """Costs per token and head.

    Operations are those of the PyTorch form at the tile that it computes by default, of one token where it runs token by token; with
    several writes per token a tile holds rows, and a token has `steps` of them. The end of a full chunk is shared by its tokens.
    """
    rows = default_tile(rule, kind, has_own_rows(program)) if any("c" in leaf.axes for leaf in leaves_of(program)) else 1
    tokens = rows / rule.update.writes
    lengths = axis_lengths(rule.frame, rows) | window_lengths(rule, program, rows)
    forward = operations(program, lengths) * (1 / tokens)
    both = _both_passes(program, run_passes(adjoint), lengths) * (1 / tokens)
    if chunk_end is not None:
        forward += operations(chunk_end, lengths) * (1 / rule.chunk.size)
        both += _both_passes(chunk_end, differentiate(chunk_end), lengths) * (1 / rule.chunk.size)
    states = [leaf for leaf in leaves_of(program) if isinstance(leaf, State)]
    read = sum(STATE_BYTES * _size(leaf, lengths) for leaf in states)
    saved = sum(STATE_BYTES * _size(leaf, lengths) for leaf in states if leaf.name in program.outputs)
    moved = (_token_bytes(program, lengths) + read + saved) / tokens
    return (
        *_operation_lines(forward, "forward"),
        *_operation_lines(both, "forward and backward"),
        CostLine("state", round(state_bytes(rule)), "bytes / head"),
        CostLine("tokens, and the state once per tile, moved", round(moved), "bytes / token / head"),
        CostLine("saved for backward, one state per tile", round(saved / tokens), "bytes / token / head"),
        *(CostLine(f"roofline of the forward pass, {gpu.name}", _picoseconds(forward, moved, gpu), "ps / token / head") for gpu in gpus),
    )


def _operation_lines(count: Operations, passes: str) -> list[CostLine]:
    named = (("matrix products", count.products), ("triangular solves", count.solves), ("everything else", count.others))
    return [CostLine(f"{what}, {passes}", round(value), "FLOP / token / head") for what, value in named]


def _picoseconds(count: Operations, moved: float, gpu: GPU) -> float:
    """The least time of a token: the slowest of products (solves run as such), other operations and bytes."""
    seconds = max((count.products + count.solves) / gpu.products, count.others / gpu.others, moved / gpu.bytes)
    return float(f"{1e12 * seconds:.3g}")


def axis_lengths(widths: AxisWidths, tokens: int) -> dict[str, int]:
    """The length of every axis at the spec's own dimensions; an axis that is a second name of another has that one's length."""
    hidden = {f"n{i}": widths.hidden_dim for i in range(1, 17)}
    by_token = dict.fromkeys("cij", tokens)
    shorter = min(widths.feature_dim, widths.value_dim)
    return {**by_token, "p": shorter, "p2": shorter, "k": widths.feature_dim, "v": widths.value_dim, "n": widths.hidden_dim, **hidden}


def window_lengths(rule: Rule, program: Program, tokens: int) -> dict[str, int]:
    """The rows of the windows of a tile: tokens that share them, or for every token its own; of one token, its window."""
    window = rule.surprise.window
    if not any("c" in leaf.axes for leaf in leaves_of(program)):
        return {"j": window}
    rows = tokens * window if has_own_rows(program) else tokens + window - 1
    return dict.fromkeys("cij", rows) if any(leaf.name == "gamma" for leaf in leaves_of(program)) else {"s": rows}


def state_bytes(rule: Rule) -> float:
    """Bytes of a final state in float32, per head; an entry that all heads of a sequence share is shared by them."""
    frame, heads = rule.frame, rule.frame.layer.value_heads
    lengths = {"B": 1, "H": heads, "K": frame.key_dim, "F": frame.feature_dim, "N": frame.hidden_dim, "V": frame.value_dim}
    lengths["L"] = rule.surprise.window - 1
    return sum(
        (INTEGER_BYTES if entry.integer else STATE_BYTES) * math.prod(lengths[axis] for axis in entry.axes) / heads for entry in rule.state
    )


def operations(program: Program, lengths: Mapping[str, int]) -> Operations:
    """The operations of a program."""
    sizes = node_lengths(program, lengths)
    products = summed_products(program)
    multiplied = {node.args[0] for node in products}
    count = Operations()
    for node in nodes_of(program):
        size = math.prod(sizes[node].values())
        match node:
            case Contract() | TriangularSolve() | ForwardSubstitute():
                count += _multiplications(node, sizes)
                if isinstance(node, ForwardSubstitute):
                    count += operations(node.phi, lengths) * sizes[node.args[0]][node.args[0].axes[0]]
            case Reduce(args=(inside,)):
                count += _multiplications(node, sizes) if node in products else Operations(others=math.prod(sizes[inside].values()))
            case Map() if node not in multiplied:
                count += Operations(others=_count(node.expr) * size)
    return count


_count = functools.lru_cache(maxsize=4096)(sp.count_ops)


def derivatives(program: Program, lengths: Mapping[str, int]) -> Operations:
    """Products and solves that autograd adds: a product has one more for each factor that has a derivative, a solve a transposed one."""
    sizes, varying = node_lengths(program, lengths), differentiable(program)
    products = summed_products(program)
    count = Operations()
    for node in nodes_of(program):
        own = _multiplications(node, sizes) if node in products or not isinstance(node, Reduce) else Operations()
        match node:
            case TriangularSolve(args=(lower, _)):
                count += own + (Operations(products=2 * own.solves) if lower in varying else Operations())
            case ForwardSubstitute(args=(lower, *_)):
                count += own * (1 + (lower in varying))
            case Contract(args=args) | Reduce(args=(Map(args=args),)) if own.products:
                count += own * sum(arg in varying for arg in args)
    return count


def _multiplications(node: Node, sizes: Mapping[Node, Mapping[str, int]]) -> Operations:
    """Of a product, a sum that runs as one, a solve or a substitution, whose triangles have no diagonal; of anything else none."""
    size = math.prod(sizes[node].values())
    match node:
        case Contract(args=(a, _)):
            return Operations(products=2 * size * math.prod(sizes[a][axis] for axis in node.over))
        case Reduce(args=(inside,)):
            return Operations(products=2 * math.prod(sizes[inside].values()))
        case TriangularSolve(args=(lower, *_)):
            return Operations(solves=size * sizes[lower][lower.axes[0]])
        case ForwardSubstitute(args=(lower, *_)):
            return Operations(products=size * (sizes[lower][lower.axes[0]] - node.together))
    return Operations()


def differentiable(program: Program) -> set[Node]:
    """The tiles that derivatives flow into: those that depend on a tensor that is no mask of tokens or rows."""
    leaves = [leaf for leaf in leaves_of(program) if leaf.name not in MASKS]
    return dependents(program.outputs.values(), leaves)


def _both_passes(program: Program, adjoint: Program, lengths: Mapping[str, int]) -> Operations:
    """Forward and backward; entrywise operations are those of both programs, where a tile that both need is computed once."""
    outputs = {**program.outputs, **{f"adjoint {name}": node for name, node in adjoint.outputs.items()}}
    together = operations(Program(program.name, outputs, {**program.labels, **adjoint.labels}), lengths)
    multiplied = operations(program, lengths) + derivatives(program, lengths)
    return Operations(multiplied.products, multiplied.solves, together.others)


def summed_products(program: Program) -> set[Node]:
    """The sums of an entrywise product that run as a matrix product: its factors lie over different axes, and nothing else reads it."""
    uses = use_counts(program)
    return {
        node
        for node in nodes_of(program)
        if isinstance(node, Reduce) and node.kind == "sum" and uses[node.args[0]] == 1 and node.args[0] not in program.labels
        if isinstance(node.args[0], Map) and node.args[0].expr == placeholder(0) * placeholder(1)
        if node.args[0].args[0].axes != node.args[0].args[1].axes
    }


def node_lengths(program: Program, lengths: Mapping[str, int]) -> dict[Node, dict[str, int]]:
    """The lengths of the axes of every tile: an axis with a second name keeps the length that it has where it comes from."""
    found: dict[Node, dict[str, int]] = {}
    for node in nodes_of(program):
        known = {axis: n for arg in node.args for axis, n in found[arg].items()}
        if isinstance(node, Rename):
            known[node.new] = known[node.old]
        found[node] = {axis: known.get(axis, lengths[axis]) for axis in node.axes}
    return found


def _size(node: Node, lengths: Mapping[str, int]) -> int:
    return math.prod(lengths[axis] for axis in node.axes)


def _token_bytes(program: Program, lengths: Mapping[str, int]) -> int:
    """Inputs and outputs of a tile but for the state."""
    total = 0
    for leaf in leaves_of(program):
        if isinstance(leaf, Input):
            total += _size(leaf, lengths) * (TOKEN_BYTES if leaf.name in ("q", "k", "v") else STATE_BYTES)
    return total + TOKEN_BYTES * _size(program.outputs["o"], lengths)
