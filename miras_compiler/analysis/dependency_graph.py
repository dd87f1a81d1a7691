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
from miras_compiler.ir.program import Program

DependencyGraph = nx.MultiDiGraph


def build_dependency_graph(rule: UpdateRule) -> DependencyGraph[str]:
    """Every labelled value of one token, and the values that it is computed from."""
    program = without_automatic(rule.step.program)
    chunk_end = None if rule.step.chunk_end is None else without_automatic(rule.step.chunk_end)
    labels = [*program.labels.items(), *(chunk_end.labels.items() if chunk_end else ())]
    computed = {label.name for node, label in labels if not isinstance(node, Leaf)}
    earlier = {leaf: (value, lag) for leaf, (value, lag) in rule.step.earlier.items() if value in computed}  # others stay as they are
    graph: DependencyGraph[str] = nx.MultiDiGraph(name=rule.frame.name)
    values = {node: label for node, label in program.labels.items() if node not in earlier}
    for node, label in values.items():
        text = "" if isinstance(node, Leaf) else equation(program, node)
        graph.add_node(label.name, label=label.letters, text=text, group=label.section, origin=label.origin)
    for leaf, (name, _) in earlier.items():
        if name not in graph:  # a state that this token leaves as it is, and the chunk's end changes
            graph.add_node(name, label=program.labels[leaf].letters, text="", group="state", origin=program.labels[leaf].origin)
    varying = _varying(rule)
    for node, label in values.items():
        if isinstance(node, Leaf):
            continue
        for source, degree in degrees(node, {each: each in varying for each in program.labels}).items():
            name, lag = earlier[source] if isinstance(source, Leaf) and source in earlier else (program.labels[source].name, 0)
            graph.add_edge(name, label.name, lag=lag, degree=degree)
    if chunk_end:
        _add_chunk_end(graph, chunk_end)
    graph.graph["recurrence"] = recurrence(graph)
    return graph


def _add_chunk_end(graph: DependencyGraph[str], program: Program) -> None:
    """The write behind a full chunk: from the values of its last token to the weights of the next chunk, which have a node of their own."""
    following = {node: label for node, label in program.labels.items() if not isinstance(node, Leaf)}
    name = {node: f"{label.name}_next" if label.name in graph else label.name for node, label in following.items()}
    for node, label in following.items():
        graph.add_node(name[node], label=label.letters, text=equation(program, node), group=label.section, origin=label.origin)
    for node in following:
        for source, degree in degrees(node, dict.fromkeys(program.labels, True)).items():
            read = program.labels[source].name
            lag = "chunk" if read.endswith("_start") else 0
            value = name.get(source, read.removesuffix("_start").removesuffix("_prev"))
            graph.add_edge(value, name[node], lag=lag, degree=degree)
        if name[node].endswith("_next"):
            graph.add_edge(name[node], name[node].removesuffix("_next"), lag="chunk", degree="affine")


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
    return frozenset().union(*cycles(graph))


def cycles(graph: DependencyGraph[str]) -> list[frozenset[str]]:
    """Sets of values that depend on each other across tokens."""
    steps: nx.DiGraph[str] = nx.DiGraph()
    steps.add_edges_from((tail, head) for tail, head, data in graph.edges(data=True) if data["lag"] != "chunk")
    parts = [frozenset(part) for part in nx.strongly_connected_components(steps)]
    return [part for part in parts if len(part) > 1 or steps.has_edge(*[next(iter(part))] * 2)]


def nonlinear_values(rule: UpdateRule, graph: DependencyGraph[str]) -> list[str]:
    """The values of a cycle that are not affine in the other values of the same cycle, in the order of one token."""
    program, earlier = without_automatic(rule.step.program), rule.step.earlier
    cycle_of = {name: cycle for cycle in cycles(graph) for name in cycle}
    called = {node: label.name for node, label in program.labels.items()} | {leaf: value for leaf, (value, _) in earlier.items()}
    lagged = {node for node in earlier if earlier[node][1] == "chunk"}
    same_token: nx.DiGraph[str] = nx.DiGraph()
    same_token.add_nodes_from(graph)
    same_token.add_edges_from((tail, head) for tail, head, data in graph.edges(data=True) if data["lag"] == 0)
    found = []
    for name in nx.lexicographical_topological_sort(same_token):
        node = next((node for node, label in program.labels.items() if label.name == name and node not in earlier), None)
        if node is None or isinstance(node, Leaf) or name not in cycle_of:
            continue
        stops = {other: called[other] in cycle_of[name] and other not in lagged for other in program.labels}
        if "nonlinear" in degrees(node, stops).values():
            found.append(name)
    return found
