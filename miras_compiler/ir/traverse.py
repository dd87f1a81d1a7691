"""Walk and rewrite programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from weakref import WeakKeyDictionary

from miras_compiler.ir.nodes import Leaf, Node, State
from miras_compiler.ir.program import Label, Program

_NODES: WeakKeyDictionary[Program, tuple[Node, ...]] = WeakKeyDictionary()
_LEAVES: WeakKeyDictionary[Program, tuple[Leaf, ...]] = WeakKeyDictionary()


def topological(roots: Iterable[Node], stops: Collection[Node] = ()) -> list[Node]:
    """Every tile that the roots are computed from, arguments first, not looking behind stops; the order depends on the program alone."""
    order: dict[Node, None] = {}
    stack = list(roots)[::-1]
    while stack:
        node = stack[-1]
        waiting = [] if node in order or node in stops else [arg for arg in node.args if arg not in order]
        if waiting:
            stack += waiting[::-1]
        else:
            order[stack.pop()] = None
    return list(order)


def nodes_of(program: Program) -> tuple[Node, ...]:
    """Every tile of a program, arguments first; a program is walked once, however often one asks."""
    if program not in _NODES:
        _NODES[program] = tuple(topological(program.outputs.values()))
    return _NODES[program]


def leaves_of(program: Program) -> tuple[Leaf, ...]:
    """The arguments of a program, by name."""
    if program not in _LEAVES:
        _LEAVES[program] = tuple(sorted((n for n in nodes_of(program) if isinstance(n, Leaf)), key=lambda leaf: leaf.name))
    return _LEAVES[program]


def carried_leaves(program: Program) -> list[Leaf]:
    """The states that a program hands on from tile to tile."""
    return [leaf for leaf in leaves_of(program) if isinstance(leaf, State) and leaf.name in program.outputs]


def use_counts(program: Program) -> Counter[Node]:
    """The number of reads of each tile: one per argument position, one per output."""
    counts: Counter[Node] = Counter(program.outputs.values())
    for node in nodes_of(program):
        counts.update(node.args)
    return counts


def dependents(roots: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    """The tiles under `roots` that depend on any of `sources`, those included."""
    reached = set(sources)
    for node in topological(roots):
        if any(arg in reached for arg in node.args):
            reached.add(node)
    return reached


def rewrite(program: Program, rule: Callable[[Node, tuple[Node, ...]], Node]) -> Program:
    """The program with `rule(node, rewritten arguments)` in place of every tile; labels move along."""
    new: dict[Node, Node] = {}
    for node in nodes_of(program):
        new[node] = rule(node, tuple(new[arg] for arg in node.args))
    outputs = {name: new[node] for name, node in program.outputs.items()}
    labels, suggested = (
        {new[node]: label for node, label in found.items() if node in new} for found in (program.labels, program.suggested)
    )
    return Program(program.name, outputs, labels, suggested)


def labels_in_use(outputs: Mapping[str, Node], labels: Mapping[Node, Label]) -> dict[Node, Label]:
    """The labels of tiles that the outputs are computed from."""
    return {node: labels[node] for node in topological(outputs.values()) if node in labels}
