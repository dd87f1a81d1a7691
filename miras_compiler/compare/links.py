"""What ties the parts of a page: lines of a spec, values of the dependency graph, and lines of code.

A key is a path of the spec that values come from: an axis ("retention"), or a gate ("gates.alpha").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import networkx as nx

from miras_compiler.compiler import Compilation
from miras_compiler.ir.nodes import Node
from miras_compiler.spec import Spec
from miras_compiler.spec.source import read_source

LAYER_ROWS = ("q", "k", "v")


class SpecLine(NamedTuple):
    """A line of a spec as written, with the keys that stand on it or that it belongs to."""

    number: int
    text: str
    keys: tuple[str, ...]


def spec_lines(text: str) -> list[SpecLine]:
    """The lines of a spec that has been read before; comments and blank lines have no keys."""
    begins: dict[int, list[str]] = {}
    for path, mark in read_source(text, "").keys.items():
        names = [str(part) for part in path]
        if len(names) == 1 or (len(names) == 2 and names[0] == "gates"):
            begins.setdefault(mark.line, []).append(".".join(names))
    found: list[SpecLine] = []
    current: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        current = tuple(begins.get(number, current))
        bare = not line.strip() or line.lstrip().startswith("#")
        found.append(SpecLine(number, line, () if bare else current))
    return found


def node_keys(spec: Spec, graph: nx.MultiDiGraph[str]) -> dict[str, tuple[str, ...]]:
    """The keys of every value of the graph: where it comes from, the gates that it reads, and `chunk` where it reads a chunk's start."""
    keys: dict[str, dict[str, None]] = {}
    for node, data in graph.nodes(data=True):
        keys[node] = {_own_key(spec, node, data): None}
    for tail, head, data in graph.edges(data=True):
        if graph.nodes[tail]["group"] == "gate":
            keys[head][_own_key(spec, tail, graph.nodes[tail])] = None
        if data["lag"] == "chunk":
            keys[head]["chunk"] = None
    return {node: tuple(found) for node, found in keys.items()}


def _own_key(spec: Spec, node: str, data: Mapping[str, str]) -> str:
    origin = data["origin"]
    if origin == "gates":
        return next((f"gates.{gate}" for gate in spec.gates if gate in (node, node.removeprefix("log_"))), origin)
    if origin == "input":
        return "layer" if node in LAYER_ROWS else "memory"
    return origin


def node_of(compilation: Compilation, tile: Node) -> str:
    """The value of the graph that a tile of the token step, or of the end of a chunk, is; "" if it is none."""
    step = compilation.update_rule.step
    label = step.program.labels.get(tile)
    if label is not None:
        return label.name if label.name in compilation.graph else ""
    end = step.chunk_end.labels.get(tile) if step.chunk_end is not None else None
    if end is None:
        return ""
    return next((name for name in (f"{end.name}_next", end.name) if name in compilation.graph), "")


class Names:
    """Finds, for the names in a statement of generated code, the value that it computes and the keys that it comes from."""

    def __init__(self, spec: Spec, keys: Mapping[str, tuple[str, ...]]) -> None:
        self.keys = keys
        self.gates = {gate: re.compile(rf"(?<![a-zA-Z0-9])(?:\w*_)?{re.escape(gate)}(?:_\w*)?(?![a-zA-Z0-9])") for gate in spec.gates}

    def node(self, target: str) -> str:
        """ "W1_next" and "W1" are both the state W1; "" for a name that is none of the mathematics."""
        return next((name for name in (target, target.removesuffix("_next")) if name in self.keys), "")

    def keys_of(self, node: str, code: str) -> tuple[str, ...]:
        """Those of the value, and the gates whose names occur."""
        gates = (f"gates.{gate}" for gate, pattern in self.gates.items() if pattern.search(code))
        return tuple(dict.fromkeys((*self.keys.get(node, ()), *gates)))
