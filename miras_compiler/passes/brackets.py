"""A substitution as its brackets: X = φ(Z) for all rows at once, with the Z that φ took row by row."""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.ir.build import rename
from miras_compiler.ir.nodes import ForwardSubstitute, Node, Substitution
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.rows import bracket, instantiate
from miras_compiler.ir.traverse import nodes_of, rewrite


class Brackets(Substitution):
    """Z with Z_t = R_t − Σ_{s<t} L_ts φ(Z_s), over the axes of R; arguments and fields are those of ForwardSubstitute."""

    __slots__ = ()


def expose_brackets(program: Program) -> Program:
    """The program with every ForwardSubstitute as φ of its Brackets, and with the Brackets in place of every R − L X.

    The brackets are all that has to be kept of a substitution: of their rows, X and the slopes of φ follow entry by entry, and the slopes
    are those of the very numbers that were substituted. Where φ has a kink, other roundings of them would be other slopes.
    """
    found = [node for node in nodes_of(program) if isinstance(node, ForwardSubstitute)]
    wholes: dict[Node, ForwardSubstitute] = {bracket(node): node for node in found}
    brackets: dict[Node, Node] = {}
    labels: dict[Node, Label] = {}

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if node in wholes:
            return brackets[wholes[node]]
        if not isinstance(node, ForwardSubstitute):
            return type(node)(node.axes, args, node.fields)
        lower, right, *rows = args
        made = brackets[node] = Brackets(right.axes, args, node.fields)
        row, column = lower.axes[:2][::-1] if node.transposed else lower.axes[:2]
        bound = {"z": made, **dict(zip(node.names, rows, strict=True))}
        bound = {name: rename(tile, row, column) for name, tile in bound.items()}
        (output,) = node.phi.outputs
        if node in program.labels:
            labels[made] = brackets_label(program.labels[node])
        for inner, label in node.phi.labels.items():
            if inner is not node.phi.outputs[output]:
                labels[instantiate(Program("", {"phi": inner}), "phi", bound, column)] = label
        return instantiate(node.phi, output, bound, column)

    new = rewrite(program, rule)
    taken = {label.name for label in new.labels.values()}
    used = {node: label for node, label in labels.items() if node in set(nodes_of(new)) and label.name not in taken}
    return replace(new, labels={**new.labels, **used})


def take_brackets(program: Program, earlier: Program) -> Program:
    """The program with the brackets of an earlier one, which has computed them, in place of the same: passes may write them otherwise."""
    theirs = {node.phi.name: node for node in nodes_of(earlier) if isinstance(node, Brackets)}

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Brackets) and not node.transposed:
            return theirs[node.phi.name]
        return type(node)(node.axes, args, node.fields)

    return rewrite(program, rule)


def brackets_label(label: Label) -> Label:
    """The label of the brackets of a substitution."""
    return replace(label, name=f"{label.name}_bracket", letters=f"{label.letters}[bracket]", origin="")
