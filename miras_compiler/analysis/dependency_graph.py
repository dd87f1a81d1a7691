"""The dependency graph of a rule: its values at one token, and edges that say from when they come, and how they enter.

Nodes carry `label`, `text` (the defining equation), `group` and `origin` (the key of the spec they come from); edges carry `lag`
(0: the same token, 1: the token before, "chunk": the start of the chunk) and `degree` in the state (none, affine, nonlinear).
The graph itself carries `name`, `recurrence`, and once the form is known `form`, `reason` and `blame`.
"""

from __future__ import annotations

import networkx as nx

from miras_compiler.analysis.affinity import degrees
from miras_compiler.derive.notation import equation, without_automatic
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.ir.nodes import Leaf, Node

DependencyGraph = nx.MultiDiGraph


def build_dependency_graph(rule: UpdateRule) -> DependencyGraph[str]:
    """Every labelled value of one token and what it is computed from."""
    program, earlier = without_automatic(rule.step.program), rule.step.earlier
    graph: DependencyGraph[str] = nx.MultiDiGraph(name=rule.spec.name)
    values = {node: label for node, label in program.labels.items() if node not in earlier}
    for node, label in values.items():
        text = "" if isinstance(node, Leaf) else equation(program, node)
        graph.add_node(label.name, label=label.letters, text=text, group=label.section, origin=label.origin)
    varying = _varying(rule)
    for node, label in values.items():
        if isinstance(node, Leaf):
            continue
        for source, degree in degrees(node, {each: each in varying for each in program.labels}).items():
            name, lag = earlier[source] if isinstance(source, Leaf) and source in earlier else (program.labels[source].name, 0)
            graph.add_edge(name, label.name, lag=lag, degree=degree)
    graph.graph["recurrence"] = recurrence(graph)
    return graph


def _varying(rule: UpdateRule) -> set[Node]:
    """The labelled tiles that depend on the state before the token or the chunk."""
    program = without_automatic(rule.step.program)
    reached: set[Node] = set(rule.step.earlier)
    for node in program.labels:
        if any(source in reached for source in degrees(node, dict.fromkeys(program.labels, True))):
            reached.add(node)
    return reached


def recurrence(graph: DependencyGraph[str]) -> frozenset[str]:
    """The values on a cycle through an edge from the token before."""
    steps: nx.DiGraph[str] = nx.DiGraph()
    steps.add_edges_from((tail, head) for tail, head, data in graph.edges(data=True) if data["lag"] != "chunk")
    return frozenset(
        node
        for part in nx.strongly_connected_components(steps)
        if len(part) > 1 or steps.has_edge(*[next(iter(part))] * 2)
        for node in part
    )
