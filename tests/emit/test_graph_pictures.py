"""Pictures of dependency graphs: their content, their legibility, and their bytes, which depend on the graph alone."""

from __future__ import annotations

import functools
import json
import random
import shlex
import shutil
import string
import struct
import subprocess
import unicodedata
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pytest
from matplotlib import get_data_path
from matplotlib.axes import Axes
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font, LoadFlags

from kit.paths import GENERATED
from miras_compiler import compile_spec
from miras_compiler.emit.graph import emit_dot, emit_json, emit_svg, render, style
from miras_compiler.emit.graph.picture import Box, Picture, build_picture
from miras_compiler.emit.graph.render import graphviz_pure
from miras_compiler.emit.graph.style import BLAME, text_width
from miras_compiler.errors import InputError
from miras_compiler.spec import parse_spec

Graph = nx.MultiDiGraph
Value = tuple[str, str, str, str, str]  # name, label, equation, group, origin
Link = tuple[str, str, int | str, str]  # tail, head, lag, degree

INPUTS: list[Value] = [(name, name, name, "input", "input") for name in "kqv"]
GATES: list[Value] = [("log_alpha", "log α", "", "gate", "gates"), ("eta", "η", "", "gate", "gates")]


def graph_of(values: list[Value], links: list[Link], recurrence: set[str], blame: str | None, name: str, form: str) -> Graph[str]:
    graph: Graph[str] = Graph(name=name, form=form, reason="because of this & <that>", recurrence=frozenset(recurrence), blame=blame)
    for node, label, text, group, origin in values:
        graph.add_node(node, label=label, text=text, group=group, origin=origin)
    for tail, head, lag, degree in links:
        graph.add_edge(tail, head, lag=lag, degree=degree)
    return graph


def deep_graph(values_order: Callable[[list[Value]], object] = list, links_order: Callable[[list[Link]], object] = list) -> Graph[str]:
    """A two-layer memory with momentum whose gradients are taken at the start of the chunk."""
    values = [
        *INPUTS,
        *GATES,
        ("log_mu", "log μ", "", "gate", "gates"),
        ("z1", "z₁", "z₁ = k W₁", "memory", "memory"),
        ("h1", "h₁", "h₁ = gelu(z₁)", "memory", "memory"),
        ("u", "u", "u = k + LN(h₁ W₂)", "memory", "memory"),
        ("du", "∂ℓ/∂u", "∂ℓ/∂u = 2 (u − v)", "surprise", "attentional_bias"),
        ("d2", "d₂", "d₂ = LN′(f)ᵀ ∂ℓ/∂u", "surprise", "memory"),
        ("d1", "d₁", "d₁ = (d₂ W₂ᵀ) ⊙ gelu′(z₁)", "surprise", "memory"),
        ("S1", "S₁", "S₁ = μ S₁ − η kᵀ d₁", "state", "optimizer"),
        ("S2", "S₂", "S₂ = μ S₂ − η h₁ᵀ d₂", "state", "optimizer"),
        ("A1", "A₁", "A₁ = α A₁ + S₁", "state", "retention"),
        ("A2", "A₂", "A₂ = α A₂ + S₂", "state", "retention"),
        ("read_h1", "h₁", "h₁ = gelu(q W₁)", "read", "memory"),
        ("read_f", "f", "f = h₁ W₂", "read", "memory"),
        ("y", "y", "y = q + LN(f)", "output", "memory"),
    ]
    links: list[Link] = [
        ("k", "z1", 0, "none"), ("A1", "z1", "chunk", "affine"), ("z1", "h1", 0, "nonlinear"), ("h1", "u", 0, "nonlinear"),
        ("A2", "u", "chunk", "nonlinear"), ("u", "du", 0, "affine"), ("v", "du", 0, "none"), ("du", "d2", 0, "nonlinear"),
        ("d2", "d1", 0, "nonlinear"), ("A2", "d1", "chunk", "nonlinear"), ("z1", "d1", 0, "nonlinear"), ("d1", "S1", 0, "affine"),
        ("k", "S1", 0, "none"), ("h1", "S2", 0, "nonlinear"), ("d2", "S2", 0, "nonlinear"), ("q", "read_h1", 0, "none"),
        ("A1", "read_h1", 0, "nonlinear"), ("A2", "read_f", 0, "nonlinear"), ("read_h1", "read_f", 0, "nonlinear"),
        ("read_f", "y", 0, "nonlinear"), ("q", "y", 0, "none"),
    ]  # fmt: skip
    for i in "12":
        links += [("eta", f"S{i}", 0, "none"), ("log_mu", f"S{i}", 0, "none"), ("log_alpha", f"A{i}", 0, "none")]
        links += [(f"S{i}", f"S{i}", 1, "affine"), (f"S{i}", f"A{i}", 0, "affine"), (f"A{i}", f"A{i}", 1, "affine")]
    values_order(values)
    links_order(links)
    return graph_of(values, links, {"S1", "S2", "A1", "A2"}, None, "deep", "dual")


