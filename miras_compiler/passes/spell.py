"""Spell: a value that was called by a number is called by the names of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.ir.words import Words

NOTHING: Mapping[Node, Label] = {}


def spell(program: Program, earlier: Mapping[Node, Label] = NOTHING) -> Program:
    """The program with words for the labels t1, t2, …, where there are short ones, and numbers behind words that are not the first.

    Tiles that have an `earlier` label keep it, and no other tile gets its name.
    """
    labels = {node: earlier.get(node, label) for node, label in program.labels.items() if node in earlier or not label.automatic}
    taken = (
        {label.name for label in earlier.values()}
        | {label.name for label in labels.values()}
        | {node.name for node in nodes_of(program) if isinstance(node, Leaf)}
    )
    words = Words(replace(program, labels=labels))
    found: dict[Node, Label] = {}
    for node in nodes_of(program):
        if node not in program.labels:
            continue
        label = labels.get(node)
        if label is None:
            old = program.labels[node]
            made = words.of(node) or old
            label = replace(made, name=free(made.name, taken), section=made.section or old.section, origin=made.origin or old.origin)
            label = replace(label, automatic=True)
            taken.add(label.name)
            words.known[node] = label
        found[node] = label
    return replace(program, labels=found)


def free(name: str, taken: set[str]) -> str:
    """The name, or the first of name_2, name_3, … that is not taken."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
