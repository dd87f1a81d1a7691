"""Kernels cut by dependence on what is carried from tile to tile.

One rule for both directions. What does not depend on the carried tiles runs first, for all tiles of tokens at once (`prep`, `pre`);
what the next carried tiles are made of walks from tile to tile (`main`, `seq`) and leaves each of them as it finds it in a buffer; the
remaining outputs follow, again for all tiles at once (`read`, `post`). What a kernel loads of the others' results and what it computes
again is its frontier, a minimum cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from miras_compiler.ir.build import input_tile
from miras_compiler.ir.nodes import Contract, Label, Leaf, Node, Program
from miras_compiler.ir.traverse import dependents, labels_in_use, leaves_of, topological
from miras_compiler.passes import run_passes
from miras_compiler.schedule.buffers import Buffers
from miras_compiler.schedule.frontier import find_frontier, price_loads
from miras_compiler.schedule.inverse import invert_triangles
from miras_compiler.schedule.kernel import Kernel, Result, Role, Schedule, Walk
from miras_compiler.schedule.partial_sums import part_sums
from miras_compiler.schedule.price import LENGTHS, Prices, narrow_tiles
from miras_compiler.schedule.reductions import merge_reductions
from miras_compiler.schedule.roles import (
    AT,
    adjoint_of,
    backward_results,
    backward_roles,
    carried_leaves,
    carried_states,
    forward_results,
    forward_roles,
)
from miras_compiler.schedule.scaling import pull_scalings

PRODUCTS_AT_ONCE = 12  # more in one kernel, and the tiles that live at once no longer fit into registers and shared memory
OF_DEEP_AT_ONCE = 6  # of a deep memory, whose products come with more tiles


def build_cut(
    program: Program, reason: str, last: tuple[str, ...] = (), prefix: str = "", lengths: Mapping[str, int] = LENGTHS
) -> Schedule:
    """The kernels of a chunk program, their names after `prefix`; those that would do nothing are left out."""
    forward = merge_reductions(run_passes(pull_scalings(invert_triangles(program))))
    adjoint = part_sums(merge_reductions(run_passes(pull_scalings(adjoint_of(program)))))
    prices = Prices(lengths, narrow_tiles(forward, adjoint))
    buffers = Buffers(forward, adjoint)
    entered = {name: name + AT for name in carried_states(program)}
    first = _Pass(forward, forward_roles(forward), forward_results(forward), {}, buffers, prices)
    second = _Pass(adjoint, backward_roles(adjoint), backward_results(adjoint), entered, buffers, prices)
    return Schedule(
        first.kernels((prefix + "prep", prefix + "main", prefix + "read"), "forward", last),
        second.kernels((prefix + "pre", prefix + "seq", prefix + "post"), "reverse", tuple(f"d_{name}" for name in last)),
        reason,
    )


@dataclass
class _Pass:
    """One direction: its program, where the leaves come from, and where the outputs go.

    `entered` names the buffers of states that the other direction has carried.
    """

    program: Program
    roles: Mapping[str, Role]
    results: Mapping[str, Result]
    entered: Mapping[str, str]
    buffers: Buffers
    prices: Prices

    def kernels(self, names: tuple[str, str, str], walk: Walk, last: tuple[str, ...]) -> tuple[Kernel, ...]:
        """Early, walking and late kernel."""
        program, prices = self.program, self.prices
        carried = carried_leaves(program)
        states = {leaf.name for leaf in carried}
        nexts = {name: node for name, node in program.outputs.items() if name in states}
        others = {name: node for name, node in program.outputs.items() if name not in states}
        depends = dependents(program.outputs.values(), carried) - set(carried)
        path = depends & set(topological(nexts.values()))
        before = tuple(self.buffers.names)

        walk_loads = price_loads(set(topological(nexts.values())) - path, before, prices, "walk") | dict.fromkeys(carried, 0.0)
        to_walk = self.crossing(find_frontier(list(nexts.values()), path, walk_loads, prices, "walk"))
        if self.is_worth_a_kernel(others, depends - path):
            late_loads = price_loads(topological(others.values()), (*before, *to_walk, *others.values()), prices, "each")
            own = [node for node in others.values() if node in depends]
            to_late = find_frontier(own, depends - path, late_loads, prices, "each")
            walking = nexts
        else:
            whole = topological(program.outputs.values())
            walk_loads = price_loads(set(whole) - depends, before, prices, "walk") | dict.fromkeys(carried, 0.0)
            to_walk = self.crossing(find_frontier(list(program.outputs.values()), depends, walk_loads, prices, "walk"))
            to_late, walking, others = (), dict(program.outputs), {}
        made = {name: node for name, node in others.items() if node in to_late and node not in before}  # where they are computed
        made |= {name: node for name, node in others.items() if node not in depends}
        late = {name: node for name, node in others.items() if name not in made}
        to_late = tuple(node for node in _needed(late.values(), to_late) if node in to_late)
        entering = {leaf.name: leaf.name + AT for leaf in carried if leaf in to_late}
        to_late = self.crossing(to_late)

        early = [node for node in dict.fromkeys((*to_walk, *to_late)) if node not in depends and node not in before]
        made_early = {name: node for name, node in made.items() if node not in depends}
        made_walking = {name: node for name, node in made.items() if node in depends}
        for node in (*to_walk, *to_late, *early):
            self.buffers.add(node, program)
        first = self.early_kernels(names[0], {**self.named(early), **made_early}, before)
        left = self.named(node for node in to_late if node in path)
        middle = self.kernel(names[1], walk, {**walking, **made_walking, **left}, to_walk)
        saved = {name: name + AT for name in (states if walk == "forward" else entering)}
        middle = replace(middle, entries=dict(sorted(saved.items())), last=last)
        final = self.kernel(names[2], "each", late, to_late, entering)
        return tuple(kernel for kernel in (*first, middle, final) if kernel.results)

    def early_kernels(self, name: str, outputs: Mapping[str, Node], before: Collection[Node]) -> list[Kernel]:
        """The outputs that depend on nothing carried, in as many kernels as keep each to a size that fits.

        The last kernel does the last products; what it loads of the tiles before them, the kernels before it store.
        """
        if not outputs:
            return []
        roots = list(outputs.values())
        loads = price_loads([*before, *leaves_of(self.program)], before, self.prices, "each")
        loaded = self.crossing(find_frontier(roots, (), loads, self.prices, "each"))
        needed = _needed(roots, loaded)
        products = [node for node in needed if isinstance(node, Contract)]
        limit = OF_DEEP_AT_ONCE if any(axis.startswith("n") for node in needed for axis in node.axes) else PRODUCTS_AT_ONCE
        if len(products) <= limit:
            return [self.kernel(name, "each", outputs, loaded)]
        start = needed.index(products[-limit])
        own = set(needed[start:])
        loads = price_loads([*needed[:start], *before, *leaves_of(self.program)], before, self.prices, "each")
        last = {output: node for output, node in outputs.items() if node in own}
        loaded = self.crossing(find_frontier(list(last.values()), own, loads, self.prices, "each"))
        for node in loaded:
            self.buffers.add(node, self.program)
        ahead = {output: node for output, node in outputs.items() if output not in last}
        ahead |= self.named(node for node in loaded if node not in before)
        kernels = self.early_kernels(name, ahead, before)
        return [*kernels, self.kernel(f"{name}{len(kernels) + 1}", "each", last, loaded)]

    def is_worth_a_kernel(self, outputs: Mapping[str, Node], own: Collection[Node]) -> bool:
        """Whether the outputs that nothing is carried from take longer in the walk than it takes to read the carried tiles again."""
        needed = set(topological(outputs.values())) & set(own)
        again = sum(self.prices.moved(leaf, "each") for leaf in carried_leaves(self.program))
        return sum(self.prices.computed(node, "walk") for node in needed) > again

    @staticmethod
    def crossing(frontier: Iterable[Node]) -> tuple[Node, ...]:
        return tuple(node for node in frontier if not isinstance(node, Leaf))

    def named(self, nodes: Iterable[Node]) -> dict[str, Node]:
        return {self.buffers.names[node]: node for node in nodes}

    def kernel(
        self, name: str, walk: Walk, outputs: Mapping[str, Node], crossing: Collection[Node], entering: Mapping[str, str] | None = None
    ) -> Kernel:
        """A kernel of `outputs`, with the tiles `crossing` as leaves and the carried leaves `entering` from their buffers."""
        entering = {**self.entered, **(entering or {})}
        leaves: dict[Node, Node] = {node: input_tile(self.buffers.names[node], node.axes) for node in crossing}
        leaves |= {leaf: input_tile(entering[leaf.name], leaf.axes) for leaf in leaves_of(self.program) if leaf.name in entering}
        cut, labels = substitute(outputs, leaves, self.buffers.labels(self.program))
        buffers = {*self.buffers.names.values(), *entering.values()}
        roles: dict[str, Role] = {
            leaf.name: "saved" if leaf.name in buffers else self.roles[leaf.name] for leaf in leaves_of(Program(name, cut))
        }
        results: dict[str, Result] = {output: self.results.get(output, "saved") for output in outputs}
        narrow = {name for node, name in self.buffers.names.items() if node in self.prices.narrow}
        return Kernel(name, walk, Program(name, cut, labels_in_use(cut, labels)), roles, results, narrow=frozenset(narrow))


def substitute(
    outputs: Mapping[str, Node], leaves: Mapping[Node, Node], labels: Mapping[Node, Label]
) -> tuple[dict[str, Node], dict[Node, Label]]:
    """The outputs with leaves in place of tiles, and the labels that go with them."""
    new: dict[Node, Node] = {}
    for node in _needed(outputs.values(), leaves):
        if node in leaves:
            new[node] = leaves[node]
        else:
            new[node] = node if isinstance(node, Leaf) else type(node)(node.axes, tuple(new[arg] for arg in node.args), node.fields)
    return {name: new[node] for name, node in outputs.items()}, {new[node]: label for node, label in labels.items() if node in new}


def _needed(roots: Iterable[Node], stops: Collection[Node]) -> list[Node]:
    """The tiles under the roots, not looking behind the stops, arguments first."""
    order: dict[Node, None] = {}
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, expanded = stack.pop()
        if node in order:
            continue
        if expanded or node in stops:
            order[node] = None
        else:
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args))
    return list(order)


__all__ = ["build_cut", "carried_states"]