def token_graph() -> Graph[str]:
    """A matrix memory with a nonlinear mirror map, which is to blame for its form."""
    values = [
        *INPUTS,
        *GATES,
        ("u", "u", "u = k W", "memory", "memory"),
        ("du", "∂ℓ/∂u", "∂ℓ/∂u = u − v", "surprise", "attentional_bias"),
        ("A", "A", "A = α A − η kᵀ ⊗ ∂ℓ/∂u", "state", "retention"),
        ("W", "W", "W = sign(A) max(0, |A| − 0.1)", "state", "retention"),
        ("y", "y", "y = q W", "output", "memory"),
    ]
    links: list[Link] = [
        ("W", "u", 1, "affine"), ("k", "u", 0, "none"), ("u", "du", 0, "affine"), ("v", "du", 0, "none"), ("du", "A", 0, "affine"),
        ("k", "A", 0, "none"), ("A", "A", 1, "affine"), ("log_alpha", "A", 0, "none"), ("eta", "A", 0, "none"), ("A", "W", 0, "nonlinear"),
        ("W", "y", 0, "affine"), ("q", "y", 0, "none"),
    ]  # fmt: skip
    return graph_of(values, links, {"A", "W", "u", "du"}, "W", "token", "token_by_token")


GRAPHS = [deep_graph(), token_graph()]
drawn = pytest.mark.parametrize(("graph", "expand"), [(graph, expand) for graph in GRAPHS for expand in (False, True)], ids=str)


def box(picture: Picture, label: str) -> Box:
    (found,) = (box for box in picture.boxes if box.label == label)
    return found


def test_a_memory_of_several_values_is_one_box_and_so_are_its_surprise_and_its_read() -> None:
    labels = [box.label for box in build_picture(deep_graph()).boxes if box.group in ("memory", "surprise", "read")]
    assert sorted(labels) == sorted(["M(W; k)", "∂ℓ/∂u = 2 (u − v)", "∂ℓ/∂W", "M(W; q)"])


def test_expand_gives_every_value_its_own_box() -> None:
    graph = deep_graph()
    assert {box.name for box in build_picture(graph, expand=True).boxes if box.lag == 0} == set(graph)


def test_an_arrow_out_of_a_collapsed_box_names_what_it_hands_over() -> None:
    labels = {(arrow.tail, arrow.head): arrow.label for arrow in build_picture(deep_graph()).arrows}
    assert labels["memory box", "du"] == "u"
    assert labels["surprise box", "S2"] == "d₂"


def test_merged_arrows_show_the_highest_degree_among_them() -> None:
    degrees = {(arrow.tail, arrow.head): arrow.degree for arrow in build_picture(deep_graph()).arrows}
    assert degrees["memory box", "surprise box"] == "nonlinear"
    assert degrees["surprise box", "S1"] == "affine"


@drawn
def test_no_arrow_runs_backwards_in_time(graph: Graph[str], expand: bool) -> None:
    picture = build_picture(graph, expand)
    drawn_graph = nx.DiGraph((arrow.tail, arrow.head) for arrow in picture.arrows if arrow.tail != arrow.head)
    assert nx.is_directed_acyclic_graph(drawn_graph)


def test_a_value_of_an_earlier_time_is_a_box_of_its_own() -> None:
    (arrow,) = (arrow for arrow in build_picture(token_graph()).arrows if arrow.lag == 1 and arrow.tail != arrow.head)
    (earlier,) = (box for box in build_picture(token_graph()).boxes if box.lag == 1)
    assert (arrow.tail, arrow.head, earlier.label) == (earlier.name, "u", "W")


def test_lags_are_drawn_in_three_ways() -> None:
    lines = emit_dot(deep_graph()).splitlines()
    assert all("style=dashed" in line and "t−1" in line for line in lines if "S1 -> S1" in line)
    assert all("style=dotted" in line and "chunk start" in line for line in lines if '"A2 chunk" ->' in line)
    assert all("style=solid" in line for line in lines if "eta -> S1" in line)


