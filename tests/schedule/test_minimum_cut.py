"""The minimum cut against all cuts of small random graphs."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from miras_compiler.schedule.minimum_cut import Edge, minimum_cut

INNER = 6  # vertices beside source and sink


def drawn(random: Random) -> list[Edge]:
    """Edges among the inner vertices, from the source and to the sink; some must not be cut, some cost nothing."""
    pairs = [(random.randrange(INNER + 1), random.choice([*range(INNER), INNER + 1])) for _ in range(16)]
    return [
        Edge(tail, head, random.randrange(5) if {tail, head} & {INNER, INNER + 1} or random.random() < 0.7 else None)
        for tail, head in pairs
        if tail != head
    ]


def price(edges: list[Edge], behind: set[int]) -> float:
    """The price of the edges that lead to the vertices behind the cut."""
    cut = [edge.price for edge in edges if edge.tail not in behind and edge.head in behind]
    return float("inf") if None in cut else sum(each for each in cut if each is not None)


@pytest.mark.parametrize("seed", range(40))
def test_no_cut_costs_less_and_none_as_cheap_lies_nearer_to_the_sink(seed: int) -> None:
    edges, sink = drawn(Random(seed)), INNER + 1
    found = minimum_cut(INNER + 2, edges, INNER, sink)
    assert sink in found
    assert INNER not in found
    cuts = [{sink} | {i for i, taken in enumerate(each) if taken} for each in product((False, True), repeat=INNER)]
    least = min(price(edges, cut) for cut in cuts)
    assert price(edges, found) == least < float("inf")
    assert all(found <= cut for cut in cuts if price(edges, cut) == least)


def test_vertices_that_must_stay_together_do() -> None:
    assert minimum_cut(4, [Edge(2, 0, 5), Edge(0, 1), Edge(1, 3, 3)], 2, 3) == {3}
    assert minimum_cut(4, [Edge(2, 0, 2), Edge(0, 1), Edge(1, 3, 3)], 2, 3) == {0, 1, 3}
