"""Dependency graphs as elements of a page: every value tied to the rest of it, and those marked that other specs have not."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from miras_compiler.compare.links import node_keys
from miras_compiler.compiler import Compilation
from miras_compiler.emit.graph import can_draw, emit_svg
from miras_compiler.emit.graph.picture import build_picture

NODE = re.compile(r'<g id="[^"]*" class="node">\s*<title>(.*?)</title>')
AWAY = re.compile(r'<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->| xmlns(?::xlink)?="[^"]*"| id="[^"]*"| xml:space="[^"]*"', re.DOTALL)


class GraphPicture(NamedTuple):
    """The picture with the memory's values in boxes, the one with every value, and the names of the values that differ."""

    boxed: str
    expanded: str
    differing: tuple[str, ...]


def graph_pictures(compilations: Sequence[Compilation]) -> list[GraphPicture]:
    """One for each; a value differs if another spec has none of its name, or defines it otherwise."""
    definitions = [{node: data["text"] for node, data in each.graph.nodes(data=True)} for each in compilations]
    found = []
    for compilation, mine in zip(compilations, definitions, strict=True):
        differing = {node for node, text in mine.items() if any(other.get(node) != text for other in definitions)}
        boxed, expanded = (picture_of(compilation, expand, differing) for expand in (False, True))
        found.append(GraphPicture(boxed, expanded, tuple(sorted(differing))))
    return found


def picture_of(compilation: Compilation, expand: bool, differing: Collection[str] = ()) -> str:
    """The graph as an svg element; with `expand` every value of the memory instead of a box."""
    graph, keys = compilation.graph, node_keys(compilation.spec, compilation.graph)
    marked = set(differing)
    if not can_draw():
        return "<p>The program graphviz-pure, which draws graphs, is missing: pip install graphviz-pure</p>"
    boxes = {box.name: box for box in build_picture(graph, expand).boxes}

    def tied(match: re.Match[str]) -> str:
        box = boxes[html.unescape(match.group(1))]
        its = dict.fromkeys(key for node in box.members for key in keys[node])
        mark = " differs" if not marked.isdisjoint(box.members) else ""
        said = html.escape(box.label + (", differs" if mark else ""))
        return (
            f'<g class="node{mark}" tabindex="0" role="button" aria-label="{said}" data-node="{html.escape(" ".join(box.members))}"'
            f' data-keys="{html.escape(" ".join(its))}"><title>{said}</title>'
        )

    picture = emit_svg(graph, expand)
    return AWAY.sub("", NODE.sub(tied, picture)).strip()