def test_the_recurrence_is_boxed() -> None:
    recurrent = {box.name for box in build_picture(deep_graph()).boxes if box.recurrent}
    assert recurrent == {"S1", "S2", "A1", "A2"}
    inside = emit_dot(deep_graph()).split("subgraph cluster_recurrence")[1].split("}")[0]
    assert all(f"\t{name} [" in inside for name in recurrent)
    assert "log_alpha [" not in inside


def test_only_the_blamed_value_is_marked() -> None:
    assert box(build_picture(token_graph()), "W = sign(A) max(0, |A| − 0.1)").blamed
    marked = [line for line in emit_dot(token_graph()).splitlines() if f'color="{BLAME}"' in line and "fillcolor" in line]
    assert len(marked) == 1
    assert marked[0].strip().startswith("W [")
    assert BLAME not in emit_dot(deep_graph())


def test_a_blamed_value_inside_the_memory_keeps_its_own_box() -> None:
    graph = deep_graph()
    graph.graph["blame"] = "h1"
    assert box(build_picture(graph), "h₁ = gelu(z₁)").blamed


def test_a_long_equation_becomes_the_tooltip() -> None:
    graph = token_graph()
    graph.nodes["du"]["text"] = "∂ℓ/∂u = " + " + ".join("abcdefghijklmnop")
    assert box(build_picture(graph), "∂ℓ/∂u").tooltip == graph.nodes["du"]["text"]


@drawn
def test_svg_is_well_formed_xml_and_keeps_its_unicode(graph: Graph[str], expand: bool) -> None:
    root = ElementTree.fromstring(emit_svg(graph, expand).encode())
    texts = {text.strip() for text in root.itertext()}
    assert {box.label for box in build_picture(graph, expand).boxes} <= texts
    assert "because of this & <that>" in texts


@drawn
def test_no_two_boxes_overlap(graph: Graph[str], expand: bool) -> None:
    places = layout(emit_dot(graph, expand))
    assert len(places) == len(build_picture(graph, expand).boxes)
    for (x, y, width, height), (x2, y2, width2, height2) in combinations(places.values(), 2):
        assert abs(x - x2) >= (width + width2) / 2 or abs(y - y2) >= (height + height2) / 2


@drawn
def test_every_label_fits_into_its_box_in_dejavu_helvetica_and_liberation(graph: Graph[str], expand: bool) -> None:
    places = layout(emit_dot(graph, expand))
    for box in build_picture(graph, expand).boxes:
        for share in (dejavu, helvetica):
            assert places[box.name][2] * 72 >= 12 * sum(map(share, box.label)), box.label


def test_no_character_of_a_shipped_picture_is_wider_than_the_pictures_take_it_to_be() -> None:
    pages = [path.read_text(encoding="utf-8") for path in (GENERATED).glob("*/graph.svg")]
    shown = {character for page in pages for text in ElementTree.fromstring(page.encode()).itertext() for character in text}
    for character in sorted(shown - {"\n"} | set(string.printable[:95])):
        assert style.SHARE[character] >= max(dejavu(character), helvetica(character)) - 1e-9, repr(character)


@functools.cache
def dejavu(character: str) -> float:
    """The width of a character in em."""
    font = FT2Font(findfont("DejaVu Sans"))
    font.set_size(1000, 72)
    assert font.get_char_index(ord(character)), repr(character)
    advance = font.load_char(ord(character), flags=LoadFlags.NO_HINTING).linearHoriAdvance
    return 0 if unicodedata.combining(character) else float(advance) / 65536 / 1000


@functools.cache
def helvetica(character: str) -> float:
    """The same in Helvetica, whose metrics Liberation Sans has; a reader takes missing signs from another font."""
    lines = (Path(get_data_path()) / "fonts/pdfcorefonts/Helvetica.afm").read_text(encoding="latin-1").splitlines()
    widths = {int(line.split()[1]): float(line.split()[4]) / 1000 for line in lines if line.startswith("C ")}
    return widths[ord(character)] if ord(character) < 127 else dejavu(character)


@drawn
def test_every_arrow_runs_to_the_right(graph: Graph[str], expand: bool) -> None:
    places = layout(emit_dot(graph, expand))
    for arrow in build_picture(graph, expand).arrows:
        assert arrow.tail == arrow.head or places[arrow.tail][0] < places[arrow.head][0]


