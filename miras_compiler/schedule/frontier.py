"""The frontier of a kernel: which tiles it loads and which it computes again, by a minimum cut of seconds to move against seconds to
compute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import networkx as nx
from networkx.algorithms.flow import boykov_kolmogorov

from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.traverse import topological
from miras_compiler.schedule.price import Prices, is_free

SOURCE, SINK = "source", "sink"
UNITS = 1e18  # of a second: whole numbers add up to the same in any order, so that equal cuts stay equal


def find_frontier(
    roots: Collection[Node], inside: Collection[Node], loads: Mapping[Node, float], prices: Prices, way: str
) -> tuple[Node, ...]:
    """The tiles that a kernel with these roots loads, leaves included, arguments first.

    Tiles `inside` are computed in the kernel whatever it costs. `loads` gives the price of having a tile from elsewhere; tiles that are not
    in it can only be computed. Every tile is two vertices, "computed here" and "at hand here"; a cut severs one edge for each tile that is
    loaded, at the price of the load, or computed, at the price of the computation.
    """
    must = set(inside)
    graph: nx.DiGraph[object] = nx.DiGraph()
    graph.add_nodes_from((SOURCE, SINK))
    order = topological(roots)
    for node in order:
        here, hand = (node, "computed"), (node, "hand")
        if node in must:
            graph.add_edge(here, SINK)
        elif isinstance(node, Leaf):
            graph.add_edge(SOURCE, here)
        else:
            graph.add_edge(SOURCE, here, capacity=round(UNITS * prices.computed(node, way)))
        if node in loads and node not in must:
            graph.add_edge(here, hand, capacity=round(UNITS * loads[node]))
        else:
            graph.add_edge(here, hand)
            if not isinstance(node, Leaf):
                graph.add_edge(hand, here)
        for arg in node.args:
            graph.add_edge((arg, "hand"), here)
    for root in roots:
        graph.add_edge((root, "hand"), SINK)
    _, (source_side, _) = nx.minimum_cut(graph, SOURCE, SINK, flow_func=boykov_kolmogorov)
    return tuple(node for node in order if (node, "computed") in source_side and (node, "hand") not in source_side and not is_free(node))


def price_loads(nodes: Collection[Node], stored: Collection[Node], prices: Prices, way: str) -> dict[Node, float]:
    """Reading for tiles that are stored already and for leaves; writing and reading for the rest; nothing for tiles that every kernel
    computes again.
    """
    held = set(stored)
    storable = [node for node in nodes if not is_free(node) and node not in prices.again]
    return {node: prices.moved(node, way) * (1 if node in held or isinstance(node, Leaf) else 2) for node in storable}
