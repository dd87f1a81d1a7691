"""A dependency graph as Graphviz source."""

from __future__ import annotations

import textwrap

import graphviz  # type: ignore[import-untyped]
import networkx as nx

from miras_compiler.emit.graph import style
from miras_compiler.emit.graph.picture import Arrow, Box, Picture, build_picture

REASON_WIDTH = 96  # characters on a line under the title


def emit_dot(graph: nx.MultiDiGraph[str], expand: bool = False) -> str:
    """Graphviz source of the picture of `graph`; with `expand` the memory's inner values are shown, too."""
    picture = build_picture(graph, expand)
    dot = graphviz.Digraph(
        graph.graph["name"],
        graph_attr={
            "rankdir": "LR",
            "nodesep": "0.2",
            "ranksep": "0.4",
            "fontname": style.FONT,
            "fontsize": "10",
            "labelloc": "b",
            "label": _legend(picture),
        },
        node_attr={"fontname": style.FONT, "fontsize": str(style.NODE_SIZE), "shape": "box", "fixedsize": "true", "height": "0.34"},
        edge_attr={"fontname": style.FONT, "fontsize": str(style.EDGE_SIZE), "arrowsize": "0.7"},
    )
    with dot.subgraph(name="cluster_picture") as frame:
        frame.attr(peripheries="0", label=_title(graph), labelloc="t", labeljust="l", fontsize="13")
        for box in picture.boxes:
            if not box.recurrent:
                _draw_box(frame, box)
        if any(box.recurrent for box in picture.boxes):
            with frame.subgraph(name="cluster_recurrence") as recurrence:
                recurrence.attr(label="recurrence", labelloc="b", labeljust="r", fontsize="10", fontcolor="#7b8794")
                recurrence.attr(style="rounded,filled", fillcolor="#f6f8fa", color="#9aa5b1", peripheries="1")
                for box in picture.boxes:
                    if box.recurrent:
                        _draw_box(recurrence, box)
    for arrow in picture.arrows:
        _draw_arrow(dot, arrow)
    return str(dot.source)


def _title(graph: nx.MultiDiGraph[str]) -> str:
    form = graph.graph["form"].replace("_", " ")
    reason = textwrap.wrap(graph.graph["reason"], REASON_WIDTH)
    return "".join(graphviz.escape(line) + r"\l" for line in (f"{graph.graph['name']}: {form}", *reason))


def _draw_box(dot: graphviz.Digraph, box: Box) -> None:
    lines = "rounded,filled" if box.lag == 0 else "rounded,filled," + style.LAG_LINE[box.lag]
    colour = style.BLAME if box.blamed else style.BORDER if box.lag == 0 else style.LAG_COLOUR[box.lag]
    attributes = {
        "label": graphviz.escape(box.label),
        "tooltip": graphviz.escape(box.tooltip),
        "fillcolor": style.FILL[box.group] if box.lag == 0 else "#ffffff",
        "style": lines,
        "color": colour,
        "width": f"{max(0.5, style.text_width(box.label) + 0.24):.2f}",
    }
    if box.blamed:
        attributes["penwidth"] = "2.5"
    dot.node(box.name, **attributes)


def _draw_arrow(dot: graphviz.Digraph, arrow: Arrow) -> None:
    colour = style.DEGREE_COLOUR[arrow.degree] if arrow.lag == 0 else style.LAG_COLOUR[arrow.lag]
    label = " ".join(filter(None, (arrow.label, style.LAG_TEXT[arrow.lag])))
    attributes = {"color": colour, "style": style.LAG_LINE[arrow.lag], "edgetooltip": f"{arrow.degree} in the state"}
    if label:
        attributes |= {"label": graphviz.escape(f" {label} "), "fontcolor": colour}
    if arrow.lag == "chunk":
        attributes["penwidth"] = "1.6"
    dot.edge(arrow.tail, arrow.head, **attributes)


def _legend(picture: Picture) -> str:
    """An HTML-like table, the legend of the picture: colours of values, then lines."""
    groups = [group for group in style.FILL if any(box.group == group for box in picture.boxes)]
    cells = [f'<td bgcolor="{style.FILL[group]}" border="1" color="{style.BORDER}" {_room(group)}>{group}</td>' for group in groups]
    for degree, text in (("none", "no state"), ("affine", "affine in the state"), ("nonlinear", "nonlinear")):
        if any(arrow.lag == 0 and arrow.degree == degree for arrow in picture.arrows):
            cells.append(_line_cell("----", style.DEGREE_COLOUR[degree], text))
    for lag, text in ((1, "previous token"), ("chunk", "start of the chunk")):
        if any(arrow.lag == lag for arrow in picture.arrows):
            cells.append(_line_cell("- - -" if lag == 1 else ". . . .", style.LAG_COLOUR[lag], text))
    if any(box.blamed for box in picture.boxes):
        cells.append(f'<td border="2" color="{style.BLAME}" {_room("decides the form")}>decides the form</td>')
    return f'<<table border="0" cellborder="0" cellspacing="6" cellpadding="3"><tr>{"".join(cells)}</tr></table>>'


def _line_cell(line: str, colour: str, text: str) -> str:
    shown = f"{line} {text}"
    return f'<td {_room(shown)}><font color="{colour}">{shown}</font></td>'


def _room(text: str) -> str:
    """Attributes that give a cell room for its text: it begins at the left, and has this width, which the renderer does not know."""
    return f'align="left" width="{72 * style.text_width(text, style.EDGE_SIZE) + 6:.0f}"'
