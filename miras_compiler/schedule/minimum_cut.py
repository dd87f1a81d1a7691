"""The minimum cut of a small graph, by the maximum flow (E. A. Dinic, 1970): blocking flows over the shortest ways that are left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Edge(NamedTuple):
    """From a vertex to another; `price` is paid where the edge is cut, and None forbids that."""

    tail: int
    head: int
    price: int | None = None


def minimum_cut(count: int, edges: Iterable[Edge], source: int, sink: int) -> set[int]:
    """The vertices, of 0 … count − 1, behind the minimum cut that is nearest to the sink: it is the same for every maximum flow."""
    given = list(edges)
    above = 1 + sum(edge.price or 0 for edge in given)
    heads = [vertex for edge in given for vertex in (edge.head, edge.tail)]
    room = [amount for edge in given for amount in (above if edge.price is None else edge.price, 0)]  # of an edge, and of its reverse
    leaving: list[list[int]] = [[] for _ in range(count)]
    for i, (tail, head, _) in enumerate(given):
        leaving[tail].append(2 * i)
        leaving[head].append(2 * i + 1)

    def steps_from(start: int, backwards: int) -> list[int]:
        """The number of edges with room from `start` to every vertex, or with 1 from it to `start`; −1 where there is no way."""
        steps = [-1] * count
        steps[start] = 0
        reached = [start]
        for vertex in reached:
            for edge in leaving[vertex]:
                if room[edge ^ backwards] and steps[heads[edge]] < 0:
                    steps[heads[edge]] = steps[vertex] + 1
                    reached.append(heads[edge])
        return steps

    while (steps := steps_from(source, 0))[sink] >= 0:
        at = [0] * count  # the edges before have no way on
        way: list[int] = []
        vertex = source
        while True:
            while at[vertex] < len(leaving[vertex]):
                edge = leaving[vertex][at[vertex]]
                if room[edge] and steps[heads[edge]] == steps[vertex] + 1:
                    break
                at[vertex] += 1
            else:
                if not way:
                    break
                vertex = heads[way.pop() ^ 1]
                at[vertex] += 1
                continue
            way.append(edge)
            vertex = heads[edge]
            if vertex == sink:
                amount = min(room[each] for each in way)
                for each in way:
                    room[each] -= amount
                    room[each ^ 1] += amount
                way, vertex = [], source
    return {vertex for vertex, steps in enumerate(steps_from(sink, 1)) if steps >= 0}
