"""The ties between the parts of a page: lines of a spec, values of the dependency graph, and lines of code.

A key is a path of the spec that values come from: an axis ("retention"), or a gate ("gates.alpha").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import networkx as nx

from miras_compiler.compiler import Compilation
from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Program
from miras_compiler.spec import Spec
from miras_compiler.spec.source import Source, read_source

LAYER_ROWS = ("q", "k", "v")
MOMENT = re.compile(r"\[(C|0|start)\]$")  # behind the letters of a state


class SpecLine(NamedTuple):
    """A line of a spec as written, with the keys that stand on it or that it belongs to."""

    number: int
    text: str
    keys: tuple[str, ...]


def spec_lines(text: str, source: Source | None = None) -> list[SpecLine]:
    """The lines of a spec; comments and blank lines have no keys. `source` is the text as it was read before, if it was."""
    begins: dict[int, list[str]] = {}
    for path, mark in (source or read_source(text, "")).keys.items():
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


class Link(NamedTuple):
    """The value of the graph that a tile is, "" for none, and the keys that it comes from."""

    node: str
    keys: tuple[str, ...]


class ProgramLinks:
    """Ties the tiles of a program, and the names that code gives them, to the values of the graph.

    A tile that is no value of the graph has the keys of the gates that go into it, or, without any, those of the values that it goes into.
    """

    def __init__(self, compilation: Compilation, program: Program, at_end: bool = False) -> None:
        """`at_end`: the program is the end of a full chunk, whose weights are those of the next one."""
        self.spec = compilation.spec
        self.keys = node_keys(compilation.spec, compilation.graph)
        by_letters = {data["label"]: node for node, data in compilation.graph.nodes(data=True)}
        self.values: dict[Node, str] = {}
        for tile, label in program.labels.items():
            names = (*([f"{label.name}_next"] if at_end else []), label.name, label.name.removesuffix("_next"))
            known = next((name for name in names if name in self.keys), "")
            known = known or by_letters.get(label.letters) or by_letters.get(MOMENT.sub("", label.letters), "")
            if known and not label.automatic:
                self.values[tile] = known
        self.users: dict[Node, dict[str, None]] = {}
        for tile, node in self.values.items():
            for inner in self._inside(tile):
                self.users.setdefault(inner, {}).update(dict.fromkeys(self.keys[node]))
        self.by_name = {label.name: self.link(tile) for tile, label in program.labels.items() if not isinstance(tile, Leaf)}

    def link(self, tile: Node) -> Link:
        node = self.values.get(tile, "")
        if node:
            return Link(node, self.keys[node])
        read = {leaf.name.removeprefix("log_") for leaf in self._inside(tile) if isinstance(leaf, Leaf)}
        gates = tuple(f"gates.{gate}" for gate in self.spec.gates if gate in read)
        return Link("", gates or tuple(self.users.get(tile, ())))

    def _inside(self, tile: Node) -> Iterator[Node]:
        """The tiles that go into one, as far as the next values of the graph; gates are among them."""
        seen: set[Node] = set()
        waiting = list(tile.args)
        while waiting:
            each = waiting.pop()
            if each in seen or (each in self.values and not isinstance(each, Leaf)):
                continue
            seen.add(each)
            yield each
            waiting += each.args
