"""The frontier of a kernel: which tiles it loads and which it computes again, by a minimum cut of seconds to move against seconds to
compute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.traverse import topological
from miras_compiler.schedule.minimum_cut import Edge, minimum_cut
from miras_compiler.schedule.price import Prices, is_free

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
    order = topological(roots)
    hands = {node: 2 * i + 1 for i, node in enumerate(order)}  # and "computed here" is the number before
    source, sink = 2 * len(order), 2 * len(order) + 1
    edges = [Edge(hands[root], sink) for root in roots]
    for node, hand in hands.items():
        here = hand - 1
        if node in must:
            edges.append(Edge(here, sink))
        else:
            edges.append(Edge(source, here, None if isinstance(node, Leaf) else round(UNITS * prices.computed(node, way))))
        if node in loads and node not in must:
            edges.append(Edge(here, hand, round(UNITS * loads[node])))
        else:
            edges.append(Edge(here, hand))
            if not isinstance(node, Leaf):
                edges.append(Edge(hand, here))
        edges += [Edge(hands[arg], here) for arg in node.args]
    needed = minimum_cut(sink + 1, edges, source, sink)
    return tuple(node for node, hand in hands.items() if hand in needed and hand - 1 not in needed and not is_free(node))


def price_loads(nodes: Collection[Node], stored: Collection[Node], prices: Prices, way: str) -> dict[Node, float]:
    """Reading for tiles that are stored already and for leaves; writing and reading for the rest; nothing for tiles that every kernel
    computes again.
    """
    held = set(stored)
    storable = [node for node in nodes if not is_free(node) and node not in prices.again]
    return {node: prices.moved(node, way) * (1 if node in held or isinstance(node, Leaf) else 2) for node in storable}
