"""The order of the statements of a tile: as they are derived, or, where too many tiles would live at once, one that needs fewer.

A GPU keeps the tiles of a program in registers; tiles that do not fit go to memory and back. Reordered statements start from a beam search
over the orders that their names allow, by the most bytes that live at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from miras_compiler.emit.triton.statement import Statement

BEAM = 200
AHEAD = {"walk": 4, "each": 1}  # statements by which a tile is loaded before it is read; of programs that do not walk, others run meanwhile
ROW_AHEAD = 8  # and a row or a number, which takes fewer registers
BUDGET = 40 * 1024  # bytes that may live at once before statements are reordered: the compiler needs about twice that

FAR = 8  # statements: a tile that is read again after so many is loaded again
HELD = -1  # the maker of carried tiles
TILE = 2048  # fewer bytes are rows or numbers
ROOM = {"walk": 240 * 1024, "each": 112 * 1024}  # bytes that live at once beside which there are registers for a tile more


def arrange(statements: Sequence[Statement], held: Mapping[str, int], kept: Collection[str]) -> tuple[list[Statement], int]:
    """The statements, reordered if they need to be, and the most bytes that live at once.

    `held` are carried tiles with their bytes, `kept` the names that are read at the end.
    """
    search = _Search(statements, held, kept)
    peak = search.peak(range(len(statements)))
    if peak > BUDGET:
        order = search.delayed(search.best())
        if search.peak(order) < peak or (any(search.within) and search.cost(order) < search.cost(range(len(statements)))):
            return [statements[i] for i in search.with_reloads(order)], search.peak(order)
    return list(statements), peak


def around_long(statements: Sequence[Statement]) -> list[list[Statement]]:
    """The statements in groups, each but the last with a long one at its end, behind those alone that this one needs.

    Tiles that others need, too, are loaded again behind it: a long statement has the registers to itself.
    """
    rest, groups = list(statements), []
    while (at := next((i for i, statement in enumerate(rest) if statement.long), None)) is not None:
        needed = set(rest[at].reads)
        group = [rest[at]]
        for statement in reversed(rest[:at]):
            if needed & {statement.name, *statement.others}:
                needed |= statement.reads
                group.insert(0, statement)
        groups.append(group)
        rest = [statement for statement in rest if statement not in group]
        read = {name for statement in rest for name in statement.reads}
        rest = [statement for statement in group if statement.is_load and statement.name in read] + rest
    return [*groups, rest]


def with_early_loads(statements: Sequence[Statement], way: Literal["walk", "each"], has_room: bool) -> list[Statement]:
    """The statements with every load some statements ahead of its first reader, which so waits less for memory.

    Where there are registers for it, `has_room`, a tile comes while the product before its reader is computed.
    """
    given = [replace(statement) for statement in statements]  # one that stands twice is two
    found = list(given)
    for load in given:
        if not load.is_load:
            continue
        at = next(i for i, statement in enumerate(found) if statement is load)
        del found[at]
        first = next((i for i in range(at, len(found)) if load.name in found[i].reads), at)
        before = max((i + 1 for i in range(at) if load.name in found[i].reads or load.name == found[i].name), default=0)
        place = max(before, min(at, first - (ROW_AHEAD if load.bytes < TILE else AHEAD[way])))
        if has_room and load.bytes >= TILE and not any(statement.is_product for statement in found[place:first]):
            products = [i for i in range(before, place) if found[i].is_product]
            place = max(products, default=before)
        found.insert(place, load)
    return found


class _Search:
    """Orders of statements as tuples of their numbers."""

    def __init__(self, statements: Sequence[Statement], held: Mapping[str, int], kept: Collection[str]) -> None:
        self.bytes = [s.bytes // (1 + len(s.others)) for s in statements] + list(held.values())
        self.within = [s.within for s in statements]
        number = {s.name: i for i, s in enumerate(statements) if s.name}
        number |= {name: len(statements) + i for i, name in enumerate(held)}
        self.made_by = list(range(len(statements))) + [HELD] * len(held)
        for i, s in enumerate(statements):
            for name in s.others:
                number[name] = len(self.bytes)
                self.bytes.append(self.bytes[i])
                self.made_by.append(i)
        self.reads = [tuple(sorted(number[w] for w in s.reads if w in number and number[w] != i)) for i, s in enumerate(statements)]
        self.readers = [0] * len(self.bytes)
        for i, read in enumerate(self.reads):
            for j in read:
                self.readers[j] |= 1 << i
        self.makes = [[j for j, maker in enumerate(self.made_by) if maker == i] for i in range(len(statements))]
        self.kept = {number[name] for name in kept if name in number}
        self.count = len(statements)
        self.made = [sum(self.bytes[j] for j in makes) for makes in self.makes]
        self.ends = [  # tiles of which a statement may be the last reader, and those of its own that nothing reads
            [(self.readers[j], self.bytes[j]) for j in (*read, *(j for j in makes if not self.readers[j])) if j not in self.kept]
            for read, makes in zip(self.reads, self.makes, strict=True)
        ]
        self.held = sum(held.values())
        self.entrywise = {  # loaded tiles that more than products read, which would hold them in registers
            i for i, s in enumerate(statements)
            if s.bytes >= TILE and s.is_load and any(s.name in other.widens for other in statements)
        }  # fmt: skip
        self.lazy: list[bool] = []  # a load, or a value made of such rows, stands right before its first reader
        for i, read in enumerate(self.reads):
            self.lazy.append(bool(self.readers[i]) and all(j < i and self.lazy[j] and self.bytes[j] < TILE for j in read))

    def run(self, order: Iterable[int], done: int, live: int, peak: int) -> tuple[int, int, int, int]:
        """After these statements: those that are done, the bytes that live, the most so far, and the bytes summed up over them.

        Most of the time that a large kernel takes to print is spent here.
        """
        made, within, ends, total = self.made, self.within, self.ends, 0
        for i in order:
            done |= 1 << i
            live += made[i]
            if live + within[i] > peak:
                peak = live + within[i]
            for readers, size in ends[i]:
                if readers & done == readers:
                    live -= size
            total += live
        return done, live, peak, total

    def peak(self, order: Sequence[int]) -> int:
        return self.cost(order)[0]

    def cost(self, order: Sequence[int]) -> tuple[int, int]:
        """The most bytes that live at once, and the bytes that live, summed up over the statements."""
        _, _, peak, total = self.run(order, 0, self.held, self.held)
        return peak, total

    def delayed(self, order: Sequence[int]) -> tuple[int, ...]:
        """The order with every statement right before the first that reads it, where fewer bytes live then."""
        found = list(order)
        cost = self.cost(found)
        for i in reversed(order):
            rest = [j for j in found if j != i]
            first = next((at for at, j in enumerate(rest) if any(self.readers[k] >> j & 1 for k in self.makes[i])), len(rest))
            later = [*rest[:first], i, *rest[first:]]
            if self.cost(later) <= cost:
                found, cost = later, self.cost(later)
        return tuple(found)

    def with_reloads(self, order: Sequence[int]) -> list[int]:
        """The order, where a loaded tile that is read entrywise is loaded again for a reader far behind the one before."""
        found: list[int] = []
        at: dict[int, int] = {}  # where a tile was loaded or read last
        for place, i in enumerate(order):
            for j in self.reads[i]:
                if j in self.entrywise and place - at[j] > FAR:
                    found.append(j)
                at[j] = place
            found.append(i)
            at[i] = place
        return found

    def with_loads(self, i: int, done: int) -> list[int]:
        """Statement `i` behind the lazy ones that it needs."""
        order: list[int] = []
        for j in self.reads[i]:
            if j < self.count and not done >> j & 1 and j not in order:
                order += [k for k in self.with_loads(j, done) if k not in order]
        return [*order, i]

    def best(self) -> tuple[int, ...]:
        """The best order found; the beam holds peaks, live bytes, done statements, the next ones, and the way, last steps first.

        The bytes that live depend on the statements that are done, in whatever order: of two ways to the same ones the lower peak counts.
        """
        eager = [i for i in range(self.count) if not self.lazy[i]]
        makers = [{self.made_by[j] for j in read} - {HELD} for read in self.reads]
        needed = [sum(1 << j for j in makers[i] if not self.lazy[j]) for i in range(self.count)]
        waiting = {i: [j for j in eager if needed[j] >> i & 1] for i in eager}
        others = sum(1 << i for i in eager)
        lazy = {i: sum(1 << j for j in self.with_loads(i, others)[:-1]) for i in eager}  # those that a statement needs
        steps_of: dict[int, dict[int, tuple[list[int], int]]] = {i: {} for i in eager}  # behind those that are not done, by those that are
        beam: list[tuple[int, int, int, list[int], Any]] = [(self.held, self.held, 0, [i for i in eager if not needed[i]], None)]
        for _ in eager:
            found: dict[int, tuple[int, int, int, list[int], Any]] = {}
            for before, alive, so_far, ready, way in beam:
                for i in ready:
                    loaded, known_steps = so_far & lazy[i], steps_of[i]
                    if loaded not in known_steps:
                        steps = self.with_loads(i, so_far)
                        known_steps[loaded] = steps, sum(1 << j for j in steps)
                    steps, added = known_steps[loaded]
                    known = found.get(so_far | added)
                    if known is None or known[0] > before:
                        done, live, peak, _ = self.run(steps, so_far, alive, before)
                        if known is None or peak < known[0]:
                            found[done] = (peak, live, done, ready, (steps, way))
            beam = []
            for peak, live, done, ready, way in sorted(found.values(), key=lambda each: each[:3])[:BEAM]:
                last = way[0][-1]
                freed = [j for j in waiting[last] if needed[j] & done == needed[j]]
                beam.append((peak, live, done, sorted([*(j for j in ready if j != last), *freed]), way))
        parts, way = [], beam[0][4]
        while way:
            steps, way = way
            parts.append(steps)
        return tuple(i for steps in reversed(parts) for i in steps)
