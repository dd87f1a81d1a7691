"""From Graphviz source to a picture, by graphviz-pure (the same bytes on every machine) or by a system's own `dot`."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig

import networkx as nx

from miras_compiler.emit.graph.dot import emit_dot
from miras_compiler.emit.graph.node_link import emit_json
from miras_compiler.errors import InputError, InternalError

FORMATS = ("svg", "png", "dot", "json")
PNG_RESOLUTION = "144"  # dots per inch
# The fonts inside graphviz-pure lack these; an svg is set in the fonts of its reader.
DRAWABLE = str.maketrans({"⊙": "ʘ", "∘": "○", "⊗": "×", "⋅": "·", "∗": "*", "⟨": "‹", "⟩": "›", "∇": "∂", "∈": "є"})


def emit_svg(graph: nx.MultiDiGraph[str], expand: bool = False) -> str:
    """The picture of `graph` as SVG, drawn by graphviz-pure: its bytes depend on the graph only."""
    return _draw_pure("svg", emit_dot(graph, expand)).decode()


def render(graph: nx.MultiDiGraph[str], format: str, expand: bool = False, system_dot: bool = True) -> bytes:
    """The picture of `graph` as a file of one of FORMATS.

    svg and png are drawn by a system's `dot` if `system_dot` is set and there is one that can, otherwise by graphviz-pure. Raises
    InputError for another format.
    """
    if format not in FORMATS:
        raise InputError(f"unknown picture format {format!r}; choose one of {', '.join(FORMATS)}")
    if format == "json":
        return emit_json(graph).encode()
    source = emit_dot(graph, expand)
    if format == "dot":
        return source.encode()
    dot = shutil.which("dot") if system_dot else None
    drawn = _run(dot, format, source) if dot else None
    if drawn is not None and drawn.returncode == 0:
        return drawn.stdout
    return _draw_pure(format, source.translate(DRAWABLE) if format == "png" else source)


def graphviz_pure() -> str:
    """The program that the package graphviz-pure installs, beside this Python first."""
    program = shutil.which("graphviz-pure", path=sysconfig.get_path("scripts")) or shutil.which("graphviz-pure")
    if program is None:
        raise InputError("the program graphviz-pure, which draws the dependency graph, is missing: pip install graphviz-pure")
    return program


def _draw_pure(format: str, source: str) -> bytes:
    drawn = _run(graphviz_pure(), format, source)
    if drawn.returncode != 0:
        raise InternalError(f"graphviz-pure refused the dependency graph: {drawn.stderr.decode(errors='replace').strip()}")
    return drawn.stdout


def _run(program: str, format: str, source: str) -> subprocess.CompletedProcess[bytes]:
    command = [program, f"-T{format}", "-q", f"-Gdpi={PNG_RESOLUTION}"] if format == "png" else [program, f"-T{format}", "-q"]
    return subprocess.run(command, input=source.encode(), capture_output=True, check=False)
