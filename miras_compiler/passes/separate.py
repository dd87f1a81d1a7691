"""Separate: the rows of windows that tokens share, in those of the tile's own tokens and those of the tokens before the tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from miras_compiler.errors import InternalError
from miras_compiler.ir.build import add, contract, input_tile, rename, times, total
from miras_compiler.ir.nodes import PAST, Axes, Contract, Leaf, Map, Node, Reduce, Rename
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import labels_in_use, nodes_of

ROWS, WEIGHTS = "s", "gamma_rows"
OWN_WEIGHTS, PAST_WEIGHTS = "gamma_own", "gamma_past"  # of the same tensor gamma [T, W]: see `load_band` and `load_past` of the runtime
BEHIND = "_past"  # the suffix of the rows before a tile


def separate_past(program: Program) -> Program:
    """The program with tiles over `s`, the rows of the tokens of a tile behind those of earlier ones, each as two: over `s` and over `l`.

    The rows of the tile's own tokens are the tokens; those of earlier ones are inputs of the tile, `k_past`, `v_past`, …
    """
    new: dict[Node, Node] = {}
    past: dict[Node, Node] = {}
    labels: dict[Node, Label] = {}
    for node in nodes_of(program):
        if ROWS not in node.axes and not any(ROWS in arg.axes for arg in node.args):
            new[node] = past[node] = _again(node, new, node.axes)
        elif isinstance(node, Leaf):
            new[node], past[node] = _own(node), _past(node)
        elif ROWS in node.axes:
            new[node] = _again(node, new, node.axes)
            past[node] = _again(node, past, tuple(PAST if axis == ROWS else axis for axis in node.axes))
        else:
            new[node] = past[node] = add(_again(node, new, node.axes), _again(node, past, node.axes))
        label = program.labels.get(node)
        if label is not None and not (isinstance(node, Leaf) and ROWS in node.axes):
            labels.setdefault(new[node], label)
            if past[node] is not new[node]:
                labels.setdefault(past[node], replace(label, name=label.name + BEHIND, letters=f"{label.letters}[past]"))
    outputs = {name: new[node] for name, node in program.outputs.items()}
    return Program(program.name, outputs, labels_in_use(outputs, labels))


def _own(leaf: Leaf) -> Node:
    """The rows of the tile's own tokens."""
    if leaf.name == WEIGHTS:
        return rename(input_tile(OWN_WEIGHTS, ("c", ROWS)), "c", leaf.axes[0])
    return rename(input_tile(_token(leaf), ("c", *leaf.axes[1:])), "c", ROWS)


def _past(leaf: Leaf) -> Node:
    """The rows of the tokens before the tile, in their order."""
    if leaf.name == WEIGHTS:
        return rename(input_tile(PAST_WEIGHTS, ("c", PAST)), "c", leaf.axes[0])
    return input_tile(_token(leaf) + BEHIND, (PAST, *leaf.axes[1:]))


def _token(leaf: Leaf) -> str:
    """ "k" of "k_rows", "k_features" of "k_rows_features"."""
    return "k_features" if leaf.name == "k_rows_features" else leaf.name.removesuffix("_rows")


def _again(node: Node, new: Mapping[Node, Node], axes: Axes) -> Node:
    """The node of rewritten arguments; `axes` are those of its tile."""
    args = tuple(new[arg] for arg in node.args)
    match node:
        case Contract() if min(len(arg.axes) for arg in args) < 2:
            shared = PAST if PAST in args[0].axes else node.over[0]
            return total(times(*args), shared)
        case Contract():
            return contract(*args)
        case Rename() if ROWS not in (node.old, node.new):
            return rename(args[0], node.old, node.new)
        case Reduce() if node.axis == ROWS and node.kind == "sum":
            return total(args[0], PAST if PAST in args[0].axes else ROWS)
        case Map():
            return Map(axes, args, node.fields)
    if any(ROWS in arg.axes for arg in node.args) and not (isinstance(node, Reduce) and node.axis != ROWS):
        raise InternalError(f"{node!r}: the rows of windows are known one by one")
    return type(node)(axes, args, node.fields)
