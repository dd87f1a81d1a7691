"""The division of the work for all tiles at once into kernels, as few as keep the tiles of each in registers.

A tile is computed together with the last product that it is made of. The last kernel takes as many of the last products as fit; the kernels
before it store the tiles that it loads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from miras_compiler.ir.nodes import Contract, Decayed, Leaf, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of, topological
from miras_compiler.passes.decays import derivatives_together
from miras_compiler.schedule.buffers import Buffers
from miras_compiler.schedule.frontier import find_frontier, price_loads
from miras_compiler.schedule.kernel import Kernel
from miras_compiler.schedule.pressure import estimate_pressure
from miras_compiler.schedule.price import Prices
from miras_compiler.schedule.tile import BLOCK

ROOM = 160 * 1024  # bytes of tiles that may live at once in one program: with more, kernels spilled and took longer than two of them
LEAST = 4  # products of a kernel; with fewer it rather loads tiles that it could compute again
DEAR = (1.0, 4.0, 16.0)  # how many times as dear to compute again, step by step


class Part(NamedTuple):
    """One kernel of a division: the outputs that it ends in, and the tiles that it loads."""

    ends: Mapping[str, Node]
    loaded: tuple[Node, ...]


@dataclass
class Division:
    """Divides outputs of a program; tiles `held` are in buffers, those that cross are added. `make` makes the kernel of a part."""

    program: Program
    prices: Prices
    buffers: Buffers
    held: Collection[Node]
    make: Callable[[Buffers, Part], Kernel]
    stage: dict[Node, int] = field(init=False)

    def parts(self, outputs: Mapping[str, Node]) -> list[Part]:
        """The kernels in their order. Where only few products fit into one, it computes less again."""
        if not outputs:
            return []
        self.stage = product_stages(outputs.values(), set(self.loaded(list(outputs.values()), (), (), DEAR[0])))
        parts: list[Part] = []
        left, top = dict(outputs), max(self.stage.values(), default=0)
        while left:
            for dear in DEAR:
                low = self.least_fitting(left, top, dear)
                if low == 0 or top - low >= LEAST:
                    break
            part = self.behind(low, left, dear)
            for node in part.loaded:
                self.buffers.add(node, self.program)
            left = {name: node for name, node in left.items() if name not in part.ends}
            left |= {self.buffers.names[node]: node for node in part.loaded if node not in self.held}
            parts.insert(0, part)
            top = low
        return parts

    def least_fitting(self, outputs: Mapping[str, Node], top: int, dear: float) -> int:
        """The least stage, below `top`, behind which everything fits into one kernel."""
        low, most = 0, max(top - 1, 0)
        while low < most:
            middle = (low + most) // 2
            low, most = (low, middle) if self.fits(self.behind(middle, outputs, dear)) else (middle + 1, most)
        return low

    def behind(self, low: int, outputs: Mapping[str, Node], dear: float) -> Part:
        """Everything behind a stage; behind 0, tiles that are made of no product, too."""
        own = [node for node, stage in self.stage.items() if stage > low] if low else []
        ends = {name: node for name, node in outputs.items() if self.stage[node] > low or not low}
        ahead = [node for node, stage in self.stage.items() if stage <= low] if low else []
        return Part(ends, self.loaded(list(ends.values()), own, ahead, dear))

    def loaded(self, roots: Sequence[Node], own: Collection[Node], ahead: Sequence[Node], dear: float) -> tuple[Node, ...]:
        """The tiles held or computed `ahead` that a kernel of the roots loads, where computing them again is so many times as `dear`."""
        stored = {*self.held, *(node for node in ahead if node in self.buffers.names)}
        prices = price_loads([*ahead, *self.held, *leaves_of(self.program)], stored, self.prices, "each")
        frontier = find_frontier(roots, own, {node: price / dear for node, price in prices.items()}, self.prices, "each")
        return tuple(node for node in frontier if not isinstance(node, Leaf))

    def fits(self, part: Part) -> bool:
        """True if the tiles of a kernel that live at once stay in registers."""
        buffers = self.buffers.copy()
        for node in part.loaded:
            buffers.add(node, self.program)
        kernel, lengths = self.make(buffers, part), self.prices.lengths
        blocks = {axis: BLOCK for axis, length in lengths.items() if (axis.startswith("n") or axis == kernel.wide) and length > BLOCK}
        return estimate_pressure(kernel, lengths, blocks).live <= ROOM


def product_stages(roots: Iterable[Node], stops: Collection[Node]) -> dict[Node, int]:
    """The tiles under the roots, arguments first, with the number of the last product that they are made of; 0 for none, and for stops.

    Derivatives of one product under decays have one number.
    """
    stage: dict[Node, int] = {}
    products = 0
    order = topological(roots, stops)
    together = derivatives_together(order)
    for node in order:
        if node in stops:
            stage[node] = 0
            continue
        products += isinstance(node, Contract | Decayed)
        own = products if isinstance(node, Contract | Decayed) else 0
        if isinstance(node, Decayed) and node.part != "scores":
            own = min((stage[each] for each in together.get(node, {}).values() if each in stage and each.part != "scores"), default=own)
        stage[node] = max([own, *(stage[arg] for arg in node.args)])
    return stage
