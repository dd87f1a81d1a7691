"""Kernels cut by dependence on the tiles that are carried on.

One rule for both directions. Values that do not depend on the carried tiles are computed first, for all tiles of tokens at once (`prep`,
`pre`); a kernel that computes the next carried tiles walks from tile to tile (`main`, `seq`) and leaves each of them as it finds it in a
buffer; the remaining outputs follow, again for all tiles at once (`read`, `post`). The results of others that a kernel loads, and those
that it computes again, are its frontier, a minimum cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from miras_compiler.ir.build import input_tile
from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import carried_leaves, dependents, leaves_of, nodes_of, topological
from miras_compiler.passes import PASSES, run_passes
from miras_compiler.passes.brackets import Brackets, expose_brackets, take_brackets
from miras_compiler.passes.enter import START
from miras_compiler.passes.invert import TriangularInverse, invert_triangles
from miras_compiler.passes.merge import merge_reductions
from miras_compiler.passes.part import part_sums
from miras_compiler.passes.regroup import regroup_sums
from miras_compiler.passes.scale import pull_scalings
from miras_compiler.passes.spell import spell
from miras_compiler.passes.substitute import substitute
from miras_compiler.schedule.buffers import Buffers
from miras_compiler.schedule.divide import Division, Part
from miras_compiler.schedule.frontier import find_frontier, price_loads
from miras_compiler.schedule.kernel import Kernel, Result, Role, Schedule, Walk
from miras_compiler.schedule.pressure import behind
from miras_compiler.schedule.price import LENGTHS, Prices, narrow_tiles
from miras_compiler.schedule.projections import projections
from miras_compiler.schedule.roles import (
    AT,
    backward_results,
    carried_states,
    forward_results,
    roles_of,
    without_masks,
)

FORWARD = (expose_brackets, invert_triangles, pull_scalings, *PASSES, merge_reductions)
BACKWARD = (*FORWARD, part_sums)
ROWS = ("q", "k", "v", "d_o")  # in the type that operands of products are rounded to, as are narrow buffers
RATHER_LOADED = 2.0  # factor by which late kernels discount loads: they are short of registers


def build_cut(
    program: Program,
    adjoint: Program,
    reason: str,
    last: tuple[str, ...] = (),
    lengths: Mapping[str, int] = LENGTHS,
    *,
    full_states: bool = False,
    wide: str = "",
) -> Schedule:
    """The kernels of a chunk program and of its adjoint; those that would do nothing are left out.

    With `full_states`, the buffers of states that tiles find are in float32, whatever the kernels need. `wide` is the axis of features.
    """
    program = run_passes(program, [spell])
    forward = run_passes(program, [*FORWARD, spell])
    told = partial(take_brackets, earlier=forward), partial(spell, earlier=forward.labels)
    adjoint = run_passes(without_masks(adjoint), [*BACKWARD, *told])
    narrow = narrow_tiles(forward, adjoint) - ({*carried_leaves(forward)} if full_states else set())
    prices = Prices(lengths, narrow, projections(forward, adjoint))
    buffers = Buffers(forward, adjoint)
    entered = {name: name + AT for name in carried_states(program)}
    there = _Pass(forward, roles_of(forward), forward_results(forward), {}, buffers, prices, wide)
    first = there.kernels(("prep", "main", "read"), "forward", last)
    kept = frozenset((*buffers.names.values(), *entered.values()))
    back = _Pass(adjoint, roles_of(adjoint), backward_results(adjoint), entered, buffers, prices, wide, kept)
    second = back.kernels(("pre", "seq", "post"), "reverse", tuple(f"d_{name}" for name in last))
    return Schedule(first, second, reason)


@dataclass
class _Pass:
    """One direction: its program, where the leaves come from, and where the outputs go.

    `entered` names the buffers of states that the other direction has carried, `kept` all that it leaves (None: this is the first).
    """

    program: Program
    roles: Mapping[str, Role]
    results: Mapping[str, Result]
    entered: Mapping[str, str]
    buffers: Buffers
    prices: Prices
    wide: str
    kept: frozenset[str] | None = None

    @property
    def brackets(self) -> list[Brackets]:
        """Those that are computed here: their buffers are the memory in which they are computed row by row."""
        found = (node for node in nodes_of(self.program) if isinstance(node, Brackets))
        return [node for node in found if self.kept is None or node.transposed]

    def kernels(self, names: tuple[str, str, str], walk: Walk, last: tuple[str, ...]) -> tuple[Kernel, ...]:
        """Early, walking and late kernel."""
        program, prices = self.program, self.prices
        carried = carried_leaves(program)
        states = {leaf.name for leaf in carried}
        both = [name for state in program.outputs if state in states for name in (state, state + START)]
        nexts = {name: program.outputs[name] for name in both if name in program.outputs}
        others = {name: node for name, node in program.outputs.items() if name not in nexts}
        depends = dependents(program.outputs.values(), carried) - set(carried)
        path = depends & set(topological(nexts.values()))
        before = (*self.buffers.names, *self.brackets)

        walk_loads = price_loads(set(topological(nexts.values())) - path, before, prices, "walk") | dict.fromkeys(carried, 0.0)
        to_walk = self.crossing(find_frontier(list(nexts.values()), path, walk_loads, prices, "walk"))
        if not depends.intersection(others.values()) or self.is_worth_a_kernel(others, depends - path):
            late_loads = price_loads(topological(others.values()), (*before, *to_walk, *others.values()), prices, "each")
            late_loads = {node: price if node in path else price / RATHER_LOADED for node, price in late_loads.items()}
            own = [node for node in others.values() if node in depends]
            to_late = find_frontier(own, depends - path, late_loads, prices, "each")
            walking = nexts
        else:
            whole = topological(program.outputs.values())
            walk_loads = price_loads(set(whole) - depends, before, prices, "walk") | dict.fromkeys(carried, 0.0)
            to_walk = self.crossing(find_frontier(list(program.outputs.values()), depends, walk_loads, prices, "walk"))
            to_late, walking, others = (), dict(program.outputs), {}
        rows = (base for node in self.brackets for arg in (node.args[0], *node.args[2:]) for base in behind(arg))
        to_walk = tuple(dict.fromkeys((*to_walk, *self.crossing(rows))))
        made = {name: node for name, node in others.items() if node in to_late and node not in before}  # where they are computed
        made |= {name: node for name, node in others.items() if node not in depends}
        late = {name: node for name, node in others.items() if name not in made}
        to_late = tuple(node for node in topological(late.values(), to_late) if node in to_late)
        entering = {leaf.name: leaf.name + AT for leaf in carried if leaf in to_late}
        to_late = self.crossing(to_late)

        early = [node for node in dict.fromkeys((*to_walk, *to_late)) if node not in depends and node not in before]
        made_early = {name: node for name, node in made.items() if node not in depends}
        made_walking = {name: node for name, node in made.items() if node in depends}
        for node in (*to_walk, *to_late, *early, *self.brackets):
            self.buffers.add(node, program)
        first = self.each_kernels(names[0], {**self.named(early), **made_early}, before)
        left = self.named(node for node in dict.fromkeys((*self.brackets, *to_late)) if node in path)
        middle = self.kernel(names[1], walk, {**walking, **made_walking, **left}, to_walk)
        is_all = walk == "forward" and "held" not in self.roles.values()  # else tiles read the states that entered the chunk
        saved = {name: name + AT for name in (states if is_all else entering)}
        middle = replace(middle, entries=dict(sorted(saved.items())), last=last)
        final = self.each_kernels(names[2], late, {*before, *to_walk, *to_late}, entering)
        return tuple(kernel for kernel in (*first, middle, *final) if kernel.results)

    def each_kernels(
        self, name: str, outputs: Mapping[str, Node], held: Collection[Node], entering: Mapping[str, str] | None = None
    ) -> list[Kernel]:
        """Kernels of outputs that nothing is carried to; tiles `held` are in buffers."""

        def make(buffers: Buffers, part: Part) -> Kernel:
            return replace(self, buffers=buffers).kernel(name, "each", *part, entering)

        parts = Division(self.program, self.prices, self.buffers, held, make).parts(outputs)
        names = [name, *(f"{name}{number}" for number in range(2, len(parts) + 1))]
        return [self.kernel(each, "each", *part, entering) for each, part in zip(names, parts, strict=False)]

    def is_worth_a_kernel(self, outputs: Mapping[str, Node], own: Collection[Node]) -> bool:
        """True if the outputs that nothing is carried from take longer in the walk than it takes to read the carried tiles again."""
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
        labels = self.buffers.labels(self.program)
        cut = substitute(Program(name, outputs, labels, self.program.suggested), leaves)
        buffers = {*self.buffers.names.values(), *entering.values()}
        saved = {*buffers, *(leaf.name + AT for leaf in carried_leaves(self.program))}
        own = frozenset() if self.kept is None else frozenset(saved - self.kept)
        roles: dict[str, Role] = {leaf.name: "saved" if leaf.name in buffers else self.roles[leaf.name] for leaf in leaves_of(cut)}
        results: dict[str, Result] = {output: self.results.get(output, "saved") for output in outputs}
        narrow = {name for node, name in self.buffers.names.items() if node in self.prices.narrow}
        narrow |= {leaf.name + AT for leaf in carried_leaves(self.program) if leaf in self.prices.narrow}
        states = {entering[leaf.name] for leaf in leaves_of(self.program) if leaf.name in entering and leaf in self.prices.narrow}
        exact = [leaf for leaf in leaves_of(cut) if leaf.name in {*ROWS, *narrow, *states}]
        cut = run_passes(cut, [partial(regroup_sums, exact=exact)])
        inverses = {name for node, name in self.buffers.names.items() if isinstance(node, TriangularInverse)}
        return Kernel(
            name,
            walk,
            cut,
            roles,
            results,
            narrow=frozenset(narrow),
            inverses=frozenset(inverses),
            own=own,
            wide=self.wide,
        )


__all__ = ["build_cut", "carried_states"]
