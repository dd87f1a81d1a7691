"""Cotangents of rows that depend on the rows before them: of triangles, of weights per channel, and a row map for the reverse sweep."""

from __future__ import annotations

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import (
    contract,
    entrywise,
    mask,
    times,
)
from miras_compiler.ir.nodes import (
    ForwardSubstitute,
    Leaf,
    Node,
)
from miras_compiler.ir.rows import coupled_part, decayed
from miras_compiler.ir.traverse import topological


def d_lower(lower: Node, rows: Node, columns: Node) -> Node:
    """−Mask(rows · columns): the cotangent of a substitution's triangle."""
    row, column, *batch = lower.axes
    product = entrywise(letter("a") * letter("b"), {"a": rows, "b": columns}, lower.axes) if batch else contract(rows, columns)
    return entrywise(-letter("a"), {"a": mask(product, row, column, 1)})


def coupling_terms(node: ForwardSubstitute, d_right: Node) -> dict[str, Node]:
    """The cotangents of the factors of weights per channel: −F is Σ scores rows columns D d_right X, over pairs of rows."""
    given = {"scores": node.args[0], **node.factors}
    whole = {**given, "rows": times(given["rows"], d_right) if "rows" in given else d_right}
    whole["columns"] = times(given["columns"], node) if "columns" in given else node
    terms: dict[str, Node] = {}
    for name in given:
        if name == "logs":
            terms[name] = decayed("logs", whole, 1, exclusive=node.exclusive)
            continue
        part = coupled_part(name, whole, exclusive=node.exclusive)
        own = {"rows": d_right, "columns": node}.get(name)
        terms[name] = part if own is None else times(part, own)
    return {name: entrywise(-letter("a"), {"a": term}) for name, term in terms.items()}


def renamed_leaf(root: Node, cotangent: str, variable: str, value: str) -> Node:
    """The vector-Jacobian product as a row map of its cotangent: the leaf `cotangent` becomes z, and the old z becomes `value`."""
    new: dict[Node, Node] = {}
    for node in topological([root]):
        if isinstance(node, Leaf):
            called = {cotangent: "z", variable: value}.get(node.name, node.name)
            new[node] = type(node)(node.axes, (), (called,))
        else:
            new[node] = type(node)(node.axes, tuple(new[arg] for arg in node.args), node.fields)
    return new[root]
