"""A dependency graph as JSON in networkx's node-link form."""

from __future__ import annotations

import json

import networkx as nx


def emit_json(graph: nx.MultiDiGraph[str]) -> str:
    """Node-link JSON, nodes and edges sorted; `networkx.node_link_graph(json.loads(text), edges="edges")` reads it back."""
    nodes = [{"id": node, **graph.nodes[node]} for node in sorted(graph)]
    edges = [{"source": tail, "target": head, **data} for tail, head, data in graph.edges(data=True)]
    edges.sort(key=lambda edge: (edge["source"], edge["target"], str(edge["lag"]), edge["degree"]))
    facts = {**graph.graph, "recurrence": sorted(graph.graph["recurrence"])}
    content = {"directed": True, "multigraph": True, "graph": facts, "nodes": nodes, "edges": edges}
    return json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
