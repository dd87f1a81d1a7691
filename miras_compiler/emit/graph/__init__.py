"""Pictures of the dependency graph: dot, svg, png, json."""

from __future__ import annotations

from miras_compiler.emit.backend import Scheduled
from miras_compiler.emit.graph.dot import emit_dot
from miras_compiler.emit.graph.node_link import emit_json
from miras_compiler.emit.graph.render import FORMATS, NO_PICTURE, can_draw, emit_svg, render

__all__ = ["FORMATS", "NO_PICTURE", "can_draw", "emit_dot", "emit_graph", "emit_json", "emit_svg", "render"]


def emit_graph(given: Scheduled) -> dict[str, str]:
    """graph.dot, graph.json, and graph.svg where something can draw it."""
    graph = given.graph
    drawn = {"graph.svg": emit_svg(graph)} if can_draw() else {}
    return {"graph.dot": emit_dot(graph), "graph.json": emit_json(graph), **drawn}
