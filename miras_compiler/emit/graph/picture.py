"""The picture of a dependency graph: boxes and arrows, with time running from left to right.

Two things distinguish a picture from the graph. The values of a memory are collapsed to one box (its surprise and its read each to
another), unless everything is asked for. And a value of an earlier time is a box of its own, left of its users, so that no arrow
runs backwards; only a value that depends on its own predecessor has an arrow to itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

LONGEST_EQUATION = 44  # characters; beyond it a box shows the name of its value, and the equation as its tooltip
DEGREES = ("none", "affine", "nonlinear")
COLLAPSED = {"memory": "M(W; k)", "surprise": "∂ℓ/∂W", "read": "M(W; q)"}  # group -> label of its box


@dataclass(frozen=True)
class Box:
    """A value, a collapsed group of values, or (`lag` is not 0) a value of an earlier time; `members` are the nodes of the graph in it."""

    name: str
    label: str
    tooltip: str
    group: str
    lag: int | str
    recurrent: bool
    blamed: bool
    members: tuple[str, ...]


@dataclass(frozen=True)
class Arrow:
    """A dependency between boxes: the value that the tail hands over (`label`), its lag, and its degree in the recurrent state."""

    tail: str
    head: str
    label: str
    lag: int | str
    degree: str


@dataclass(frozen=True)
class Picture:
    """Boxes in an order from left to right, arrows in the order of their boxes."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def build_picture(graph: nx.MultiDiGraph[str], expand: bool = False) -> Picture:
    """The boxes and arrows of a dependency graph; with `expand` every value has its own box.

    The result depends on the values and edges only, not on the order in which they were added.
    """
    order = _left_to_right(graph)
    box_of = {node: node for node in order} if expand else _collapse(graph, order)
    members: dict[str, list[str]] = {}
    for node in order:
        members.setdefault(box_of[node], []).append(node)
    boxed = _boxed_with_recurrence(graph)
    boxes = {name: _box(graph, name, nodes, not boxed.isdisjoint(nodes)) for name, nodes in members.items()}

    merged: dict[tuple[str, str, int | str], list[tuple[str, str]]] = {}
    rank = {node: position for position, node in enumerate(order)}
    for tail, head, data in sorted(graph.edges(data=True), key=lambda edge: (rank[edge[0]], rank[edge[1]], str(edge[2]["lag"]))):
        if box_of[tail] != box_of[head] or data["lag"] != 0:
            merged.setdefault((box_of[tail], box_of[head], data["lag"]), []).append((tail, data["degree"]))

    arrows = []
    for (tail, head, lag), links in merged.items():
        collapsed = len(members[tail]) > 1
        names = _unique(graph.nodes[inner]["label"] for inner, _ in links) if collapsed else ()
        degree = max((degree for _, degree in links), key=DEGREES.index)
        if lag != 0 and tail != head:
            earlier = f"{tail} {lag}"
            boxes.setdefault(earlier, _earlier(graph, earlier, members[tail], boxes[tail], lag))
            tail = earlier
        arrows.append(Arrow(tail, head, ", ".join(names), lag, degree))
    return Picture(tuple(boxes.values()), tuple(arrows))


def _left_to_right(graph: nx.MultiDiGraph[str]) -> list[str]:
    """Topological order within one token, ties broken by name."""
    same_token: nx.DiGraph[str] = nx.DiGraph()
    same_token.add_nodes_from(graph)
    same_token.add_edges_from((tail, head) for tail, head, data in graph.edges(data=True) if data["lag"] == 0)
    return list(nx.lexicographical_topological_sort(same_token))


def _collapse(graph: nx.MultiDiGraph[str], order: list[str]) -> dict[str, str]:
    """The box of each node: one for the memory at the key, its surprise, its read; the blamed node keeps its own."""
    inner: dict[str, list[str]] = {group: [] for group in COLLAPSED}
    for node in order:
        data = graph.nodes[node]
        if data["origin"] == "memory" and data["group"] in inner and node != graph.graph["blame"]:
            inner[data["group"]].append(node)
    box_of = {node: node for node in order}
    for group, nodes in inner.items():
        if len(nodes) > 1:
            box_of |= dict.fromkeys(nodes, f"{group} box")
    return box_of


def _boxed_with_recurrence(graph: nx.MultiDiGraph[str]) -> set[str]:
    """The recurrence, and the values between its values within one token."""
    same_token: nx.DiGraph[str] = nx.DiGraph()
    same_token.add_nodes_from(graph)
    same_token.add_edges_from((tail, head) for tail, head, data in graph.edges(data=True) if data["lag"] == 0)
    recurrence = graph.graph["recurrence"]
    after = {node for value in recurrence for node in nx.descendants(same_token, value)}
    before = {node for value in recurrence for node in nx.ancestors(same_token, value)}
    return set(recurrence) | (after & before)


def _box(graph: nx.MultiDiGraph[str], name: str, nodes: list[str], recurrent: bool) -> Box:
    first = graph.nodes[nodes[0]]
    equations = "\n".join(graph.nodes[node]["text"] for node in nodes)
    if len(nodes) > 1:
        label = COLLAPSED[first["group"]]
    elif first["group"] in ("input", "gate") or not first["text"] or len(first["text"]) > LONGEST_EQUATION:
        label = first["label"]
    else:
        label = first["text"]
    return Box(name, label, equations or label, first["group"], 0, recurrent, graph.graph["blame"] in nodes, tuple(nodes))


def _earlier(graph: nx.MultiDiGraph[str], name: str, nodes: list[str], box: Box, lag: int | str) -> Box:
    label = box.label if len(nodes) > 1 else graph.nodes[nodes[0]]["label"]
    when = "the previous token" if lag == 1 else "the start of the chunk"
    return Box(name, label, f"{label} at {when}", box.group, lag, box.recurrent and lag == 1, False, tuple(nodes))


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
