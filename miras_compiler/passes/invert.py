"""A triangular solve as an inverse and a product: the inverse depends on the coefficients alone, and is shared by every right side."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from miras_compiler.ir.build import contract
from miras_compiler.ir.nodes import Contract, Leaf, Node, Rename, TriangularSolve
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import nodes_of, rewrite


class TriangularInverse(Node):
    """(I + L)⁻¹ of a strictly lower triangular L `[row, column]`, over `[column, row]`: contracted with a right side it gives the solution.

    A right side on the row axis gives X with (I + L) X = R; one on the column axis that of the transposed system.
    """

    __slots__ = ()


def invert_triangles(program: Program) -> Program:
    """The program with every TriangularSolve(L, R) as TriangularInverse(L) times R."""

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if not isinstance(node, TriangularSolve):
            return type(node)(node.axes, args, node.fields)
        lower, right = args
        row, column = lower.axes
        return contract(TriangularInverse((column, row), (lower,)), right)

    inverted = rewrite(program, rule)
    return replace(inverted, labels=dict(inverted.labels) | _labels(inverted))


def is_solve(product: Contract, inverses: Collection[str]) -> bool:
    """True if the product stands for a TriangularSolve; `inverses` are the buffers that hold one.

    A solve adds rows up that nearly cancel, the more so the more the keys of a tile agree. So its operands keep digits that those of other
    products lose: rounded to bfloat16, they double the error of the gated delta rule's gradients.
    """
    return any(is_inverse(arg, inverses) for arg in product.args)


def is_inverse(node: Node, inverses: Collection[str]) -> bool:
    """Returns true for an inverse, or a buffer that holds one, under any names of its axes."""
    while isinstance(node, Rename):
        (node,) = node.args
    return isinstance(node, TriangularInverse) or (isinstance(node, Leaf) and node.name in inverses)


def _labels(program: Program) -> dict[Node, Label]:
    """A name for every inverse, after that of its triangle."""
    found = [node for node in nodes_of(program) if isinstance(node, TriangularInverse)]
    letters = {node: program.labels[node.args[0]].letters if node.args[0] in program.labels else "L" for node in found}
    return {
        node: Label(f"Inv{'' if index == 0 else index + 1}", f"(I + {letters[node]})⁻¹", "surprise", "") for index, node in enumerate(found)
    }