def test_bytes_do_not_depend_on_the_order_in_which_a_graph_was_built() -> None:
    dice = random.Random(0)
    shuffled = deep_graph(dice.shuffle, dice.shuffle)
    assert list(shuffled) != list(deep_graph())
    for draw in (emit_dot, emit_svg):
        assert draw(shuffled) == draw(deep_graph())
        assert draw(shuffled, True) == draw(deep_graph(), True)
    assert emit_json(shuffled) == emit_json(deep_graph())


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_json_reads_back_as_the_same_graph(graph: Graph[str]) -> None:
    again = nx.node_link_graph(json.loads(emit_json(graph)), edges="edges")
    assert {node: again.nodes[node] for node in again} == {node: graph.nodes[node] for node in graph}
    assert sorted(edges(again)) == sorted(edges(graph))
    assert again.graph["recurrence"] == sorted(graph.graph["recurrence"])


def test_png_is_drawn_with_pip_alone_and_the_same_twice() -> None:
    picture = render(deep_graph(), "png", system_dot=False)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture == render(deep_graph(), "png", system_dot=False)
    width, height = struct.unpack(">II", picture[16:24])
    assert width > height > 200


def test_svg_of_render_is_that_of_the_package_when_no_system_dot_is_asked_for() -> None:
    assert render(deep_graph(), "svg", system_dot=False).decode() == emit_svg(deep_graph())


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs a system dot")
@drawn
def test_a_system_dot_draws_the_same_source(graph: Graph[str], expand: bool) -> None:
    root = ElementTree.fromstring(render(graph, "svg", expand))
    assert {box.label for box in build_picture(graph, expand).boxes} <= {text.strip() for text in root.itertext()}


def test_graphviz_pure_draws_where_the_system_dot_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\necho no plugin for you >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert render(deep_graph(), "svg").decode() == emit_svg(deep_graph())


def test_dot_and_json_of_render_are_the_emitted_texts() -> None:
    assert render(token_graph(), "dot", expand=True).decode() == emit_dot(token_graph(), True)
    assert render(token_graph(), "json").decode() == emit_json(token_graph())


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="gif"):
        render(token_graph(), "gif")


@pytest.mark.slow
@drawn
def test_png_and_pdf_show_every_text_of_the_svg_in_a_font_that_has_its_signs(
    graph: Graph[str], expand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign that the font lacks would be a warning of matplotlib, and so a failure here."""
    shown: list[str] = []
    write = Axes.text

    def remember(self: Axes, x: float, y: float, text: str, **how: Any) -> Any:
        shown.append(text)
        return write(self, x, y, text, **how)

    monkeypatch.setattr(Axes, "text", remember)
    texts = [text.text or "" for text in ElementTree.fromstring(emit_svg(graph, expand).encode()).iter() if text.tag.endswith("}text")]
    for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        picture = render(graph, kind, expand)
        assert picture.startswith(start)
        assert shown == texts
        shown.clear()


def test_pdf_is_the_same_twice() -> None:
    assert render(deep_graph(), "pdf") == render(deep_graph(), "pdf")


def test_a_box_grows_with_its_longest_line() -> None:
    assert text_width("ab\nabcdef") == text_width("abcdef") > text_width("ab") > 0


def edges(graph: nx.Graph[str]) -> list[tuple[str, str, str, str]]:
    return [(tail, head, repr(data["lag"]), data["degree"]) for tail, head, data in graph.edges(data=True)]


def layout(source: str) -> dict[str, tuple[float, float, float, float]]:
    """Center, width and height of each box in inches, from Graphviz's plain output."""
    plain = subprocess.run([graphviz_pure(), "-Tplain", "-q"], input=source, capture_output=True, text=True, check=True).stdout
    fields = [shlex.split(line) for line in plain.splitlines() if line.startswith("node ")]
    return {name: (float(x), float(y), float(width), float(height)) for _, name, x, y, width, height, *_ in fields}


def test_a_graph_whose_curves_graphviz_cannot_route_is_drawn_in_another_layout() -> None:
    """A random spec: no route is found for the arrow into its surprise (lib/pathplan/shortest.c)."""
    tree = {
        "name": "drawn",
        "memory": {"kind": "swiglu", "expansion": 2, "residual": False},
        "attentional_bias": {"kind": "robust_shift", "shift": 0.5},
        "retention": {"kind": "elastic_net_ftrl", "threshold": 0.2, "order": "after_gradient"},
        "optimizer": {"kind": "momentum"},
        "gates": {"eta": {"per": "head"}, "alpha": {"per": "head", "init": 0.25}, "mu": {"per": "head", "source": "constant"}},
        "chunk": {"size": 1, "gradient": "chunk_start"},
    }
    graph = compile_spec(parse_spec(json.dumps(tree), "drawn.yaml")).graph
    assert emit_svg(graph).count('class="edge"') == len(build_picture(graph).arrows)
