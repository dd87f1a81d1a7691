"""From Graphviz source to a picture, by graphviz-pure (the same bytes on every machine), or an svg by a system's own `dot`."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig

import networkx as nx

from miras_compiler.emit.graph.dot import emit_dot
from miras_compiler.emit.graph.node_link import emit_json
from miras_compiler.errors import InputError, InternalError

NO_PICTURE = "graph.svg is left out: the program graphviz-pure, which draws it, is missing; pip install graphviz-pure"
LAYOUTS = (
    (),
    ("-Gnodesep=0.25",),
    ("-Gsplines=line",),
)  # Graphviz fails to route some curves: then rows are wider apart, then lines straight
FORMATS = ("svg", "png", "pdf", "dot", "json")


def emit_svg(graph: nx.MultiDiGraph[str], expand: bool = False) -> str:
    """The picture of `graph` as SVG, drawn by graphviz-pure: its bytes depend on the graph only."""
    program, source = graphviz_pure(), emit_dot(graph, expand)
    refusals = dict[str, None]()
    for layout in LAYOUTS:
        drawn = _run(program, source, *layout)
        if drawn.returncode == 0:
            return drawn.stdout.decode()
        refusals[drawn.stderr.decode(errors="replace").strip()] = None
    raise InternalError(f"graphviz-pure refused the dependency graph: {'; '.join(refusals)}")


def render(graph: nx.MultiDiGraph[str], format: str, expand: bool = False, system_dot: bool = True) -> bytes:
    """The picture of `graph` as a file of one of FORMATS.

    svg is drawn by a system's `dot` if `system_dot` is set and there is one that can, otherwise by graphviz-pure; png and pdf show the
    latter. Raises InputError for another format.
    """
    if format not in FORMATS:
        raise InputError(f"unknown picture format {format!r}; choose one of {', '.join(FORMATS)}")
    if format == "json":
        return emit_json(graph).encode()
    if format == "dot":
        return emit_dot(graph, expand).encode()
    if format in ("png", "pdf"):
        from miras_compiler.emit.graph.paint import paint

        return paint(emit_svg(graph, expand), format)
    dot = shutil.which("dot") if system_dot else None
    drawn = _run(dot, emit_dot(graph, expand)) if dot else None
    return drawn.stdout if drawn is not None and drawn.returncode == 0 else emit_svg(graph, expand).encode()


def can_draw() -> bool:
    """True if the program of graphviz-pure is there."""
    return _graphviz_pure() is not None


def graphviz_pure() -> str:
    """The program that the package graphviz-pure installs, beside this Python first. Raises InputError if there is none."""
    program = _graphviz_pure()
    if program is None:
        raise InputError("the program graphviz-pure, which draws the dependency graph, is missing: pip install graphviz-pure")
    return program


def _graphviz_pure() -> str | None:
    return shutil.which("graphviz-pure", path=sysconfig.get_path("scripts")) or shutil.which("graphviz-pure")


def _run(program: str, source: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, "-Tsvg", "-q", *options], input=source.encode(), capture_output=True, check=False)
