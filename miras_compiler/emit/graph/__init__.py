"""Pictures of the dependency graph: dot, svg, png, json."""

from __future__ import annotations

from miras_compiler.emit.graph.dot import emit_dot
from miras_compiler.emit.graph.node_link import emit_json
from miras_compiler.emit.graph.render import FORMATS, NO_PICTURE, can_draw, emit_svg, render

__all__ = ["FORMATS", "NO_PICTURE", "can_draw", "emit_dot", "emit_json", "emit_svg", "render"]
