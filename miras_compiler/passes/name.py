"""Name: a value that is read more than once, and has no name in the mathematics, gets one."""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.ir.nodes import Leaf, Map, Node, Rename
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import nodes_of, use_counts

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def name(program: Program) -> Program:
    """Labels t1, t2, …, on pages τ₁, τ₂, …, in the section of the value's reader."""
    uses = use_counts(program)
    labels = dict(program.labels)
    taken = {label.name for label in labels.values()} | {node.name for node in nodes_of(program) if isinstance(node, Leaf)}
    section = _sections(program)
    number = 0
    for node in nodes_of(program):
        if uses[node] < 2 or node in labels or isinstance(node, Leaf | Rename) or (isinstance(node, Map) and not node.args):
            continue
        number += 1
        while f"t{number}" in taken:
            number += 1
        where = section.get(node, ("", ""))
        labels[node] = Label(f"t{number}", f"τ{number}".translate(SUBSCRIPTS), *where, automatic=True)
    ordered = {node: labels[node] for node in nodes_of(program) if node in labels}
    return replace(program, labels=ordered)


def _sections(program: Program) -> dict[Node, tuple[str, str]]:
    """Section and origin of the first labelled tile that each unlabelled tile leads to."""
    found: dict[Node, tuple[str, str]] = {}
    for node in reversed(nodes_of(program)):
        if node in program.labels:
            found[node] = (program.labels[node].section, program.labels[node].origin)
        for arg in node.args:
            if node in found and arg not in program.labels:
                found[arg] = found[node]
    return found
