"""`rename`: inputs under other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from miras_compiler.ir.nodes import Input, Node, Program
from miras_compiler.ir.traverse import rewrite


def rename(program: Program, names: Mapping[str, str]) -> Program:
    """The program whose inputs have the names that `names` gives for their own; labels of inputs follow, in code but not in formulas."""
    if not names:
        return program

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Input):
            return Input(node.axes, (), (names.get(node.name, node.name), *node.fields[1:]))
        return type(node)(node.axes, args, node.fields)

    renamed = rewrite(program, rule)
    labels = {
        node: replace(label, name=names.get(label.name, label.name)) if isinstance(node, Input) else label
        for node, label in renamed.labels.items()
    }
    return Program(renamed.name, renamed.outputs, labels)
